"""The nsjail backend: guests and scripts in namespaces of their own."""

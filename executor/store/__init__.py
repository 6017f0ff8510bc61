"""Proven results that processes, machines and later runs share."""

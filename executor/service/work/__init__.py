"""Admission, metrics, and whether the service is ready."""

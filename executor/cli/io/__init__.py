"""Rows in, results out, progress and summary."""

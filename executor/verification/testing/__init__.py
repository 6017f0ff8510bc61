"""Judging programs by tests. What is expected, and what compares, is never where a program runs."""

"""Benchmarks that anyone can run; each compares side by side, in one run, and prints ratios."""

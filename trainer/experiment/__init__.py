"""Controlled experiments with the real trainer."""

"""Tests as other projects write them, as rows to judge. What is read here is never executed."""

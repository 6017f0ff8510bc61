"""Evaluation of models on published benchmarks, judged by the executor alone."""

"""What Absolute Zero Reasoner's authors report, in percent (README of their repository, 2025-06;
arXiv 2505.03335, tables 1 and 2): averages as :mod:`trainer.evaluation.results` makes them."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A row of their tables."""

    model: str
    code: float
    math: float
    total: float


PUBLISHED = (
    Published("Qwen2.5-7B", 52.0, 27.5, 39.8),
    Published("Qwen2.5-7B-Instruct", 56.3, 37.0, 46.7),
    Published("Qwen2.5-Coder-7B", 56.6, 23.9, 40.2),
    Published("AZR-Base-7B", 55.2, 38.4, 46.8),
    Published("AZR-Coder-7B", 61.6, 39.1, 50.4),
    Published("Llama3.1-8B", 28.5, 3.4, 16.0),
    Published("AZR-Llama3.1-8B", 31.6, 6.8, 19.2),
    Published("Qwen2.5-Coder-3B", 51.2, 18.8, 35.0),
    Published("AZR-Coder-3B", 54.9, 26.5, 40.7),
    Published("Qwen2.5-Coder-14B", 60.0, 20.2, 40.1),
    Published("AZR-Coder-14B", 63.6, 43.0, 53.3),
)

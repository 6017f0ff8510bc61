"""The languages of SandboxFusion's API, and those that are run here."""

from __future__ import annotations

from typing import Literal, get_args

Language = Literal[
    "python", "cpp", "nodejs", "go", "go_test", "java", "php", "csharp", "bash", "typescript",
    "sql", "rust", "cuda", "lua", "R", "perl", "D_ut", "ruby", "scala", "julia", "pytest", "junit",
    "kotlin_script", "jest", "verilog", "python_gpu", "lean", "swift", "racket",
]  # fmt: skip
"""Languages that a request may name. Any other is a bad request, as in the original."""

Runnable = Literal["python", "bash", "pytest"]
"""Languages that this server has an interpreter for."""

RUNNABLE: tuple[Runnable, ...] = get_args(Runnable)

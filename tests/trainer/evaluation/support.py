"""A few problems of one's own in the formats of benchmarks, and answers to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HUMANEVAL = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def add_{number}(a, b):\n    """Add {number} to the sum."""\n',
        "entry_point": f"add_{number}",
        "canonical_solution": f"    return a + b + {number}\n",
        "test": f"def check(candidate):\n    assert candidate(1, 2) == {3 + number}\n",
    }
    for number in range(4)
]
CRUXEVAL = [
    {"id": "sample_0", "code": "def f(x):\n    return x[::-1]", "input": "'ab'", "output": "'ba'"},
    {"id": "sample_1", "code": "def f(x):\n    return len(x)", "input": "[1, 2]", "output": "2"},
]
LCB = [
    {
        "question_id": "1",
        "question_content": "Print the sum of two numbers.",
        "starter_code": "",
        "platform": "atcoder",
        "difficulty": "easy",
        "contest_date": "2024-03-02T00:00:00",
        "public_test_cases": '[{"input": "1 2\\n", "output": "3\\n", "testtype": "stdin"}]',
        "private_test_cases": "[]",
        "metadata": "{}",
    },
    {
        "question_id": "2",
        "question_content": "Double a number.",
        "starter_code": "class Solution:\n    def double(self, x: int) -> int:\n        ",
        "platform": "leetcode",
        "difficulty": "hard",
        "contest_date": "2024-09-01T00:00:00",
        "public_test_cases": '[{"input": "4", "output": "8", "testtype": "functional"}]',
        "private_test_cases": "[]",
        "metadata": '{"func_name": "double"}',
    },
]


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def data(folder: Path) -> Path:
    """A folder with the problems."""
    write(folder / "HumanEval.jsonl", HUMANEVAL)
    write(folder / "cruxeval.jsonl", CRUXEVAL)
    write(folder / "lcb.jsonl", LCB)
    return folder

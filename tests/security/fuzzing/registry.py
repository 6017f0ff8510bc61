"""What the fuzzer knows of each target of ``targets.py``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).parent / "corpus"
EXECUTOR = Path(__file__).parents[3] / "executor"


class About(NamedTuple):
    """A target."""

    modules: tuple[str, ...]
    """The modules it is about, below ``executor``: their coverage guides the fuzzer."""
    longest: int
    """Bytes of an input."""
    words: tuple[str, ...] = ()
    """What inputs are likely to hold."""

    def others(self) -> list[str]:
        """Full names of all other modules of the executor."""
        paths = (path.relative_to(EXECUTOR.parent) for path in EXECUTOR.rglob("*.py"))
        names = (".".join(path.with_suffix("").parts) for path in paths)
        wanted = {f"executor.{name}" for name in self.modules}
        return [name.removesuffix(".__init__") for name in names if name not in wanted]


ABOUT: dict[str, About] = {
    "frames": About(
        ("wire.frames", "wire.scripts", "backends.sandboxfusion.wire",
         "backends.docker.streams", "pool.outcomes", "pool.runner", "pool.worker"),
        600,
        ("value", "literal", "expression", "exit_code", "signal", "limit", "failure", "wall_us",
         "cpu_us", "peak_kib", "stdout", "stderr", "files", "omitted", "null", "a.txt", "b/c",
         "wall_limit"),
    ),
    "values": About(
        ("grammar.decode", "grammar.encode", "grammar.text"),
        500,
        ("range", "Counter", "OrderedDict", "defaultdict", "deque", "Decimal", "Fraction", "date",
         "time", "datetime", "timedelta", "timezone"),
    ),
    "answers": About(
        ("grammar.literals", "grammar.constructors"),
        300,
        ("True", "False", "None", "...", "Ellipsis", "true", "null", "NaN", "float('nan')", "1e999",
         "0x", "0b", "1_0", "1j", "+1j", "f'", "b'", "r'", "'''", "\\n", "#", "**", "set()",
         "frozenset({", "dict(", "list(", "tuple(", "range(", "complex(", "bytes([", "Counter(",
         "OrderedDict([(", "defaultdict(int, {", "deque([", "maxlen=", "Decimal('", "Fraction(",
         "datetime.", "date(", "time(", "timedelta(", "timezone.utc", "tzinfo=", "collections.",
         ":=", "lambda", "a=", "1)(2", "if"),
    ),
    "compare": About(("grammar.compare",), 120),
    "differ": About(("grammar.compare", "grammar.text"), 12),
    "counts": About(("verification.runs", "verification.budget", "cli.io.rows", "wire.frames"), 16),
    "growth": About(
        ("screening.rules", "screening.cost", "verification.source", "verification.signals",
         "grammar.literals"),
        60,
        ("\'\'\'", '"""', "\\", "f'", "rb'", "{", "#", "\n", "lambda", "not", "await", "__", "from",
         "__future__", "import", "(", "|", ":", "=", "-~"),
    ),
}  # fmt: skip

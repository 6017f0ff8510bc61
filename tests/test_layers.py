"""The structure of the house, read from its imports: layers, rooms, and what nobody may import.

A room is a folder of modules; a module beside folders (``cli/app.py``) is a room of its own.

    python tests/test_layers.py     writes layers and picture into docs/architecture.md
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/architecture.md"

LAYERS = {
    "executor": """\
cli               the command line
service           the HTTP service
reward            the reward function of trainers
client            executors behind services, with the methods of one in this process
fleet             several executors as one: processes of this machine, nodes of a Ray cluster
doctor            proof that a sandbox holds what is promised
api               what people call: asynchronous, blocking, compared, streamed
verification      which runs are wanted, and what they mean together
pool              which guest gets which request; faults, retries, back-pressure
store             proven results that are shared
backends          what a sandbox is
guest             what runs inside a sandbox: standard library only
formats           tests as other projects write them: pure
wire              bytes to and from guests
screening         rules for programs: pure
grammar           values, as bytes and as text: pure
libraries         sets of third-party packages, by name
models            what crosses the boundary
errors interpreter version fds lru tasks    what all stand on
""",
    "trainer": """\
cli               the command line
tools experiment  what is done before and after runs, and with many of them
verl_adapter      all that knows veRL, Ray and TransferQueue
evaluation        models on published benchmarks
run               a run without veRL: its configuration, directory, log, checkpoints and executor
report            a run as a page
warmstart         a small model that has learned to propose and to solve a little
models            models outside of a run, and generation with them
configs           presets, and veRL's configuration completed by them
game              the rules of the game: no veRL, no torch
files pages       files that are replaced as a whole; pages made of templates
""",
}
"""From top to bottom: a line imports only what stands below it (or in the same package)."""

BOTH_SIDES = ("executor.grammar", "executor.screening", "executor.wire.layout")
"""All that a guest imports besides its own modules."""

_VERL = ("verl", "ray", "tensordict", "transfer_queue")

NEVER: dict[str, tuple[str, ...]] = {
    "executor": ("trainer", "benchmarks", "tests", "verl", "ray", "torch"),
    "trainer.game": ("torch", "transformers", "vllm", "hydra", "omegaconf"),
    **{f"trainer.{name}": _VERL for name in ("game", "run", "models", "warmstart", "configs",
                                             "report", "experiment", "tools", "cli",
                                             "evaluation")},
}  # fmt: skip
"""What modules below a name may not import."""

BUT = {"executor.fleet.ray": "ray"}
"""What one package of them is there for."""

type Graph = Mapping[str, frozenset[str]]


@cache
def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """What a file imports, wherever in the file; a module of ``known`` by its own name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                module = f"{node.module}.{name.name}"
                yield module if module in known else node.module


@cache
def imports(package: str) -> Graph:
    """Every module of a package with all that it imports."""
    known = modules(package)
    return {name: frozenset(imported(path, known)) for name, path in known.items()}


@cache
def room(module: str, package: str) -> str:
    """The folder of a module, or the module itself where it stands beside folders."""
    known = modules(package)
    folder = module if known[module].name == "__init__.py" else module.rpartition(".")[0]
    inner = any(
        name.startswith(folder + ".") and path.name == "__init__.py" for name, path in known.items()
    )
    return module if inner else folder


def rooms(package: str) -> Graph:
    """Every room with the other rooms that it uses."""
    graph: dict[str, set[str]] = {}
    for module, targets in imports(package).items():
        here = graph.setdefault(room(module, package), set())
        here.update(room(target, package) for target in targets if target in modules(package))
    return {name: frozenset(used - {name}) for name, used in graph.items()}


def layers(package: str = "executor") -> dict[str, int]:
    """The layer of each package or module directly below a package: 0 is the top."""
    lines = [line.split("  ")[0].split() for line in LAYERS[package].splitlines()]
    return {name: number for number, names in enumerate(lines) for name in names}


def below(name: str, package: str) -> bool:
    """Whether a name is a package's, or below it."""
    return name == package or name.startswith(package + ".")


def upward(package: str) -> list[str]:
    """Imports within a package that do not point down."""
    order = layers(package)
    found = []
    for module, targets in imports(package).items():
        _, _, here = module.partition(".")
        if here in {"", "__main__"}:  # the public face: it is above all
            continue
        for target in targets:
            if not below(target, package):
                continue
            mine, theirs = (name.split(".")[1] for name in (module, target + "."))
            if not theirs or (mine != theirs and order[mine] >= order[theirs]):
                found.append(f"{module} imports {target}")
    return sorted(found)


def forbidden() -> list[str]:
    """Imports that :data:`NEVER` rules out, and those of guests from the host's side."""
    found = []
    for package in ("executor", "trainer"):
        for module, targets in imports(package).items():
            bad = {
                target
                for start, never in NEVER.items()
                if below(module, start)
                for target in targets
                if any(below(target, name) for name in never)
                and not any(below(module, here) and below(target, BUT[here]) for here in BUT)
            }
            if below(module, "executor.guest"):
                inside = ("executor.guest", *BOTH_SIDES)
                own = {target for target in targets if below(target, "executor")}
                bad |= {t for t in own if not any(below(t, name) for name in inside)}
                bad |= {t for t in targets - own if t.partition(".")[0] not in _AVAILABLE}
            elif not below(module, "executor.guest"):
                bad |= {target for target in targets if below(target, "executor.guest")}
            found += [f"{module} imports {target}" for target in bad]
    return sorted(found)


_AVAILABLE = sys.stdlib_module_names | {"pytest", "_pytest"}
"""In a guest: pytest only where a script is to be tested."""


def picture(package: str) -> str:
    """The layers, and a package's parts with their arrows, but those that others imply."""
    graph: dict[str, set[str]] = {}
    for module, targets in imports(package).items():
        mine = module.split(".")[1:2]
        if mine and mine[0] in layers(package):
            theirs = {target.split(".")[1] for target in targets if target in modules(package)
                      and "." in target}  # fmt: skip
            graph.setdefault(mine[0], set()).update(theirs - {mine[0]})
    direct = {
        name: {u for u in used if not any(u in _reached(graph, v) for v in used - {u})}
        for name, used in graph.items()
    }
    arrows = [f"    {name} --> {used}" for name in layers(package) for used in sorted(direct[name])]
    return f"```\n{LAYERS[package]}```\n\n```mermaid\ngraph TD\n" + "\n".join(arrows) + "\n```\n"


def _reached(graph: Mapping[str, set[str]], name: str) -> set[str]:
    found: set[str] = set()
    left = [name]
    while left:
        for used in graph[left.pop()] - found:
            found.add(used)
            left.append(used)
    return found


def documented(text: str) -> str:
    """The document with the layers and the picture of today between its two marks."""
    for package in LAYERS:
        start, end = f"<!-- structure of {package} -->\n", "<!-- end of structure -->"
        head, _, rest = text.partition(start)
        text = f"{head}{start}{picture(package)}{end}{rest.partition(end)[2]}"
    return text


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_down(package: str) -> None:
    assert upward(package) == []


@pytest.mark.parametrize("package", LAYERS)
def test_every_package_has_a_layer(package: str) -> None:
    found = {name.split(".")[1] for name in modules(package) if name.count(".")}
    assert found - {"__main__", "examples"} == set(layers(package))


def test_the_trainer_uses_the_public_face_of_the_executor() -> None:
    used = set().union(*imports("trainer").values())
    assert {name for name in used if below(name, "executor")} <= {"executor", "executor.client"}


@pytest.mark.parametrize("graph", [imports, rooms])
def test_there_are_no_circles(graph: Callable[[str], Graph]) -> None:
    for package in ("executor", "trainer"):
        try:
            TopologicalSorter(graph(package)).prepare()
        except CycleError as circle:
            pytest.fail(" -> ".join(circle.args[1]))


def test_nobody_imports_what_it_must_not_know() -> None:
    assert forbidden() == []


def test_the_structure_in_the_docs_is_that_of_the_imports() -> None:
    text = DOCUMENT.read_text()
    assert text == documented(text), "run: python tests/test_layers.py"


def walk(package: str, start: str, end: str) -> list[str]:
    """The files of a walk, each of which has the names that stand beside it."""
    text = DOCUMENT.read_text().partition(start)[2].partition(end)[0]
    rows = re.findall(r"^\| `([\w/.]+)` \| (.*) \|$", text, re.M)
    for file, words in rows:
        source = (ROOT / package / file).read_text()
        names = re.findall(r"`(?:\w+\.)?(\w+)`", words)
        assert all(re.search(rf"\b{name}\b", source) for name in names), (file, names)
    files = [file for file, _ in rows]
    assert len(files) == len(set(files))
    return files


def test_the_walk_of_a_proposal_names_what_is_there() -> None:
    files = walk("trainer", "<!-- walk of a proposal -->", "<!-- end of the walk of a proposal -->")
    assert len(files) > 15


def test_the_walk_goes_down_and_names_what_is_there() -> None:
    files = walk("executor", "<!-- walk -->", "<!-- end of walk -->")
    assert len(files) > 20
    host = [layers()[file.split("/")[0]] for file in files if file.split("/")[0] not in _INSIDE]
    assert host == sorted(host)


_INSIDE = ("guest", "grammar")


if __name__ == "__main__":
    DOCUMENT.write_text(documented(DOCUMENT.read_text()))

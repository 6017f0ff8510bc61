"""Hostile bytes against the host's decoders: the corpus, random bytes, and a short guided search.

The long search is ``python -m tests.security.fuzzing --seconds 600``.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.guest import frames as wire
from executor.models import ScriptResult, Status
from tests.security.fuzzing import fuzz
from tests.security.fuzzing.literals import Choices, evaluated, pair
from tests.security.fuzzing.registry import ABOUT, CORPUS
from tests.security.fuzzing.targets import TARGETS


def inputs(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def test_every_target_is_known_to_the_fuzzer_and_has_a_corpus() -> None:
    assert set(TARGETS) == set(ABOUT) == {path.name for path in CORPUS.iterdir()}
    assert all(len(inputs(target)) > 10 for target in TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_breaks_no_promise(target: str) -> None:
    for data in inputs(target):
        TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_random_bytes_and_changed_inputs_break_no_promise(target: str, data: st.DataObject) -> None:
    """The start of one input, some bytes, and the end of another."""
    known = st.just(b"") | st.sampled_from(inputs(target))
    start, end = data.draw(known), data.draw(known)
    cut = data.draw(st.integers(0, len(start))), data.draw(st.integers(0, len(end)))
    TARGETS[target](start[: cut[0]] + data.draw(st.binary(max_size=12)) + end[cut[1] :])


def test_pairs_of_literals_are_of_all_kinds() -> None:
    """The comparison is tried on equal, unequal, and refused pairs, not on one kind alone."""
    seen: set[bool | None] = set()
    numbers = random.Random(1)
    for _ in range(200):
        first, second = pair(Choices(numbers.randbytes(40)))
        try:
            seen.add(bool(evaluated(first) == evaluated(second)))
        except TypeError:
            seen.add(None)
    assert seen == {True, False, None}


@settings(max_examples=100, deadline=None)
@given(payloads=st.lists(st.binary(max_size=9), min_size=1, max_size=4), size=st.integers(1, 9))
def test_a_guest_reads_whole_frames_however_they_are_cut(payloads: list[bytes], size: int) -> None:
    stream = b"".join(len(each).to_bytes(4, "little") + each for each in payloads)
    chunks = iter([stream[at : at + size] for at in range(0, len(stream), size)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "posix", type("posix", (), {"read": lambda *_: next(chunks)}))
        source = wire.Input()
        assert [source.next_frame() for _ in payloads] == payloads


@pytest.mark.parametrize("data", [b"\xff\xfe\0", b"text"])
def test_a_result_with_any_bytes_can_be_written_as_json(data: bytes) -> None:
    result = ScriptResult(status=Status.OK, detail="", stdout=data, files={"a": data})
    assert ScriptResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.long
def test_a_guided_search_of_half_a_minute_finds_nothing() -> None:
    command = [sys.executable, "-m", "tests.security.fuzzing", "--seconds", "20", "--no-save"]
    done = subprocess.run(
        command, cwd=fuzz.ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == list(TARGETS)
    for _, executions, _, edges, *_ in rows:
        assert int(executions.replace(",", "")) >= 100
        assert int(edges) > 50


PLANTED = """
def planted(data):
    if data[:1] == b'F':
        if data[1:2] == b'U':
            if data[2:3] == b'Z':
                raise ValueError('found')
"""


@pytest.mark.long
def test_the_search_finds_a_planted_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted_for_the_fuzzer.py").write_text(PLANTED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = fuzz.fuzz("planted", 60, tmp_path / "planted", "planted_for_the_fuzzer")
    assert "ValueError: found" in report.failure
    assert [crash.read_bytes()[:3] for crash in report.crashes] == [b"FUZ"]

"""Small holes that were found from outside: names of exceptions, imports, keys, rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from executor import (
    InputError,
    JudgeTask,
    Limits,
    Options,
    Rules,
    Script,
    Status,
    SyncExecutor,
    TaskType,
    Triplet,
)
from executor.cli.io.rows import read_judge_task, read_triplet
from executor.cli.io.source import Line
from executor.errors import MalformedRow
from executor.verification.context import Context
from executor.verification.error_names import error_name
from executor.verification.source import with_imports
from executor.wire.scripts import encode_request
from tests.support.programs import OPEN_RULES, body, triplet


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SyncExecutor]:
    with SyncExecutor(workers=1, rules=OPEN_RULES) as executor:
        yield executor


def error_task(program: str, *answers: str) -> JudgeTask:
    return JudgeTask(task=TaskType.ERROR, program=program, inputs=("1",), answers=answers)


# ---- names of exceptions -------------------------------------------------------------------------

UNANSWERABLE = ("", "Key:Error", "a.KeyError", " KeyError ", "'KeyError'", "KeyError()", "a b",
                "K" * 5000, "K" * 101, "1", "NoError", "a\n")  # fmt: skip


@pytest.mark.parametrize("name", UNANSWERABLE, ids=lambda name: ascii(name)[:20])
def test_an_error_that_no_answer_can_name_is_no_sound_task(
    sandbox: SyncExecutor, name: str
) -> None:
    program = body(f"raise type({name!a}, (Exception,), {{}})()")
    verdict = sandbox.validate(Triplet(program=program, inputs=("1",), expects="error"))
    assert (verdict.status, verdict.valid) == (Status.UNSERIALIZABLE, False)
    assert "identifier of at most 100 characters" in verdict.detail
    judgement = sandbox.judge(error_task(program, "KeyError", "NoError"))
    assert judgement.statuses == (Status.UNSERIALIZABLE,) * 2


@pytest.mark.parametrize("name", ["KeyError", "K" * 100, "Käse", "_x1"])
def test_an_error_with_a_plain_name_is_solved_by_its_own_output(
    sandbox: SyncExecutor, name: str
) -> None:
    program = body(f"raise type({name!r}, (Exception,), {{}})('a: b')")
    verdict = sandbox.validate(Triplet(program=program, inputs=("1",), expects="error"))
    assert (verdict.valid, verdict.outputs) == (True, (name,))
    judgement = sandbox.judge(error_task(program, name, f"`{name}: a`", "Other"))
    assert judgement.scores == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("raised", ["OSError", "IOError", "EnvironmentError"])
def test_all_names_of_one_class_are_right(sandbox: SyncExecutor, raised: str) -> None:
    task = error_task(
        body(f"raise {raised}('disk')"), "OSError", "IOError", "EnvironmentError", "ValueError"
    )
    assert sandbox.judge(task).scores == (1.0, 1.0, 1.0, 0.0)
    given = task.model_copy(update={"outputs": (raised,)})
    assert sandbox.judge(given).scores == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ("NoError.", "NoError"), ("NoError", "NoError"), ("`KeyError`.", "KeyError"),
        ("KeyError('a: b')", "KeyError"), ("json.decoder.JSONDecodeError: x", "JSONDecodeError"),
        ("socket.error", "OSError"), ("socket.timeout", "TimeoutError"), ("re.error", "error"),
        ("", ""), ("...", ""), (" : x", ""),
    ],
)  # fmt: skip
def test_what_surrounds_a_name_in_an_answer_does_not_count(answer: str, name: str) -> None:
    assert error_name(answer) == name


def test_a_full_stop_after_noerror_is_no_mistake(sandbox: SyncExecutor) -> None:
    judgement = sandbox.judge(error_task(body("return x"), "NoError.", "", "..."))
    assert judgement.scores == (1.0, 0.0, 0.0)
    assert judgement.details[2] == "the answer names no exception"


# ---- imports and keys ----------------------------------------------------------------------------

FUTURE = "from __future__ import annotations"


@pytest.mark.parametrize(
    ("program", "joined"),
    [
        (f"def f(x):\n    '''\n{FUTURE}\n'''", f"import math\ndef f(x):\n    '''\n{FUTURE}\n'''"),
        (f"s = '''\n{FUTURE}\n'''", f"import math\ns = '''\n{FUTURE}\n'''"),
        (f"{FUTURE}\nx = 1", f"{FUTURE}\nimport math\nx = 1"),
        (f"'''{FUTURE}'''\n#b\n{FUTURE}\nx", f"'''{FUTURE}'''\n#b\n{FUTURE}\nimport math\nx"),
        (f"{FUTURE}; x = math.pi", f"{FUTURE}\nimport math\nx = math.pi"),
        (
            "from __future__ import (\n division)\nx",
            "from __future__ import (\n division)\nimport math\nx",
        ),
        ("x = 1", "import math\nx = 1"),
    ],
)  # fmt: skip
def test_imports_come_before_a_program_and_change_none_of_its_text(
    program: str, joined: str
) -> None:
    assert with_imports(program, ["import math"]) == joined
    compile(joined, "program", "exec")
    assert with_imports(program, []) == program


def test_a_string_that_holds_a_future_import_is_whole(sandbox: SyncExecutor) -> None:
    program = f"def f(x):\n    s = '''\n{FUTURE}\n'''\n    return len(s)"
    for imports in ((), ("import math",)):
        assert sandbox.validate(triplet(program, "1", imports=imports)).outputs == ("36",)


def test_an_unsound_row_is_not_served_as_the_sound_one_that_is_written_alike(
    sandbox: SyncExecutor,
) -> None:
    sound = triplet("def f(x):\n    return len(x), '\N{GRINNING FACE}'", "'\N{GRINNING FACE}'")
    unsound = triplet("def f(x):\n    return len(x), '\ud83d\ude00'", "'\ud83d\ude00'")
    for _ in range(2):
        assert sandbox.validate(sound).status is Status.OK
        assert sandbox.validate(unsound).status is Status.SCREENED


def test_keys_of_different_parts_differ() -> None:
    context = Context(Limits(), Rules(), backend="b", interpreter="i")
    parts: tuple[tuple[object, ...], ...] = (
        ("\N{GRINNING FACE}",), ("\ud83d\ude00",), ("\\ud83d\\ude00",), ("a", "b"), ('a","b',),
        (("a",), "b"), (("a", "b"),), ("1",), (1,), (None,), ("null",), (True,),
    )  # fmt: skip
    assert len({context.key(*each) for each in parts}) == len(parts)


# ---- rows of files -------------------------------------------------------------------------------


def line(text: str) -> Line:
    return Line(1, text.encode(), len(text))


@pytest.mark.parametrize(
    "text",
    [
        '{"program": "def f(x): return 1", "input": "1", "input": "2"}',
        '{"program": "def f(x): return 1", "input": "1", "a": [{"b": 1, "b": 2}]}',
    ],
)
def test_a_row_with_a_repeated_key_is_malformed(text: str) -> None:
    for row in (read_triplet(line(text), 0), read_judge_task(line(text), 0)):
        assert isinstance(row.item, MalformedRow)
        assert "is there twice" in str(row.item)


@pytest.mark.parametrize("task", ["eRRor", "Error", "", "errors", 1, ["error"]])
def test_a_triplet_of_no_known_task_type_is_malformed(task: Any) -> None:
    row = read_triplet(line(json.dumps({"program": "x", "input": "1", "task": task})), 0)
    assert isinstance(row.item, MalformedRow)


@pytest.mark.parametrize(
    ("task", "expects"), [("error", "error"), ("deduction", "value"), (None, "value")]
)
def test_a_triplet_of_a_known_task_type_is_read(task: str | None, expects: str) -> None:
    row = read_triplet(line(json.dumps({"program": "x", "input": "1", "task": task})), 0)
    assert isinstance(row.item, Triplet)
    assert row.item.expects == expects


# ---- calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "d/", "a/b/c/"])
def test_more_files_than_a_jail_holds_are_refused_before_it_is_asked(folder: str) -> None:
    files = {f"{folder}{number}": b"x" for number in range(17_000)}
    with pytest.raises(InputError, match="more than 16000 files and folders"):
        encode_request(Script(source="", files=files), Limits())
    few = dict(list(files.items())[:15_000])
    assert encode_request(Script(source="", files=few), Limits())


def test_folders_count_as_files_do() -> None:
    files = {f"{number}/a/b/c": b"" for number in range(5000)}
    with pytest.raises(InputError, match="more than 16000 files and folders"):
        encode_request(Script(source="", files=files), Limits())


def test_a_script_with_many_small_files_runs(sandbox: SyncExecutor) -> None:
    files = {f"d/{number}": b"x" for number in range(15_900)}
    script = Script(source="import os\nprint(len(os.listdir('d')))", files=files)
    assert sandbox.run(script).stdout == b"15900\n"


@pytest.mark.parametrize("which", ["rules", "judge_rules"])
def test_a_call_cannot_have_programs_of_any_length_read(which: str) -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1048576"):
        Options.model_validate({which: {"max_source_bytes": (1 << 20) + 1}})
    assert Options.model_validate({which: {"max_source_bytes": 1 << 20}})

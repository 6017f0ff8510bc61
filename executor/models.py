"""Everything that crosses the executor's boundary: what goes in, what comes out.

The same models serve the Python API, the command line and the HTTP service.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)

from executor.errors import ConfigurationError


class Status(StrEnum):
    """The closed set of outcomes; the same in Python, on the command line and over HTTP."""

    OK = "ok"
    """The run ended and returned a value (or, for an answer, the answer is right)."""
    ERROR = "error"
    """The program raised; the detail has the exception's type and message."""
    SYNTAX_ERROR = "syntax_error"
    """The program does not compile."""
    SCREENED = "screened"
    """A quality rule refused the program before any run; the detail names the rule."""
    NONDETERMINISTIC = "nondeterministic"
    """Fresh processes gave different outcomes; the detail says where they first differ."""
    MISMATCH = "mismatch"
    """The value differs from the one that was given or expected."""
    UNSERIALIZABLE = "unserializable"
    """The value is outside the closed value grammar (a function, a cycle, too deep...)."""
    CPU_LIMIT = "cpu_limit"
    """The run used up its processor time."""
    WALL_LIMIT = "wall_limit"
    """The run used up its wall-clock time."""
    MEMORY_LIMIT = "memory_limit"
    """The run asked for more memory than it may have."""
    OUTPUT_LIMIT = "output_limit"
    """The value or the output is larger than allowed."""
    PROCESS_LIMIT = "process_limit"
    """The run started more processes than allowed."""
    FORBIDDEN = "forbidden"
    """The run made a system call that the policy denies."""
    CRASHED = "crashed"
    """The process died (signal), or ended without a result."""
    MALFORMED = "malformed"
    """The row or the answer cannot be read; it never reached a sandbox."""
    ROW_LIMIT = "row_limit"
    """The row as a whole, or one answer, takes more of the platform than one may: time over all
    runs, bytes of all values, a comparison that is too costly. The detail says which."""
    INFRA = "infra"
    """The platform failed, even after retries. Says nothing about the program: never a score."""


class TaskType(StrEnum):
    """What answers are judged as: the task types of Absolute Zero Reasoning, then programs that are
    judged by tests."""

    DEDUCTION = "deduction"
    """Program and input are given: find the output."""
    ABDUCTION = "abduction"
    """Program and output are given: find an input that gives it."""
    INDUCTION = "induction"
    """Input/output pairs are given: find the program."""
    ERROR = "error"
    """Program and input are given: name the exception (or ``NoError``)."""
    CALL = "call"
    """Calls and what they return are given: find the program. Induction with a name of its own."""
    STDIO = "stdio"
    """Texts on standard input and on standard output are given: find the script."""
    ASSERT = "assert"
    """Code with assertions is given: find the program that it holds for."""
    PYTEST = "pytest"
    """A file of tests is given: find the module that they pass with."""
    MATH = "math"
    """A mathematical result is given: find one that means the same."""


PROGRAM_TASKS = frozenset({TaskType.CALL, TaskType.STDIO, TaskType.ASSERT, TaskType.PYTEST})
"""Tasks whose answers are programs that are judged by tests."""


class Signal(StrEnum):
    """Signs of an attempt to cheat: hints for those who train models.

    Signals never change a verdict or a score. What comes from inside a sandbox can be hidden by a
    program that knows how, and an honest program may set off one.
    """

    FORBIDDEN_CALL = "forbidden_call"
    """Made a system call that the policy denies and that ordinary code does not make; of a script
    also: addressed another machine."""
    FORGED_FRAME = "forged_frame"
    """Wrote to the channel of results, or closed it, or sent what no encoder writes."""
    EARLY_EXIT = "early_exit"
    """Ended its process before there was a result, or raised what is meant to (``SystemExit``,
    ``KeyboardInterrupt``, ``GeneratorExit``). Of tests: pytest ended with 0, and its report does
    not say that they passed."""
    TAMPERING = "tampering"
    """Replaced or removed a builtin, or a name of a module that is common in checkers."""
    OBJECT_RESULT = "object_result"
    """Returned an instance of a class of its own where a plain value is wanted."""
    INJECTION = "injection"
    """An answer is shaped to do something else than to be a value: parentheses that close a call
    they did not open, names with double underscores, ``lambda``, ``import``, ``eval``..."""
    COMPUTED_ANSWER = "computed_answer"
    """An answer is no literal but calls something: work left to the sandbox, at times honest."""
    SNOOPING = "snooping"
    """The text of a program that is tested asks for frames, for all objects or all modules, or for
    the source of what runs it: where tests would lie, were they there."""
    FOREIGN_FILE = "foreign_file"
    """The text of a program that is tested opens a file that its task does not give."""
    OTHER_OUTPUT = "other_output"
    """A script printed, word for word, what is expected of another test than the one it got wrong:
    texts learnt by heart, or luck."""


class Model(BaseModel):
    """Base of all models: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _from_json(value: object, default: ValidatorFunctionWrapHandler, info: ValidationInfo) -> bytes:
    if info.mode != "json":
        content: bytes = default(value)
        return content
    if not isinstance(value, str):
        raise ValueError("must be a string in base64")
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError("not base64") from None


def _to_json(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


Base64 = Annotated[
    bytes,
    WrapValidator(_from_json),
    PlainSerializer(_to_json, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
"""Bytes; in JSON a string in standard base64 (RFC 4648, section 4), with padding."""


class Limits(Model):
    """Limits of one run. Each has an outcome of its own."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    wall_s: float = Field(10.0, gt=0, le=3600)
    """Wall-clock seconds from start to result (``wall_limit``)."""
    cpu_s: int = Field(5, ge=1, le=3600)
    """Seconds of processor time (``cpu_limit``)."""
    memory_mib: int = Field(512, ge=16, le=65536)
    """MiB of address space beyond the bare interpreter (``memory_limit``)."""
    output_kib: int = Field(4096, ge=1, le=65536)
    """KiB of the encoded value; for scripts of stdout and of stderr each (``output_limit``)."""
    processes: int = Field(64, ge=1, le=4096)
    """Processes and threads alive at once; scripts only, a verified program has one."""
    files_mib: int = Field(64, ge=1, le=4096)
    """MiB of the writable file system; scripts only."""
    row_texts: int = Field(10_000, ge=1, le=1_000_000)
    """Inputs of a triplet, or pairs or answers of a task: more make the row ``malformed``."""
    row_s: float = Field(600.0, gt=0, le=86_400)
    """Seconds that all runs of a triplet may take together, or all runs of one answer
    (``row_limit``)."""
    row_mib: int = Field(8, ge=1, le=256)
    """MiB that the outputs of a row may take as text; as values, over all runs that differ, four
    times as much (``row_limit``)."""

    @classmethod
    def least(cls, several: Iterable[Limits]) -> Self:
        """Of each limit the least that one of several has; at least one of them."""
        known = list(several)
        return cls(**{name: min(getattr(one, name) for one in known) for name in cls.model_fields})

    def within(self, ceiling: Limits) -> Self:
        """These limits.

        Raises:
            ConfigurationError: one of them is above the ceiling's.
        """
        for name, most in ceiling:
            if getattr(self, name) > most:
                raise ConfigurationError(
                    f"limits.{name} is {getattr(self, name):g}: this executor allows {most:g}"
                )
        return self


class Usage(Model):
    """Resources that a run used; for several runs the sum, and of memory the maximum."""

    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    peak_memory_kib: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            wall_ms=round(self.wall_ms + other.wall_ms, 3),
            cpu_ms=round(self.cpu_ms + other.cpu_ms, 3),
            peak_memory_kib=max(self.peak_memory_kib, other.peak_memory_kib),
        )


class Rules(Model):
    """Screening: quality control of programs, never the security boundary."""

    banned_modules: tuple[str, ...] = (
        "bcrypt", "calendar", "datetime", "hashlib", "hmac", "logging", "multiprocessing",
        "os.environ", "os.path", "os.sys", "pebble", "random", "subprocess", "sys.exit",
        "threading", "time",
    )  # fmt: skip
    """Modules, or attributes of modules (dotted), that a program may not use. The default is the
    list of AZR's own configuration (``azr.data_selection_strategy.banned_words``)."""
    banned_keywords: tuple[Literal["raise", "assert", "try"], ...] = ()
    """Statements that a program may not contain."""
    min_parameters: int = Field(1, ge=0)
    """Parameters that ``f`` must at least have, where it can be seen (``*args`` counts as one)."""
    max_source_bytes: int = Field(65536, ge=1, le=1 << 20)
    """UTF-8 bytes of a program, its imports included."""
    max_depth: int = Field(100, ge=1, le=200)
    """Levels that statements and expressions are nested, as a reader counts them."""


JUDGE_RULES = Rules(banned_modules=(), min_parameters=0)
"""Default rules of judging: bounds only. An answer is judged by what it does."""


class Options(Model):
    """Settings of one call that differ from those of its executor; ``None``: as the executor."""

    limits: Limits | None = None
    """At most those of the executor, each of them: its sandboxes are made for these."""
    rules: Rules | None = None
    """Screening of programs that are validated."""
    judge_rules: Rules | None = None
    """Screening of the programs of tasks and of solvers."""
    runs: int | None = Field(None, ge=2, le=64)
    """Fresh processes that a triplet is validated in."""
    libraries: str | None = Field(None, max_length=64)
    """Library set that programs may import. Its guests are started when first asked for."""

    def over(self, defaults: Options) -> Options:
        """The defaults, but for what is set here."""
        given = self.model_dump(exclude_none=True).keys()
        return defaults.model_copy(update={name: getattr(self, name) for name in given})


def _is_empty(value: object) -> bool:
    return not value


Signals = dict[Signal, int]
"""Counts of the signals that were seen; left out of JSON where there is none."""


class Triplet(Model):
    """A task to validate: a program and its input(s), perhaps with the output(s) it should give."""

    program: str
    """Source that defines the entry function ``f``."""
    inputs: tuple[str, ...] = Field(min_length=1)
    """Each the text between the parentheses of a call of ``f``."""
    outputs: tuple[str | None, ...] | None = None
    """Python expressions, one per input; ``None`` where the output is not known."""
    imports: tuple[str, ...] = ()
    """Import lines put before the program."""
    expects: Literal["value", "error"] = "value"
    """``error`` for error deduction: the outcome is an exception's type name or ``NoError``."""
    id: str | int | None = None
    """Carried to the result."""

    @model_validator(mode="after")
    def _one_output_per_input(self) -> Self:
        if self.outputs is not None and len(self.outputs) != len(self.inputs):
            raise ValueError(f"{len(self.inputs)} inputs but {len(self.outputs)} outputs")
        return self


class Verdict(Model):
    """Whether a triplet is a sound task."""

    index: int = 0
    """Position of the row in its batch, from 0."""
    id: str | int | None = None
    status: Status
    """``ok``, or the first thing that went wrong, over inputs and runs."""
    valid: bool
    outputs: tuple[str | None, ...] = ()
    """Canonical literal text of each output; ``None`` where there is none."""
    matches: bool | None = None
    """Whether all given outputs are equal to the computed ones; ``None``: nothing was given, or
    nothing could be computed."""
    detail: str
    """A sentence for people."""
    signals: Signals = Field(default_factory=dict, exclude_if=_is_empty)
    """On how many of the inputs each was seen, in any run."""
    usage: Usage = Usage()
    key: str = ""
    """Content hash (SHA-256, hex) of what was run: program, imports, inputs, limits, rules."""
    backend: str = ""
    interpreter: str = ""
    weaknesses: tuple[str, ...] = Field((), exclude_if=_is_empty)
    """Probes (see ``executor doctor``) that the service waives and that are not known to hold where
    this was run. Left out of JSON where there is none, as in all results of this process."""


class Compare(Model):
    """Rules by which the result of a tested program counts as the expected one."""

    atol: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Numbers may differ by so much, where one of them is no integer."""
    rtol: float = Field(0.0, ge=0, allow_inf_nan=False)
    """They may also differ by this share of the expected one."""
    unordered: bool = False
    """The order of a list or tuple that is returned does not matter; that of those in it does."""
    float_text: bool = False
    """Texts that are numbers are compared as numbers, with each other and with numbers."""
    as_json: bool = False
    """Values are compared as JSON would hold them: a tuple is a list, keys are texts."""
    text: Literal["exact", "lines", "tokens", "numbers"] = "lines"
    """Standard output: as it is; without blanks at the ends of lines and of the whole; the words
    of it; or these, where what are numbers are compared as numbers, with ``atol`` and ``rtol``."""


class JudgeTask(Model):
    """Answers to score against one task."""

    task: TaskType
    answers: tuple[str, ...]
    """Texts of the solver; for induction and for tests programs."""
    program: str | None = None
    """Source that defines ``f``; not needed for induction, nor for deduction with an output, nor
    for tests."""
    imports: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    """The gold input; for induction the hidden inputs; for ``call`` the arguments of each call."""
    outputs: tuple[str, ...] = ()
    """The gold output (for error tasks the exception's name); for induction the hidden outputs; for
    ``call`` what each call returns."""
    scoring: Literal["binary", "fraction", "any"] = "binary"
    """Induction and tests: all right, the share that is right, or at least one right."""
    strict: bool = False
    """Also want equal types (``1`` is not ``1.0``)."""
    id: str | int | None = None
    entry_point: str | None = None
    """``call``, ``assert``: what is called: ``name`` or ``Class.method``."""
    mutates: bool = False
    """``call``: an output is ``(what is returned, the arguments as a tuple)``, after the call."""
    compare: Compare = Compare()
    """``call``, ``stdio``: when a result is right; ``math``: ``atol``."""
    stdin: tuple[str, ...] = ()
    """``stdio``: standard input of each test."""
    stdout: tuple[str, ...] = ()
    """``stdio``: what each should print."""
    argv: tuple[str, ...] = ()
    """``stdio``: arguments of the script."""
    files: dict[str, bytes] = Field(default_factory=dict)
    """``stdio``, ``pytest``: files in the working directory: relative path to content."""
    checker: str | None = None
    """``stdio``: a program that defines ``check(stdin, expected, actual)``, which says whether an
    output is right. It runs in a sandbox of its own."""
    tests: str | None = None
    """``assert``: code with assertions, bare or in ``def check(candidate)``; ``pytest``: a file of
    tests, which imports the answer as ``solution``."""
    together: bool = False
    """``assert``: the tests need the answer's objects and not only their values, so both share a
    process. The judgement is ``weak``."""
    expected: tuple[str, ...] = ()
    """``math``: the result, in LaTeX or plain; several that all have to be there, in any order."""
    all_tests: bool = False
    """Go on after the first test that fails."""
    cases: bool = False
    """Tell of each test how it ended."""


class Case(Model):
    """The outcome of one test of one answer."""

    status: Status
    detail: str = ""
    usage: Usage = Usage()
    """Of calls that share a process an equal part each; of ``assert`` nothing."""


class Judgement(Model):
    """The scores of one task's answers, in the order of the answers."""

    index: int = 0
    id: str | int | None = None
    scores: tuple[float | None, ...]
    """0.0 to 1.0; ``None`` where the platform failed (``infra``): mask it, it is no score."""
    statuses: tuple[Status, ...]
    """``ok`` for a right answer, ``mismatch`` for a wrong one, or why it could not be scored."""
    details: tuple[str, ...]
    counts: tuple[tuple[int, int], ...] = Field((), exclude_if=_is_empty)
    """Tests: for each answer how many were passed, of how many there are (``assert``: that were
    reached). Nothing after a first failure counts, unless all tests are wanted."""
    cases: tuple[tuple[Case, ...], ...] = Field((), exclude_if=_is_empty)
    """Tests, where wanted: for each answer how each of them ended, in their order; up to the first
    failure, unless all are wanted."""
    weak: bool = Field(False, exclude_if=_is_empty)
    """Tests and answer shared a process: an answer that is made for it can pass without being right
    (see docs/tests.md)."""
    signals: Signals = Field(default_factory=dict, exclude_if=_is_empty)
    """At how many of the answers each was seen: in the text, in its evaluation or in the run."""
    usage: Usage = Usage()
    key: str = ""
    backend: str = ""
    interpreter: str = ""
    weaknesses: tuple[str, ...] = Field((), exclude_if=_is_empty)
    """As of a verdict."""


ScriptLanguage = Literal["python", "bash", "pytest"]


class Script(Model):
    """A general program to run once, in a fresh sandbox with a writable directory."""

    source: str
    language: ScriptLanguage = "python"
    """``pytest``: a Python source with tests; its report is on stdout, its exit code pytest's."""
    stdin: str = ""
    argv: tuple[str, ...] = ()
    """Arguments after the script's name (of pytest: after the file's name)."""
    files: dict[str, Base64] = Field(default_factory=dict)
    """Files put into the working directory: relative path to content."""
    collect: tuple[str, ...] = ()
    """Paths of files to bring back, if they exist as plain files: relative to the working
    directory, or absolute below one of those that can be written to: ``/box`` (which is the working
    directory), ``/tmp``, ``/mnt`` and ``/dev/shm``."""
    libraries: str | None = Field(None, max_length=64)
    """Library set that it may import; ``None``: the executor's."""


class ScriptResult(Model):
    """The end of a script, and what it wrote."""

    status: Status
    """``ok`` for exit code 0, ``error`` for another one, or the limit that was hit."""
    exit_code: int | None = None
    """``None`` if a limit, a signal or the policy ended the script."""
    signal: int | None = None
    """Number of the signal that ended the script, if one did."""
    stdout: Base64 = b""
    stderr: Base64 = b""
    files: dict[str, Base64] = Field(default_factory=dict)
    detail: str
    signals: Signals = Field(default_factory=dict, exclude_if=_is_empty)
    usage: Usage = Usage()
    backend: str = ""
    interpreter: str = ""
    weaknesses: tuple[str, ...] = Field((), exclude_if=_is_empty)
    """As of a verdict."""

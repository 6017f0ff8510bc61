"""The routes for data sets: prompts and judgements of rows that the client sends along.

The server has no data: ``config.provided_data`` holds the row, or the rows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from executor.errors import InputError
from executor.formats.fusion import (
    Submission,
    auto_eval_prompt,
    batch,
    kind_of,
    prompt_of,
    submission,
)
from executor.models import Case, Judgement, JudgeTask, Limits, Options, Status
from executor.service.fusion.limits import clamped
from executor.service.fusion.models import (
    CommandRunResult,
    CommandStatus,
    RequestBody,
    ResponseBody,
    RunCodeResponse,
    RunStatus,
    Seconds,
    Text,
)
from executor.service.fusion.reading import bad
from executor.service.fusion.run_code import pod_name
from executor.service.work.gateway import Gateway

_TIME_LIMITS = (Status.WALL_LIMIT, Status.CPU_LIMIT, Status.ROW_LIMIT)

type Row = dict[str, Any]


class Config(RequestBody):
    """Settings of a request about a data set."""

    dataset_type: str | None = None
    run_timeout: Seconds | None = None
    """Wall-clock seconds for each test; at most the server's own limit."""
    provided_data: Row | list[Row] | None = None
    locale: str | None = None
    """``zh`` or ``en``: words around AutoEval's questions."""
    is_fewshot: bool | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
    """``run_all_cases``: go on after the first test that fails. For prompts of AutoEval:
    ``context``, ``fewshot``, ``prompt_template``."""


class PromptsRequest(RequestBody):
    """A request for prompts."""

    dataset: str
    config: Config = Config()
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=0)] = 1_000_000


class PromptRequest(RequestBody):
    """A request for one prompt."""

    dataset: str
    id: int | str
    config: Config = Config()


class SubmitRequest(PromptRequest):
    """A model's answer to a row."""

    completion: Text


class BatchConfig(Config):
    """How a batch of tests is run."""

    language: Literal["python"]


class BatchRequest(SubmitRequest):
    """A model's answer with all of its tests, as ScaleBox's clients send it."""

    dataset: str = ""
    id: int | str = 0
    config: BatchConfig


class Prompt(ResponseBody):
    """One prompt."""

    id: int | str
    prompt: str
    labels: dict[str, Any] = Field(default_factory=dict)


class TestResult(ResponseBody):
    """The outcome of one test."""

    passed: bool
    exec_info: RunCodeResponse
    test_info: dict[str, Any] | None = None


class SubmitResult(ResponseBody):
    """The result of judging an answer."""

    id: int | str
    accepted: bool
    extracted_code: str
    full_code: str | None = None
    test_code: str | None = None
    tests: list[TestResult]
    extracted_type: str | None = None
    extra: dict[str, Any] | None = None


def prompts(request: PromptsRequest) -> list[Prompt]:
    """The prompts of the rows that a request holds. Raises :class:`ApiError`."""
    rows = _rows(request.config)[request.offset :][: request.limit]
    return [_prompt(request, row) for row in rows]


def prompt(request: PromptRequest) -> Prompt:
    """One of them. Raises :class:`ApiError`."""
    return _prompt(request, _row(request))


async def submit(gateway: Gateway, request: SubmitRequest, server: Limits) -> SubmitResult:
    """Judge an answer. Raises :class:`ApiError`."""
    row = _row(request)
    try:
        kind = kind_of(request.dataset, request.config.dataset_type)
        found = submission(kind, row, request.completion)
    except InputError as error:
        raise bad(str(error), "config") from None
    return await _judged(gateway, request, found, server)


async def submit_batch(gateway: Gateway, request: BatchRequest, server: Limits) -> SubmitResult:
    """Judge an answer by a batch of tests. Raises :class:`ApiError`."""
    row = _row(request)
    try:
        found = batch(row, request.completion)
    except InputError as error:
        raise bad(str(error), "config", "provided_data") from None
    return await _judged(gateway, request, found, server)


async def _judged(
    gateway: Gateway, request: SubmitRequest, found: Submission, server: Limits
) -> SubmitResult:
    task = JudgeTask.model_validate({
        **found.fields,
        "answers": (found.program,),
        "cases": True,
        "all_tests": bool(request.config.extra.get("run_all_cases")),
    })  # fmt: skip
    wall_s = request.config.run_timeout or server.wall_s
    limits = clamped(server, wall_s=wall_s, memory_mib=0)
    judgement = await gateway.judge(task, options=Options(limits=limits))
    return _result(request, found.code, found.program, task, judgement)


def _result(
    request: SubmitRequest, code: str, program: str, task: JudgeTask, judgement: Judgement
) -> SubmitResult:
    (status,), (detail,) = judgement.statuses, judgement.details
    cases = judgement.cases[0] if judgement.cases else ()
    if not cases or judgement.scores[0] is None:
        cases = (*cases, Case(status=status, detail=detail))
    return SubmitResult(
        id=request.id,
        accepted=judgement.scores[0] == 1.0,
        extracted_code=code,
        full_code=program,
        test_code=task.tests,
        tests=[_test(task, number, case) for number, case in enumerate(cases)],
        extracted_type="fenced" if code != request.completion else "heuristic",
        extra={"weak": True} if judgement.weak else None,
    )


def _test(task: JudgeTask, number: int, case: Case) -> TestResult:
    info = None
    if number < len(task.stdin):
        given, wanted = {"stdin": task.stdin[number]}, {"stdout": task.stdout[number]}
        info = {"input": given, "output": wanted}
    return TestResult(passed=case.status is Status.OK, exec_info=_exec_info(case), test_info=info)


def _exec_info(case: Case) -> RunCodeResponse:
    lost = case.status in (Status.INFRA, Status.MALFORMED)
    passed = case.status is Status.OK
    timed_out = case.status in _TIME_LIMITS
    process = CommandRunResult(
        status=CommandStatus.TIME_LIMIT if timed_out else CommandStatus.FINISHED,
        execution_time=case.usage.wall_ms / 1000,
        return_code=None if timed_out else int(not passed),
        stdout="",
        stderr=case.detail,
    )
    status = RunStatus.SUCCESS if passed else RunStatus.FAILED
    return RunCodeResponse(
        status=RunStatus.SANDBOX_ERROR if lost else status,
        message="" if passed else f"{case.status}: {case.detail}",
        run_result=None if lost else process,
        executor_pod_name=pod_name(),
    )


def _rows(config: Config) -> list[Row]:
    if config.provided_data is None:
        raise bad("this server has no data sets: send rows in config.provided_data", "config")
    data = config.provided_data
    return data if isinstance(data, list) else [data]


def _row(request: PromptRequest) -> Row:
    rows = _rows(request.config)
    if isinstance(request.config.provided_data, dict):
        return rows[0]
    for row in rows:
        if str(row.get("id")) == str(request.id):
            return row
    raise bad(f"no row has the id {request.id!r}", "id")


def _prompt(request: PromptsRequest | PromptRequest, row: Row) -> Prompt:
    config = request.config
    try:
        number, text, labels = prompt_of(row)
        if _is_auto_eval(request.dataset, config.dataset_type):
            fewshot = bool(config.is_fewshot)
            text = auto_eval_prompt(row, config.extra, locale=config.locale, is_fewshot=fewshot)
    except InputError as error:
        raise bad(str(error), "config", "provided_data") from None
    return Prompt(id=number, prompt=text, labels=labels)


def _is_auto_eval(dataset: str, dataset_type: str | None) -> bool:
    try:
        return kind_of(dataset, dataset_type) == "autoeval"
    except InputError:  # prompts are told of any data
        return False

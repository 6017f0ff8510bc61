"""``executor doctor``: exit codes and what it prints."""

from __future__ import annotations

import json

import pytest

from executor.cli.app import main
from executor.doctor import PROBES

pytestmark = pytest.mark.long


def test_what_nsjail_promises_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["backend"].partition(" ")[0], report["holds"]) == ("nsjail", True)
    assert [probe["name"] for probe in report["probes"]] == [probe.name for probe in PROBES]
    others = {probe["name"] for probe in report["probes"] if probe["state"] != "holds"}
    assert others <= {"script-own-kernel", "script-memory-sum"}


def test_the_table_warns_where_nothing_is_isolated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--backend", "process"]) == 0
    out = capsys.readouterr().out
    assert "WARNING: backend process (no isolation): NO ISOLATION" in out
    assert "script-processes-of-others" in out
    assert " 0 fails" in " ".join(out.split())


def test_a_sandbox_without_walls_does_not_pass_for_nsjail(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "--backend", "process", "--promises", "nsjail", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = {probe["name"] for probe in report["probes"] if probe["state"] == "fails"}
    assert report["holds"] is False
    assert {"host-files", "script-network", "script-leftovers", "script-files"} <= failed
    assert all(probe["advice"] for probe in report["probes"] if probe["state"] == "fails")


def test_what_is_waived_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["doctor", "--promises", "gvisor"]
    assert main([*command, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    failed = [probe["name"] for probe in report["probes"] if probe["state"] == "fails"]
    assert (failed, report["holds"]) == (["script-own-kernel"], False)
    assert main([*command, "--waive", "script-own-kernel", "--waive", "cpu", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    states = {probe["name"]: probe["state"] for probe in report["probes"]}
    assert (states["script-own-kernel"], states["cpu"]) == ("waived", "holds")
    assert report["holds"] is True
    assert main([*command, "--waive", "script-own-kernel"]) == 0
    out = capsys.readouterr().out
    assert " 0 fails" in out
    assert " 1 waived" in out


def test_a_waiver_for_one_thing_is_none_for_another(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["doctor", "--backend", "process", "--promises", "nsjail"]
    assert main([*command, "--waive", "host-files", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    states = {probe["name"]: probe["state"] for probe in report["probes"]}
    assert (states["host-files"], states["script-host-files"]) == ("waived", "fails")
    assert report["holds"] is False


@pytest.mark.parametrize(
    "options",
    [
        ["--promises", "nowhere"],
        ["--backend", "nsjail,process"],
        ["--waive", "script-nework"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1

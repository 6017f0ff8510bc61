"""The files that people deploy with say what they should, by their own tools' word."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from executor import Executor, Status
from executor.guest import seccomp
from executor.service.work.admission import Admission
from executor.service.work.metrics import Metrics
from executor.service.work.waivers import Waivers

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "monitoring/grafana/dashboards/executor.json"
ALERTS = ROOT / "monitoring/alerts.yml"
FUNCTIONS = {"by", "le", "sum", "rate", "max", "histogram_quantile", "clamp_min", "job", "up"}


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def exported_names() -> set[str]:
    admission = Admission(verify_places=1, run_places=1, queue=1, batches=1)
    metrics = Metrics(Executor("process"), admission, Waivers(()))
    metrics.item("validate", [Status.OK], {}, queued_s=0, ran_s=0, cpu_s=0)
    text = metrics.render().decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    return names | {f"{name}_bucket" for name in names}


@pytest.mark.parametrize("source", ["dashboard", "alerts"])
def test_only_metrics_that_the_service_exports_are_shown_and_watched(source: str) -> None:
    text = " ".join(expressions()) if source == "dashboard" else ALERTS.read_text()
    used = set(re.findall(r"\bexecutor_[a-z_]+", text))
    assert used
    assert used <= exported_names()


def test_prometheus_accepts_its_configuration_and_the_dashboards_queries(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    check = [promtool, "check", "config", str(ROOT / "monitoring/prometheus.yml")]
    subprocess.run(check, check=True, capture_output=True, timeout=30)
    rules = [{"record": f"r{i}", "expr": expr} for i, expr in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    subprocess.run(
        [promtool, "check", "rules", str(file)], check=True, capture_output=True, timeout=30
    )


def compose_configuration() -> dict[str, Any]:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    import yaml

    shown = subprocess.run(
        ["docker-compose", "config"], cwd=ROOT, check=True, capture_output=True, timeout=60
    )
    configuration: dict[str, Any] = yaml.safe_load(shown.stdout)
    return configuration


def test_compose_gives_the_executor_no_privilege() -> None:
    service = compose_configuration()["services"]["executor"]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["user"] == "1000:1000"
    assert "privileged" not in service
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert any(option.startswith("seccomp:") for option in service["security_opt"])
    assert all(str(port).startswith("127.0.0.1:") for port in service["ports"])


def test_the_seccomp_profile_denies_what_it_does_not_name() -> None:
    profile = json.loads((ROOT / "sandbox_images/service/seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    named = {name for rule in profile["syscalls"] for name in rule["names"]}
    dangerous = """bpf keyctl kexec_load init_module perf_event_open io_uring_setup
        open_by_handle_at process_madvise setns"""
    assert not named & set(dangerous.split())
    *_, resetting = profile["syscalls"]
    assert set(resetting["names"]) <= seccomp.SLOT_PRIVILEGED.keys() | seccomp.MOVING_MEMORY.keys()

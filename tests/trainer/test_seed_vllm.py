"""``python -m trainer seed generate`` with vLLM, and the settings of the original's seeding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.support.runs import environment, needs_verl, needs_vllm

pytestmark = [needs_verl, pytest.mark.verl, pytest.mark.timeout(600)]

CLEANING = "azr.reward.generation_reward_config"


def test_programs_are_cleaned_as_by_the_original_unless_told_otherwise() -> None:
    from trainer.cli.seed import _AS_THE_ORIGINAL
    from trainer.configs import compose

    preset = "preset=qwen2.5_7b"
    cleaning = compose([*_AS_THE_ORIGINAL, preset]).azr.reward.generation_reward_config
    assert cleaning.remove_comments
    assert cleaning.remove_after_return
    kept = compose([*_AS_THE_ORIGINAL, preset, f"{CLEANING}.remove_comments=false"])
    assert not kept.azr.reward.generation_reward_config.remove_comments


@needs_vllm
def test_vllm_is_used_where_the_configuration_generates_with_it() -> None:
    from trainer.configs import compose
    from trainer.models.vllm import is_there

    assert is_there(compose(["preset=qwen2.5_7b"]))
    assert is_there(compose(["preset=cpu_vllm"]))
    assert not is_there(compose(["preset=cpu_tiny"]))


SAMPLE = """
import json, sys
from pathlib import Path
from rich.console import Console
from trainer.configs import compose
from trainer.game.policy import Message, Request
from trainer.game.tasks.task import Kind, Role, TaskType
from trainer.cli.seed import _model
from trainer.run import own_models, wiring

def main():
    config = compose(["preset=cpu_vllm", "data.max_prompt_length=200",
                      "data.max_response_length=12", f"trainer.default_local_dir={sys.argv[1]}"])
    wiring.wire(config)
    own_models.provide(config, Console(stderr=True))
    model = _model(config, 4)
    kind = Kind(Role.PROPOSE, TaskType.DEDUCTION)
    asked = [Request(f"r{n}", kind, (Message("user", f"say {n}"),), n=2) for n in range(5)]
    rounds = []
    for _ in range(2):
        model._calls = 0
        found = sorted(model.generate(asked), key=lambda r: (r.request_id, r.sample))
        rounds.append([[r.request_id, r.sample, r.text, r.tokens, r.truncated] for r in found])
    name = type(model).__name__
    Path(sys.argv[1], "found.json").write_text(json.dumps({"name": name, "rounds": rounds}))

if __name__ == "__main__":
    main()
"""


@needs_vllm
def test_samples_of_vllm_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "sample.py"), str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["name"] == "VllmModel"
    first, second = found["rounds"]
    assert first == second
    assert [row[:2] for row in first] == [[f"r{n}", s] for n in range(5) for s in range(2)]
    assert all(1 <= row[3] <= 12 for row in first)
    assert len({row[2] for row in first}) > 5

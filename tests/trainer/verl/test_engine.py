"""Training paths of GPUs on two gloo ranks, against transformers alone and one sequence at a time.

The kernel of flash-attn and NCCL's exchange of lists are stood in for (`gpu_stand_ins`);
all that veRL has around them runs: packing, dynamic batches, Ulysses, FSDP2, offload.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.trainer.support.runs import ROOT, environment, needs_verl
from trainer.models import tiny

pytestmark = [needs_verl, pytest.mark.verl, pytest.mark.timeout(900)]

EXACT = ["padded", "packed", "ulysses", "ulysses-offload", "packed-offload-policy",
         "packed-to-length"]  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Differences from the reference, of all scenarios."""
    folder = tmp_path_factory.mktemp("engine")
    model = tiny.make(folder / "model", max_positions=512)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "tests.trainer.support.engine_ranks", str(model)]
    ranks = [
        subprocess.Popen(
            [*command, str(folder / "found.json")],
            cwd=ROOT,
            env=environment() | common | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        outputs = [rank.communicate(timeout=800)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    assert not any(rank.returncode for rank in ranks), outputs
    read: dict[str, dict[str, float]] = json.loads((folder / "found.json").read_text())
    return read


@pytest.mark.parametrize("name", EXACT)
def test_loss_gradients_and_update_are_those_of_one_rank_with_nothing_special(
    found: dict[str, dict[str, float]], name: str
) -> None:
    one = found[name]
    assert one["loss"] == pytest.approx(found["reference"]["loss"], rel=1e-5)
    assert one["log_probs"] < 1e-5
    assert one["gradients"] < 1e-5
    assert one["weights"] < 1e-4
    assert one["micro_batches"] >= 2


def test_bfloat16_is_near(found: dict[str, dict[str, float]]) -> None:
    one = found["ulysses-bf16"]
    assert one["loss"] == pytest.approx(found["reference"]["loss"], rel=0.05, abs=0.01)
    assert 1e-5 < one["log_probs"] < 0.1
    assert 1e-5 < one["gradients"] < 0.1


def test_another_attention_than_flash_is_wrong_with_ulysses(
    found: dict[str, dict[str, float]],
) -> None:
    """Silently: which is why the configuration must not get that far."""
    assert found["ulysses-sdpa"]["log_probs"] > 1e-3


def test_ranks_agree_after_the_update(found: dict[str, dict[str, float]]) -> None:
    after = {name: found[name]["after"] for name in ("ulysses", "ulysses-offload")}
    assert after["ulysses"] == pytest.approx(after["ulysses-offload"], rel=1e-4)
    assert os.environ.get("VERL_PLATFORM") is None

"""A checkpoint as a Hugging Face model: found, merged by veRL, or refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.support.runs import needs_verl
from trainer.cli.app import main
from trainer.tools.convert_to_hf import ConversionError, convert, find_actor

SHARD = "model_world_size_1_rank_0.pt"


def checkpoint(run: Path, step: int) -> Path:
    actor = run / f"global_step_{step}" / "actor"
    actor.mkdir(parents=True)
    (actor / SHARD).touch()
    return actor


def test_the_newest_whole_checkpoint_of_a_run_is_taken(tmp_path: Path) -> None:
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 10)
    (tmp_path / "global_step_11" / "actor").mkdir(parents=True)
    (tmp_path / "global_step_unfinished").mkdir()
    assert find_actor(tmp_path) == newest


def test_a_checkpoint_and_its_actor_can_be_named(tmp_path: Path) -> None:
    actor = checkpoint(tmp_path, 9)
    checkpoint(tmp_path, 10)
    assert find_actor(actor.parent) == actor
    assert find_actor(actor) == actor


def test_what_is_no_checkpoint_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tools", "convert-to-hf", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "no run directory with a checkpoint" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    actor = checkpoint(tmp_path, 1)
    with pytest.raises(ConversionError, match="exists already"):
        convert(actor, tmp_path)


@needs_verl
@pytest.mark.verl
@pytest.mark.timeout(300)
def test_a_checkpoint_that_cannot_be_merged_leaves_nothing(tmp_path: Path) -> None:
    actor = checkpoint(tmp_path, 1)
    with pytest.raises(ConversionError, match="veRL cannot merge"):
        convert(actor, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["global_step_1"]


SHARDED = """
import json, sys, torch
from pathlib import Path
from torch.distributed import init_process_group
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from transformers import AutoModelForCausalLM, AutoTokenizer
from trainer.models.tiny import make

root = Path(sys.argv[1])
model_path = make(root / "model", max_positions=64)
model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
init_process_group("gloo", init_method=f"file://{root}/store", rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,), mesh_dim_names=("fsdp",))
state = {
    name: distribute_tensor(value + 1, mesh, [Shard(0)])
    for name, value in model.state_dict().items()
}
actor = root / "run" / "global_step_3" / "actor"
(actor / "huggingface").mkdir(parents=True)
torch.save(state, actor / "model_world_size_1_rank_0.pt")
(actor / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": 1}))
model.config.save_pretrained(actor / "huggingface")
AutoTokenizer.from_pretrained(model_path).save_pretrained(actor / "huggingface")
"""


@needs_verl
@pytest.mark.verl
@pytest.mark.timeout(600)
def test_a_checkpoint_becomes_a_model_with_its_weights(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SHARDED, str(tmp_path)], check=True, timeout=240)
    assert main(["tools", "convert-to-hf", str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    safetensors = pytest.importorskip("safetensors.torch")
    made = safetensors.load_file(tmp_path / "out" / "model.safetensors")
    start = safetensors.load_file(tmp_path / "model" / "model.safetensors")
    assert made.keys() >= start.keys()
    for name, weights in start.items():
        assert (made[name].float() - weights - 1).abs().max() < 0.02, name  # bfloat16
    assert (tmp_path / "out" / "tokenizer.json").is_file()

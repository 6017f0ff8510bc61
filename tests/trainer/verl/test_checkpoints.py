"""What keeps the last checkpoint of a run safe."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from trainer.files import write_atomically
from trainer.run import checkpoints
from trainer.run.checkpoints import CheckpointError


def save(run: Path, step: int) -> None:
    """What a complete save leaves: the game's state, veRL's files, the tracker."""
    checkpoints.write_game(run, step, {"at": step})
    place = checkpoints.folder(run, step)
    (place / "actor").mkdir(exist_ok=True)
    (place / "actor" / "model.pt").write_bytes(b"weights")
    (place / "data.pt").write_bytes(b"loader")
    (run / checkpoints.TRACKER).write_text(str(step))


def test_state_is_read_back_as_it_was(tmp_path: Path) -> None:
    state = {"random": [3, [1, 2**32 - 1], None], "buffers": ["é\ud800", 0.1, 1e-300]}
    checkpoints.write_game(tmp_path, 7, state)
    assert checkpoints.read_game(checkpoints.folder(tmp_path, 7)) == state


def test_missing_and_damaged_states_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"selfplay\.json is missing"):
        checkpoints.read_game(tmp_path)
    (tmp_path / checkpoints.GAME_FILE).write_text('{"format": 1, "ga')
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoints.read_game(tmp_path)
    (tmp_path / checkpoints.GAME_FILE).write_text('{"format": 99}')
    with pytest.raises(CheckpointError, match="not of format 1"):
        checkpoints.read_game(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    write_atomically(path, b"old")
    original = Path.open

    def on_full_disk(self: Path, **_: object) -> object:
        self.touch()
        return original(Path("/dev/full"), "wb", buffering=0)

    monkeypatch.setattr(Path, "open", on_full_disk)
    with pytest.raises(OSError, match="No space") as caught:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_save_leaves_the_previous_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 10)

    def full_disk() -> None:
        with checkpoints.guarded(tmp_path, 20):
            checkpoints.write_game(tmp_path, 20, {"at": 20})
            (tmp_path / checkpoints.TRACKER).write_bytes(b"")  # veRL truncates it, then fails
            raise RuntimeError("Traceback...\nOSError: [Errno 28] No space left on device")

    with pytest.raises(CheckpointError) as caught:
        full_disk()
    assert "step 20 cannot be written" in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "the checkpoint of step 10 is intact" in str(caught.value)
    assert checkpoints.repair(tmp_path) == 10
    assert not checkpoints.folder(tmp_path, 20).exists()
    assert checkpoints.read_game(checkpoints.folder(tmp_path, 10)) == {"at": 10}


def test_first_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def full_disk() -> None:
        with checkpoints.guarded(tmp_path, 1):
            save(tmp_path, 1)
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CheckpointError, match="there is no earlier one"):
        full_disk()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tracker", ["", "twenty", "30", "20"])
def test_tracker_is_repaired_after_a_crash(tmp_path: Path, tracker: str) -> None:
    save(tmp_path, 10)
    save(tmp_path, 20)
    checkpoints.write_game(tmp_path, 30, {})  # half written: veRL's files are missing
    (tmp_path / checkpoints.TRACKER).write_text(tracker)
    assert checkpoints.repair(tmp_path) == 20
    assert (tmp_path / checkpoints.TRACKER).read_text() == "20"


def test_tracker_without_any_complete_checkpoint_is_removed(tmp_path: Path) -> None:
    checkpoints.write_game(tmp_path, 1, {})
    (tmp_path / checkpoints.TRACKER).write_text("1")
    assert checkpoints.repair(tmp_path) is None
    assert not (tmp_path / checkpoints.TRACKER).exists()


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        save(tmp_path, step)
    checkpoints.prune(tmp_path, 2)
    assert checkpoints.complete_steps(tmp_path) == (10, 100)
    checkpoints.prune(tmp_path, None)
    assert checkpoints.complete_steps(tmp_path) == (10, 100)
    (tmp_path / checkpoints.TRACKER).write_text("10")
    checkpoints.prune(tmp_path, 1)
    assert 10 in checkpoints.complete_steps(tmp_path), "what the tracker names stays"


def test_state_file_is_json(tmp_path: Path) -> None:
    checkpoints.write_game(tmp_path, 1, {"a": [1]})
    path = checkpoints.folder(tmp_path, 1) / checkpoints.GAME_FILE
    assert json.loads(path.read_text()) == {"format": 1, "step": 1, "game": {"a": [1]}}

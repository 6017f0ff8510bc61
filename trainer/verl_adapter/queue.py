"""The calls of TransferQueue: rollouts in and out, rewards in.

veRL keeps a step's rollouts in a key/value store. A prompt has the key ``uid`` and a tag with its
status; each of its responses has the key ``uid_session_index``, a tag and fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import transfer_queue as tq
from tensordict import TensorDict
from transfer_queue import KVBatchMeta
from verl.utils import tensordict_utils as tu

PARTITION: Final = "train"

_TERMINAL = frozenset({"finished", "failure"})


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The place of a response in the store."""

    key: str
    tag: Mapping[str, Any]

    @property
    def uid(self) -> str:
        """The prompt's."""
        return self.key.split("_", 1)[0]

    @property
    def sample(self) -> int:
        """Number of this response among those of its prompt, from 0."""
        return int(self.key.split("_")[1])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The content of the store at one moment."""

    rows: Sequence[StoredResponse]
    ended: frozenset[str]
    """Prompts of which no more responses will come."""
    failed: frozenset[str]
    """Those of them that lack a response."""


def batch_of(columns: Mapping[str, Sequence[Any]], global_steps: int) -> TensorDict:
    """The prompts of ``columns`` in the form that veRL submits: one value per prompt in each."""
    arrays = {name: _array(values) for name, values in columns.items()}
    batch = tu.get_tensordict(arrays)
    tu.assign_non_tensor_data(batch, "global_steps", global_steps)
    return batch


def _array(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def snapshot() -> Snapshot:
    """Look at the store."""
    items = (tq.kv_list(PARTITION) or {}).get(PARTITION, {})
    status = {key: tag["status"] for key, tag in items.items() if tag.get("is_prompt", False)}
    rows = [
        StoredResponse(key, tag) for key, tag in items.items() if key not in status and "_" in key
    ]
    return Snapshot(
        rows=rows,
        ended=frozenset(uid for uid, value in status.items() if value in _TERMINAL),
        failed=frozenset(uid for uid, value in status.items() if value == "failure"),
    )


def responses(rows: Sequence[StoredResponse]) -> list[list[int]]:
    """The token ids of responses, in order of the rows."""
    if not rows:
        return []
    data = tq.kv_batch_get(
        keys=[row.key for row in rows], partition_id=PARTITION, select_fields=["responses"]
    )
    return [ids.tolist() for ids in data["responses"].unbind()]


def set_rewards(rows: Sequence[StoredResponse], rewards: Sequence[float]) -> None:
    """Write each response's reward at its last token; 0 at all others."""
    scores = []
    for row, reward in zip(rows, rewards, strict=True):
        score = torch.zeros(row.tag["response_len"], dtype=torch.float32)
        score[-1] = reward
        scores.append(score)
    nested = torch.nested.as_nested_tensor(scores, layout=torch.jagged)
    tq.kv_batch_put(
        keys=[row.key for row in rows],
        partition_id=PARTITION,
        fields=TensorDict({"rm_scores": nested}, batch_size=len(rows)),
    )


def meta_of(rows: Sequence[StoredResponse]) -> KVBatchMeta:
    """The rows as veRL's training methods want them, in this order."""
    return KVBatchMeta(
        partition_id=PARTITION,
        keys=[row.key for row in rows],
        tags=[dict(row.tag) for row in rows],
    )


def drop(keys: Sequence[str]) -> None:
    """Forget prompts and responses."""
    if keys:
        tq.kv_clear(keys=list(keys), partition_id=PARTITION)

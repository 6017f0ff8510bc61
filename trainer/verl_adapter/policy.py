"""The game's :class:`~trainer.game.policy.Policy` over veRL's rollout engines."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tensordict import TensorDict

from trainer.game.policy import Request, Response
from trainer.verl_adapter import agent_loop, queue

_FIRST_POLL_S = 0.02
_SLOWEST_POLL_S = 0.5
_STALLED_AFTER_S = 3600.0
"""Without any response for this long the engines are taken for dead."""


class RolloutError(RuntimeError):
    """The rollout engines do not deliver."""


class Stopped(BaseException):
    """The user asked the run to stop. Not an ``Exception``: only the run's end catches it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How prompts are sampled."""

    seed: int
    seeded: bool
    """Whether each rollout gets a seed of its own, made of the run's seed, the step, the call,
    the request and the sample: then a step can be repeated."""
    response_length: int
    """Longest response, in tokens."""


class RolloutPolicy:
    """Samples from the model in training.

    Args:
        submit: Hands prompts to veRL's agent loops and returns at once.
        tokenizer: The model's.
        check: Called between looks at the store; raises :class:`Stopped` to end the run.
    """

    def __init__(
        self,
        submit: Callable[[TensorDict], Any],
        tokenizer: Any,
        sampling: Sampling,
        check: Callable[[], None],
    ) -> None:
        self._submit = submit
        self._tokenizer = tokenizer
        self._sampling = sampling
        self._check = check
        self._step = 0
        self._calls = 0
        self._keys: set[str] = set()
        self.waiting_s = 0.0
        """Time spent waiting for responses since :meth:`begin`."""
        self.missing = 0
        """Responses that never came since :meth:`begin`."""

    def begin(self, step: int) -> None:
        """Start a step: what the last one left is forgotten."""
        self.forget(())
        self._step, self._calls = step, 0
        self.waiting_s = 0.0
        self.missing = 0

    def forget(self, kept: Sequence[queue.Row]) -> None:
        """Remove from veRL's store all responses since :meth:`begin` but ``kept``."""
        queue.drop(sorted(self._keys - {row.key for row in kept}))
        self._keys.clear()

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Submit the requests now; the iterator yields samples as they finish.

        Several iterators may be open at a time. A response's handle is its
        :class:`~trainer.verl_adapter.queue.Row`.

        Raises:
            RolloutError: from the iterator, if not one sample of the requests came, or none at all
                for an hour.
        """
        if not requests:
            return iter(())
        self._calls += 1
        asked = {self._uid(request): request for request in requests}
        if len(asked) < len(requests):
            raise ValueError("two requests of a call have the same id")
        self._submit(queue.batch_of(self._columns(asked), self._step))
        return self._collect(asked)

    def _uid(self, request: Request) -> str:
        """Starts with role and task type, which the advantage estimator groups by; the same after
        a resume; without underscores, which veRL splits keys at."""
        return f"{request.kind.tag}-{self._digest(request).hex()[:24]}"

    def _digest(self, request: Request) -> bytes:
        text = f"{self._sampling.seed}/{self._step}/{self._calls}/{request.id}"
        return hashlib.sha256(text.encode()).digest()

    def _columns(self, asked: dict[str, Request]) -> dict[str, list[Any]]:
        requests = list(asked.values())
        return {
            "uid": list(asked),
            "raw_prompt": [
                [{"role": m.role, "content": m.content} for m in request.messages]
                for request in requests
            ],
            "data_source": [request.kind.name for request in requests],
            "agent_name": [agent_loop.NAME] * len(requests),
            "index": list(range(len(requests))),
            "__rollout_n__": [request.n for request in requests],
            "sampling_temperature": [
                agent_loop.NO_TEMPERATURE if request.temperature is None else request.temperature
                for request in requests
            ],
            "sampling_seed": [self._seed(request) for request in requests],
        }

    def _seed(self, request: Request) -> int:
        if not self._sampling.seeded:
            return agent_loop.NO_SEED
        return int.from_bytes(self._digest(request)[-4:]) % 2**31

    def _collect(self, asked: dict[str, Request]) -> Iterator[Response]:
        order = {uid: place for place, uid in enumerate(asked)}
        seen: set[str] = set()
        pause, last = _FIRST_POLL_S, time.monotonic()
        while True:
            self._check()
            now = queue.snapshot()
            # Of prompts that have ended: the key of a response is there before its tokens are.
            fresh = [
                row
                for row in now.rows
                if row.uid in now.ended and row.uid in asked and row.key not in seen
            ]
            fresh.sort(key=lambda row: (order[row.uid], row.sample))
            if fresh:
                seen.update(row.key for row in fresh)
                self._keys.update(row.key for row in fresh)
                yield from self._read(fresh, asked)
                pause, last = _FIRST_POLL_S, time.monotonic()
                continue
            if asked.keys() <= now.ended:
                break
            if time.monotonic() - last > _STALLED_AFTER_S:
                raise RolloutError(f"no response came for {_STALLED_AFTER_S:.0f} s")
            time.sleep(pause)
            self.waiting_s += pause
            pause = min(2 * pause, _SLOWEST_POLL_S)
        queue.drop(list(asked))
        self.missing += sum(request.n for request in asked.values()) - len(seen)
        if not seen:
            raise RolloutError(
                f"all {len(asked)} prompts of this step failed in the rollout engine; "
                "the logs of Ray's workers say why"
            )

    def _read(self, rows: Sequence[queue.Row], asked: dict[str, Request]) -> Iterator[Response]:
        for row, ids in zip(rows, queue.responses(rows), strict=True):
            full = len(ids) >= self._sampling.response_length
            yield Response(
                request_id=asked[row.uid].id,
                sample=row.sample,
                text=self._tokenizer.decode(ids, skip_special_tokens=True),
                tokens=len(ids),
                handle=row,
                truncated=full and ids[-1] != self._tokenizer.eos_token_id,
            )

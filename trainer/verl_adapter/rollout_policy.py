"""The game's :class:`~trainer.game.policy.Policy` over veRL's rollout engines."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tensordict import TensorDict

from trainer.game.policy import Further, Request, Response
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
    """Sampling of prompts."""

    seed: int
    seeded: bool
    """Whether each rollout gets a seed of its own, made of the run's seed, the step, the call,
    the request and the sample: then a step can be repeated."""
    response_length: int
    """Longest response, in tokens."""
    overlap: bool = True
    """Whether further requests are submitted while others are being answered. Not for an engine
    that decodes batch by batch: many small batches take it longer."""


class _Call:
    """The requests of a call of :meth:`RolloutPolicy.generate`, and what it has seen of them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.asked: dict[str, Request] = {}
        """By the prompt's ``uid``, in the order in which they were submitted."""
        self.seen: set[str] = set()
        """Keys of responses."""

    def fresh(self, now: queue.Snapshot) -> list[queue.StoredResponse]:
        """The responses that were not seen yet, in order of their requests."""
        # Of prompts that have ended: the key of a response is there before its tokens are.
        rows = [
            row
            for row in now.rows
            if row.uid in now.ended and row.uid in self.asked and row.key not in self.seen
        ]
        order = {uid: place for place, uid in enumerate(self.asked)}
        rows.sort(key=lambda row: (order[row.uid], row.sample))
        self.seen.update(row.key for row in rows)
        return rows


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

    def forget(self, kept: Sequence[queue.StoredResponse]) -> None:
        """Remove from veRL's store all responses since :meth:`begin` but ``kept``."""
        queue.drop(sorted(self._keys - {row.key for row in kept}))
        self._keys.clear()

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Submit the requests now; the iterator yields samples as they finish.

        Several iterators may be open at a time. A response's handle is its
        :class:`~trainer.verl_adapter.queue.StoredResponse`.

        Raises:
            RolloutError: from the iterator, if not one sample of the requests came, or none at all
                for an hour.
        """
        if not requests:
            return iter(())
        self._calls += 1
        call = _Call(self._calls)
        self._put(requests, call)
        return self._collect(call, None)

    def stream(self, requests: Sequence[Request], further: Further) -> Iterator[Response]:
        """The same, with further requests: submitted as soon as they are known, or, if
        ``sampling.overlap`` is false, when all the others are answered and all of them are known.
        """
        self._calls += 1
        call = _Call(self._calls)
        self._put(requests, call)
        return self._collect(call, further)

    def _put(self, requests: Sequence[Request], call: _Call) -> None:
        asked = {self._uid(request, call.number): request for request in requests}
        if len(asked) < len(requests) or asked.keys() & call.asked.keys():
            raise ValueError("two requests of a call have the same id")
        call.asked.update(asked)
        self._submit(queue.batch_of(self._columns(asked, call.number), self._step))

    def _uid(self, request: Request, call: int) -> str:
        """Starts with role and task type, which the advantage estimator groups by; the same after
        a resume; without underscores, which veRL splits keys at."""
        return f"{request.kind.tag}-{self._digest(request, call).hex()[:24]}"

    def _digest(self, request: Request, call: int) -> bytes:
        text = f"{self._sampling.seed}/{self._step}/{call}/{request.id}"
        return hashlib.sha256(text.encode()).digest()

    def _columns(self, asked: dict[str, Request], call: int) -> dict[str, list[Any]]:
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
            "sampling_seed": [self._seed(request, call) for request in requests],
        }

    def _seed(self, request: Request, call: int) -> int:
        if not self._sampling.seeded:
            return agent_loop.NO_SEED
        return int.from_bytes(self._digest(request, call)[-4:]) % 2**31

    def _collect(self, call: _Call, further: Further | None) -> Iterator[Response]:
        pause, last = _FIRST_POLL_S, time.monotonic()
        while True:
            self._check()
            now = queue.snapshot()
            fresh = call.fresh(now)
            self._keys.update(row.key for row in fresh)
            yield from self._read(fresh, call.asked)
            idle = not fresh and call.asked.keys() <= now.ended
            complete = further is None or further.complete
            taken = self._taken(further, at_once=idle and complete)
            if taken:
                self._put(taken, call)
            if fresh or taken:
                pause, last = _FIRST_POLL_S, time.monotonic()
            elif idle and complete:
                break
            elif idle:
                assert further is not None
                further.wait(_SLOWEST_POLL_S)
                last = time.monotonic()
            elif time.monotonic() - last > _STALLED_AFTER_S:
                raise RolloutError(f"no response came for {_STALLED_AFTER_S:.0f} s")
            else:
                time.sleep(pause)
                self.waiting_s += pause
                pause = min(2 * pause, _SLOWEST_POLL_S)
        self._finish(call)

    def _finish(self, call: _Call) -> None:
        queue.drop(list(call.asked))
        self.missing += sum(request.n for request in call.asked.values()) - len(call.seen)
        if not call.seen:
            raise RolloutError(
                f"all {len(call.asked)} prompts of this step failed in the rollout engine; "
                "the logs of Ray's workers say why"
            )

    def _taken(self, further: Further | None, *, at_once: bool) -> Sequence[Request]:
        if further is None or not (self._sampling.overlap or at_once):
            return ()
        return further.take()

    def _read(
        self, rows: Sequence[queue.StoredResponse], asked: dict[str, Request]
    ) -> Iterator[Response]:
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

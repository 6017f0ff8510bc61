"""veRL's rollout seam filled by :mod:`~trainer.models.generation`: ``rollout.name=hf``.

One Ray actor for each training rank holds a copy of the model. Requests that arrive together are
decoded together. vLLM is not needed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import ray
import torch
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

from trainer.models.generation import Completion, Generator, Prompt, make_generator
from trainer.verl_adapter.cpu import ROLLOUT

DEFAULT_GENERATOR = "trainer.models.generation:TransformersGenerator"

_GATHERING_S = 0.05
"""Requests that come within this time of the last one share a batch."""

_MEMORY = frozenset({"weights", "kv_cache"})
"""Memory that vLLM gives back while it sleeps, by the names that veRL wakes it with."""


class _Waiting:
    """A prompt in the queue, and who waits for its completion."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.done: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()


class HfServer:
    """The actor that generates. Its method names are those veRL calls on a server.

    Sleep frees nothing here, but is kept to: weights or prompts that come to a server which would
    have given back its memory on a GPU are an error here too.
    """

    def __init__(
        self, generator: str, model_path: str, seed: int, limits: Mapping[str, int]
    ) -> None:
        torch.set_num_threads(limits["threads"])
        self._sleeps = bool(limits["sleeps"])
        self._given_back: frozenset[str] = frozenset()
        self._generator: Generator = make_generator(generator, model_path, seed)
        self._response_length = limits["response_length"]
        self._batch_size = limits["batch_size"]
        self._weights_version: int | None = None
        self._queue: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    async def generate(
        self,
        prompt_ids: Sequence[int],
        sampling_params: Mapping[str, Any],
        request_id: str,
        **_: Any,
    ) -> TokenOutput:
        """Go on with a prompt. Only ``temperature``, ``seed`` and ``max_tokens`` are looked at."""
        self._need(_MEMORY)
        waiting = _Waiting(
            Prompt(
                token_ids=list(prompt_ids),
                max_tokens=int(sampling_params.get("max_tokens", self._response_length)),
                temperature=float(sampling_params.get("temperature", 1.0)),
                seed=sampling_params.get("seed"),
            )
        )
        self._queue.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._serve())
        completion = await waiting.done
        return TokenOutput(
            token_ids=completion.token_ids,
            log_probs=completion.log_probs,
            stop_reason="completed",
            extra_fields={"global_steps": self._weights_version},
        )

    async def _serve(self) -> None:
        while self._queue:
            await self._gather()
            # Of like length together, so that little is spent on padding; the seed makes the
            # order, and with it the rounding, independent of who came first.
            self._queue.sort(key=lambda w: (len(w.prompt.token_ids), w.prompt.seed or 0))
            batch, self._queue = (
                self._queue[: self._batch_size],
                self._queue[self._batch_size :],
            )
            try:
                completions = await asyncio.to_thread(
                    self._generator.generate, [waiting.prompt for waiting in batch]
                )
            except Exception as error:
                for waiting in batch:
                    waiting.done.set_exception(error)
                continue
            for waiting, completion in zip(batch, completions, strict=True):
                waiting.done.set_result(completion)

    async def _gather(self) -> None:
        before = -1
        while len(self._queue) != before:
            before = len(self._queue)
            await asyncio.sleep(_GATHERING_S)

    async def load_weights(self, weights: Mapping[str, np.ndarray], version: int | None) -> None:
        """Take new weights; ``version`` is the training step that made them."""
        self._need({"weights"})
        tensors = {name: torch.tensor(values) for name, values in weights.items()}
        await asyncio.to_thread(self._generator.load, tensors)
        self._weights_version = version

    async def set_global_steps(self, global_steps: int | None) -> None:
        """Name the weights that are there."""
        self._weights_version = global_steps

    async def sleep(self) -> None:
        """Do nothing until woken up."""
        if self._sleeps:
            self._given_back = _MEMORY

    async def wake_up(self, tags: Collection[str] = _MEMORY) -> None:
        """Have this memory again."""
        self._given_back -= set(tags)

    def _need(self, memory: Set[str]) -> None:
        if missing := self._given_back & memory:
            raise RuntimeError(f"the rollout server sleeps, without {', '.join(sorted(missing))}")

    async def _nothing(self, *_: Any, **__: Any) -> dict[str, Any]:
        """Nothing is aborted, and a cache lasts as long as a batch."""
        return {"aborted_count": 0, "request_ids": []}

    abort_all_requests = resume_generation = _nothing
    clear_kv_cache = release_kv_cache = resume_kv_cache = _nothing
    start_profile = stop_profile = _nothing


class HfReplica(RolloutReplica):
    """Starts the actor of one rank."""

    async def launch_servers(self) -> None:
        """Start it; ready when the model is loaded."""
        options = dict(self.config.engine_kwargs.get(ROLLOUT) or {})
        model_path = getattr(self.model_config, "local_path", None) or self.model_config["path"]
        limits = {
            "response_length": self.config.response_length,
            "batch_size": self.config.max_num_seqs,
            "threads": int(os.environ.get("OMP_NUM_THREADS", "1")),
            "sleeps": int(self.config.free_cache_engine),
        }
        server = (
            ray.remote(HfServer)
            .options(
                name=_actor_name(self.replica_rank),
                max_concurrency=self.max_concurrency,
                num_cpus=1,
            )
            .remote(
                options.get("generator", DEFAULT_GENERATOR),
                model_path,
                self.config.seed + self.replica_rank,
                limits,
            )
        )
        await server.set_global_steps.remote(None)
        self.servers = [server]
        self._server_handle = server
        self._server_address = f"{ROLLOUT}-{self.replica_rank}"


class HfWeightSender(BaseRollout):
    """The training rank's side: hands new weights to the actor of the same rank."""

    def __init__(self, config: Any, model_config: Any, device_mesh: Any, **_: Any) -> None:
        super().__init__(config, model_config, device_mesh)
        self._rank = int(os.environ["RANK"])

    async def resume(self, tags: list[str]) -> None:
        """Wake the actor up."""
        await self._server().wake_up.remote(tags)

    async def release(self) -> None:
        """Let the actor sleep."""
        await self._server().sleep.remote()

    async def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        wire_format: str = "named_tensors",
        global_steps: int | None = None,
        **_: Any,
    ) -> None:
        """Send all weights. Every rank reads the whole iterator: gathering shards takes all."""
        arrays = {name: tensor.detach().float().cpu().numpy() for name, tensor in weights}
        await self._server().load_weights.remote(arrays, global_steps)

    def _server(self) -> Any:
        return ray.get_actor(_actor_name(self._rank))


def _actor_name(rank: int) -> str:
    return f"hf_rollout_server_{rank}"

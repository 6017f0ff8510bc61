"""A node of a Ray cluster, as the router knows it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, override

import ray
from ray.exceptions import ActorUnschedulableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from executor.errors import BackendUnavailable
from executor.fleet.frames import Frame, Splitter, packed
from executor.fleet.messages import ExecutorSettings, settings_bytes
from executor.fleet.node import FramedNode
from executor.fleet.ray.actor import GATHER_S, NodeActor
from executor.version import version

_HEARD_WITHIN_S = 60.0
_PLACED_WITHIN_S = 120.0
_END_WITHIN_S = 15.0


class RayNode(FramedNode):
    """One actor, bound to one node.

    Args:
        settings: Of its executor.
        node_id: Ray's name of the node.
        cores: Cores that it reserves of Ray and uses; ``None``: reserves none, and uses all.
        processes: As of :class:`executor.fleet.ray.actor.NodeActor`.
        number: Of those before it on this node.
    """

    def __init__(
        self,
        settings: ExecutorSettings,
        node_id: str,
        cores: int | None,
        processes: int | None,
        number: int,
    ) -> None:
        super().__init__(f"actor {number} on the Ray node {node_id[:8]}")
        self._settings = settings
        self._cores = cores
        self._channel = self._to_actor = ActorChannel()
        self._actor = (
            ray.remote(NodeActor)
            .options(
                num_cpus=cores or 0,
                max_restarts=0,
                max_concurrency=64,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
            )
            .remote(cores, processes)
        )
        self._listening: asyncio.Task[None] | None = None

    @override
    async def start(self) -> None:
        await self._check()
        self._to_actor.open(self._actor)
        self._channel.send(Frame.SETTINGS, settings_bytes(self._settings))
        self._listening = asyncio.create_task(self._listen())
        await self._ready

    async def _check(self) -> None:
        """It is placed, and of this version."""
        try:
            theirs = await asyncio.wait_for(_answer(self._actor.begin.remote()), _PLACED_WITHIN_S)
        except TimeoutError:
            raise BackendUnavailable(
                f"Ray has not placed {self.name} within {_PLACED_WITHIN_S:g} s: the node has not "
                f"{self._cores or 0} processors to give; reserve fewer for each node"
            ) from None
        except ActorUnschedulableError:
            raise BackendUnavailable(
                f"Ray cannot place {self.name}: the node is gone, or has fewer processors than the "
                f"{self._cores or 0} that are to be reserved"
            ) from None
        except RayError as error:
            raise BackendUnavailable(f"{self.name} does not start: {error}") from None
        if theirs != version():
            raise BackendUnavailable(
                f"{self.name} has version {theirs} of the executor, and this process has "
                f"{version()}: install the same on all nodes"
            )

    async def _listen(self) -> None:
        """Take frames until the actor is gone, or says nothing for a long time."""
        splitter = Splitter(self._take)
        try:
            while True:
                splitter.feed(
                    await asyncio.wait_for(_answer(self._actor.take.remote()), _HEARD_WITHIN_S)
                )
        except (RayError, TimeoutError):
            self._lost()

    @override
    async def close(self) -> None:
        """End it: it has some seconds to end its guests. Safe to call twice."""
        await super().close()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            with suppress(RayError, TimeoutError):
                await asyncio.wait_for(_answer(self._actor.end.remote()), _END_WITHIN_S)
        self._lost()
        await asyncio.to_thread(ray.kill, self._actor)


async def _answer(reference: Any) -> Any:
    """What a call of an actor returns. Whoever waits can be cancelled; the call goes on."""
    answer = asyncio.wrap_future(reference.future())
    answer.add_done_callback(_see)
    return await asyncio.shield(answer)


def _see(answer: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not answer.cancelled():
        answer.exception()


class ActorChannel:
    """Frames to an actor, many in one call."""

    def __init__(self) -> None:
        self._actor: Any = None
        self._unsent: list[bytes] = []

    def open(self, actor: Any) -> None:
        """Send to this actor."""
        self._actor = actor

    def send(self, kind: Frame, body: bytes) -> None:
        """Send a frame, together with all that come within some milliseconds."""
        if self._actor is None:
            return
        if not self._unsent:
            asyncio.get_running_loop().call_later(GATHER_S, self._flush)
        self._unsent += packed(kind, body)

    def close(self) -> None:
        """Send nothing more."""
        self._actor = None

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._actor is not None and unsent:
            # An actor that is gone is noticed by who listens to it.
            self._actor.give.remote(b"".join(unsent))

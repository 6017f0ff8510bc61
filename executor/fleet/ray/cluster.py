"""What a Ray cluster has now: its nodes, and those that are about to go."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

import ray
from ray._private.state import state

_ANSWERS_WITHIN_S = 10.0


class Seen(NamedTuple):
    """Nodes by Ray's names of them."""

    usable: frozenset[str]
    """They live, have processors to give, and stay."""
    draining: frozenset[str]
    """They live, and were told that they will be taken away."""


def join(address: str | None) -> None:
    """Use the cluster at an address, or the one that ``$RAY_ADDRESS`` names, or the one of this
    machine; nothing is done where this process is in a cluster already.

    Raises:
        OSError: there is none.
    """
    if not ray.is_initialized():
        _knock(address or os.environ.get("RAY_ADDRESS", ""))
        ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")


def _knock(address: str) -> None:
    """That somebody listens there: Ray itself would end this process if nobody does."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_WITHIN_S).close()


def look() -> Seen:
    """The nodes of now. A head without processors is none to work on."""
    alive = {
        node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")
    }
    # Ray has no public way to ask for these.
    draining = frozenset(state.get_draining_nodes())
    return Seen(frozenset(alive - draining), frozenset(alive & draining))

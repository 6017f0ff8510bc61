"""What tests on a Docker engine need: the engine, the guest image, and nothing left over."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import DockerException, NotFound
from requests.exceptions import RequestException

from executor import DockerSettings
from executor.backends.docker.api import LABEL
from executor.backends.host.owner import this_process


@contextlib.contextmanager
def engine_client() -> Iterator[Any]:
    """The client library's own view of the engine that the environment names."""
    # With a version: to ask for one leaves a connection open where nothing answers.
    client = docker.DockerClient.from_env(version="1.41", timeout=60)
    try:
        yield client
    finally:
        client.close()


def own_containers() -> list[str]:
    """Containers of executors in this process, running or not."""
    with engine_client() as client:
        label = f"{LABEL}={this_process()}"
        return [entry["Id"] for entry in client.api.containers(all=True, filters={"label": label})]


def why_no_engine(image: str = DockerSettings().image) -> str:
    """Why tests cannot use a Docker engine with this image here; empty if they can."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        # First by hand: the library leaves its socket open where nothing answers.
        if address.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as knock:
                knock.connect(address.removeprefix("unix://"))
        with engine_client() as client:
            client.images.get(image)
    except NotFound:
        return f"the Docker engine has no image {image} (scripts/test.sh builds it)"
    except (DockerException, RequestException, OSError):
        return "no Docker engine answers (scripts/engine.sh starts one)"
    return ""


def require(reason: str) -> None:
    """Go on if there is no reason against it. Else skip, or fail where everything must run."""
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def each(*names: str) -> list[object]:
    """Parameters of tests: those that need a Docker engine are marked so."""
    needs = {"docker", "gvisor"}
    return [
        pytest.param(name, marks=[pytest.mark.docker] if name in needs else []) for name in names
    ]


def why_no_gvisor() -> str:
    """As :func:`why_no_engine`, for gVisor."""
    reason = why_no_engine()
    if not reason:
        with engine_client() as client:
            if "runsc" not in client.info()["Runtimes"]:
                return "the Docker engine has no runtime runsc (Debian: runsc)"
    return reason

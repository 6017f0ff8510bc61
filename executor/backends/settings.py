"""Settings of each backend. A backend's name alone stands for its defaults."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field

from executor.models import Model

ProcessReuse = Literal["auto", "fork", "reset"]

DEFAULT_GUEST_IMAGE = "absolute-zero-guest:latest"
"""The image that ``sandbox_images/guest`` builds."""


def _image() -> str:
    return os.environ.get("EXECUTOR_GUEST_IMAGE", DEFAULT_GUEST_IMAGE)


def _with_set(image: str, libraries: str | None) -> str:
    """The image with a library set: the set's name is its tag."""
    if libraries is None:
        return image
    name, colon, tag = image.rpartition(":")
    return f"{name if colon and '/' not in tag else image}:{libraries}"


class NsjailSettings(Model):
    """Jails made by nsjail, on this machine."""

    name: Literal["nsjail"] = "nsjail"
    libraries: str | None = None
    """Library set that programs may import, besides the standard library."""
    process_reuse: ProcessReuse = Field(
        default_factory=lambda: os.environ.get("EXECUTOR_PROCESS_REUSE", "auto"),
        validate_default=True,
    )
    """``reset``: a run's process is put back to what it was, byte for byte, and serves the next
    run; ``fork``: each run has a new one; ``auto``: reset where the kernel has what it takes.
    Default: ``$EXECUTOR_PROCESS_REUSE``, else ``auto``."""


class ProcessSettings(Model):
    """Plain child processes: NO ISOLATION, for trusted code only."""

    name: Literal["process"] = "process"


class DockerSettings(Model):
    """Containers of the Docker engine that the environment (``DOCKER_HOST``) names."""

    name: Literal["docker"] = "docker"
    image: str = Field(default_factory=_image)
    """Guest image; it must be there already. Default: ``$EXECUTOR_GUEST_IMAGE``."""
    runtime: str | None = None
    """OCI runtime; ``None`` for the engine's default."""
    libraries: str | None = None
    """Library set that programs may import: the tag of the image that is taken instead."""

    @property
    def guest_image(self) -> str:
        """The image of guests."""
        return _with_set(self.image, self.libraries)


class GvisorSettings(Model):
    """Containers of the Docker engine under gVisor."""

    name: Literal["gvisor"] = "gvisor"
    image: str = Field(default_factory=_image)
    """Guest image; it must be there already. Default: ``$EXECUTOR_GUEST_IMAGE``."""
    runtime: str = "runsc"
    """Name under which the engine knows gVisor."""
    libraries: str | None = None
    """Library set that programs may import: the tag of the image that is taken instead."""

    @property
    def guest_image(self) -> str:
        """The image of guests."""
        return _with_set(self.image, self.libraries)


class SandboxFusionSettings(Model):
    """A server with SandboxFusion's HTTP API."""

    name: Literal["sandboxfusion"] = "sandboxfusion"
    url: str = Field(
        default_factory=lambda: os.environ.get("SANDBOX_FUSION_ENDPOINT", "http://localhost:8080")
    )
    """Base address; default: ``$SANDBOX_FUSION_ENDPOINT``, as for the official client."""
    token: str | None = Field(
        default_factory=lambda: os.environ.get("SANDBOX_FUSION_TOKEN"), repr=False
    )
    """Bearer token, if the server wants one; default: ``$SANDBOX_FUSION_TOKEN``."""
    concurrency: int = Field(4, ge=1, le=256)
    """Requests at a time, at most. The original loses output when it has too many: then there are
    fewer."""


BackendSettings = (
    NsjailSettings | ProcessSettings | DockerSettings | GvisorSettings | SandboxFusionSettings
)

SETTINGS: dict[str, type[BackendSettings]] = {
    "nsjail": NsjailSettings,
    "docker": DockerSettings,
    "gvisor": GvisorSettings,
    "sandboxfusion": SandboxFusionSettings,
    "process": ProcessSettings,
}
"""By name, in the order in which people should consider them."""

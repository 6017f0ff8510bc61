"""The process backend: the same guests as plain child processes, WITHOUT ANY ISOLATION.

For programs one trusts, and for systems where no sandbox can be had. Limits on time and memory
hold; nothing keeps a program from files, network or other processes of this user.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from executor.backends.base import HASH_SEEDS, PRELOAD, BaseBackend, Role
from executor.backends.host.exchange import exchange
from executor.backends.host.guest_process import GuestProcess
from executor.backends.image.build import GUEST_MAIN, SCRIPT_MAIN, GuestImage, open_image_in_thread
from executor.errors import ProtocolError
from executor.interpreter import INTERPRETER
from executor.models import Limits, Script, ScriptLanguage, ScriptResult
from executor.wire.scripts import (
    check_language,
    decode_reply,
    encode_request,
    max_reply_bytes,
    no_reply,
    script_result,
)

NAME = "process (no isolation)"

_SCRIPT_GRACE_S = 5.0
_WITHOUT_PLUGINS = "--disable-plugin-autoload"
"""For pytest: those of this environment are in no sandbox, and take longer to load than tests."""


def _languages() -> frozenset[ScriptLanguage]:
    found: set[ScriptLanguage] = {"python"}
    if Path("/bin/bash").exists():
        found.add("bash")
    if find_spec("pytest") is not None:
        found.add("pytest")
    return frozenset(found)


class ProcessBackend(BaseBackend):
    """Guests as plain processes. Must be asked for by name; says in every result what it is."""

    name = NAME
    isolated = False
    interpreter = INTERPRETER
    warnings: tuple[str, ...] = (
        "NO ISOLATION: programs run as this user, with its files and its network",
    )

    def __init__(self, limits: Limits) -> None:
        self._image: GuestImage | None = None

    async def open(self) -> None:
        """Build the guest image, for its copy of the guest's code."""
        self._image = await open_image_in_thread()

    async def launch(self, role: Role) -> GuestProcess:
        """Start a warm guest process and return when it is ready."""
        assert self._image is not None
        root = self._image.root / "guest"
        entry = "parser" if role.kind == "parser" else "zygote"
        options = [f"root={root}", f"token=guest-{role.number}"]
        if role.kind == "lib":
            options.append("preload=" + ",".join(PRELOAD))
        return await GuestProcess.start(
            [sys.executable, "-s", "-P", "-S", "-B", f"{self._image.root}{GUEST_MAIN}",
             entry, *options],
            core=role.core,
            environment={"PYTHONHASHSEED": str(HASH_SEEDS[role.variant])},
        )  # fmt: skip

    async def run_script(self, script: Script, limits: Limits) -> ScriptResult:
        """Run a general script as a plain process, in a temporary directory."""
        assert self._image is not None
        check_language(script, _languages())
        if script.language == "pytest":
            script = script.model_copy(update={"argv": (_WITHOUT_PLUGINS, *script.argv)})
        with tempfile.TemporaryDirectory(prefix="executor-script-") as directory:
            reply = await exchange(
                [sys.executable, "-I", "-B", f"{self._image.root}{SCRIPT_MAIN}", directory],
                encode_request(script, limits),
                max_reply=max_reply_bytes(script, limits),
                deadline_s=limits.wall_s + _SCRIPT_GRACE_S,
            )
        try:
            decoded = decode_reply(reply, script, limits)
        except ProtocolError:
            return no_reply(limits, backend=NAME)
        return script_result(decoded, limits, backend=NAME, interpreter=INTERPRETER)

    async def close(self) -> None:
        """Let the image go."""
        if self._image is not None:
            self._image.close()
            self._image = None

"""A guest that is a child process of this one: starting it, killing it, leaving nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence

from executor.errors import BackendUnavailable
from executor.fds import read_exactly, readable
from executor.wire.layout import READY

_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 2.0


def _nothing() -> None:
    return None


def _zero() -> int:
    return 0


@contextlib.contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    """Let processes that are started inside inherit one core: no moment on another one."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class GuestProcess:
    """A started guest process. Made by :meth:`start`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        errors_fd: int,
        memory_kills: Callable[[], int],
        release: Callable[[], None],
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._errors_fd = errors_fd
        self._memory_kills = memory_kills
        self._release = release
        self._closed = False
        self.write_fd = process.stdin.fileno()
        self.read_fd = process.stdout.fileno()
        os.set_blocking(self.write_fd, False)
        os.set_blocking(self.read_fd, False)

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        memory_kills: Callable[[], int] = _zero,
        release: Callable[[], None] = _nothing,
    ) -> GuestProcess:
        """Start the process and wait for its word that it is ready.

        ``release`` is called once, after the process has ended or failed to start.
        """
        errors_fd = os.memfd_create("guest-errors")
        try:
            with _pinned(core):
                process = subprocess.Popen(  # noqa: ASYNC220 - 1 ms; asyncio cannot pin it
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors_fd,
                    env=dict(environment or {}),
                    bufsize=0,
                    pass_fds=pass_fds,
                    start_new_session=True,  # a Ctrl-C at the terminal is the host's to handle
                )
        except OSError as error:
            os.close(errors_fd)
            release()
            raise BackendUnavailable(f"cannot start {command[0]}: {error}") from error
        guest = cls(process, errors_fd, memory_kills, release)
        try:
            await asyncio.wait_for(guest._wait_ready(), _START_TIMEOUT_S)
        except TimeoutError:
            log = guest.errors()
            await guest.close()
            raise BackendUnavailable(
                f"the guest was not ready within {_START_TIMEOUT_S:.0f} s. Its log: {log}"
            ) from None
        except BaseException:
            await guest.close()
            raise
        return guest

    async def _wait_ready(self) -> None:
        data = await read_exactly(self.read_fd, len(READY))
        if len(data) < len(READY):
            raise BackendUnavailable(f"the guest did not start. Its log: {self.errors()}")
        if data != READY:
            raise BackendUnavailable(f"the guest started with {data!r}. Its log: {self.errors()}")

    @property
    def pid(self) -> int:
        """The process's number on the host."""
        return self._process.pid

    def errors(self) -> str:
        """The last lines of what the process wrote about itself."""
        with open(os.dup(self._errors_fd), "rb") as log:
            log.seek(0)
            lines = log.read(1 << 20).decode("utf-8", "replace").splitlines()
        told = [line for line in lines if "no version information available" not in line]
        return " | ".join(told[-5:]) or "(empty)"

    def memory_kills(self) -> int:
        """Processes of this guest that the kernel has killed for memory, so far."""
        return self._memory_kills()

    def kill(self) -> None:
        """Kill the process; a jail dies with it."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)

    async def close(self) -> None:
        """End the process (end of input first, then by force) and release everything."""
        if self._closed:
            return
        self._closed = True
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            await asyncio.shield(self._ended())
        finally:
            self._process.stdout.close()
            os.close(self._errors_fd)
            await asyncio.shield(asyncio.to_thread(self._release))

    async def _ended(self) -> None:
        if self._process.poll() is not None:
            return
        exited = os.pidfd_open(self._process.pid)
        try:
            await asyncio.wait_for(readable(exited), _END_TIMEOUT_S)
        except TimeoutError:
            self.kill()
            await readable(exited)
        finally:
            os.close(exited)
            self._process.wait()

"""A process that has imported what training runs import, and forks where Python would start anew.

Importing veRL takes 8 s of a processor, and a run does it in seven processes. The tests' side is
:mod:`tests.trainer.support.forked`. Two servers of the same kind:

- one for the tests: it makes the main process of a run, as a child of the tests' process;
- one for each run, the first child of its main process: it makes Ray's workers, for which
  ``launch.py`` asks in the place of the interpreter. The kernel ends it with the main process.

A child has the arguments, environment, folder, descriptors, signals and process group that it would
have had; what is behind it is this process's memory, in which nothing but imports has happened.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trainer.configs import compose
from trainer.run import environment
from trainer.run.wiring import wire

ADDRESS = "TRAINER_TESTS_FORKS"
"""Variable of a run: where its workers' server is (an abstract Unix socket)."""

PYTHON = "TRAINER_TESTS_PYTHON"
"""Variable of a run: the interpreter that ``launch.sh`` starts where it does not fork."""

LAUNCHER = Path(__file__).with_name("launch.sh")

IMPORTED = (
    "torch", "torch._dynamo", "torch.distributed.fsdp", "torch.distributed.checkpoint.state_dict",
    "torch.distributed.device_mesh", "torch.distributed.tensor", "torch.utils.data",
    "torch.utils.tensorboard", "torch.profiler", "tensordict", "tensordict.tensorclass",
    "transformers", "transformers.modeling_utils", "transformers.trainer_pt_utils",
    "transformers.processing_utils", "transformers.models.auto.modeling_auto",
    "transformers.models.auto.processing_auto", "transformers.models.auto.tokenization_auto",
    "transformers.models.qwen2.modeling_qwen2", "transformers.models.qwen2.tokenization_qwen2",
    "peft", "peft.utils.save_and_load", "accelerate", "datasets", "torchdata.stateful_dataloader",
    "pandas", "pyarrow.parquet", "PIL.Image", "hydra", "omegaconf", "pydantic", "fastapi", "zmq",
    "aiohttp", "tqdm", "codetiming", "safetensors.torch", "uvloop", "google.protobuf", "grpc",
    "trainer.cli.app", "trainer.verl_adapter.preflight", "trainer.run.absolute_zero",
    "trainer.models.tiny", "trainer.models.generation", "trainer.report.page",
)  # fmt: skip
"""What veRL and this project import, but for Ray and what imports it: Ray's library keeps what the
environment says of a worker, such as its job, from the moment when it is loaded."""

type Task = Callable[[], object]


def main() -> Task:
    """Serve the tests until they end; returns in children alone, with what they are to run."""
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tests = socket.socket(fileno=int(sys.argv[1]))
    config = compose(["preset=cpu_tiny"])
    wire(config)
    environment.prepare(config)
    expected = dict(os.environ)
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # pyarrow's allocator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in IMPORTED:
            importlib.import_module(name)
    assert "ray" not in sys.modules
    gc.freeze()
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"a process with threads cannot be forked: {[*map(_name, threads)]}"
    send(tests, expected, [])
    while request := receive(tests):
        task = _start_run(tests, *request)
        if task is not None:
            return task
    return lambda: None


def _start_run(tests: socket.socket, request: Any, descriptors: list[int]) -> Task | None:
    """Fork twice: the second child is taken over by the tests' process, which asked to be given
    it."""
    read, write = os.pipe()
    between = os.fork()
    if between:
        os.close(write)
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(between, 0)
        send(tests, int(os.read(read, 32)), [])
        os.close(read)
        return None
    if pid := os.fork():
        os.write(write, str(pid).encode())
        os._exit(0)
    for other in (read, write, tests.detach()):
        os.close(other)
    os.setsid()
    become(request, descriptors)
    if request["arguments"][:2] == ["-m", "trainer"]:
        workers = _serve_workers()
        if workers is not None:
            return workers
        _let_ray_ask_for_workers()
    return lambda: run(request["arguments"])


def _let_ray_ask_for_workers() -> None:
    """Ray names ``sys.executable`` as the program of its workers, and asks it in one module."""
    from ray._private import services

    os.environ[PYTHON] = sys.executable
    seen = SimpleNamespace(**vars(sys))
    seen.executable = str(LAUNCHER)
    services.sys = seen


def _serve_workers() -> Task | None:
    """Fork the server of this run's workers; returns in its children alone."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0trainer-tests-{os.getpid()}-{os.urandom(8).hex()}")
    listener.listen(64)
    os.environ[ADDRESS] = listener.getsockname()[1:].decode()
    if os.fork():
        listener.close()
        return None
    _end_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for standard in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), standard)
    return _Workers(listener).serve()


class _Workers:
    """Forks for whoever connects, and tells them how the child ended."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._askers: dict[int, socket.socket] = {}
        self._wake, wake = socket.socketpair()
        self._wake.setblocking(False)
        wake.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakes = wake

    def serve(self) -> Task:
        """Until the main process ends; returns in children alone."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wake:
                        self._reap()
                    elif (task := self._fork()) is not None:
                        return task

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                with contextlib.suppress(OSError), self._askers.pop(pid) as asker:
                    asker.sendall(str(os.waitstatus_to_exitcode(status)).encode())

    def _fork(self) -> Task | None:
        asker, _ = self._listener.accept()
        asker.settimeout(60)
        received = receive(asker)
        if received is None:
            asker.close()
            return None
        request, descriptors = received
        if pid := os.fork():
            self._askers[pid] = asker
            for descriptor in descriptors:
                os.close(descriptor)
            with contextlib.suppress(OSError):
                asker.sendall(str(pid).encode().ljust(32))
            return None
        signal.set_wakeup_fd(-1)
        for other in (self._listener, self._wake, self._wakes, asker, *self._askers.values()):
            other.close()
        with contextlib.suppress(OSError):
            os.setpgid(0, request["group"])
        become(request, descriptors)
        return lambda: run(request["arguments"])


def become(request: Any, descriptors: list[int]) -> None:
    """Take on what a process gets from the one that starts it."""
    import numpy as np

    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGINT):
        ignored = number in request["ignored"]
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if ignored else usual)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    np.random.seed(int.from_bytes(os.urandom(4)))  # Python's own generator has it done


def run(arguments: list[str]) -> object:
    """What ``python ARGUMENTS`` does."""
    name, *rest = arguments
    if name in ("-m", "-c"):
        first, *sys.argv = rest
        sys.argv = [name, *sys.argv]
        sys.path[0] = os.getcwd()
        if name == "-c":
            exec(compile(first, "<string>", "exec"), {"__name__": "__main__"})
            return None
        return runpy.run_module(first, run_name="__main__", alter_sys=True)
    if name.endswith("setup_worker.py") and (worker := _set_up(rest)):
        return run(worker)
    sys.argv = arguments
    sys.path[0] = os.path.dirname(name)
    return runpy.run_path(name, run_name="__main__")


def _set_up(arguments: list[str]) -> list[str] | None:
    """What ``setup_worker.py`` does: the environment of a worker, which bash then starts.

    Returns the arguments that are left; ``None`` where it is to do it itself.
    """
    from ray._private.utils import update_envs

    prefix = "--serialized-runtime-env-context="
    found = [text for text in arguments if text.startswith(prefix)]
    context = json.loads(found[0].removeprefix(prefix)) if found else {}
    rest = [text for text in arguments if text not in found and not text.startswith("--language")]
    if context.get("command_prefix") or context.get("override_worker_entrypoint"):
        return None
    update_envs(context.get("env_vars", {}))
    return rest


def send(connection: socket.socket, message: object, descriptors: list[int]) -> None:
    """What :func:`receive` receives."""
    body = json.dumps(message).encode()
    socket.send_fds(connection, [len(body).to_bytes(8)], descriptors)
    connection.sendall(body)


def receive(connection: socket.socket) -> tuple[Any, list[int]] | None:
    """A request: its length with the descriptors, then itself; ``None``: nobody asks any more."""
    head, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
    if len(head) < 8:
        return None
    left, parts = int.from_bytes(head), []
    while left and (part := connection.recv(left)):
        parts.append(part)
        left -= len(part)
    return json.loads(b"".join(parts)), list(descriptors)


def _name(thread: str) -> str:
    return Path(f"/proc/self/task/{thread}/comm").read_text().strip()


def _end_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    main()()

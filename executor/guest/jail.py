"""A warm jail: makes, for each script in turn, what nsjail makes for a jail of its own.

nsjail starts this program once, as pid 1 of namespaces of its own, and leaves it three capabilities
in its own user namespace. For each request it forks a child into a new pid namespace, with mounts,
network, IPC objects and host name of its own. The child mounts the script's writable directories,
switches on its loopback device, gives up all capabilities for good, installs the filter of the run
policy, and is from then on the pid 1 that ``script.py`` describes: it reads the request, runs the
script, and writes the reply.

This process never reads a byte of a request. So there is nothing in it, or in the next child, that
came from a script; and what a script started has ended with its pid namespace. It says ``ready`` at
the start, and again when all of a script is gone. If a child fails it ends, and the jail with it.

A script cannot reach this process: it lies outside the script's pid namespace, there is no /proc,
it is not dumpable, and it shares no descriptor with a script.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import struct
import sys
import traceback

from executor.guest import script
from executor.guest.frames import write
from executor.wire.layout import READY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORIES = ("/box", "/tmp", "/dev/shm")
"""Folders that a script can write to: a file system in memory each, gone with the script."""
_FILES = "mode=1777,nr_inodes=16384"
_NAMESPACES = os.CLONE_NEWPID | os.CLONE_NEWNS | os.CLONE_NEWNET | os.CLONE_NEWIPC | os.CLONE_NEWUTS
"""Network: sockets that hold one another can outlive their processes, and the names that they have
with them."""
_TRIAL_BYTES = 1 << 20
_MS_NOSUID, _MS_NODEV = 2, 4
_CLONE, _CAPSET = 56, 126
_SIGCHLD = 17
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 4, 22, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_EINVAL = 22
_AF_INET, _SOCK_DGRAM, _SIOCSIFFLAGS, _IFF_UP = 2, 2, 0x8914, 1
_HIGHEST_CAPABILITY = 63

# It keeps the interpreter's lock: see _fork().
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
_libc.syscall.argtypes = [ctypes.c_long] * 6
_libc.syscall.restype = ctypes.c_long
_libc.socket.argtypes = [ctypes.c_int] * 3
_libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p]
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]


class Filter:
    """A BPF program in memory, as the kernel takes it."""

    def __init__(self, code: bytes) -> None:
        self._code = ctypes.create_string_buffer(code, len(code))
        head = struct.pack("<H6xQ", len(code) // 8, ctypes.addressof(self._code))
        self._program = ctypes.create_string_buffer(head, len(head))

    def install(self) -> None:
        """For this process and all that it starts, for good."""
        _check(_libc.prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(self._program), 0, 0))


def serve(code: bytes) -> None:
    """Serve requests under the filter ``code`` until the host closes descriptor 0."""
    policy = Filter(code)
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    requests = select.poll()
    requests.register(0, select.POLLIN)
    gc.collect()
    gc.freeze()
    gc.disable()
    _run(_try_one, policy)  # what cannot be done here is found out before there is a script
    write(READY)
    while requests.poll()[0][1] & select.POLLIN:
        _run(_serve_one, policy)
        write(READY)


def _run(life: Callable[[Filter], None], policy: Filter) -> None:
    """Let a child in new namespaces live, and wait until nothing is left of it."""
    pid = _fork()
    if not pid:
        code = 1
        try:
            life(policy)
            code = 0
        except BaseException:  # nothing may get back into the loop above
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        sys.exit("a script's pid 1 failed")


def _fork() -> int:
    """As ``os.fork()``, with the child in new namespaces: its pid, or 0 in the child.

    What ``os.fork()`` does besides is for other threads, and there are none. (``os.unshare()`` and
    ``os.fork()`` would do, but once: to come back from the children's pid namespace takes
    ``setns``, which the service's container denies.)
    """
    pid = int(_libc.syscall(_CLONE, _NAMESPACES | _SIGCHLD, 0, 0, 0, 0))
    if pid < 0:
        _check(pid)
    return pid


def _try_one(policy: Filter) -> None:
    _confine(_TRIAL_BYTES, policy)


def _serve_one(policy: Filter) -> None:
    script.ignore_signals()
    os.setsid()
    request = script.read_request()
    request["processes"] += 1  # the parent counts too
    _confine(request["files_bytes"], policy)
    script.serve(request, DIRECTORIES[0])


def _confine(size: int, policy: Filter) -> None:
    _mount(size)
    _loopback()
    _drop_capabilities()
    policy.install()


def _mount(size: int) -> None:
    options = f"size={size},{_FILES}".encode()
    for path in DIRECTORIES:
        flags = _MS_NOSUID | _MS_NODEV
        _check(_libc.mount(b"none", path.encode(), b"tmpfs", flags, options))


def _loopback() -> None:
    """Switch on the one network device: what a script serves it can reach, and nothing else."""
    handle = int(_libc.socket(_AF_INET, _SOCK_DGRAM, 0))
    if handle < 0:
        _check(handle)
    request = ctypes.create_string_buffer(struct.pack("<16sh22x", b"lo", _IFF_UP), 40)
    _check(_libc.ioctl(handle, _SIOCSIFFLAGS, request))
    os.close(handle)


def _drop_capabilities() -> None:
    """Out of all sets, of what can be gained too; and no program started later gives any."""
    for capability in range(_HIGHEST_CAPABILITY + 1):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            if ctypes.get_errno() == _EINVAL and capability:
                break  # there are no more
            _check(-1)
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    head = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION_3, 0), 8)
    none = ctypes.create_string_buffer(24)
    _check(_libc.syscall(_CAPSET, ctypes.addressof(head), ctypes.addressof(none), 0, 0, 0))
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _check(result: int) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))

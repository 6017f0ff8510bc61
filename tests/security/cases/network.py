"""Category D: the network, and ways to talk to other processes."""

# ruff: noqa: E501 - the sentences of the table

from __future__ import annotations

from functools import partial

from executor import ScriptResult, Signal, Status
from tests.security.cases.base import Case, both, explain, prints, script, verify
from tests.security.traps import ABSTRACT, PORT

v = partial(verify, "D")
s = partial(script, "D")

_KILLED = frozenset({Status.FORBIDDEN})
_REFUSED = frozenset({Status.OK})
_ON_GVISOR = {"gvisor": frozenset({Status.OK})}


def _counted(result: ScriptResult) -> None:
    assert result.signals == {Signal.FORBIDDEN_CALL: 1}, explain(result)


def _refused_if_it_went_on(result: ScriptResult) -> None:
    if result.status is Status.OK:
        assert result.stdout == b"refused\n", explain(result)


def _dialled(
    number: int, name: str, why: str, attempt: str, *expected: Status, counted: bool = True
) -> Case:
    """A script that tries to reach something; it prints whether it could."""
    source = f"import os, socket\ntry:\n    {attempt}\n    print('reached')\nexcept OSError:\n    print('refused')"
    return s(
        number,
        name,
        why,
        source,
        *(expected or (Status.OK,)),
        check=both(_refused_if_it_went_on, *([_counted] if counted else [])),
        check_on={"gvisor": _refused_if_it_went_on},
    )


def _made(
    number: int, name: str, why: str, arguments: str, docker: frozenset[Status] = _KILLED
) -> Case:
    """A script that makes a socket of a kind that has no use in a jail."""
    source = f"import socket\ntry:\n    socket.socket({arguments})\n    print('made')\nexcept OSError:\n    print('refused')"
    return s(
        number,
        name,
        why,
        source,
        Status.FORBIDDEN,
        expected_on=_ON_GVISOR | {"docker": docker},
        check_on={"docker": _refused_if_it_went_on},
    )


CASES: tuple[Case, ...] = (
    v(71, "socket-in-a-function", "A pure function opens an internet socket.", """
        import socket
        def f(x):
            return socket.socket().fileno()
        """, Status.FORBIDDEN),
    v(71, "socket-pair-in-a-function", "A pure function opens a pair of sockets.", """
        import socket
        def f(x):
            return len(socket.socketpair())
        """, Status.FORBIDDEN),
    v(71, "web-request-in-a-function", "A pure function fetches a page.", """
        import urllib.request
        def f(x):
            try:
                return urllib.request.urlopen("http://192.0.2.1/", timeout=1).status
            except BaseException:
                return "caught"
        """, Status.OK, Status.FORBIDDEN),
    _dialled(71, "tcp-out", "Connects to a machine on the internet.", "socket.create_connection(('192.0.2.1', 80), 1)"),
    _dialled(71, "tcp-out-by-ipv6", "The same over IPv6.", "socket.create_connection(('2001:db8::1', 80), 1)"),
    _dialled(71, "udp-out", "Sends a datagram to a machine on the internet.",
             "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))"),
    _dialled(72, "name-lookup", "Looks up a name.", "socket.getaddrinfo('example.com', 80)", counted=False),
    _dialled(73, "cloud-metadata", "Asks the cloud for the machine's credentials.",
             "socket.create_connection(('169.254.169.254', 80), 1)"),
    _dialled(74, "loopback-of-the-host", "Connects to a service of the host.",
             f"socket.create_connection(('127.0.0.1', {PORT}), 1)", counted=False),
    _dialled(74, "gateway-of-the-host", "Connects to the host over a container's usual gateway.",
             f"socket.create_connection(('172.17.0.1', {PORT}), 1)"),
    _dialled(75, "abstract-socket-of-the-host", "Connects to a local socket of the host, which has no file.",
             f"socket.socket(socket.AF_UNIX).connect({ABSTRACT!r})", counted=False),
    _dialled(76, "socket-of-the-engine", "Connects to the container engine.",
             "[socket.socket(socket.AF_UNIX).connect(path) for path in ('/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock') if os.path.exists(path)][0]"
             .replace("[0]", " or [open('/absent')]"), counted=False),
    _made(77, "virtual-machine-socket", "Opens a socket to the hypervisor.", "40, socket.SOCK_STREAM"),
    _made(78, "netlink-socket", "Opens a socket to the kernel's network settings.", "socket.AF_NETLINK, socket.SOCK_RAW",
          docker=_REFUSED),
    _made(78, "packet-socket", "Opens a socket that hears all packets.", "socket.AF_PACKET, socket.SOCK_RAW"),
    _made(78, "raw-socket", "Opens a socket that forges packets.", "socket.AF_INET, socket.SOCK_RAW, 1"),
    _made(79, "crypto-socket", "Opens a socket to the kernel's cryptography.", "socket.AF_ALG, socket.SOCK_SEQPACKET"),
    _made(79, "bluetooth-socket", "Opens a socket to the kernel's Bluetooth code.", "31, socket.SOCK_RAW, 1"),
    _made(79, "key-socket", "Opens a socket to the kernel's table of keys.", "15, socket.SOCK_RAW, 2"),
    s(80, "system-v-shared-memory", "Makes a segment of shared memory that outlives it.", """
        import ctypes
        print("refused" if ctypes.CDLL(None).shmget(0x5ec, 4096, 0o1666) < 0 else "made")
        """, Status.FORBIDDEN, expected_on={"docker": _REFUSED, "gvisor": _REFUSED},
      check_on={"docker": prints("refused"), "gvisor": None}),
    s(80, "system-v-message-queue", "Makes a message queue that outlives it.", """
        import ctypes
        print("refused" if ctypes.CDLL(None).msgget(0x5ec, 0o1666) < 0 else "made")
        """, Status.FORBIDDEN, expected_on={"docker": _REFUSED, "gvisor": _REFUSED},
      check_on={"docker": prints("refused"), "gvisor": None}),
    s(80, "system-v-semaphore", "Makes a semaphore that outlives it.", """
        import ctypes
        print("refused" if ctypes.CDLL(None).semget(0x5ec, 1, 0o1666) < 0 else "made")
        """, Status.FORBIDDEN, expected_on={"docker": _REFUSED, "gvisor": _REFUSED},
      check_on={"docker": prints("refused"), "gvisor": None}),
    s(80, "posix-message-queue", "Makes a message queue by name.", """
        import ctypes
        print("refused" if ctypes.CDLL(None).syscall(240, b"bait", 0o102, 0o666, None) < 0 else "made")
        """, Status.FORBIDDEN, expected_on={"docker": _REFUSED, "gvisor": _REFUSED},
      check_on={"docker": prints("refused"), "gvisor": prints("made")}),  # in its own kernel
    s(80, "posix-shared-memory", "Looks for shared memory of other runs, then makes its own.", """
        import os
        from multiprocessing import shared_memory
        print(os.listdir("/dev/shm"))
        shared_memory.SharedMemory("bait", create=True, size=64)
        """, Status.OK, check=prints("[]")),
    s(80, "posix-shared-memory-again", "The same once more: the first one's is gone.", """
        import os
        from multiprocessing import shared_memory
        print(os.listdir("/dev/shm"))
        shared_memory.SharedMemory("bait", create=True, size=64)
        """, Status.OK, check=prints("[]")),
    s(81, "message-bus", "Looks for the sockets of the system's services.", """
        import os
        paths = ("/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/notify", "/run/user", "/tmp/.X11-unix", "/run/snapd.socket")
        print([path for path in paths if os.path.exists(path)])
        """, Status.OK, check=prints("[]")),
    *(
        s(82, f"same-address-{name}", "Two scripts at once take the same local address.", """
            import socket, time
            socket.socket(socket.AF_UNIX).bind("\\0the-same-address")
            listener = socket.socket(socket.AF_UNIX)
            listener.bind("/tmp/the-same-address")
            time.sleep(0.5)
            print("bound")
            """, Status.OK, check=prints("bound"))
        for name in ("one", "two")
    ),
    s(0, "passed-descriptors", "Passes descriptors through a socket, to hold more than it may.", """
        import array, os, socket
        a, b = socket.socketpair()
        passed = 0
        try:
            while True:
                reader, writer = os.pipe()
                a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [reader, writer]))], socket.MSG_DONTWAIT)
                os.close(reader); os.close(writer)
                passed += 2
        except (OSError, BlockingIOError):
            print(passed < 20_000)
        """, Status.OK, check=prints("True"),
      expected_on={"gvisor": frozenset({Status.CPU_LIMIT, Status.WALL_LIMIT, Status.MEMORY_LIMIT})},
      check_on={"gvisor": lambda result: None}),  # it does not count them: they are its memory
    s(0, "listener", "Listens on a port.", """
        import socket
        try:
            socket.create_server(("0.0.0.0", 0))
            print("listens")
        except OSError:
            print("refused")
        """, Status.OK, check=prints("listens")),
    s(0, "interfaces", "Lists the network's interfaces.", """
        import os, socket
        try:
            print({name for _, name in socket.if_nameindex()} - {"lo"} or "none")
        except OSError:
            print("none")
        """, Status.FORBIDDEN, Status.OK, check_on={"gvisor": prints("none")}),
)  # fmt: skip

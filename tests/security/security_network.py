"""Category D: network and communication between processes."""

from __future__ import annotations

from security_cases import Case, verify

from executor import Status

CASES: tuple[Case, ...] = (
    verify("D", 71, "tcp-out", "Opens an internet socket.", """
        import socket
        def f(x):
            return socket.socket().fileno()
        """, Status.FORBIDDEN),
)  # fmt: skip

"""Programs that try what a verified program may not do."""

from __future__ import annotations

from tests.support.programs import body

FORBIDDEN = {
    "a socket": body("import socket", "return socket.socket().fileno()"),
    "a fork": body("import os", "return os.fork()"),
    "another program": body("import os", "os.execv('/py/bin/python3.12', ['python'])"),
    "a shell": body("import os", "return os.system('true')"),
    "killing the zygote": body("import os", "os.kill(1, 9)"),
    "killing all": body("import os", "os.kill(-1, 9)"),
    "stopping itself": body("import os", "os.kill(os.getpid(), 19)"),
    "another root": body("import os", "os.chroot('/box')"),
    "another user": body("import os", "os.setuid(0)"),
    "another group": body("import os", "os.setgroups([0])"),
    "limits of the zygote": body("import resource", "return resource.prlimit(1, 0)"),
}
"""Each is ended by the system call that it makes, and that counts as a sign of cheating."""

REFUSED = {
    "a socket pair": (body("import socket", "socket.socketpair()"), "PermissionError"),
    "a thread": (
        body("import threading", "threading.Thread(target=print).start()"),
        "RuntimeError",
    ),
    "a subprocess": (
        body("import subprocess", "subprocess.run(['/py/bin/python3.12'])"),
        "PermissionError",
    ),
    "a file to write": (body("open('/box/x', 'w').write('x')"), "PermissionError"),
    "a file to append to": (body("open('/tmp/x', 'a')"), "PermissionError"),
    "a file in shared memory": (body("open('/dev/shm/x', 'xb')"), "PermissionError"),
    "a file to read and write": (body("open('/dev/null', 'r+')"), "PermissionError"),
    "a directory": (body("import os", "os.mkdir('/box/x')"), "PermissionError"),
    "removing a file": (
        body("import os", "os.unlink('/guest/executor/guest/main.py')"),
        "PermissionError",
    ),
    "renaming a file": (body("import os", "os.rename('/py', '/yp')"), "PermissionError"),
    "a link": (body("import os", "os.symlink('/py', '/box/x')"), "PermissionError"),
    "another directory": (body("import os", "os.chdir('/box')"), "PermissionError"),
    "a session": (body("import os", "os.setsid()"), "PermissionError"),
    "a pipe": (body("import os", "return os.pipe()"), "PermissionError"),
    "an event descriptor": (body("import os", "return os.eventfd(0)"), "PermissionError"),
    "an anonymous file": (body("import os", "return os.memfd_create('x')"), "PermissionError"),
    "higher limits": (
        body("import resource", "resource.setrlimit(resource.RLIMIT_CPU, (999, 999))"),
        "ValueError",
    ),
    "priorities": (body("import os", "return os.nice(-5)"), "PermissionError"),
    "another core": (body("import os", "os.sched_setaffinity(0, {0, 1})"), "PermissionError"),
}
"""What ordinary code tries: the call fails with this error, and that is no sign of anything."""

FAILING = {
    "a pseudo terminal": (body("import os", "return os.forkpty()"), "FileNotFoundError"),
    "waiting for others": (body("import os", "return os.waitpid(-1, 0)"), "ChildProcessError"),
    "the size of a terminal": (body("import os", "return os.get_terminal_size()"), "OSError"),
}
"""What fails in the same way where everything is allowed."""

ENDING_SCRIPTS = {
    **FORBIDDEN,
    **{what: program for what, (program, _) in REFUSED.items()},
    "a pseudo terminal": FAILING["a pseudo terminal"][0],
    "waiting for others": FAILING["waiting for others"][0],
}
"""What ends a script that runs warm, so that it is run again where it may do more."""

OPEN_DESCRIPTORS = """
import os
def descriptors():
    found = []
    for number in range(1024):
        try:
            found.append((number, os.fstat(number)))
        except OSError:
            pass
    return found
"""
"""Defines ``descriptors()``: numbers and facts of all that is open."""

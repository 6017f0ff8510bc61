"""Programs that try what a verified program may not do."""

from __future__ import annotations

from support import body

FORBIDDEN = {
    "a socket": body("import socket", "return socket.socket().fileno()"),
    "a socket pair": body("import socket", "socket.socketpair()"),
    "a fork": body("import os", "return os.fork()"),
    "a pseudo terminal": body("import os", "return os.forkpty()"),
    "a thread": body("import threading", "threading.Thread(target=print).start()"),
    "another program": body("import os", "os.execv('/py/bin/python3.12', ['python'])"),
    "a shell": body("import os", "return os.system('true')"),
    "a subprocess": body("import subprocess", "subprocess.run(['/py/bin/python3.12'])"),
    "killing the zygote": body("import os", "os.kill(1, 9)"),
    "killing all": body("import os", "os.kill(-1, 9)"),
    "stopping itself": body("import os", "os.kill(os.getpid(), 19)"),
    "a file to write": body("open('/box/x', 'w').write('x')"),
    "a file to append to": body("open('/tmp/x', 'a')"),
    "a file in shared memory": body("open('/dev/shm/x', 'xb')"),
    "a file to read and write": body("open('/dev/null', 'r+')"),
    "a directory": body("import os", "os.mkdir('/box/x')"),
    "removing a file": body("import os", "os.unlink('/guest/executor/guest/main.py')"),
    "renaming a file": body("import os", "os.rename('/py', '/yp')"),
    "a link": body("import os", "os.symlink('/py', '/box/x')"),
    "another root": body("import os", "os.chroot('/box')"),
    "another directory": body("import os", "os.chdir('/box')"),
    "another user": body("import os", "os.setuid(0)"),
    "another group": body("import os", "os.setgroups([0])"),
    "a session": body("import os", "os.setsid()"),
    "a pipe": body("import os", "return os.pipe()"),
    "an event descriptor": body("import os", "return os.eventfd(0)"),
    "an anonymous file": body("import os", "return os.memfd_create('x')"),
    "higher limits": body("import resource", "resource.setrlimit(resource.RLIMIT_CPU, (999, 999))"),
    "limits of the zygote": body("import resource", "return resource.prlimit(1, 0)"),
    "waiting for others": body("import os", "return os.waitpid(-1, 0)"),
    "priorities": body("import os", "return os.nice(-5)"),
    "another core": body("import os", "os.sched_setaffinity(0, {0, 1})"),
}
"""Each is ended by the system call that it makes."""

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

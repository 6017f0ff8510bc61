"""Category C: the file system, and files on their way in and out."""

# ruff: noqa: E501 - the sentences of the table

from __future__ import annotations

from functools import partial
from pathlib import Path

from executor import ScriptResult, Status
from tests.security.cases.base import Case, both, explain, hides, outputs, prints, script, verify
from tests.security.traps import FILE_SECRET, SECRET_FILE

v = partial(verify, "C")
s = partial(script, "C")

ROOT = Path(__file__).parents[3]
_ON_DOCKER_AND_GVISOR = {"docker": frozenset({Status.OK}), "gvisor": frozenset({Status.OK})}


def _no_files(result: ScriptResult) -> None:
    assert result.files == {}, explain(result)


def _few_bytes(result: ScriptResult) -> None:
    assert sum(map(len, result.files.values())) <= 8 << 20, explain(result)


def _mine_or_nothing(result: ScriptResult) -> None:
    assert result.files in ({}, {"o": b"mine"}), explain(result)


_SECRETS = (
    "/etc/shadow", "/etc/gshadow", "/root/.ssh/id_rsa", "/root/.bash_history", "/root/.netrc",
    "/root/.aws/credentials", "/root/.config/gcloud/credentials.db", "/root/.docker/config.json",
    "/root/.cache/huggingface/token", "/run/secrets", "/var/run/secrets/kubernetes.io", "/.env",
    "/proc/1/environ", "/etc/machine-id", "/var/lib", "/var/log", "/home", "/root", "/boot",
)  # fmt: skip
_HOST = tuple(map(str, (
    ROOT, ROOT / "pyproject.toml", ROOT / "executor/api/local.py", ROOT.parent / "shared", SECRET_FILE,
)))  # fmt: skip

_READABLE = """
import os
def readable(paths):
    found = []
    for path in paths:
        try:
            found.append((path, os.listdir(path) if os.path.isdir(path) else open(path).read()))
        except OSError:
            pass
    return [entry for entry in found if entry[1]]
"""

CASES: tuple[Case, ...] = (
    s(50, "write-to-the-image", "Writes to every directory of the image.", """
        import os
        written = []
        for folder in ("/", "/etc", "/usr", "/usr/bin", "/lib", "/lib64", "/py", "/py/bin", "/py/lib/python3.12", "/guest", "/dev", "/home", "/proc", "/sys", "/run"):
            try:
                os.close(os.open(folder + "/planted", os.O_CREAT | os.O_WRONLY))
                written.append(folder)
            except OSError:
                pass
        print(written)
        """, Status.OK, check=prints("[]")),
    s(50, "change-the-image", "Removes, renames and truncates files of the image.", """
        import os, sys
        done = []
        for change in (lambda: os.unlink(os.__file__), lambda: os.rename("/py", "/yp"),
                       lambda: os.truncate(sys.executable, 0), lambda: os.chmod(sys.executable, 0o777),
                       lambda: open(os.__file__, "a"), lambda: os.utime(sys.executable)):
            try:
                change()
                done.append(change)
            except OSError:
                pass
        print(done)
        """, Status.OK, check=prints("[]")),
    v(50, "write-in-a-function", "A pure function writes a file.", """
        def f(x):
            return open("/tmp/x", "w").write("x")
        """, Status.FORBIDDEN),
    v(50, "remove-in-a-function", "A pure function removes the code that runs it.", """
        import os
        def f(x):
            os.unlink("/guest/executor/guest/main.py")
        """, Status.FORBIDDEN),
    s(51, "secrets-of-the-host", "Reads where keys and passwords are kept.", f"""
        print(readable({_SECRETS}))
        """, Status.OK, prelude=_READABLE, check=prints("[]")),
    v(51, "secrets-in-a-function", "A pure function reads where keys and passwords are kept.", f"""
        def f(x):
            return readable({_SECRETS})
        """, Status.OK, prelude=_READABLE, check=outputs("[]")),
    s(52, "code-of-the-trainer", "Reads the host's code, data and temporary files by their paths.", f"""
        print(readable({_HOST}))
        """, Status.OK, prelude=_READABLE, check=both(prints("[]"), hides(FILE_SECRET))),
    v(52, "code-of-the-trainer-in-a-function", "A pure function does the same.", f"""
        def f(x):
            return readable({_HOST})
        """, Status.OK, prelude=_READABLE, check=both(outputs("[]"), hides(FILE_SECRET))),
    s(53, "name-with-dots", "A file for the script is named to land above its directory.", "print(1)",
      settings={"files": {"../planted": b"x"}}, refused="InputError"),
    s(53, "name-with-dots-inside", "The same, hidden inside the path.", "print(1)",
      settings={"files": {"a/../../planted": b"x"}}, refused="InputError"),
    s(54, "absolute-name", "A file for the script has an absolute path.", "print(1)",
      settings={"files": {"/tmp/planted": b"x"}}, refused="InputError"),
    s(54, "name-with-nul", "A file's name holds a zero byte.", "print(1)",
      settings={"files": {"a\0b": b"x"}}, refused="InputError"),
    s(54, "empty-name", "A file has no name.", "print(1)",
      settings={"files": {"": b"x"}}, refused="InputError"),
    s(54, "collected-name-with-dots", "A file to bring back lies outside.", "print(1)",
      settings={"collect": ("../../etc/passwd",)}, refused="InputError"),
    s(54, "name-over-the-script", "A file for the script replaces the script itself.", "print('parent')",
      Status.OK, settings={"files": {"a/script.py": b"print('planted')"}}, check=prints("parent")),
    s(55, "collected-symlink", "A symbolic link to a file of the image is brought back.", """
        import os, sys
        os.symlink(sys.executable, "o")
        os.symlink("/etc/passwd", "p")
        """, Status.OK, settings={"collect": ("o", "p")}, check=_no_files),
    s(56, "collected-through-a-symlink", "A file is brought back through a linked directory.", """
        import os
        os.symlink("/py/bin", "d")
        os.symlink("/", "root")
        """, Status.OK, settings={"collect": ("d/python3.12", "root/py/bin/python3.12")}, check=_no_files),
    s(57, "owner-through-a-symlink", "Changes the owner of a file of the image through a link.", """
        import os, sys
        os.symlink(sys.executable, "o")
        try:
            os.chown("o", 65534, 65534)
            print("done")
        except OSError:
            print("refused")
        """, Status.OK, check=prints("refused")),
    s(58, "hard-link", "Links a file of the image into its own directory.", """
        import os, sys
        try:
            os.link(sys.executable, "o")
            print("done")
        except OSError:
            print("refused")
        """, Status.OK, settings={"collect": ("o",)}, check=both(prints("refused"), _no_files)),
    s(59, "collected-fifo", "A pipe with a name, which a reader would wait for, is brought back.", """
        import os
        os.mkfifo("o")
        """, Status.OK, settings={"collect": ("o",)}, check=_no_files),
    s(59, "collected-socket", "A socket is brought back.", """
        import socket
        socket.socket(socket.AF_UNIX).bind("o")
        """, Status.OK, settings={"collect": ("o",)}, check=_no_files),
    s(59, "collected-directory", "A directory is brought back.", """
        import os
        os.mkdir("o")
        """, Status.OK, settings={"collect": ("o",)}, check=_no_files),
    s(59, "collected-without-permission", "A file that may not be read is brought back.", """
        import os
        open("o", "w").write("mine")
        os.chmod("o", 0)
        """, Status.OK, settings={"collect": ("o",)}, check=_mine_or_nothing),
    s(60, "many-names-of-one-file", "One large file is brought back a hundred times.", """
        import os
        open("0", "wb").write(bytes(5 << 20))
        for number in range(1, 100):
            os.link("0", str(number))
        """, Status.OK, settings={"collect": tuple(map(str, range(100)))}, check=_few_bytes),
    s(61, "deep-directories", "Directories a thousand deep, to be removed.", """
        import os
        for _ in range(1000):
            os.mkdir("d")
            os.chdir("d")
        print("parent")
        """, Status.OK, settings={"collect": ("/".join("d" * 1000),)},
      check=both(prints("parent"), _no_files)),
    s(61, "loop-of-symlinks", "Links that lead to each other are followed.", """
        import os
        os.symlink("b", "a")
        os.symlink("a", "b")
        """, Status.OK, settings={"collect": ("a", "b/c")}, check=_no_files),
    s(62, "rename-race", "A child swaps a file and a link while files are brought back.", """
        import os
        open("x", "w").write("mine")
        os.symlink("/py/bin/python3.12", "y")
        if os.fork() == 0:
            while True:
                os.rename("x", "o"); os.rename("o", "x")
                os.rename("y", "o"); os.rename("o", "y")
        """, Status.OK, settings={"collect": ("o",)}, check=_mine_or_nothing),
    s(63, "device-node", "Makes a device that reads the host's memory.", """
        import os, stat
        try:
            os.mknod("m", stat.S_IFCHR | 0o666, os.makedev(1, 1))
            print(len(open("m", "rb").read(16)))
        except OSError:
            print("refused")
        """, Status.FORBIDDEN, expected_on=_ON_DOCKER_AND_GVISOR,
      check_on={"docker": prints("refused"), "gvisor": prints("refused")}),
    s(63, "set-user-bit", "Makes a program that runs as its owner, and looks for one.", """
        import os, stat
        found = []
        for folder, _, names in os.walk("/"):
            for name in names:
                try:
                    about = os.lstat(os.path.join(folder, name))
                except OSError:
                    continue
                if stat.S_ISREG(about.st_mode) and about.st_mode & (stat.S_ISUID | stat.S_ISGID):
                    found.append(os.path.join(folder, name))
        print(found)
        """, Status.OK, check=prints("[]"), limits={"wall_s": 20.0}),
    s(64, "walk-through-proc", "Looks for the host behind the links of /proc.", f"""
        import os
        paths = [f"/proc/{{p}}/{{name}}{SECRET_FILE}" for p in ("self", "1", "2", os.getppid()) for name in ("root", "cwd")]
        paths += [f"/proc/self/fd/{{n}}/../../../../../..{SECRET_FILE}" for n in range(9)]
        print(readable(paths))
        """, Status.OK, prelude=_READABLE, check=both(prints("[]"), hides(FILE_SECRET))),
    *(
        s(65, f"leftovers-{name}", "Looks for what another run has left, then leaves something itself.", f"""
            import os
            print([os.listdir(d) for d in ("/tmp", "/dev/shm", os.path.expanduser("~"), ".")])
            for folder in ("/tmp", "/dev/shm", os.path.expanduser("~"), "."):
                open(folder + "/left-{name}", "w").write("left")
            """, Status.OK, check=prints("[[], [], ['script.py'], ['script.py']]"))
        for name in ("first", "second")
    ),
    s(66, "room-after-a-full-disk", "Uses all the room it was promised, after others filled theirs.", """
        open("x", "wb").write(bytes(7 << 20))
        print("written")
        """, Status.OK, check=prints("written")),
    s(67, "out-of-the-root", "Climbs out of its root by open directories.", f"""
        import os
        top = os.open("/", os.O_RDONLY)
        os.fchdir(top)
        for _ in range(64):
            os.chdir("..")
        print(os.path.exists("." + "{SECRET_FILE}"), os.listdir(".") == os.listdir("/"))
        """, Status.OK, check=prints("False True")),
    s(67, "another-root", "Changes its root directory, to climb out of the old one.", """
        import os
        try:
            os.mkdir("d")
            os.chroot("d")
            print("done")
        except OSError:
            print("refused")
        """, Status.FORBIDDEN, expected_on={"gvisor": frozenset({Status.OK})},
      check_on={"gvisor": prints("refused")}),
    s(68, "settings-of-the-kernel", "Writes to the kernel's settings.", """
        import os
        written = []
        for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/overcommit_memory",
                     "/proc/self/oom_score_adj", "/proc/1/oom_score_adj", "/sys/kernel/uevent_helper", "/proc/sys/kernel/modprobe"):
            try:
                os.write(os.open(path, os.O_WRONLY), b"-1000")
                written.append(path)
            except OSError:
                pass
        print(written)
        """, Status.OK, check=prints("[]")),
    s(69, "control-groups", "Looks for control groups, to write where the host would run a program.", """
        import glob, os
        found = [path for path in glob.glob("/sys/fs/cgroup/**/*", recursive=True) if os.access(path, os.W_OK)]
        print(found)
        """, Status.OK, check=prints("[]")),
    s(70, "locks-on-shared-files", "Locks a file that all jails share, to signal to others.", """
        import fcntl, os
        opened = os.open(os.__file__, os.O_RDONLY)
        try:
            fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("an exclusive lock")
        except OSError:
            print("refused")
        """, Status.OK, check=prints("refused")),
    s(0, "null-device", "Replaces the null device, which others may write secrets to.", """
        import os
        for change in (lambda: os.unlink("/dev/null"), lambda: os.truncate("/dev/null", 9)):
            try:
                change()
            except OSError:
                pass
        open("/dev/null", "w").write("kept")
        print(repr(open("/dev/null").read()))
        """, Status.OK, check=prints("''")),
    s(0, "devices", "Looks for devices that reach the host.", """
        import os
        known = {"null", "zero", "full", "random", "urandom", "shm", "fd", "stdin", "stdout", "stderr", "ptmx", "pts", "mqueue", "core", "tty"}
        print(sorted({*os.listdir("/dev")} - known))
        """, Status.OK, check=prints("[]"), check_on={"gvisor": prints("['fuse', 'net']")}),  # its own
    v(0, "names-outside-the-image", "A pure function lists the whole file system for anything of the host.", """
        import os
        def f(x):
            return sorted({*os.listdir("/")} - {"py", "lib", "lib64", "usr", "guest", "dev", "box", "tmp", "bin", "etc", "proc", "sys", "run", ".dockerenv", "sbin", "mnt"})
        """, Status.OK, check=outputs("[]")),
    s(0, "name-that-is-no-text", "A file's name is not valid UTF-8.", """
        import os
        open(b"\\xff\\xfe", "w").write("x")
        print(os.listdir(b"."))
        """, Status.OK),
    s(0, "file-that-grows", "A child goes on writing to a file while it is brought back.", """
        import os
        open("o", "w").write("x")
        if os.fork() == 0:
            while True:
                try:
                    open("o", "a").write("x" * 4096)
                except OSError:
                    pass
        """, Status.OK, settings={"collect": ("o",)}, check=_few_bytes),
)  # fmt: skip

"""Attacks by the native code of libraries: numpy reads and writes memory at any address.

They need a library set, so no category of the suite has them: ``test_attacks_data.py`` runs them.
"""

# ruff: noqa: E501 - the sentences of the table

from __future__ import annotations

from textwrap import dedent

from executor import JudgeTask, Status, TaskType
from tests.security.cases.base import Case, judge, scores, verify

ANY = (
    Status.OK, Status.ERROR, Status.CRASHED, Status.NONDETERMINISTIC, Status.CPU_LIMIT,
    Status.WALL_LIMIT, Status.UNSERIALIZABLE, Status.MISMATCH, Status.FORBIDDEN, Status.MEMORY_LIMIT,
)  # fmt: skip
"""Whoever overwrites his own interpreter may end as anything. What counts is what others notice."""
_MEMORY = """\
import numpy as np
class At:
    def __init__(self, address, size):
        self.__array_interface__ = {
            'data': (address, False), 'shape': (size,), 'typestr': '|u1', 'version': 3}
def memory(address, size):
    return np.asarray(At(address, size))
"""


def _solver(name: str, why: str, program: str, *expected: Status) -> Case:
    """An answer that has to give two values that it cannot know."""
    task = JudgeTask(
        task=TaskType.INDUCTION, inputs=("3", "4"), outputs=("'gold-1a'", "'gold-2b'"),
        answers=(_MEMORY + dedent(program).strip("\n"),),
    )  # fmt: skip
    return judge("G", 0, name, why, task, *expected, check=scores(0.0))


CASES = (
    verify("G", 0, "array-over-the-number-three", "Overwrites the small integer 3 of its interpreter with 5.",
        """
        def f(x):
            memory(id(3), 28)[24] = 5
            return 1 + 2
        """, *ANY, prelude=_MEMORY),
    verify("G", 0, "array-over-a-type", "Fills the type of integers with zeros.",
        """
        def f(x):
            memory(id(int), 400)[:] = 0
            return x + 1
        """, *ANY, prelude=_MEMORY),
    verify("E", 0, "array-over-address-zero", "Writes to address zero.",
        """
        def f(x):
            memory(8, 8)[:] = 1
            return x
        """, Status.CRASHED, Status.ERROR, prelude=_MEMORY),
    verify("A", 0, "strides-past-the-end", "Writes a mebibyte past the end of a small array.",
        """
        def f(x):
            a = np.lib.stride_tricks.as_strided(np.zeros(1), (1 << 17,), (8,))
            a[:] = 1.0
            return x
        """, *ANY, prelude=_MEMORY),
    verify("G", 0, "array-over-a-builtin", "Has ``len`` call the C function of ``abs``, in the table that all share.",
        """
        def f(x):
            source, target = (int.from_bytes(memory(id(one) + 16, 8).tobytes(), 'little') for one in (abs, len))
            memory(target + 8, 8)[:] = memory(source + 8, 8)
            return len(-5)
        """, *ANY, prelude=_MEMORY),
    verify("F", 0, "array-that-reads-an-address", "Returns what lies at an address that differs from process to process.",
        """
        def f(x):
            return memory(id(object()) & ~0xfff, 8).tobytes().hex() + str(id(memory))
        """, Status.NONDETERMINISTIC, Status.CRASHED, prelude=_MEMORY),
    verify("C", 0, "memmap-of-the-image", "Maps a file of the library set for writing.",
        """
        def f(x):
            np.memmap(np.__file__, mode='r+')[0] = 1
        """, Status.ERROR, Status.FORBIDDEN, prelude=_MEMORY),
    verify("E", 0, "loader-of-libraries", "Loads a shared library by numpy.ctypeslib.",
        """
        def f(x):
            return str(np.ctypeslib.load_library('libc.so.6', '/lib'))
        """, Status.ERROR, Status.FORBIDDEN, prelude=_MEMORY),
    _solver("array-that-looks-for-the-solution", "Reads all pages that hold an object, and looks for what is expected.",
        """
        import gc
        def f(x):
            wanted = ('gold' + '-').encode()
            pages = {id(item) & ~0xfff for item in gc.get_objects()} | {id(x) & ~0xfff}
            for page in sorted(pages)[:20000]:
                found = memory(page, 4096).tobytes().find(wanted + (b'1' if x == 3 else b'2'))
                if found >= 0:
                    return memory(page + found, 7).tobytes().decode()
            return 'mine'
        """, Status.MISMATCH, Status.CRASHED, Status.ERROR, Status.CPU_LIMIT),
    _solver("array-over-the-core", "Gives the C functions of the core, by which results leave, those of others.",
        """
        import sys
        def f(x):
            frame = sys._getframe()
            while frame:
                core = frame.f_globals.get('core') or frame.f_locals.get('core')
                for name in dir(core) if core is not None else ():
                    item = getattr(core, name)
                    if type(item) is type(len):
                        target = int.from_bytes(memory(id(item) + 16, 8).tobytes(), 'little')
                        source = int.from_bytes(memory(id(abs) + 16, 8).tobytes(), 'little')
                        memory(target + 8, 8)[:] = memory(source + 8, 8)
                frame = frame.f_back
            return 'mine'
        """, Status.MISMATCH, Status.CRASHED, Status.ERROR),
)  # fmt: skip

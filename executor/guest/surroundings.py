"""Changes of a zygote's own memory, so that programs see what is meant to differ, and only that."""

from __future__ import annotations

import gc
import sys

TYPE_CHECKING = False  # importing typing would cost every guest memory
if TYPE_CHECKING:
    from types import CodeType

_SMALLEST, _LARGEST, _STEP = 48, 512, 16  # the sizes that the interpreter's own allocator serves
_EMPTY_BYTES = 33

_kept: list[list[bytes | None]] = []


def quiet_code() -> tuple[CodeType, ...]:
    """All code of ``typing``: it hashes what annotations consist of, for tables of its own."""
    module = sys.modules.get("typing")
    if module is None:
        return ()
    function = type(quiet_code)
    waiting = [
        found.__code__
        for found in gc.get_objects()
        if type(found) is function and found.__globals__ is vars(module)
    ]
    code = {}
    while waiting:
        part = waiting.pop()
        code[id(part)] = part
        waiting += [const for const in part.co_consts if type(const) is type(part)]
    return (*code.values(),)


def find_directories() -> None:
    """Let the import system read its directories again, whose times are others from now on."""
    from _frozen_importlib_external import PathFinder  # noqa: PLC0415

    PathFinder.find_spec("no_such_module")


def scatter() -> None:
    """Give the heap a layout that depends on the hash seed, and so on the guest's variant.

    An even or an odd number of blocks of each size is taken, and some are given back from one end
    or from the other: the next objects lie elsewhere, and in another order.
    """
    odd = hash("colour of the guest") & 1
    for size in range(_SMALLEST, _LARGEST + 1, _STEP):
        count = 16 + 2 * (hash(str(size)) & 7) + odd
        blocks: list[bytes | None] = [bytes(size - _EMPTY_BYTES) for _ in range(count)]
        _kept.append(blocks)
        given_back = list(range(0, count, 3))
        for index in reversed(given_back) if odd else given_back:
            blocks[index] = None

"""Imports modules before any program is there.

Programs have no ``ctypes``: raw memory is no business of a pure function. But sympy and pandas ask
it for the sizes of C types as they load, so where it is missing, there is something that knows
these for as long as modules are loaded.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing is not for a guest that preloads nothing
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

_FORMATS = {"c_int": "i", "c_long": "l", "c_longlong": "q", "c_size_t": "N", "c_void_p": "P"}


def load(names: Iterable[str]) -> None:
    """Import the modules. Raises ImportError if one cannot be. No other stays in sight."""
    stand_in = None if _has_ctypes() else _sizes()
    if stand_in:
        sys.modules["ctypes"] = stand_in
    for name in names:
        __import__(name)
    if stand_in:
        del sys.modules["ctypes"]


def _has_ctypes() -> bool:
    from _frozen_importlib_external import PathFinder  # noqa: PLC0415 - importlib.util would stay

    return PathFinder.find_spec("_ctypes") is not None


def _sizes() -> ModuleType:
    import struct  # noqa: PLC0415

    module = type(sys)("ctypes")
    kinds = {name: type(name, (), {"size": struct.calcsize(f)}) for name, f in _FORMATS.items()}
    kinds["c_wchar"] = type("c_wchar", (), {"size": 4})
    kinds["c_wchar_p"] = kinds["c_char_p"] = kinds["c_void_p"]
    vars(module).update(kinds, sizeof=lambda kind: kind.size, get_errno=lambda: 0)
    return module

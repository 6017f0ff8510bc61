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
    from importlib.machinery import ModuleSpec
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


class _Temporary:
    """Finds ``tempfile``, and tells it where temporary files would lie: it asks by writing one."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As the import system calls it."""
        if name != "tempfile":
            return None
        from _frozen_importlib_external import PathFinder  # noqa: PLC0415

        spec: ModuleSpec | None = PathFinder.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_tell(module: ModuleType) -> None:
                execute(module)
                module.tempdir = "/tmp"  # type: ignore[attr-defined]

            spec.loader.exec_module = execute_and_tell  # type: ignore[method-assign]
        return spec


def tell_temporary_directory() -> None:
    """Let ``tempfile.gettempdir()`` answer as anywhere, though nothing can be written."""
    sys.meta_path.insert(0, _Temporary)


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

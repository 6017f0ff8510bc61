"""Brings the guest's code into a server's sandbox, and does a pack of jobs (``guest/packed.py``).

Arguments: ``serve BUILD`` (the interpreter that compiled the code), or ``probe``, which compiles it
and says what is here. Standard input: see ``packed.py``.
"""

from __future__ import annotations

import binascii
import json
import marshal
import posix
import sys
import zlib
from _frozen_importlib import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

    Codes = dict[str, CodeType | None]

_ROOM = 150_000
_END = -1


class Finder:
    """Finds the guest's modules: by name their code, or ``None`` for a package."""

    def __init__(self, codes: Codes) -> None:
        self.codes = codes

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As the import system wants it."""
        if name in self.codes:
            loader: Any = self
            return ModuleSpec(name, loader, is_package=self.codes[name] is None)
        return None

    def create_module(self, spec: object) -> None:
        """A plain module will do."""

    def get_code(self, name: str) -> CodeType | None:
        """The code of a module, as it was shipped."""
        return self.codes[name]

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        code = self.codes[module.__name__]
        if code is not None:
            exec(code, module.__dict__)


def read(size: int) -> bytearray:
    """So many bytes of standard input."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = posix.readv(0, [view])
        if not count:
            raise SystemExit("the input was cut off")
        view = view[count:]
    return data


def compiled(sources: dict[str, str | None]) -> Codes:
    """The code of each module."""
    return {
        name: compile(source, "<guest>", "exec", 0, True, 2) if source is not None else None
        for name, source in sources.items()
    }


def probe(key: bytearray, sources: dict[str, dict[str, str | None]]) -> None:
    """Compile and import the code of each role; write it, and facts about this sandbox."""
    facts: dict[str, Any] = {"name": sys.implementation.name, "build": sys.version}
    facts["version"] = list(sys.version_info[:3])
    blobs = {}
    try:
        for role in sorted(sources):
            codes = compiled(sources[role])
            blobs[role] = marshal.dumps(codes)
            finder = Finder(codes)
            sys.meta_path.insert(0, finder)
            for name in codes:
                __import__(name)
            if role != "zygote":
                sys.meta_path.remove(finder)
                for name in codes:
                    del sys.modules[name]
        from executor.guest import packed  # noqa: PLC0415
        from executor.guest import probe as surroundings  # noqa: PLC0415

        printer = packed.Printer(key, _ROOM)
        facts.update(surroundings.look())
    except Exception as error:
        facts["failure"] = f"{type(error).__name__}: {error}"
        print("FAILURE", json.dumps(facts))
        return
    printer.line(0, json.dumps(facts).encode())
    for number, role in enumerate(sorted(blobs), 1):
        printer.line(number, blobs[role])
    printer.line(_END, b"")


def main() -> None:
    """Do what the arguments say."""
    sys.path[:] = [entry for entry in sys.path if entry]
    key = read(32)
    sizes = [int(read(10)) for _ in range(3)]
    shipped = zlib.decompress(binascii.a2b_base64(read(sizes[0])))
    if sys.argv[1] == "probe":
        probe(key, json.loads(shipped))
        return
    if sys.version != sys.argv[2]:
        raise SystemExit("another interpreter than before")
    sys.meta_path.insert(0, Finder(marshal.loads(shipped)))
    del shipped
    from executor.guest import packed  # noqa: PLC0415

    packed.serve(key, read, sizes[1], sizes[2])


if __name__ == "__main__":
    main()

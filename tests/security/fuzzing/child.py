"""One process of the fuzzer: ``MODULE FUNCTION libFuzzer's arguments...``, under atheris."""

from __future__ import annotations

import importlib
import sys

import atheris

from tests.security.fuzzing.registry import ABOUT


def main() -> None:

    module, function, *arguments = sys.argv[1:]
    others = ABOUT[function].others() if function in ABOUT else []
    # Also what the target itself does: a promise that is nearly broken is worth going on from.
    with atheris.instrument_imports(include=["executor", module], exclude=others):
        target = getattr(importlib.import_module(module), function)
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

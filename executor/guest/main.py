"""Entry point of a guest process: ``main.py ROLE key=value...``; the roles are those below."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing is not for a guest
if TYPE_CHECKING:
    from executor.guest.zygote import Slots


def _slots(options: dict[str, str]) -> Slots | None:
    from executor.guest.zygote import Slots  # noqa: PLC0415

    if "proc" not in options:
        return None
    return Slots(
        options["proc"],
        audit=int(options.get("audit", "0")),
        costs=options.get("costs") == "1",
        trial=options.get("trial") == "1",
    )


def _default_signals() -> None:
    """Ignore and block no signal because whoever started us did (``nohup`` does, for one)."""
    import _signal  # noqa: PLC0415 - in C, and there

    kept = (_signal.SIGPIPE, _signal.SIGXFSZ)  # the interpreter ignores these itself
    for number in range(1, _signal.NSIG):
        if number not in kept and _signal.getsignal(number) == _signal.SIG_IGN:
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def main(arguments: list[str]) -> None:
    """Start the role that the host asked for."""
    _default_signals()
    role, *pairs = arguments
    options = dict(pair.split("=", 1) for pair in pairs)
    package_root = options.get("root", "/guest")
    sys.path.insert(0, package_root)
    if role == "zygote":
        from executor.guest import zygote  # noqa: PLC0415

        zygote.serve(
            preload=[name for name in options.get("preload", "").split(",") if name],
            locked=options.get("locked") == "1",
            token=options.get("token", "guest"),
            root=package_root,
            slots=_slots(options),
        )
    elif role == "script":
        from executor.guest import warm_script  # noqa: PLC0415

        warm_script.serve(
            preload=[name for name in options.get("preload", "").split(",") if name],
            root=package_root,
        )
    elif role == "jail":
        from executor.guest import jail  # noqa: PLC0415

        jail.serve(bytes.fromhex(options["filter"]))
    elif role == "shielded":
        from executor.guest import script, seccomp  # noqa: PLC0415
        from executor.guest.core import core  # noqa: PLC0415

        core.confine(seccomp.shield())
        script.main()
    elif role == "parser":
        from executor.guest import parser  # noqa: PLC0415

        parser.serve(locked=options.get("locked") == "1")
    else:
        raise SystemExit(f"unknown role {role!r}")


if __name__ == "__main__":
    main(sys.argv[1:])

#!/bin/sh
# Installs what is needed (with the trainer: several GB), then checks style, types and behaviour.
# Arguments go to pytest:
#     sh scripts/test.sh [pytest arguments]
# Fails if any check fails; pytest comes last, so its summary is the last line.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/scripts/setup.sh" trainer
cd "$root"
python=$root/.venv/bin/python
failed=0

check() {
    printf '== %s\n' "$*"
    "$python" -m "$@" || failed=1
}

check ruff check .
check ruff format --check .
check mypy
[ "$failed" = 0 ] || printf '== style or types are not clean (see above): this run will fail\n'
check pytest "$@"
exit "$failed"

#!/bin/sh
# Runs tests under coverage, and shows by package which lines and branches they reach:
#     sh scripts/coverage.sh [pytest arguments]
# Without arguments: the tests of scripts/test.sh fast. Needs .venv (sh scripts/setup.sh dev). The host's
# processes are measured, those that tests start too; what runs inside a sandbox cannot be.
# build/coverage/ keeps the data: .venv/bin/coverage report -m, or coverage html, tell more.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
python=$root/.venv/bin/python
cores=$(nproc)

[ $# -gt 0 ] || set -- -m 'not (docker or browser or docs or verl or long)'

rm -rf build/coverage
mkdir -p build/coverage
failed=0
"$python" -m coverage run -m pytest -n "${TEST_PROCESSES:-$cores}" --dist loadfile --no-loadscope-reorder \
    "$@" || failed=1
"$python" -m coverage combine -q
"$python" -m coverage json -q -o build/coverage/report.json
"$python" scripts/coverage_by_package.py build/coverage/report.json
exit "$failed"

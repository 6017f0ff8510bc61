#!/bin/sh
# Style, types, shell scripts and workflows: everything that is checked without running the project.
# Needs .venv with the extra "dev" (sh scripts/setup.sh dev). Fails if any check fails.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
bin=$root/.venv/bin
failed=0

check() {
    printf '== %s\n' "$*"
    name=$1
    shift
    "$bin/$name" "$@" || failed=1
}

check ruff check .
check ruff format --check .
check mypy
check shellcheck scripts/*.sh .ci/run
check check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
check check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
# All forms; config.yml is none.
check check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
check check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
exit "$failed"

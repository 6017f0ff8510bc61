#!/bin/sh
# Installs what is needed and runs the main job on the example files that come with the project:
#     sh scripts/demo.sh
# Results go to demo-output/ in the checkout.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
if [ "$(uname -s)" != Linux ]; then
    printf 'demo: only for Linux: some examples are attacks, not to be run without isolation\n' >&2
    exit 2
fi
sh "$root/scripts/setup.sh" user
cd "$root"
python=$root/.venv/bin/python
examples=executor/examples
out=demo-output

step() {
    printf '\n$ python -m executor %s\n' "$*"
    "$python" -m executor "$@"
}

mkdir -p "$out"
step verify --cpu-s 2 $examples/triplets.jsonl --out $out/verdicts.jsonl
step verify $examples/errors.jsonl --error-task --out $out/error-verdicts.jsonl
step judge $examples/answers.jsonl --out $out/scores.jsonl
step run $examples/script.py

printf '\nResults are in %s\n' "$root/$out"
"$python" scripts/compare_examples.py $out/verdicts.jsonl $out/error-verdicts.jsonl $out/scores.jsonl

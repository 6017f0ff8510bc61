#!/bin/sh
# For the day a GPU is at hand: does everything work on it? Within ten minutes, and one table.
#     sh scripts/gpu_smoke.sh MODEL [key=value ...]
# MODEL is a folder in Hugging Face format, such as Qwen2.5-Coder-1.5B. Five short steps of
# preset=single_gpu_80gb, killed after the third, gone on with, and converted: times of the phases,
# memory, and the difference of rollout and trainer. Everything is left in smoke-output/.
set -eu

if [ $# -lt 1 ]; then
    printf 'usage: sh scripts/gpu_smoke.sh MODEL [key=value ...]\n' >&2
    exit 2
fi
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
model=$1
shift
python=${PYTHON:-$root/.venv/bin/python}
out=${OUT:-$root/smoke-output}
if command -v nvidia-smi >/dev/null 2>&1; then
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
fi
exec "$python" -m trainer tools smoke "$out" "actor_rollout_ref.model.path=$model" "$@"

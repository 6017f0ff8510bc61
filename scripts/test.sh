#!/bin/sh
# Installs what is needed (with the trainer: several GB), then checks style, types and behaviour.
# Arguments go to pytest:
#     sh scripts/test.sh [pytest arguments]
# TEST_PROCESSES: how many processes share the tests without veRL; by default as many as cores, at
# most 4. Those with veRL follow, one by one: each starts processes of its own.
# As root on Debian or Ubuntu it installs missing system packages, and starts a Docker engine for the
# tests that need one, which ends with it. Else those tests are skipped, and say why; if CI is set, they
# fail. Fails if any check fails; the tests come last.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
python=$root/.venv/bin/python
failed=0
cores=$(nproc)
processes=${TEST_PROCESSES:-$((cores < 4 ? cores : 4))}

check() {
    printf '== %s\n' "$*"
    "$python" -m "$@" || failed=1
}

# One of two calls of pytest: exit code 5 says that it has chosen no test, which is no failure.
run_tests() {
    printf '== pytest\n'
    code=0
    "$python" -m pytest "$@" || code=$?
    [ "$code" = 0 ] || [ "$code" = 5 ] || failed=1
}

# Without these some tests are skipped, and say so.
install_tools() {
    missing=
    for pair in chromium:chromium chromedriver:chromium-driver promtool:prometheus; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        printf 'test: not installed:%s (tests that need them are skipped)\n' "$missing" >&2
        return 0
    fi
    printf 'test: installing%s with apt-get\n' "$missing" >&2
    apt-get -qq update >/dev/null || true
    # RUNLEVEL: no service is started. The names must be split.
    # shellcheck disable=SC2086
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        $missing >/dev/null || printf 'test: apt-get could not install%s\n' "$missing" >&2
}

# Sets DOCKER_HOST, if an engine can be had.
start_engine() {
    sh scripts/engine.sh install || true
    settings=$(sh scripts/engine.sh start) || return 0
    eval "$settings"
}

build_images() {
    [ -n "${DOCKER_HOST:-}" ] || return 0
    base=
    if sh scripts/make_base_image.sh; then base=BASE=absolute-zero-base:local; fi
    for pair in stdlib:latest data:data; do
        printf 'test: building the guest image (%s)\n' "${pair%:*}" >&2
        docker build -q ${base:+--build-arg "$base"} -t "absolute-zero-guest:${pair#*:}" \
            -f sandbox_images/guest/Dockerfile --target "${pair%:*}" . \
            >"$root/build/guest-image.log" 2>&1 || tail -n 5 "$root/build/guest-image.log" >&2
    done
}

ENGINE_STARTED=
images=
stop() {
    [ -z "$images" ] || kill "$images" 2>/dev/null || true
    [ -z "$ENGINE_STARTED" ] || sh scripts/engine.sh stop
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p build
install_tools
start_engine
sh scripts/setup.sh trainer
build_images &
images=$!
check ruff check .
check ruff format --check .
check mypy
wait "$images" || true
images=
[ "$failed" = 0 ] || printf '== style or types are not clean (see above): this run will fail\n'
run_tests -m 'not verl' -n "$processes" --dist loadfile --no-loadscope-reorder "$@"
run_tests -m verl "$@"
exit "$failed"

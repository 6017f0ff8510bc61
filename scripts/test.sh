#!/bin/sh
# Installs what is needed, then checks style, types and behaviour:
#     sh scripts/test.sh [fast|docker|all] [pytest arguments]
# Each size holds the one before it. What a test needs is said by its marks (pyproject.toml).
#   fast    without Docker engine, browser, site, veRL and what takes minutes; what to run while working
#   docker  all but what needs veRL, which is several GB
#   all     everything; without a word for the size it is this one
# For example: sh scripts/test.sh fast tests/grammar
# TEST_PROCESSES: how many processes share the tests; by default two more than there are cores, at
# most 5, since many tests wait. Each file stays in one process, and two training runs go at a time.
# As root on Debian or Ubuntu it installs missing system packages and starts a Docker engine, which
# ends with it, where the size wants them. Else the tests that need these are skipped, and say why; if
# CI is set, they fail. Fails if any check fails; the tests come last.
set -eu

size=all
case ${1:-} in
    fast | docker | all)
        size=$1
        shift
        ;;
esac
case $size in
    fast) installed=dev chosen='not (docker or browser or docs or verl or long)' ;;
    docker) installed=dev chosen='not verl' ;;
    all) installed=trainer chosen= ;;
esac

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"
python=$root/.venv/bin/python
failed=0
cores=$(nproc)
processes=${TEST_PROCESSES:-$((cores < 3 ? cores + 2 : 5))}

# Without these some tests are skipped, and say so.
install_tools() {
    missing=
    for pair in chromium:chromium chromedriver:chromium-driver promtool:prometheus redis-server:redis-server; do
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

build() {
    printf 'test: building the image of %s\n' "$1" >&2
    shift
    "$@" >build/image.log 2>&1 || tail -n 5 build/image.log >&2
}

build_images() {
    base=
    if sh scripts/make_base_image.sh; then base=absolute-zero-base:local; fi
    for pair in stdlib:latest libraries:data; do
        build "guests (${pair%:*})" docker build -q ${base:+--build-arg "BASE=$base"} \
            -t "absolute-zero-guest:${pair#*:}" \
            -f sandbox_images/guest/Dockerfile --target "${pair%:*}" .
    done
    [ -z "$base" ] || build "the service" env BASE_IMAGE=$base docker-compose build executor
}

ENGINE_STARTED=
images=
# shellcheck disable=SC2329 # the trap calls it
stop() {
    [ -z "$images" ] || kill "$images" 2>/dev/null || true
    [ -z "$ENGINE_STARTED" ] || sh scripts/engine.sh stop
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p build
if [ "$size" != fast ]; then
    install_tools
    start_engine
fi
sh scripts/setup.sh dev
if [ "$size" != fast ] && [ -n "${DOCKER_HOST:-}" ]; then
    build_images &
    images=$!
fi
sh scripts/setup.sh "$installed"
sh scripts/lint.sh || failed=1
[ -z "$images" ] || wait "$images" || true
images=
[ "$failed" = 0 ] || printf '== style or types are not clean (see above): this run will fail\n'
printf '== pytest\n'
"$python" -m pytest ${chosen:+-m "$chosen"} -n "$processes" --dist loadfile --no-loadscope-reorder \
    "$@" || failed=1
exit "$failed"

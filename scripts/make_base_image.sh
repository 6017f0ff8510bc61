#!/bin/sh
# Makes a base image for the project's Dockerfiles where no registry can be reached: Debian by
# debootstrap, and the CPython 3.12 that runs the project. As root on Debian or Ubuntu; the engine
# is the one that DOCKER_HOST names (see engine.sh).
#     sh scripts/make_base_image.sh     then: docker build --build-arg BASE=absolute-zero-base:local
# The host's certificates and pip's settings go into the image, so that builds reach what the host
# reaches, and Dockerfiles need not know. An image of the same content is not made again.
set -eu

name=absolute-zero-base:local
suite=${SUITE:-bookworm}
mirror=${MIRROR:-}  # empty: the one that debootstrap takes by itself
packages=ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libnsl2,libreadline8,libsqlite3-0,libssl3,libuuid1,netbase,tzdata,zlib1g
layout=1

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
bundle=/etc/ssl/certs/ca-certificates.crt

say() { printf 'base image: %s\n' "$*" >&2; }
give_up() { say "$*"; exit 2; }

"$python" -c 'import sys; raise SystemExit(sys.version_info[:2] != (3, 12))' 2>/dev/null ||
    give_up "$python is not a Python 3.12: run scripts/setup.sh, or name one in PYTHON"
prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
[ "$prefix" != /usr ] || give_up "Python must have a prefix of its own, not /usr"

content=$({
    echo "$layout $suite $mirror $packages $prefix"
    "$python" -VV
    env | grep '^PIP_' | sort
    cat /etc/pip.conf "$bundle" 2>/dev/null
} | cksum | cut -d' ' -f1)
if [ "$(docker image inspect -f '{{index .Config.Labels "content"}}' $name 2>/dev/null)" = "$content" ]; then
    exit 0
fi
docker version >/dev/null 2>&1 || give_up "no Docker engine answers: eval \"\$(sh scripts/engine.sh start)\""
command -v debootstrap >/dev/null 2>&1 || give_up "debootstrap is not installed: apt-get install debootstrap"
[ "$(id -u)" = 0 ] || give_up "debootstrap needs root"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
rootfs=$work/rootfs
# The archive outlives the image: debootstrap takes most of the time, and its result changes little.
archive=$root/build/base-$suite-$(printf '%s' "$mirror $packages" | cksum | cut -d' ' -f1).tar

if [ ! -s "$archive" ]; then
    say "debootstrap of Debian $suite ${mirror:+from $mirror }(about a minute)"
    debootstrap --variant=minbase --include="$packages" "$suite" "$rootfs" ${mirror:+"$mirror"} \
        >"$work/debootstrap.log" 2>&1 || { tail -n 5 "$work/debootstrap.log" >&2; give_up "debootstrap failed"; }
    rm -rf "$rootfs"/var/cache/apt/archives/*.deb "$rootfs"/var/lib/apt/lists/* \
        "$rootfs"/usr/share/doc/* "$rootfs"/usr/share/man/* "$rootfs"/usr/share/locale/*
    mkdir -p "$root/build"
    tar -C "$rootfs" -cf "$archive.part" --exclude=./dev --exclude=./proc --exclude=./sys .
    mv "$archive.part" "$archive"
    rm -rf "$rootfs"
fi
mkdir "$rootfs"
tar -C "$rootfs" -xf "$archive"

say "adding $("$python" -VV | head -n 1) from $prefix"
target=$rootfs/usr/local
mkdir -p "$target/lib/host"
tar -C "$prefix" -cf - --exclude=__pycache__ --exclude=lib/python3.12/test --exclude='*.a' \
    --exclude=lib/python3.12/site-packages bin/python3.12 lib/python3.12 include/python3.12 |
    tar -C "$target" -xf -
mkdir -p "$target/lib/python3.12/site-packages"
for library in "$prefix"/lib/libpython3*.so*; do
    [ ! -e "$library" ] || cp -a "$library" "$target/lib/"
done
for alias in python3 python; do ln -sf python3.12 "$target/bin/$alias"; done

# What the interpreter was linked against, if Debian's packages did not bring it.
find "$prefix/bin/python3.12" "$prefix/lib/python3.12/lib-dynload" -type f -exec ldd {} + 2>/dev/null |
    sed -n 's/^\s*\(\S*\) => \(\/\S*\) .*/\1 \2/p' | sort -u | while read -r file path; do
        find "$rootfs/lib/" "$rootfs/usr/lib/" "$target/lib" -name "$file" | grep -q . ||
            cp -L "$path" "$target/lib/host/$file"
    done
printf '/usr/local/lib\n/usr/local/lib/host\n' >"$rootfs/etc/ld.so.conf.d/local.conf"
chroot "$rootfs" /sbin/ldconfig
chroot "$rootfs" /usr/local/bin/python3.12 -c 'import ctypes, sqlite3, ssl, zlib, bz2, lzma' ||
    give_up "the interpreter does not work in the image"
chroot "$rootfs" /usr/local/bin/python3.12 -m ensurepip --upgrade >/dev/null 2>&1 ||
    give_up "pip cannot be installed in the image"

set -- --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/bin:/usr/sbin:/sbin' \
    --change 'ENV LANG=C.UTF-8' --change "LABEL content=$content" --change 'CMD ["python3"]'
if [ -s "$bundle" ]; then
    cp -L "$bundle" "$rootfs$bundle"
    set -- "$@" --change "ENV PIP_CERT=$bundle"
fi
# Not PIP_FIND_LINKS and the like: paths of the host mean nothing in the image.
for setting in "PIP_INDEX_URL=${PIP_INDEX_URL:-}" "PIP_TRUSTED_HOST=${PIP_TRUSTED_HOST:-}" \
    "PIP_DEFAULT_TIMEOUT=${PIP_DEFAULT_TIMEOUT:-}"; do
    [ -z "${setting#*=}" ] || set -- "$@" --change "ENV $setting"
done
say "importing"
tar -C "$rootfs" -cf - . | docker import "$@" - "$name" >/dev/null

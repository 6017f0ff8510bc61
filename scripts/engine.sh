#!/bin/sh
# A Docker engine for tests and builds, with gVisor as a second runtime. Debian or Ubuntu, as root.
#     sh scripts/engine.sh start     prints DOCKER_HOST=ADDRESS: eval "$(sh scripts/engine.sh start)"
#                                    and ENGINE_STARTED=yes if no engine answered before
#     sh scripts/engine.sh stop      ends the engine that `start` started, and nothing else
#     sh scripts/engine.sh install   installs the Debian packages that are missing
# An engine that answers already (at $DOCKER_HOST, else at /var/run/docker.sock) is used as it is.
#   ENGINE_DIR       where the engine keeps everything; default: build/engine in the checkout
#   ENGINE_NETWORK   "none": no bridge, no firewall rules, a network namespace of its own (else it
#                    would remove another engine's bridge); builds then have no network
# Exit status: 0 done, 2 no engine can be had (said in plain words).
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
dir=${ENGINE_DIR:-$root/build/engine}
network=${ENGINE_NETWORK:-bridge}
patience_s=60

say() { printf 'engine: %s\n' "$*" >&2; }
give_up() { say "$*"; exit 2; }
PATH=$PATH:/usr/sbin:/sbin

answers() { DOCKER_HOST=$1 timeout 10 docker version >/dev/null 2>&1; }

# The socket's path must be short (107 bytes), so it is not below the engine's directory.
run_dir() { printf '/tmp/executor-engine-%s' "$(printf '%s' "$dir" | cksum | cut -d' ' -f1)"; }

install_packages() {
    missing=
    for pair in dockerd:docker.io docker:docker.io debootstrap:debootstrap runsc:runsc \
        docker-compose:docker-compose iptables:iptables; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        give_up "missing:$missing. On Debian and Ubuntu: sudo apt-get install$missing"
    fi
    say "installing$missing with apt-get"
    apt-get -qq update >/dev/null || true
    # The packages' own services stay off: the engine here is started by this script alone.
    # shellcheck disable=SC2086
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        $missing >/dev/null || give_up "apt-get could not install$missing"
}

write_configuration() {
    runtimes=
    runsc=$(command -v runsc || true)
    # Debian's gVisor is old: it knows the ptrace platform only, and no network of Docker's.
    [ -z "$runsc" ] || runtimes="\"runsc\": {\"path\": \"$runsc\",
        \"runtimeArgs\": [\"--network=none\", \"--platform=ptrace\"]}"
    bridge=
    [ "$network" != none ] || bridge='"bridge": "none", "iptables": false, "ip-forward": false,'
    cat >"$dir/daemon.json" <<END
{
    $bridge
    "data-root": "$dir/data",
    "exec-root": "$run/exec",
    "pidfile": "$run/dockerd.pid",
    "hosts": ["unix://$run/docker.sock"],
    "runtimes": {$runtimes},
    "log-level": "warn"
}
END
}

has_link() { [ -e /sys/class/net/docker0 ]; }
has_rules() { iptables -S 2>/dev/null | grep -q '^-N DOCKER'; }

# Control groups version 1: all containers together weigh as much as one process beside them, so
# that those of tests starve while other tests run. The engine takes the group as it finds it.
give_weight() {
    group=/sys/fs/cgroup/cpu/docker
    [ -d "${group%/*}" ] && mkdir -p "$group" && echo 8192 >"$group/cpu.shares"
}

start_engine() {
    command -v dockerd >/dev/null 2>&1 ||
        give_up "dockerd is not installed: sh scripts/engine.sh install (or apt-get install docker.io)"
    [ "$(id -u)" = 0 ] || give_up "an engine can be started by root only"
    mkdir -p "$dir" "$run"
    chmod 711 "$run"
    write_configuration
    give_weight 2>/dev/null || true
    rm -f "$run/had-bridge"
    if has_link || has_rules; then : >"$run/had-bridge"; fi
    apart=
    [ "$network" != none ] || apart='unshare --net'
    # shellcheck disable=SC2086
    setsid $apart dockerd --config-file "$dir/daemon.json" >"$dir/dockerd.log" 2>&1 </dev/null &
    daemon=$!
    for _ in $(seq $((patience_s * 5))); do
        if answers "unix://$run/docker.sock"; then return 0; fi
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 5 "$dir/dockerd.log" >&2
    stop_engine
    give_up "dockerd did not start (its log: $dir/dockerd.log)"
}

start() {
    if [ -z "${ENGINE_DIR:-}" ]; then
        for address in ${DOCKER_HOST:-} unix:///var/run/docker.sock; do
            if answers "$address"; then
                printf 'DOCKER_HOST=%s; export DOCKER_HOST\n' "$address"
                return 0
            fi
        done
    fi
    started=
    if ! answers "unix://$run/docker.sock"; then
        start_engine
        started='; ENGINE_STARTED=yes'
    fi
    printf 'DOCKER_HOST=unix://%s/docker.sock; export DOCKER_HOST%s\n' "$run" "$started"
}

end_process() {
    kill -TERM "$1" 2>/dev/null || return 0
    for _ in $(seq 150); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
}

# Containers outlive a killed dockerd, below shims that name this engine's directory.
end_containers() {
    for proc in /proc/[0-9]*; do
        if { tr '\0' ' ' <"$proc/cmdline"; } 2>/dev/null | grep -qF "$run/exec"; then
            kill -KILL "${proc#/proc/}" 2>/dev/null || true
        fi
    done
}

unmount_all() {
    # Deepest first.
    cut -d' ' -f2 /proc/mounts | grep -F -e "$dir/data" -e "$run/exec" | sort -r |
        while read -r mounted; do umount -l "$mounted" 2>/dev/null || true; done
}

remove_network() {
    [ ! -e "$run/had-bridge" ] || return 0
    has_link && ip link delete docker0 2>/dev/null
    has_rules || return 0
    for table in nat filter; do
        iptables -t "$table" -S | sed -n 's/^-A \(.*DOCKER.*\)/-D \1/p; s/^-A \(.*172\.17\..*\)/-D \1/p;
            s/^-A \(FORWARD.*docker0.*\)/-D \1/p' | while read -r rule; do
            # shellcheck disable=SC2086
            iptables -t "$table" $rule 2>/dev/null || true
        done
        for chain in $(iptables -t "$table" -S | sed -n 's/^-N \(DOCKER[^ ]*\)/\1/p'); do
            iptables -t "$table" -F "$chain" 2>/dev/null || true
        done
        for chain in $(iptables -t "$table" -S | sed -n 's/^-N \(DOCKER[^ ]*\)/\1/p'); do
            iptables -t "$table" -X "$chain" 2>/dev/null || true
        done
    done
    iptables -P FORWARD ACCEPT 2>/dev/null || true
}

stop_engine() {
    [ -d "$run" ] || return 0
    pid=$(cat "$run/dockerd.pid" 2>/dev/null || true)
    if [ -n "$pid" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir/daemon.json"; then
        # Containers first: gVisor's do not always end with the engine.
        left=$(DOCKER_HOST=unix://$run/docker.sock timeout 20 docker ps -aq 2>/dev/null || true)
        # shellcheck disable=SC2086
        [ -z "$left" ] || DOCKER_HOST=unix://$run/docker.sock timeout 60 docker rm -f $left \
            >/dev/null 2>&1 || true
        end_process "$pid"
    fi
    end_containers
    unmount_all
    [ "$network" = none ] || remove_network
    rm -rf "$run"
}

run=$(run_dir)
case ${1:-} in
    start) start ;;
    stop) stop_engine ;;
    install) install_packages ;;
    *) give_up "usage: sh scripts/engine.sh start|stop|install" ;;
esac

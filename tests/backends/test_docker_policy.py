"""What containers may do: the tables say so, and the engine confirms it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from executor import Executor, Limits
from executor.backends.base import GUEST_PROCESSES, OVERHEAD_BYTES
from executor.backends.docker import options as policy
from executor.backends.host.owner import is_gone, this_process
from tests.support.engines import engine_client, own_containers, require, why_no_engine

DANGEROUS = [
    "ptrace",
    "bpf",
    "mount",
    "umount2",
    "pivot_root",
    "setns",
    "unshare",
    "keyctl",
    "add_key",
    "init_module",
    "kexec_load",
    "perf_event_open",
    "io_uring_setup",
    "userfaultfd",
    "process_vm_readv",
    "open_by_handle_at",
    "reboot",
    "swapon",
    "syslog",
    "chroot",
]


def allowed(profile: str) -> dict[str, list[list[dict[str, Any]]]]:
    """The calls that a profile lets through, with the conditions on their arguments."""
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for rule in json.loads(profile)["syscalls"]:
        if rule["action"] == "SCMP_ACT_ALLOW":
            for name in rule["names"]:
                found.setdefault(name, []).append(rule["args"])
    return found


@pytest.mark.parametrize("profile", [policy.guest_profile(), policy.script_profile()])
def test_profiles_deny_what_they_do_not_name(profile: str) -> None:
    assert json.loads(profile)["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not allowed(profile).keys() & set(DANGEROUS)


@pytest.mark.parametrize(
    ("profile", "sockets"), [(policy.guest_profile(), {1}), (policy.script_profile(), {1, 2, 10})]
)
def test_new_namespaces_and_other_sockets_are_denied(profile: str, sockets: set[int]) -> None:
    calls = allowed(profile)
    assert [args[0]["value"] for args in calls["clone"]] == [0x7E020000]
    assert [args[0]["valueTwo"] for args in calls["clone"]] == [0]
    families = {
        args[0]["valueTwo"] if "valueTwo" in args[0] else args[0]["value"]
        for args in calls["socket"]
    }
    assert families == sockets  # AF_UNIX; AF_INET and AF_INET6 as far as TCP and UDP
    assert "clone3" not in calls


def test_a_script_may_close_its_memory_and_not_open_it() -> None:
    closing = [
        [arg["valueTwo"] for arg in args]
        for args in allowed(policy.script_profile())["prctl"]
        if args[0]["valueTwo"] == 4
    ]
    assert closing == [[4, 0]]


def test_dangerous_calls_kill_a_script() -> None:
    killing = {
        name
        for rule in json.loads(policy.script_profile())["syscalls"]
        if rule["action"] == "SCMP_ACT_KILL_PROCESS"
        for name in rule["names"]
    }
    assert set(DANGEROUS) <= killing


@pytest.mark.docker
async def test_the_engine_holds_guests_as_the_table_says() -> None:
    require(why_no_engine())
    async with Executor("docker", workers=2, limits=Limits(memory_mib=100)):
        with engine_client() as client:
            found = [client.api.inspect_container(name) for name in own_containers()]
    assert found
    for container in found:
        host = container["HostConfig"]
        assert container["Config"]["User"] == "65534:65534"
        assert (host["Privileged"], host["ReadonlyRootfs"]) == (False, True)
        assert host["NetworkMode"] == "none"
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert host["Memory"] == host["MemorySwap"] == (100 << 20) + OVERHEAD_BYTES
        assert host["PidsLimit"] == GUEST_PROCESSES
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert set(policy.ONLY_FOR_SCRIPTS) <= set(host["MaskedPaths"])
        assert not host["Devices"]


def test_a_process_knows_itself_and_whether_others_are_gone() -> None:
    host, pid, start = this_process().rsplit(".", 2)
    assert not is_gone(this_process())
    assert is_gone(f"{host}.{pid}.{int(start) + 1}")
    assert is_gone(f"{host}.{2**22 + 1}.{start}")


@pytest.mark.parametrize("name", ["", "x", "0-0.1.2.3", "../../x.1.1.1"])
def test_nobody_can_tell_whether_an_owner_on_another_host_is_gone(name: str) -> None:
    assert not is_gone(name)

"""The protections, and how each is switched off: see ``mutation.py``.

A mutation is a few substitutions of text, and the tests that should notice it: files or tests below
``tests/``, and names of attacks (``attacks``, run on nsjail). A substitution is made in a definition
that it names, where its text must fit exactly once. To add one, add a row.
"""

# ruff: noqa: E501 - sources are quoted as they are
from __future__ import annotations

from typing import NamedTuple


class Change(NamedTuple):
    """A substitution in one definition of a file below ``executor/``."""

    file: str
    within: str
    """A function, ``Class.method`` or a constant."""
    old: str
    """What is replaced; white space does not count."""
    new: str


class Mutation(NamedTuple):
    """One protection, off."""

    name: str
    what: str
    """What is done to it, for the table."""
    changes: tuple[Change, ...]
    tests: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    essential: bool = False
    """Nothing runs at all without it: then it is the control that fails."""


WALLS = "guest/test_walls.py"
REFUSALS = "guest/test_refused_calls.py"
GAPS = "security/test_gaps.py"
CHANCE = "guest/test_nondeterminism.py"
SOURCES = "guest/test_sources.py"
SCRIPT_WALLS = "guest/test_script_walls.py"
SCRIPT_GUEST = "backends/test_script_guest.py"
FRAMES = "guest/test_frames.py"
LEAKS = "guest/test_reset_leaks.py"
SLOT_FILTERS = "guest/test_slot_filters.py"
HOLES = "security/test_holes_scripts.py"
WAIVERS = "service/test_waivers.py"

NSJAIL = "backends/nsjail/backend.py"
FORKS = "guest/core/forks.c"
FRAMES_C = "guest/core/frames.c"
SCRIPTS = "guest/core/scripts.c"
CLOCK = "guest/core/clock.c"
SLOTS = "guest/core/slots.c"
MEMORY = "guest/core/memory.c"
SCAN = "guest/core/scan.c"
SECCOMP = "guest/seccomp.py"
SCRIPT = "guest/script.py"
JAIL = "guest/jail.py"
PROGRAM = "guest/program.py"
ENCODE = "grammar/encode.py"
DECODE = "grammar/decode.py"
LITERALS = "grammar/literals.py"
BUDGET = "verification/budget.py"
PARSER = "guest/parser.py"
BASE = "backends/base.py"


def jail(setting: str) -> Change:
    """A setting of all jails."""
    return Change(NSJAIL, "base_config", 'name="guest",', f'name="guest", {setting},')


def namespace(name: str, *more: Change) -> Mutation:
    test = f"{GAPS}::test_every_guest_has_namespaces_of_its_own"
    return Mutation(f"{name} namespace", "not made", (jail(f"clone_new{name}=False"), *more),
                    (test,))  # fmt: skip


def inner(name: str) -> Mutation:
    """A namespace that a warm jail makes for each script."""
    test = f"{GAPS}::test_every_guest_has_namespaces_of_its_own"
    flag = f"os.CLONE_NEW{name.upper()}"
    full = "os.CLONE_NEWPID | os.CLONE_NEWNS | os.CLONE_NEWNET | os.CLONE_NEWIPC | os.CLONE_NEWUTS"
    left = " | ".join(each for each in full.split(" | ") if each != flag)
    return Mutation(f"{name} namespace of each script", "not made anew",
                    (Change(JAIL, "_NAMESPACES", full, left),),
                    (test,))  # fmt: skip


def budget(name: str, what: str, change: Change, test: str) -> Mutation:
    return Mutation(name, what, (change,), (f"security/test_holes_budgets.py::{test}",))


def small(name: str, what: str, change: Change, test: str) -> Mutation:
    return Mutation(name, what, (change,), (f"security/test_holes_small.py::{test}",))


MUTATIONS: tuple[Mutation, ...] = (
    # ---- namespaces and mounts --------------------------------------------------------------
    namespace("user"), namespace("pid"), namespace("net"), namespace("ipc"), namespace("uts"),
    namespace("cgroup"),
    Mutation("mount namespace", "not made", (jail("clone_newns=False"),), essential=True),
    inner("pid"), inner("net"), inner("ipc"), inner("uts"),
    Mutation("read-only root", "the image is writable",
             (Change(NSJAIL, "base_config", 'dst="/", is_bind=True, rw=False', 'dst="/", is_bind=True, rw=True'),),
             (f"{GAPS}::test_the_root_of_every_guest_is_read_only",)),
    Mutation("no network device", "the loopback device is up",
             (Change(NSJAIL, "base_config", "iface_no_lo=True", "iface_no_lo=False"),),
             (f"{GAPS}::test_no_network_device_is_up_but_the_loopback_device_of_a_script",)),
    Mutation("no /proc", "mounted",
             (Change(NSJAIL, "base_config", 'for path in (f"/dev/{name}" for name in devices) ),', "for path in (f'/dev/{name}' for name in devices)), MountPt(dst='/tmp', fstype='proc'),"),),
             (f"{GAPS}::test_the_root_of_every_guest_is_read_only", WALLS)),
    Mutation("covered ctypes", "programs can import it",
             (Change(NSJAIL, "_hidden_modules", "not image.accelerated", "True"),), (WALLS,)),
    # ---- system calls and privileges ---------------------------------------------------------
    Mutation("filter of programs", "what is not in the table is allowed",
             (Change("guest/seccomp.py", "build", 'program.jump("kill")', 'program.jump("allow")'),), (WALLS,)),
    Mutation("capability of the zygote", "its calls are open to programs",
             (Change("guest/seccomp.py", "_capability_check", "program.jump(otherwise)", "program.add(_RETURN, _ALLOW)"),), (WALLS,)),
    Mutation("files to read only", "programs may open files to write",
             (Change("guest/seccomp.py", "_checks", "program.add(_JUMP_ANY_BIT, _WRITING, 1, 0)", "program.add(_JUMP_ANY_BIT, 0, 1, 0)"),), (REFUSALS,)),
    Mutation("handler of refused calls", "programs may put their own in its place",
             (Change("guest/seccomp.py", "build", 'program.jump_if_equal(_RT_SIGACTION, "handler")', "pass"),), (REFUSALS,)),
    Mutation("filter of scripts", "what is not in the policy is allowed",
             (Change("backends/seccomp/bpf.py", "_decide", "program.append((_RETURN, 0, 0, _KILL_PROCESS))", "program.append((_RETURN, 0, 0, _ALLOW))"),), (), ("ptrace", "bpf", "io-uring")),
    Mutation("sockets of scripts", "all families",
             (Change("backends/seccomp/run_policy.py", "RUN_POLICY", "socket { family == AF_UNIX", "socket, socket { family == AF_UNIX"),), (),
             ("raw-socket", "netlink-socket", "packet-socket")),
    Mutation("namespaces of scripts", "clone may make new ones",
             (Change("backends/seccomp/run_policy.py", "RUN_POLICY", "clone { (clone_flags & NEW_NAMESPACES) == 0 }", "clone"),), (), ("fork-into-a-namespace", "user-namespace")),
    Mutation("no capabilities", "those of the jail's start are kept",
             (jail("keep_caps=True"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",)),
    Mutation("no capabilities of scripts", "the warm jail's are kept",
             (Change(JAIL, "_confine", "_drop_capabilities()", "pass"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",),
             ("capabilities", "mount")),
    Mutation("no new privileges", "not set by nsjail",
             (jail("disable_no_new_privs=True"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",)),
    Mutation("user ids", "jails of root share one",
             (Change(NSJAIL, "_FIRST_OUTSIDE_ID", "_FIRST_OUTSIDE_ID = 1_900_000_000", "_FIRST_OUTSIDE_ID = 0"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",)),
    # ---- limits --------------------------------------------------------------------------------
    Mutation("memory limit", "no RLIMIT_AS for programs",
             (Change(FORKS, "become_child", "limit(RLIMIT_AS, memory);", "(void)memory;"),), (WALLS, GAPS)),
    Mutation("memory limit of scripts", "no RLIMIT_AS",
             (Change(SCRIPT, "set_limits", '(resource.RLIMIT_AS, request["memory_bytes"])', "(resource.RLIMIT_AS, 1 << 40)"),), (SCRIPT_GUEST, GAPS)),
    Mutation("memory of a whole jail", "the control group has no ceiling",
             (Change(NSJAIL, "NsjailBackend._make_group", "memory_bytes=(self._limits.memory_mib << 20) + OVERHEAD_BYTES", "memory_bytes=1 << 50"),),
             (f"{GAPS}::test_every_guest_is_in_a_control_group_with_ceilings",)),
    Mutation("CPU limit", "no RLIMIT_CPU for programs",
             (Change(FORKS, "become_child", "limit(RLIMIT_CPU, cpu_s);", "(void)cpu_s;"),),
             (f"{GAPS}::test_a_function_has_the_limits_of_its_run", WALLS)),
    Mutation("CPU limit of scripts", "nobody looks at the clock",
             (Change(SCRIPT, "ScriptRun.supervise", 'cpu_left = self.request["cpu_s"] - self._cpu_used()', "cpu_left = 1e9"),), (f"{SCRIPT_GUEST}::test_cpu_limit_ends_a_loop",)),
    Mutation("wall limit", "programs may sleep for ever",
             (Change(FORKS, "receive", "return WALL_LIMIT;", "deadline = now + 1000000;"),),
             (f"{WALLS}::test_an_end_has_its_own_status[an endless sleep]",)),
    Mutation("wall limit of scripts", "scripts may sleep for ever",
             (Change(SCRIPT, "ScriptRun.__init__", 'self.deadline = self.started + request["wall_s"]', "self.deadline = self.started + 1e6"),),
             (f"{SCRIPT_GUEST}::test_wall_limit_keeps_what_was_written",)),
    Mutation("process limit", "no RLIMIT_NPROC for programs",
             (Change(FORKS, "become_child", "limit(RLIMIT_NPROC, 0);", ""),),
             (f"{GAPS}::test_a_function_has_the_limits_of_its_run",)),
    Mutation("process limit of scripts", "no RLIMIT_NPROC, no ceiling of the group",
             (Change(SCRIPT, "set_limits", '(resource.RLIMIT_NPROC, request["processes"] + 1)', "(resource.RLIMIT_NPROC, 500)"),
              Change("wire/scripts.py", "jail_processes", "return limits.processes + 2", "return limits.processes + 500")),
             (SCRIPT_GUEST, GAPS), ("thread-bomb",)),
    Mutation("output limit", "no limit of a value, in the encoder and in the zygote",
             (Change(PROGRAM, "_outcome", "_encoded(value, job.max_bytes, call[0])", "_encoded(value, 1 << 30, call[0])"),
              Change(FORKS, "receive", "return OUTPUT_LIMIT;", "return RESULT;")),
             (WALLS,), ("large-value",)),
    Mutation("output limit of scripts", "all of it is kept",
             (Change(SCRIPT, "ScriptRun._start", "Output(handle, limit) for handle", "Output(handle, 1 << 40) for handle"),),
             (SCRIPT_GUEST,)),
    Mutation("file limit", "no RLIMIT_FSIZE, no size of the file systems",
             (Change(SCRIPT, "set_limits", '(resource.RLIMIT_FSIZE, request["files_bytes"])', "(resource.RLIMIT_FSIZE, 1 << 40)"),
              Change(NSJAIL, "_any_script_config", "config.rlimit_fsize = limits.files_mib", "config.rlimit_fsize = 1 << 20")),
             (f"{SCRIPT_GUEST}::test_file_larger_than_the_limit_cannot_be_written",
              f"{GAPS}::test_every_guest_has_limits_of_its_own")),
    Mutation("room on the file systems", "no size",
             (Change(JAIL, "_mount", 'f"size={size},{_FILES}"', 'f"size=50%,{_FILES}"'),), (),
             ("full-file-system", "full-shared-memory", "room-after-a-full-disk")),
    # ---- results -------------------------------------------------------------------------------
    Mutation("nonce of result frames", "any eight bytes will do",
             (Change(FORKS, "receive", "if (memcmp(reply, &nonce, have < 8 ? have : 8) != 0)", "if (0)"),),
             (WALLS, f"{GAPS}::test_a_complete_frame_without_the_nonce_is_forged"),
             ("frame-in-place-of-the-result",)),
    Mutation("end of a result", "bytes may follow it",
             (Change("wire/frames.py", "_split_result", "at != len(data) or notes & ~_ALL_BITS", "False"),), (FRAMES,)),
    Mutation("exact types", "subclasses are encoded as what they are based on",
             (Change(ENCODE, "_survey", "kind = _type(item)", "kind = _type(item)\n            for base in (_int, _str, _list, _dict):\n                if isinstance(item, base):\n                    kind = base"),),
             ("grammar/test_encode.py",), ("subclass-of-int", "subclass-of-list")),
    Mutation("hostile values: depth", "no bound",
             (Change(DECODE, "_Reader.enter", "self.depth > MAX_DEPTH", "False"),),
             ("grammar/test_decode.py",)),
    Mutation("hostile values: what follows", "left out",
             (Change(DECODE, "decode", "reader.pos != len(data)", "False"),),
             ("grammar/test_decode.py",)),
    Mutation("hostile values: hash flooding", "let in",
             (Change(DECODE, "_MAX_CROWD", "_MAX_CROWD = 64", "_MAX_CROWD = 1 << 60"),),
             ("grammar/test_decode.py",)),
    Mutation("replies of scripts", "sizes are believed",
             (Change("wire/scripts.py", "_cut", "sum(sizes) != len(body)", "False"),),
             ("backends/test_script_frames.py",)),
    Mutation("collected files", "symbolic links are followed",
             (Change(SCRIPT, "open_plain_file", "flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC", "flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC"),),
             (f"{SCRIPT_GUEST}::test_only_plain_files_are_collected",), ("collected-symlink",)),
    Mutation("nothing outlives a script", "what it started is left alone",
             (Change(SCRIPT, "ScriptRun.end", "self.kill() while True:", "while False:"),),
             (f"{GAPS}::test_what_a_script_left_running_is_gone_before_files_are_collected",)),
    # ---- what scripts share --------------------------------------------------------------------
    Mutation("root of each jail", "scripts' jails have the image itself",
             (Change(NSJAIL, "NsjailBackend.open", "await asyncio.to_thread(can_have_own_root, self._image, self._trial)", "False"),),
             (f"{HOLES}::test_no_lock_is_seen_by_another_script_or_by_the_host",)),
    Mutation("devices of each jail", "the host's are mounted",
             (Change("backends/nsjail/root.py", "_make_devices", "os.geteuid() != 0", "True"),),
             (f"{HOLES}::test_no_lock_is_seen_by_another_script_or_by_the_host",)),
    Mutation("read-only devices", "their times can be changed",
             (Change("backends/nsjail/root.py", "device_mounts", "is_bind=True, rw=False", "is_bind=True, rw=True"),),
             (f"{HOLES}::test_the_next_script_in_a_jail_finds_devices_as_they_were",)),
    Mutation("commands of fcntl", "all of them",
             (Change("backends/seccomp/run_policy.py", "RUN_POLICY", "fcntl { cmd == 0 ||", "fcntl, fcntl { cmd == 0 ||"),),
             (f"{HOLES}::test_a_script_hears_of_nobody",)),
    Mutation("signs of network use", "nobody counts",
             (Change("backends/host/reached.py", "Watched.attempts", "return self._read() - self._before", "return 0"),),
             (f"{HOLES}::test_nothing_else_is_reached_and_the_attempt_is_a_sign",)),
    Mutation("memory of sockets", "not bounded",
             (Change("backends/host/cgroups.py", "_SOCKET_BYTES", "_SOCKET_BYTES = 32 << 20", "_SOCKET_BYTES = 1 << 50"),),
             (f"{HOLES}::test_what_sockets_hold_is_bounded",)),
    Mutation("report of pytest", "the exit code is believed",
             (Change(SCRIPT, "Proof.what_is_missing", "if code is None or collected is None:", "if True:\n            return None\n        if code is None or collected is None:"),),
             ("security/test_holes_pytest.py",)),
    Mutation("heads of requests", "of any size",
             (Change("service/http/slow_clients.py", "MAX_HEAD_BYTES", "MAX_HEAD_BYTES = 64 * 1024", "MAX_HEAD_BYTES = 1 << 40"),),
             ("service/test_heads.py",)),
    Mutation("pages of other sites", "Host and Origin may be any",
             (Change("service/http/origin.py", "OriginCheck.check", "if not self._anonymous or path", "if True or path"),),
             ("service/test_origin.py",)),
    # ---- information ---------------------------------------------------------------------------
    Mutation("environment of programs", "not scrubbed",
             (Change("guest/zygote.py", "serve", "_scrub_environment(token.encode())", "pass"),), (WALLS,)),
    Mutation("environment of jails", "the host's is kept, by nsjail and for scripts",
             (Change(NSJAIL, "base_config", "keep_env=False", "keep_env=True"),
              Change("backends/host/guest_process.py", "GuestProcess.start", "env=dict(environment or {})", "env={**os.environ, **(environment or {})}"),
              Change(SCRIPT, "become_script", "environment = ENVIRONMENT |", "environment = dict(os.environ) | ENVIRONMENT |")),
             (f"{GAPS}::test_no_guest_has_the_environment_of_the_host",),
             ("secrets-in-a-script's-environment",)),
    Mutation("descriptors of programs", "the zygote's pipes stay open",
             (Change(FORKS, "become_child", "for (int fd = 0; fd < 3; fd++) dup2(null_fd, fd);", ""),), (WALLS,)),
    Mutation("descriptors of scripts", "some of the supervisor's stay open",
             (Change(SCRIPT, "become_script", "os.closerange(3 + len(more), resource.getrlimit(resource.RLIMIT_NOFILE)[0])", "for number in range(10, 20):\n            os.dup2(failure, number)"),),
             (f"{SCRIPT_GUEST}::test_nothing_of_the_harness_is_inherited",),
             ("inherited-descriptors",)),
    Mutation("descriptors of warm scripts", "the zygote's stay open",
             (Change(SCRIPTS, "become_script", "syscall(SYS_close_range, 3, ~0u, 0);", ""),),
             (f"{SCRIPT_WALLS}::test_a_script_holds_three_pipes_and_nothing_else",)),
    Mutation("rest of other jobs", "not wiped",
             (Change(FRAMES_C, "keep_body", "if (body_used > size)", "if (0)"),),
             (f"{SCRIPT_WALLS}::test_no_memory_of_a_script_holds_text_of_others",)),
    Mutation("buffers of the zygote", "children have copies of them",
             (Change(FRAMES_C, "reserve_own", "return madvise(*buffer, *capacity, MADV_DONTFORK);", "return 0;"),),
             (f"{SCRIPT_WALLS}::test_no_memory_of_a_script_holds_text_of_others",)),
    # ---- determinism ---------------------------------------------------------------------------
    Mutation("hash seeds", "the same for both variants",
             (Change(BASE, "HASH_SEEDS", "HASH_SEEDS = (104_729, 1_299_709)", "HASH_SEEDS = (104_729, 104_729)"),),
             (CHANCE,)),
    Mutation("clock shift", "none",
             (Change(BASE, "CLOCK_SHIFTS_S", "CLOCK_SHIFTS_S = (0, 40_217_371.375)", "CLOCK_SHIFTS_S = (0, 0)"),),
             (CHANCE, f"{GAPS}::test_what_a_run_sees_of_the_clock_and_the_process_differs")),
    Mutation("process numbers", "not shifted",
             (Change(BASE, "PID_SHIFTS", "PID_SHIFTS = (0, 1_000_001)", "PID_SHIFTS = (0, 0)"),), (CHANCE,)),
    Mutation("order of sets", "not watched",
             (Change("guest/zygote.py", "serve", "core.watch_sources(surroundings.quiet_code())", "pass"),), (CHANCE,)),
    Mutation("order of sets by wrappers", "the old function is kept",
             (Change("guest/core/order.c", "watch_order", "iters[i]->d_wrapped = (void *)set_iter;", ";"),),
             (SOURCES,)),
    Mutation("order of endings of sets", "not watched",
             (Change("guest/core/endings.c", "held_elements", "if (!has_ends_to_see(set))", "if (1)"),),
             (SOURCES,)),
    Mutation("number of the thread", "shown as it is",
             (Change("guest/core/own.c", "by_own_thread", "PyDict_SetItem(shown, own, value)", "PyDict_SetItem(shown, key, value)"),),
             (SOURCES,)),
    Mutation("chance by its own call", "not noted",
             (Change("guest/core/own.c", "noted_getrandom", "seen |= SAW_ENTROPY;", ""),),
             (SOURCES,)),
    Mutation("hashes and addresses", "not noted",
             (Change("guest/core/hashes.c", "told", "seen |= SAW_IDENTITY;", ""),
              Change("guest/core/addresses.c", "shown", "seen |= SAW_IDENTITY;", "")),
             (SOURCES,)),
    Mutation("clocks", "not noted",
             (Change("guest/core/clock.c", "clock_gettime", "seen |= SAW_CLOCK;", ""),),
             (SOURCES,)),
    Mutation("state of the host", "shown as it is",
             (Change("guest/core/host.c", "status_of", "if (result == 0 && watching) make_constant(status);", ""),),
             (SOURCES,)),
    Mutation("entropy", "not noted",
             (Change(CLOCK, "getpid", "seen |= SAW_ENTROPY;", ""),), (CHANCE,)),
    # ---- texts ---------------------------------------------------------------------------------
    Mutation("answer grammar: one call", "text may close the call",
             (Change(LITERALS, "_parse_arguments_tree", "not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or not _is_whole(text)", "not isinstance(node, ast.Call)"),),
             ("grammar/test_literals.py",), ("input-that-closes-the-call",)),
    Mutation("answer grammar: one value", "text may close the bracket",
             (Change(LITERALS, "_parse_value_tree", "if not isinstance(node, ast.List) or not _is_whole(text):", "if not isinstance(node, ast.List):\n        node = ast.List([node])\n    if False:"),),
             ("grammar/test_literals.py",)),
    # Not without any bound: the tests ask for more than the machine has.
    Mutation("answer grammar: expansion", "ten times as much",
             (Change("grammar/constructors.py", "Spender.__call__", "self._left < 0", "self._left < -2_000_000"),),
             ("grammar/test_literals.py",)),
    Mutation("strict comparison", "types do not count",
             (Change("grammar/compare.py", "_Descent._number", "return (kind, number) if self._strict else number", "return number"),),
             ("grammar/test_compare.py", "security/test_fuzz.py")),
    # ---- what one row may take ----------------------------------------------------------------
    budget("texts of a row", "as many as there are",
           Change(BUDGET, "too_many", "count > limits.row_texts", "False"),
           "test_a_row_with_too_many_texts_says_how_many_there_may_be"),
    budget("time of a row", "without an end",
           Change(BUDGET, "Budget.refusal", "self._left_us <= 0", "False"),
           "test_runs_of_a_row_end_when_its_time_is_used_up"),
    budget("bytes of a row", "not counted",
           Change(BUDGET, "Budget.charge", "self._left_bytes -= len(value)", "pass"),
           "test_equal_values_of_a_row_count_once"),
    budget("text of a row", "not counted",
           Change(BUDGET, "TextBudget.take", "self._left -= len(text)", "pass"),
           "test_a_row_whose_outputs_are_too_large_is_over_its_limit"),
    budget("code of a row", "not counted",
           Change(BUDGET, "RowEngine.parse", "self._left_code < 0", "False"),
           "test_texts_of_a_row_are_parsed_some_at_a_time_up_to_a_budget"),
    budget("values of a row", "kept decoded",
           Change("verification/values.py", "Value.__init__", "if keep or len(data) <= _KEPT_BYTES else None", ""),
           "test_a_large_value_is_kept_as_bytes"),
    budget("steps of a comparison", "without an end",
           Change("grammar/compare.py", "_Descent._spend", "self._left < 0", "False"),
           "test_what_is_dear_to_compare_is_paid_for"),
    budget("members with one hash", "not counted",
           Change("grammar/decode.py", "_Reader.members", "self.collisions > _MAX_COLLISIONS", "False"),
           "test_members_with_one_hash_are_bounded_whatever_they_hold"),
    budget("NaNs in sets", "taken for forgery",
           Change("grammar/decode.py", "_Reader.members", "self.nans > nans", "False"),
           "test_two_nans_in_a_set_are_no_plain_value_and_no_sign_of_cheating"),
    budget("size of code", "not looked at",
           Change(PARSER, "_checked", "len(code) > limit", "False"),
           "test_code_that_is_too_large_is_refused_after_it_was_compiled"),
    budget("memory of parsers", "no RLIMIT_AS",
           Change(PARSER, "serve", "setrlimit(RLIMIT_AS, (memory, memory))", "pass"),
           "test_a_parser_has_a_limit_of_memory"),
    budget("time of a text", "no timer",
           Change(PARSER, "reply", "setitimer(ITIMER_PROF, _ITEM_CPU_S)", "pass"),
           "test_each_text_has_its_own_time"),
    budget("time of a request", "all of it at once",
           Change(PARSER, "reply", "facts and monotonic() > end", "False"),
           "test_a_request_that_takes_long_is_answered_in_part"),
    budget("texts that grow when compiled", "tried",
           Change("screening/cost.py", "strains_compiler", "not (copies or folds or keywords or patterns or blocks)", "True"),
           "test_what_grows_when_it_is_compiled_is_refused_before"),
    budget("fields of f-strings", "tried",
           Change("screening/cost.py", "strains_tokenizer", "fields * len(text) <= _MAX_FIELD_COST", "True"),
           "test_a_text_with_too_many_fields_is_not_parsed"),
    budget("one attempt", "four of them",
           Change("pool/worker.py", "Worker.blame", "if slow_s is not None and not head.done", "if False and slow_s is not None and not head.done"),
           "test_a_text_that_ran_out_of_time_is_tried_once"),
    budget("memory of parsed programs", "one may push out all",
           Change("pool/parse_cache.py", "ParseCache._remember", "_size(source, parsed) > self._max_bytes // _LARGEST_PART", "False"),
           "test_one_large_program_does_not_push_out_the_others"),
    budget("exceptions of a row", "end the batch",
           Change("api/local.py", "Executor.validate_many", "return failed_verdict(index, triplet, error)", "raise"),
           "test_an_exception_in_one_row_is_that_rows_infra"),
    budget("items that end connections", "not looked for",
           Change("client/batches.py", "Batches._serve", "cuts >= _CUTS_TO_DIVIDE and len(left) > 1", "False"),
           "test_a_client_finds_the_item_that_ends_connections"),
    # ---- small holes --------------------------------------------------------------------------
    small("names of errors", "any will do",
          Change("verification/validation.py", "_error_name", "not is_answerable(outcome.error_type)", "False"),
          "test_an_error_that_no_answer_can_name_is_no_sound_task"),
    Mutation("seed of chance in tests", "can be computed",
             (Change("verification/testing/assertions.py", "_seed", "key=_SECRET, ", ""),),
             ("verification/test_assert_tasks.py::test_chance_in_tests_is_the_same_for_all_answers_and_known_to_none",)),
    Mutation("an answer's StopIteration", "ends loops of the tests",
             (Change("guest/test_driver.py", "State.exception", "Stopped if issubclass(known, (StopIteration, StopAsyncIteration)) else known", "known"),),
             ("verification/test_assert_tasks.py::test_stop_iteration_of_an_answer_ends_no_loop",)),
    Mutation("halves of characters in what tests say", "are told as they are",
             (Change("verification/testing/assertions.py", "_printable", 'text.encode("utf-8", "backslashreplace").decode()', "text"),),
             ("verification/test_assert_tasks.py::test_what_an_answer_says_in_halves_of_characters_can_be_told",)),
    Mutation("methods of a class made of a builtin one", "make its plain value",
             (Change("guest/program.py", "_BASES", "int: int.__int__", "int: lambda value: value.__int__()"),),
             ("verification/test_call_tasks.py::test_methods_of_such_a_class_have_no_say",)),
    small("other names of an error", "are others",
          Change("verification/error_names.py", "error_name", "return _ALIASES.get(name, name)", "return name"),
          "test_all_names_of_one_class_are_right"),
    small("keys of characters and surrogates", "are one",
          Change("verification/context.py", "_json", ", ensure_ascii=False", ""),
          "test_keys_of_different_parts_differ"),
    small("repeated keys of rows", "the last counts",
          Change("cli/io/rows.py", "_object", "object_pairs_hook=_unique,", ""),
          "test_a_row_with_a_repeated_key_is_malformed"),
    small("files of a script", "any number",
          Change("wire/scripts.py", "_check_paths", "len(taken) + len(folders) > _MAX_FILES", "False"),
          "test_more_files_than_a_jail_holds_are_refused_before_it_is_asked"),
    Mutation("token of the service", "any will do",
             (Change("service/work/tenants.py", "Tenants.find", "hmac.compare_digest(given, known)", "True"),),
             ("service/test_access.py",)),
    Mutation("probes at the service's start", "what fails is of no account",
             (Change("service/work/readiness.py", "Readiness._round", "bad = [r for r in found if r.state in OPEN and not self._waivers.cover(r.name)]", "bad: list[ProbeResult] = []"),),
             (f"{WAIVERS}::test_a_weakness_keeps_the_service_from_its_work",)),
    Mutation("waivers by name", "each is for all probes",
             (Change("service/work/waivers.py", "Waivers.cover", "return any(probe.name == name for probe in self.probes)", "return True"),),
             (f"{WAIVERS}::test_a_weakness_keeps_the_service_from_its_work",)),
    Mutation("weaknesses in results", "not told",
             (Change("service/work/gateway.py", "Gateway._admitted", "weaknesses = self._waivers.weaknesses", "weaknesses = ()"),),
             (f"{WAIVERS}::test_every_result_names_what_is_waived_and_fails",)),
    # ---- processes that are reset ----------------------------------------------------------------
    Mutation("reset of memory", "nothing is written back",
             (Change(MEMORY, "write_back", "if (add(&t, at, a->copy + (at - a->start), stop - at) != 0)", "if (0 && add(&t, at, a->copy + (at - a->start), stop - at) != 0)"),),
             (LEAKS,)),
    Mutation("reset of new pages", "they keep what was written",
             (Change(MEMORY, "write_back", "if (add(&t, at, a->copy + (at - a->start), stop - at) != 0)", "if ((a->pages[(at - a->start) / PAGE] & WAS_PRESENT) && add(&t, at, a->copy + (at - a->start), stop - at) != 0)"),),
             (LEAKS,)),
    Mutation("reset of hot pages", "left as they are once they are known",
             (Change(MEMORY, "write_back", "if (add(&t, at, a->copy + (at - a->start), stop - at) != 0)", "if (!(a->pages[(at - a->start) / PAGE] & HOT) && add(&t, at, a->copy + (at - a->start), stop - at) != 0)"),),
             (LEAKS,)),
    Mutation("list of written pages, the quick way", "large areas are left out",
             (Change(SCAN, "scan_written", "p->quick ? scan_quickly(s, p->start, p->end, found)", "p->quick ? 0"),),
             (LEAKS,)),
    Mutation("list of written pages, the general way", "small areas are left out",
             (Change(SCAN, "scan_written", ": scan(s, p->start, p->end, PAGE_IS_WRITTEN, 0, found);", ": 0;"),),
             (LEAKS,)),
    Mutation("protection after a run", "pages are protected once only",
             (Change(MEMORY, "protect", "if (s->trained < TRAINING_RUNS || colds > FEW_RANGES)", "return 0;\n    if (s->trained < TRAINING_RUNS || colds > FEW_RANGES)"),),
             (f"{LEAKS}::test_few_pages_are_written_back",)),
    Mutation("reset of registers", "the general ones are kept",
             (Change(MEMORY, "put_registers_back", "if (privileged(SYS_ptrace, PTRACE_SETREGS, s->pid, 0, (long)&s->registers, 0) != 0 ||", "if ("),), (LEAKS,)),
    Mutation("reset of extended state", "vectors, flags and rounding of floats are kept",
             (Change(MEMORY, "put_registers_back", "xstate(s, PTRACE_SETREGSET, s->xstate, &size) != 0)", "size == 0)"),),
             (LEAKS,)),
    Mutation("filter of slots", "calls that leave a trace are made",
             (Change(SECCOMP, "slot", 'program.label("stop") program.add(_RETURN, _TRACE)', 'program.label("stop")\n    program.add(_RETURN, _ALLOW)'),), (LEAKS, SLOT_FILTERS)),
    Mutation("clocks of slots", "used time of earlier runs can be read",
             (Change(SECCOMP, "_SHARED_CLOCKS", "_SHARED_CLOCKS = (0, 1,", "_SHARED_CLOCKS = (0, 1, 2, 3,"),), (SLOT_FILTERS,)),
    Mutation("descriptors of slots", "the zygote's stay open",
             (Change(SLOTS, "become_slot", "syscall(SYS_close_range, 3, ~0u, 0);", ""),),
             (f"{LEAKS}::test_a_slot_holds_the_null_device_and_nothing_else",)),
    Mutation("secrets of the zygote's moves", "any process may write to another's memory",
             (Change(SECCOMP, "_moving_check", 'return low, -_capability_check(program, "kill", argument=1)', 'place = -_capability_check(program, "allow", argument=1)\n    return low, place'),),
             (SLOT_FILTERS,)),
    Mutation("processor time in slots", "no limit",
             (Change(SLOTS, "watch", "if (s->cpu_us >= cpu_end)", "if (0)"),), (LEAKS,)),
    Mutation("wall time in slots", "no limit",
             (Change(SLOTS, "watch", "if (monotonic_us() >= deadline)", "if (0)"),), (LEAKS,)),
    Mutation("size of a slot's result", "no limit",
             (Change(SLOTS, "fetch", "if (now.rsi > max_output)", "if (0)"),), (LEAKS,)),
    Mutation("procfs of the zygote", "stays mounted",
             (Change(SLOTS, "take_proc", "umount2(name, MNT_DETACH) != 0", "0"),),
             (f"{GAPS}::test_the_root_of_every_guest_is_read_only",)),
    Mutation("capabilities of the zygote's start", "kept",
             (Change(SLOTS, "take_proc", "|| drop_capabilities() != 0)", "|| (0 && drop_capabilities() != 0))"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",)),
)  # fmt: skip

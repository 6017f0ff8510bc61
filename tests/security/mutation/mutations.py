"""The protections, and how each is switched off: see ``mutation.py``.

A mutation is a few substitutions of text, each of which must fit exactly once, and the tests that
should notice it: files or tests below ``tests/``, and names of attacks (``attacks``, run on nsjail).
To add one, add a row.
"""

# ruff: noqa: E501 - sources are quoted as they are
from __future__ import annotations

from typing import NamedTuple


class Change(NamedTuple):
    """A substitution in one file below ``executor/``."""

    file: str
    old: str
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
    return Change(NSJAIL, '        name="guest",\n', f'        name="guest",\n        {setting},\n')


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
                    (Change(JAIL, f"_NAMESPACES = {full}", f"_NAMESPACES = {left}"),),
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
             (Change(NSJAIL, 'dst="/", is_bind=True, rw=False', 'dst="/", is_bind=True, rw=True'),),
             (f"{GAPS}::test_the_root_of_every_guest_is_read_only",)),
    Mutation("no network device", "the loopback device is up",
             (Change(NSJAIL, "iface_no_lo=True", "iface_no_lo=False"),),
             (f"{GAPS}::test_no_network_device_is_up_but_the_loopback_device_of_a_script",)),
    Mutation("no /proc", "mounted",
             (Change(NSJAIL, "                for path in (f\"/dev/{name}\" for name in devices)\n            ),\n",
                     "                for path in (f\"/dev/{name}\" for name in devices)\n            ),\n"
                     "            MountPt(dst='/tmp', fstype='proc'),\n"),),
             (f"{GAPS}::test_the_root_of_every_guest_is_read_only", WALLS)),
    Mutation("covered ctypes", "programs can import it",
             (Change(NSJAIL, "    if not image.accelerated:\n        return []",
                     "    if True:\n        return []"),), (WALLS,)),
    # ---- system calls and privileges ---------------------------------------------------------
    Mutation("filter of programs", "what is not in the table is allowed",
             (Change("guest/seccomp.py",
                     "    program.jump(\"kill\")\n    moving",
                     "    program.jump(\"allow\")\n    moving"),), (WALLS,)),
    Mutation("capability of the zygote", "its calls are open to programs",
             (Change("guest/seccomp.py", "    program.jump(otherwise)\n    return low",
                     "    program.add(_RETURN, _ALLOW)\n    return low"),), (WALLS,)),
    Mutation("files to read only", "programs may open files to write",
             (Change("guest/seccomp.py", "program.add(_JUMP_ANY_BIT, _WRITING, 1, 0)",
                     "program.add(_JUMP_ANY_BIT, 0, 1, 0)"),), (REFUSALS,)),
    Mutation("handler of refused calls", "programs may put their own in its place",
             (Change("guest/seccomp.py", "program.jump_if_equal(_RT_SIGACTION, \"handler\")",
                     "pass"),), (REFUSALS,)),
    Mutation("filter of scripts", "what is not in the policy is allowed",
             (Change("backends/seccomp/bpf.py", "[*listed, _Rule(_KILL_PROCESS, None)]",
                     "[*listed, _Rule(_ALLOW, None)]"),), (), ("ptrace", "bpf", "io-uring")),
    Mutation("sockets of scripts", "all families",
             (Change("backends/seccomp/run_policy.py", "    socket { family == AF_UNIX\n",
                     "    socket, socket { family == AF_UNIX\n"),), (),
             ("raw-socket", "netlink-socket", "packet-socket")),
    Mutation("namespaces of scripts", "clone may make new ones",
             (Change("backends/seccomp/run_policy.py", "clone { (clone_flags & NEW_NAMESPACES) == 0 }",
                     "clone"),), (), ("fork-into-a-namespace", "user-namespace")),
    Mutation("no capabilities", "those of the jail's start are kept",
             (jail("keep_caps=True"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",)),
    Mutation("no capabilities of scripts", "the warm jail's are kept",
             (Change(JAIL, "    _drop_capabilities()\n    policy.install()",
                     "    policy.install()"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",),
             ("capabilities", "mount")),
    Mutation("no new privileges", "not set by nsjail",
             (jail("disable_no_new_privs=True"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",)),
    Mutation("user ids", "jails of root share one",
             (Change(NSJAIL, "_FIRST_OUTSIDE_ID = 1_900_000_000", "_FIRST_OUTSIDE_ID = 0"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",)),
    # ---- limits --------------------------------------------------------------------------------
    Mutation("memory limit", "no RLIMIT_AS for programs",
             (Change(FORKS, "        limit(RLIMIT_AS, memory);\n    wipe_capability",
                     "        (void)memory;\n    wipe_capability"),), (WALLS, GAPS)),
    Mutation("memory limit of scripts", "no RLIMIT_AS",
             (Change(SCRIPT, '(resource.RLIMIT_AS, request["memory_bytes"])',
                     "(resource.RLIMIT_AS, 1 << 40)"),), (SCRIPT_GUEST, GAPS)),
    Mutation("memory of a whole jail", "the control group has no ceiling",
             (Change(NSJAIL, "memory_bytes=(self._limits.memory_mib << 20) + _OVERHEAD_BYTES",
                     "memory_bytes=1 << 50"),),
             (f"{GAPS}::test_every_guest_is_in_a_control_group_with_ceilings",)),
    Mutation("CPU limit", "no RLIMIT_CPU for programs",
             (Change(FORKS, "    limit(RLIMIT_CPU, cpu_s);\n", "    (void)cpu_s;\n"),),
             (f"{GAPS}::test_a_function_has_the_limits_of_its_run", WALLS)),
    Mutation("CPU limit of scripts", "nobody looks at the clock",
             (Change(SCRIPT, 'cpu_left = self.request["cpu_s"] - self._cpu_used()',
                     "cpu_left = 1e9"),), (f"{SCRIPT_GUEST}::test_cpu_limit_ends_a_loop",)),
    Mutation("wall limit", "programs may sleep for ever",
             (Change(FORKS, "            return WALL_LIMIT;\n        int patience",
                     "            deadline = now + 1000000;\n        int patience"),),
             (f"{WALLS}::test_an_end_has_its_own_status[an endless sleep]",)),
    Mutation("wall limit of scripts", "scripts may sleep for ever",
             (Change(SCRIPT, "        self.deadline = self.started + request[\"wall_s\"]",
                     "        self.deadline = self.started + 1e6"),),
             (f"{SCRIPT_GUEST}::test_wall_limit_keeps_what_was_written",)),
    Mutation("process limit", "no RLIMIT_NPROC for programs",
             (Change(FORKS, "    limit(RLIMIT_NPROC, 0);\n    if (memory)\n"
                     "        limit(RLIMIT_AS, memory);\n    wipe_capability",
                     "    if (memory)\n        limit(RLIMIT_AS, memory);\n    wipe_capability"),),
             (f"{GAPS}::test_a_function_has_the_limits_of_its_run",)),
    Mutation("process limit of scripts", "no RLIMIT_NPROC, no ceiling of the group",
             (Change(SCRIPT, '(resource.RLIMIT_NPROC, request["processes"] + 1)',
                     "(resource.RLIMIT_NPROC, 500)"),
              Change("wire/scripts.py", "return limits.processes + 2",
                     "return limits.processes + 500")),
             (SCRIPT_GUEST, GAPS), ("thread-bomb",)),
    Mutation("output limit", "no limit of a value, in the encoder and in the zygote",
             (Change(PROGRAM, "encode(value, job.max_bytes)", "encode(value, 1 << 30)"),
              Change(FORKS, "            if (*size > max_output)\n                return OUTPUT_LIMIT;",
                     "            if (*size > max_output)\n                return RESULT;")),
             (WALLS,), ("large-value",)),
    Mutation("output limit of scripts", "all of it is kept",
             (Change(SCRIPT, "Output(handle, limit) for handle", "Output(handle, 1 << 40) for handle"),),
             (SCRIPT_GUEST,)),
    Mutation("file limit", "no RLIMIT_FSIZE, no size of the file systems",
             (Change(SCRIPT, '(resource.RLIMIT_FSIZE, request["files_bytes"])',
                     "(resource.RLIMIT_FSIZE, 1 << 40)"),
              Change(NSJAIL, "config.rlimit_fsize = limits.files_mib",
                     "config.rlimit_fsize = 1 << 20")),
             (f"{SCRIPT_GUEST}::test_file_larger_than_the_limit_cannot_be_written",
              f"{GAPS}::test_every_guest_has_limits_of_its_own")),
    Mutation("room on the file systems", "no size",
             (Change(JAIL, 'f"size={size},{_FILES}"', 'f"size=50%,{_FILES}"'),), (),
             ("full-file-system", "full-shared-memory", "room-after-a-full-disk")),
    # ---- results -------------------------------------------------------------------------------
    Mutation("nonce of result frames", "any eight bytes will do",
             (Change(FORKS, "if (memcmp(reply, &nonce, have < 8 ? have : 8) != 0)", "if (0)"),),
             (WALLS, f"{GAPS}::test_a_complete_frame_without_the_nonce_is_forged"),
             ("frame-in-place-of-the-result",)),
    Mutation("number of records", "not compared with the number of calls",
             (Change("wire/frames.py", "if len(records) != (0 if ended else expected):", "if False:"),), (FRAMES,)),
    Mutation("exact types", "subclasses are encoded as what they are based on",
             (Change(ENCODE, "            kind = _type(item)\n            if kind is _int:\n                if",
                     "            kind = _type(item)\n"
                     "            for base in (_int, _str, _list, _dict):\n"
                     "                if isinstance(item, base):\n"
                     "                    kind = base\n            if kind is _int:\n                if"),),
             ("grammar/test_encode.py",), ("subclass-of-int", "subclass-of-list")),
    Mutation("hostile values: depth", "no bound",
             (Change(DECODE, "        if self.depth > MAX_DEPTH:", "        if False:"),),
             ("grammar/test_decode.py",)),
    Mutation("hostile values: what follows", "left out",
             (Change(DECODE, "    if reader.pos != len(data):", "    if False:"),),
             ("grammar/test_decode.py",)),
    Mutation("hostile values: hash flooding", "let in",
             (Change(DECODE, "_MAX_CROWD = 64", "_MAX_CROWD = 1 << 60"),),
             ("grammar/test_decode.py",)),
    Mutation("replies of scripts", "sizes are believed",
             (Change("wire/scripts.py", "if sum(sizes) != len(body):", "if False:"),),
             ("backends/test_script_frames.py",)),
    Mutation("collected files", "symbolic links are followed",
             (Change(SCRIPT, "flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC",
                     "flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC"),),
             (f"{SCRIPT_GUEST}::test_only_plain_files_are_collected",), ("collected-symlink",)),
    Mutation("nothing outlives a script", "what it started is left alone",
             (Change(SCRIPT, "        self.kill()\n        while True:", "        while False:"),),
             (f"{GAPS}::test_what_a_script_left_running_is_gone_before_files_are_collected",)),
    # ---- what scripts share --------------------------------------------------------------------
    Mutation("root of each jail", "scripts' jails have the image itself",
             (Change(NSJAIL, "if await asyncio.to_thread(can_have_own_root, self._image, self._trial):",
                     "if False:"),),
             (f"{HOLES}::test_no_lock_is_seen_by_another_script_or_by_the_host",)),
    Mutation("devices of each jail", "the host's are mounted",
             (Change("backends/nsjail/root.py", "    if os.geteuid() != 0:\n        return None",
                     "    if True:\n        return None"),),
             (f"{HOLES}::test_no_lock_is_seen_by_another_script_or_by_the_host",)),
    Mutation("read-only devices", "their times can be changed",
             (Change("backends/nsjail/root.py", "is_bind=True, rw=False", "is_bind=True, rw=True"),),
             (f"{HOLES}::test_the_next_script_in_a_jail_finds_devices_as_they_were",)),
    Mutation("commands of fcntl", "all of them",
             (Change("backends/seccomp/run_policy.py", "    fcntl { cmd == 0 ||", "    fcntl, fcntl { cmd == 0 ||"),),
             (f"{HOLES}::test_a_script_hears_of_nobody",)),
    Mutation("signs of network use", "nobody counts",
             (Change("backends/host/reached.py", "        return self._read() - self._before", "        return 0"),),
             (f"{HOLES}::test_nothing_else_is_reached_and_the_attempt_is_a_sign",)),
    Mutation("memory of sockets", "not bounded",
             (Change("backends/host/cgroups.py", "_SOCKET_BYTES = 32 << 20", "_SOCKET_BYTES = 1 << 50"),),
             (f"{HOLES}::test_what_sockets_hold_is_bounded",)),
    Mutation("report of pytest", "the exit code is believed",
             (Change(SCRIPT, "        if code is None or collected is None:", "        if True:\n            return None\n        if code is None or collected is None:"),),
             ("security/test_holes_pytest.py",)),
    Mutation("heads of requests", "of any size",
             (Change("service/http/slow_clients.py", "MAX_HEAD_BYTES = 64 * 1024", "MAX_HEAD_BYTES = 1 << 40"),),
             ("service/test_heads.py",)),
    Mutation("pages of other sites", "Host and Origin may be any",
             (Change("service/http/origin.py", "        if not self._anonymous or path", "        if True or path"),),
             ("service/test_origin.py",)),
    # ---- information ---------------------------------------------------------------------------
    Mutation("environment of programs", "not scrubbed",
             (Change("guest/zygote.py", "    _scrub_environment(token.encode())\n", ""),), (WALLS,)),
    Mutation("environment of jails", "the host's is kept, by nsjail and for scripts",
             (Change(NSJAIL, "keep_env=False", "keep_env=True"),
              Change("backends/host/guest_process.py", "env=dict(environment or {})",
                     "env={**os.environ, **(environment or {})}"),
              Change(SCRIPT, "environment = ENVIRONMENT |", "environment = dict(os.environ) | ENVIRONMENT |")),
             (f"{GAPS}::test_no_guest_has_the_environment_of_the_host",),
             ("secrets-in-a-script's-environment",)),
    Mutation("descriptors of programs", "the zygote's pipes stay open",
             (Change(FORKS, "    for (int fd = 0; fd < 3; fd++)\n        dup2(null_fd, fd);\n    result_fd",
                     "    result_fd"),), (WALLS,)),
    Mutation("descriptors of scripts", "some of the supervisor's stay open",
             (Change(SCRIPT, "        os.closerange(3 + len(more), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n",
                     "        for number in range(10, 20):\n            os.dup2(failure, number)\n"),),
             (f"{SCRIPT_GUEST}::test_nothing_of_the_harness_is_inherited",),
             ("inherited-descriptors",)),
    Mutation("descriptors of warm scripts", "the zygote's stay open",
             (Change(SCRIPTS, "    syscall(SYS_close_range, 3, ~0u, 0);\n", ""),),
             (f"{SCRIPT_WALLS}::test_a_script_holds_three_pipes_and_nothing_else",)),
    Mutation("rest of other jobs", "not wiped",
             (Change(FRAMES_C, "    if (body_used > size)\n        memset(body + size, 0, body_used - size);",
                     "    if (0)\n        memset(body + size, 0, body_used - size);"),),
             (f"{SCRIPT_WALLS}::test_no_memory_of_a_script_holds_text_of_others",)),
    Mutation("buffers of the zygote", "children have copies of them",
             (Change(FRAMES_C, "    return madvise(*buffer, *capacity, MADV_DONTFORK);", "    return 0;"),),
             (f"{SCRIPT_WALLS}::test_no_memory_of_a_script_holds_text_of_others",)),
    # ---- determinism ---------------------------------------------------------------------------
    Mutation("hash seeds", "the same for both colours",
             (Change(BASE, "HASH_SEEDS = (104_729, 1_299_709)", "HASH_SEEDS = (104_729, 104_729)"),),
             (CHANCE,)),
    Mutation("clock shift", "none",
             (Change(BASE, "CLOCK_SHIFTS_S = (0, 40_217_371.375)", "CLOCK_SHIFTS_S = (0, 0)"),),
             (CHANCE, f"{GAPS}::test_what_a_run_sees_of_the_clock_and_the_process_differs")),
    Mutation("process numbers", "not shifted",
             (Change(BASE, "PID_SHIFTS = (0, 1_000_001)", "PID_SHIFTS = (0, 0)"),), (CHANCE,)),
    Mutation("order of sets", "not watched",
             (Change("guest/zygote.py", "    core.watch_sources(surroundings.quiet_code())\n", ""),), (CHANCE,)),
    Mutation("order of sets by wrappers", "the old function is kept",
             (Change("guest/core/order.c", "        iters[i]->d_wrapped = (void *)set_iter;\n", "        ;\n"),),
             (SOURCES,)),
    Mutation("hashes and addresses", "not noted",
             (Change("guest/core/hashes.c", "    seen |= SAW_IDENTITY;\n    return shown(hash);", "    return shown(hash);"),
              Change("guest/core/addresses.c", "    seen |= SAW_IDENTITY;\n    if (order_shown == ROTATED)",
                     "    if (order_shown == ROTATED)")),
             (SOURCES,)),
    Mutation("clocks", "not noted",
             (Change("guest/core/clock.c",
                     "    seen |= SAW_CLOCK;\n    long result = syscall(SYS_clock_gettime, clock, now);",
                     "    long result = syscall(SYS_clock_gettime, clock, now);"),),
             (SOURCES,)),
    Mutation("state of the host", "shown as it is",
             (Change("guest/core/host.c", "    if (result == 0 && watching)\n        make_constant(status);\n", ""),),
             (SOURCES,)),
    Mutation("entropy", "not noted",
             (Change(CLOCK, "    seen |= SAW_ENTROPY;\n", ""),), (CHANCE,)),
    # ---- texts ---------------------------------------------------------------------------------
    Mutation("answer grammar: one call", "text may close the call",
             (Change(LITERALS, "if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or not _is_whole(text):",
                     "if not isinstance(node, ast.Call):"),),
             ("grammar/test_literals.py",), ("input-that-closes-the-call",)),
    Mutation("answer grammar: one value", "text may close the bracket",
             (Change(LITERALS, "    if not isinstance(node, ast.List) or not _is_whole(text):",
                     "    if not isinstance(node, ast.List):\n        node = ast.List([node])\n    if False:"),),
             ("grammar/test_literals.py",)),
    # Not without any bound: the tests ask for more than the machine has.
    Mutation("answer grammar: expansion", "ten times as much",
             (Change("grammar/constructors.py", "        if self._left < 0:",
                     "        if self._left < -2_000_000:"),),
             ("grammar/test_literals.py",)),
    Mutation("strict comparison", "types do not count",
             (Change("grammar/compare.py", "        return (kind, number) if self._strict else number",
                     "        return number"),),
             ("grammar/test_compare.py", "security/test_fuzz.py")),
    # ---- what one row may take ----------------------------------------------------------------
    budget("texts of a row", "as many as there are",
           Change(BUDGET, "    if count > limits.row_texts:", "    if False:"),
           "test_a_row_with_too_many_texts_says_how_many_there_may_be"),
    budget("time of a row", "without an end",
           Change(BUDGET, "        if self._left_s <= 0:", "        if False:"),
           "test_runs_of_a_row_end_when_its_time_is_used_up"),
    budget("bytes of a row", "not counted",
           Change(BUDGET, "            self._left_bytes -= len(outcome.value)", "            pass"),
           "test_equal_values_of_a_row_count_once"),
    budget("text of a row", "not counted",
           Change(BUDGET, "        self._left -= len(text)", "        pass"),
           "test_a_row_whose_outputs_are_too_large_is_over_its_limit"),
    budget("code of a row", "not counted",
           Change(BUDGET, "            if self._left_code < 0:", "            if False:"),
           "test_texts_of_a_row_are_parsed_some_at_a_time_up_to_a_budget"),
    budget("values of a row", "kept decoded",
           Change("verification/values.py", "if keep or len(data) <= _KEPT_BYTES else None", ""),
           "test_a_large_value_is_kept_as_bytes"),
    budget("steps of a comparison", "without an end",
           Change("grammar/compare.py", "        if self._left < 0:", "        if False:"),
           "test_what_is_dear_to_compare_is_paid_for"),
    budget("members with one hash", "not counted",
           Change("grammar/decode.py", "            if self.collisions > _MAX_COLLISIONS:",
                  "            if False:"),
           "test_members_with_one_hash_are_bounded_whatever_they_hold"),
    budget("NaNs in sets", "taken for forgery",
           Change("grammar/decode.py", "            if self.nans > nans:", "            if False:"),
           "test_two_nans_in_a_set_are_no_plain_value_and_no_sign_of_cheating"),
    budget("size of code", "not looked at",
           Change(PARSER, "    if len(code) > limit:", "    if False:"),
           "test_code_that_is_too_large_is_refused_after_it_was_compiled"),
    budget("memory of parsers", "no RLIMIT_AS",
           Change(PARSER, "    setrlimit(RLIMIT_AS, (memory, memory))", "    pass"),
           "test_a_parser_has_a_limit_of_memory"),
    budget("time of a text", "no timer",
           Change(PARSER, "        setitimer(ITIMER_PROF, _ITEM_CPU_S)", "        pass"),
           "test_each_text_has_its_own_time"),
    budget("time of a request", "all of it at once",
           Change(PARSER, "        if facts and monotonic() > end:", "        if False:"),
           "test_a_request_that_takes_long_is_answered_in_part"),
    budget("texts that grow when compiled", "tried",
           Change("screening/cost.py", "    if not (copies or folds or keywords or patterns):",
                  "    if True:"),
           "test_what_grows_when_it_is_compiled_is_refused_before"),
    budget("fields of f-strings", "tried",
           Change("screening/cost.py", "    if fields * len(text) <= _MAX_FIELD_COST:", "    if True:"),
           "test_a_text_with_too_many_fields_is_not_parsed"),
    budget("one attempt", "four of them",
           Change("pool/worker.py", "            if slow_s is not None and not head.done",
                  "            if False and slow_s is not None and not head.done"),
           "test_a_text_that_ran_out_of_time_is_tried_once"),
    budget("memory of parsed programs", "one may push out all",
           Change("pool/parse_cache.py", "        if _size(source, parsed) > self._max_bytes // _LARGEST_PART:",
                  "        if False:"),
           "test_one_large_program_does_not_push_out_the_others"),
    budget("exceptions of a row", "end the batch",
           Change("api/local.py", "                return failed_verdict(index, triplet, error)",
                  "                raise"),
           "test_an_exception_in_one_row_is_that_rows_infra"),
    budget("items that end connections", "not looked for",
           Change("client/batches.py", "                    if cuts >= _CUTS_TO_DIVIDE and len(left) > 1:",
                  "                    if False:"),
           "test_a_client_finds_the_item_that_ends_connections"),
    # ---- small holes --------------------------------------------------------------------------
    small("names of errors", "any will do",
          Change("verification/validation.py", "    if not is_answerable(outcome.error_type):", "    if False:"),
          "test_an_error_that_no_answer_can_name_is_no_sound_task"),
    small("other names of an error", "are others",
          Change("verification/error_names.py", "    return _ALIASES.get(name, name)\n", "    return name\n"),
          "test_all_names_of_one_class_are_right"),
    small("keys of characters and surrogates", "are one",
          Change("verification/context.py", ", ensure_ascii=False)", ")"),
          "test_keys_of_different_parts_differ"),
    small("repeated keys of rows", "the last counts",
          Change("cli/io/rows.py", "            object_pairs_hook=_unique,\n", ""),
          "test_a_row_with_a_repeated_key_is_malformed"),
    small("files of a script", "any number",
          Change("wire/scripts.py", "    if len(taken) + len(folders) > _MAX_FILES:", "    if False:"),
          "test_more_files_than_a_jail_holds_are_refused_before_it_is_asked"),
    Mutation("token of the service", "any will do",
             (Change("service/http/auth.py", "hmac.compare_digest(_digest(token), self._digest)", "True"),),
             ("service/test_access.py",)),
    Mutation("probes at the service's start", "what fails is of no account",
             (Change("service/work/readiness.py", "        bad = [r for r in found if r.state in OPEN and not self._waivers.cover(r.name)]",
                     "        bad: list[ProbeResult] = []"),),
             (f"{WAIVERS}::test_a_weakness_keeps_the_service_from_its_work",)),
    Mutation("waivers by name", "each is for all probes",
             (Change("service/work/waivers.py", "        return any(probe.name == name for probe in self.probes)", "        return True"),),
             (f"{WAIVERS}::test_a_weakness_keeps_the_service_from_its_work",)),
    Mutation("weaknesses in results", "not told",
             (Change("service/work/gateway.py", "        weaknesses = self._waivers.weaknesses", "        weaknesses = ()"),),
             (f"{WAIVERS}::test_every_result_names_what_is_waived_and_fails",)),
    # ---- processes that are reset ----------------------------------------------------------------
    Mutation("reset of memory", "nothing is written back",
             (Change(MEMORY, "            if (add(&t, at, a->copy + (at - a->start), stop - at) != 0)",
                     "            if (0 && add(&t, at, a->copy + (at - a->start), stop - at) != 0)"),),
             (LEAKS,)),
    Mutation("reset of new pages", "they keep what was written",
             (Change(MEMORY, "            if (add(&t, at, a->copy + (at - a->start), stop - at) != 0)",
                     "            if ((a->pages[(at - a->start) / PAGE] & WAS_PRESENT) && add(&t, at, a->copy + (at - a->start), stop - at) != 0)"),),
             (LEAKS,)),
    Mutation("reset of hot pages", "left as they are once they are known",
             (Change(MEMORY, "            if (add(&t, at, a->copy + (at - a->start), stop - at) != 0)",
                     "            if (!(a->pages[(at - a->start) / PAGE] & HOT) && add(&t, at, a->copy + (at - a->start), stop - at) != 0)"),),
             (LEAKS,)),
    Mutation("protection after a run", "pages are protected once only",
             (Change(MEMORY, "    if (s->trained < TRAINING_RUNS || colds > FEW_RANGES)\n",
                     "    return 0;\n    if (s->trained < TRAINING_RUNS || colds > FEW_RANGES)\n"),),
             (f"{LEAKS}::test_few_pages_are_written_back",)),
    Mutation("reset of registers", "the general ones are kept",
             (Change(MEMORY, "    if (privileged(SYS_ptrace, PTRACE_SETREGS, s->pid, 0, (long)&s->registers, 0) != 0 ||\n",
                     "    if ("),), (LEAKS,)),
    Mutation("reset of extended state", "vectors, flags and rounding of floats are kept",
             (Change(MEMORY, "        xstate(s, PTRACE_SETREGSET, s->xstate, &size) != 0)", "        size == 0)"),),
             (LEAKS,)),
    Mutation("filter of slots", "calls that leave a trace are made",
             (Change(SECCOMP, '    program.label("stop")\n    program.add(_RETURN, _TRACE)',
                     '    program.label("stop")\n    program.add(_RETURN, _ALLOW)'),), (LEAKS, SLOT_FILTERS)),
    Mutation("clocks of slots", "used time of earlier runs can be read",
             (Change(SECCOMP, "_SHARED_CLOCKS = (0, 1,", "_SHARED_CLOCKS = (0, 1, 2, 3,"),), (SLOT_FILTERS,)),
    Mutation("descriptors of slots", "the zygote's stay open",
             (Change(SLOTS, "    syscall(SYS_close_range, 3, ~0u, 0);\n    unblock", "    unblock"),),
             (f"{LEAKS}::test_a_slot_holds_the_null_device_and_nothing_else",)),
    Mutation("secrets of the zygote's moves", "any process may write to another's memory",
             (Change(SECCOMP, '    return low, -_capability_check(program, "kill", argument=1)',
                     '    place = -_capability_check(program, "allow", argument=1)\n    return low, place'),),
             (SLOT_FILTERS,)),
    Mutation("processor time in slots", "no limit",
             (Change(SLOTS, "        if (s->cpu_us >= cpu_end)\n", "        if (0)\n"),), (LEAKS,)),
    Mutation("wall time in slots", "no limit",
             (Change(SLOTS, "        if (monotonic_us() >= deadline)\n", "        if (0)\n"),), (LEAKS,)),
    Mutation("size of a slot's result", "no limit",
             (Change(SLOTS, "    if (now.rsi > max_output)\n", "    if (0)\n"),), (LEAKS,)),
    Mutation("procfs of the zygote", "stays mounted",
             (Change(SLOTS, "umount2(name, MNT_DETACH) != 0", "0"),),
             (f"{GAPS}::test_the_root_of_every_guest_is_read_only",)),
    Mutation("capabilities of the zygote's start", "kept",
             (Change(SLOTS, "|| drop_capabilities() != 0)", "|| (0 && drop_capabilities() != 0))"),),
             (f"{GAPS}::test_every_guest_is_filtered_and_cannot_gain_privileges",)),
)  # fmt: skip

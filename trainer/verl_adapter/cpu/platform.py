# ruff: noqa: D102 - veRL's base class says what each method is for
"""The processor as a platform of veRL: logical GPUs for Ray, gloo between processes."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import psutil
import torch
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry

NAME = "cpu"


class _CpuModule(ModuleType):
    """``torch.cpu`` with the functions of ``torch.cuda`` that veRL calls."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def is_available(self) -> bool:
        return True

    def device_count(self) -> int:
        return 1

    def current_device(self) -> torch.device:
        # A device, not an index: the engines call ``tensor.to(get_device_id())``.
        return torch.device("cpu")

    def set_device(self, *_: Any) -> None:
        """There is one."""

    def synchronize(self, *_: Any) -> None:
        """Work on processors is done when the call returns."""

    def empty_cache(self) -> None:
        """There is none."""

    def ipc_collect(self) -> None:
        """There is none."""

    def reset_peak_memory_stats(self, *_: Any) -> None:
        """The peak is the process's own."""

    def set_per_process_memory_fraction(self, *_: Any) -> None:
        """Memory is the machine's."""

    def memory_allocated(self, *_: Any) -> int:
        return int(psutil.Process().memory_info().rss)

    def memory_reserved(self, *_: Any) -> int:
        return int(psutil.Process().memory_info().rss)

    def max_memory_allocated(self, *_: Any) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def max_memory_reserved(self, *_: Any) -> int:
        return self.max_memory_allocated()

    def mem_get_info(self, *_: Any) -> tuple[int, int]:
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    def get_device_name(self, *_: Any) -> str:
        return "cpu"

    def get_rng_state(self, *_: Any) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, *_: Any) -> None:
        torch.set_rng_state(state)

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)


class CpuPlatform(PlatformBase):
    """veRL's questions to an accelerator, answered for processors."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = _CpuModule("trainer_cpu_device")

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        # Never found by probing: only VERL_PLATFORM=cpu chooses it.
        return False

    def current_device(self) -> torch.device:
        return torch.device("cpu")

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        """There is one."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Work on processors is done when the call returns."""

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """The allocator is the C library's."""

    def empty_cache(self) -> None:
        """There is none."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        """There is no device profiler."""

    def profiler_stop(self) -> None:
        """There is no device profiler."""

    def ray_resource_name(self) -> str:
        # veRL's placement counts GPUs; Ray is started with as many logical ones as there are ranks.
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        # Weights travel through POSIX shared memory instead.
        return False

    def cudart(self) -> None:
        return None


def register() -> None:
    """Make ``VERL_PLATFORM=cpu`` known to veRL."""
    PlatformRegistry.register(platform=NAME)(CpuPlatform)


def is_registered() -> bool:
    """Whether veRL of this process knows the platform."""
    return PlatformRegistry.get(NAME) is CpuPlatform

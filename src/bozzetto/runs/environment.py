"""Environment of a computation (device, seed, versions), and its time and memory."""

import ctypes
import os
import platform
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..errors import InputError

LARGEST_SEED = 2**40
PACKAGES = (
    "bozzetto",
    "numpy",
    "scipy",
    "warp-lang",
    "trimesh",
    "scikit-image",
    "safetensors",
    "tyro",
)


def resolve_device(name: Literal["auto", "cpu", "cuda"] = "auto") -> torch.device:
    """The device of a name; "auto" takes CUDA if available.

    Raises:
        InputError: CUDA was requested and is not available, or the name is unknown.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda was asked for, but this PyTorch finds no CUDA device; "
            "use --device cpu, or install a CUDA build of PyTorch and its driver"
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@cache
def fast_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether a device multiplies bfloat16 matrices clearly faster than float32, measured once."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    # Processors without such instructions take seconds for matrices of useful size, but not for small ones.
    return _bfloat16_ratio(128, device) < 4 and _bfloat16_ratio(768, device) < 0.7


def _bfloat16_ratio(size: int, device: torch.device) -> float:
    """Time for a product of square matrices in bfloat16 over that in float32."""
    seconds = []
    for dtype in (torch.bfloat16, torch.float32):
        matrix = torch.ones(size, size, dtype=dtype, device=device)
        rounds = []
        for _ in range(5):
            began = time.perf_counter()
            _ = matrix @ matrix
            rounds.append(time.perf_counter() - began)
        seconds.append(min(rounds))
    return seconds[0] / seconds[1]


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices).

    Raises:
        InputError: The seed is negative, or too large to derive seeds of single shapes from it.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed must lie in 0 to 2^40, got {seed}")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Versions and hardware, which a report needs so that others can repeat a run, as JSON values."""
    device = torch.device(device)
    # PyTorch's own version has more than that of its package: the device that it was built for.
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    cuda = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": device.type if cuda is None else f"{device.type} ({cuda})",
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": versions,
    }


class Stopwatch:
    """Stopwatch: wall-clock seconds per named stage, in the order in which the stages first began.

    Entering a stage again adds to its time. Stages may be nested; the time of a stage includes that of nested
    ones.
    """

    def __init__(self, earlier: Mapping[str, float] | None = None) -> None:
        """Start at zero, or with the seconds of an interrupted run."""
        self._seconds = dict(earlier or {})
        self._running: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time of a block, also if it raises an exception."""
        self._seconds.setdefault(name, 0.0)
        self._running[name] = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - self._running.pop(name)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds per stage until now, including stages that are still running."""
        now = time.perf_counter()
        return {
            name: value + (now - self._running[name] if name in self._running else 0.0)
            for name, value in self._seconds.items()
        }


def peak_memory() -> dict[str, int]:
    """Peak memory of the process in bytes.

    Returns:
        `host`: resident memory of the process, 0 if the system does not report it; `device`: memory that torch
            allocated on the current CUDA device, if CUDA was used.
    """
    peak = {"host": _host_peak()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        peak["device"] = torch.cuda.max_memory_allocated()
    return peak


def release_freed_memory() -> None:
    """Return freed memory to the system, which the C library (glibc) would otherwise keep.

    Many tensors of some megabytes leave gaps in the heap that are too small for later, larger ones.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def _host_peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # Linux; getrusage() would also count what the parent process held before exec
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_memory() -> int:
    """Memory in bytes that can be allocated without swapping; 4 GiB if the system does not report it.

    On Linux it is limited to what a container may use: the limit of its control group minus its usage.
    """
    free = [_linux_available(), _group_available(), _other_available()]
    return min([value for value in free if value], default=4 * 2**30)


def _linux_available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def _group_available() -> int:
    """Available memory within the control group (version 2 or 1) of a container; 0 without a limit."""
    root = Path("/sys/fs/cgroup")
    for folder, limit, used in (
        (root, "memory.max", "memory.current"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            most, now = int((folder / limit).read_text()), int((folder / used).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            cached = int(statistics.get("inactive_file", 0))  # file cache, released when memory is needed
        except (OSError, ValueError):  # no such group, or "max"
            continue
        return max(1, most - now + cached) if most < 2**60 else 0
    return 0


def _other_available() -> int:
    """Available memory on Windows; on other systems without /proc, such as macOS, half of the machine's
    memory."""
    if sys.platform == "win32":
        import ctypes

        status = (ctypes.c_ulonglong * 8)()  # MEMORYSTATUSEX: two 32-bit numbers, then seven of 64 bits
        ctypes.cast(status, ctypes.POINTER(ctypes.c_ulong))[0] = ctypes.sizeof(status)
        return int(status[2]) if ctypes.windll.kernel32.GlobalMemoryStatusEx(status) else 0
    if Path("/proc/meminfo").exists() or "SC_PHYS_PAGES" not in os.sysconf_names:
        return 0
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2

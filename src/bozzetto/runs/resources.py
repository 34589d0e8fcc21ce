"""Seconds and bytes that a computation took."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch


class Stopwatch:
    """Wall-clock seconds per named stage, in the order in which the stages first began.

    Entering a stage again adds to it. Stages may be nested; each then counts its own whole time.
    """

    def __init__(self, earlier: Mapping[str, float] | None = None) -> None:
        """Begin at zero, or with the seconds of an interrupted run."""
        self._seconds = dict(earlier or {})
        self._running: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block, also when it raises."""
        self._seconds.setdefault(name, 0.0)
        self._running[name] = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - self._running.pop(name)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds until now, stages that still run included."""
        now = time.perf_counter()
        return {
            name: value + (now - self._running[name] if name in self._running else 0.0)
            for name, value in self._seconds.items()
        }


def peak_memory() -> dict[str, int]:
    """Most bytes held at one time since the process began.

    Returns:
        `host`: resident memory of the process (0 where the system does not tell); `device`: memory that
        torch allocated on the current CUDA device, if CUDA was used.
    """
    peak = {"host": _host_peak()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        peak["device"] = torch.cuda.max_memory_allocated()
    return peak


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

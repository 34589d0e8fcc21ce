"""Signals that end the process, deferred until a computation can stop, and processes of one training.

Several processes are started by `torchrun`.
"""

import atexit
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist

from ..terminal import SIGNALS, exit_at_once

Value = TypeVar("Value")


def is_distributed() -> bool:
    """Whether `torchrun` has started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


def rank() -> int:
    """Number of this process; 0 is the first, or the only one."""
    return int(os.environ["RANK"]) if is_distributed() else 0


def world_size() -> int:
    """Processes at the training."""
    return int(os.environ["WORLD_SIZE"]) if is_distributed() else 1


def join_processes(device: torch.device | str) -> torch.device:
    """Join the other processes, if there are any; returns the device of this one."""
    device = torch.device(device)
    if not is_distributed():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(dist.destroy_process_group)
    return device


def mean_of_processes(value: float, device: torch.device) -> float:
    """The mean over all processes."""
    if not is_distributed():
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(total) / world_size()


def broadcast(value: Value) -> Value:
    """The value of the first process."""
    values = [value]
    if is_distributed():
        dist.broadcast_object_list(values)
    return values[0]


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Where this process writes: the first one to the path, others to a folder that is deleted in the end."""
    if rank() == 0:
        yield path
        return
    with TemporaryDirectory(prefix="bozzetto-") as folder:
        yield Path(folder)


class Interruption:
    """Whether a signal has come that ends the process.

    Attributes:
        number: Of the first signal; None as long as there is none.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """As shells count: 130 after Ctrl-C, 143 after `kill`."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def deferred_interruptions() -> Iterator[Interruption]:
    """Note a first Ctrl-C, SIGTERM or closed terminal in a block; a second ends the process at once.

    Under `torchrun` further signals are deferred too, since it sends on to its processes what they have
    already got.
    Ignored signals stay ignored. Outside the main thread nothing changes: only it can handle signals.
    """
    noted = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        if noted and not is_distributed():
            exit_at_once(number)
        noted.number = noted.number or number

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    answered = {
        number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)
    }
    try:
        for number in answered:
            signal.signal(number, note)
        yield noted
    finally:
        for number, handler in answered.items():
            signal.signal(number, handler)

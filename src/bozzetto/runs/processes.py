"""Distributed training in several processes started by `torchrun`."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch
import torch.distributed as dist

Value = TypeVar("Value")


def is_distributed() -> bool:
    """Whether this process was started by `torchrun`."""
    return dist.is_available() and dist.is_torchelastic_launched()


def rank() -> int:
    """Rank of this process; 0 for the first or only process."""
    return int(os.environ["RANK"]) if is_distributed() else 0


def world_size() -> int:
    """Number of processes of the training."""
    return int(os.environ["WORLD_SIZE"]) if is_distributed() else 1


def join_processes(device: torch.device | str) -> torch.device:
    """Join the process group, if there is one, and return the device of this process."""
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
    """The mean of a value over all processes."""
    if not is_distributed():
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(total) / world_size()


def broadcast(value: Value) -> Value:
    """The value of the first process, in all processes."""
    values = [value]
    if is_distributed():
        dist.broadcast_object_list(values)
    return values[0]


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """The folder that this process writes to: `path` for the first one, a temporary folder for others."""
    if rank() == 0:
        yield path
        return
    with TemporaryDirectory(prefix="bozzetto-") as folder:
        yield Path(folder)

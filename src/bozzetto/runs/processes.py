"""Several processes at one training, as `torchrun` starts them."""

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

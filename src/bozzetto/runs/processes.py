"""Several processes at one training, as `torchrun` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch


def is_distributed() -> bool:
    """Whether `torchrun` has started this process."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def local_processes() -> int:
    """Processes of the training on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if is_distributed() else 1


def nodes() -> int:
    """Machines at the training."""
    return int(os.environ["WORLD_SIZE"]) // local_processes() if is_distributed() else 1


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Where this process writes: the first one to the path, others to a folder that is deleted in the end."""
    if not is_distributed() or os.environ.get("RANK", "0") == "0":
        yield path
        return
    with TemporaryDirectory(prefix="bozzetto-") as folder:
        yield Path(folder)

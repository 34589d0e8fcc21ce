"""Where a computation runs: device, seed, versions."""

import os
import platform
import random
import time
from importlib import metadata
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
    """The device of that name; "auto" takes CUDA where there is one.

    Raises:
        InputError: CUDA was asked for and is not there, or the name is unknown.
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


def fast_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether a device multiplies bfloat16 clearly faster than float32, found by trying it."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(768, 768, dtype=dtype, device=device)
        rounds = []
        for _ in range(5):
            began = time.perf_counter()
            _ = matrix @ matrix
            rounds.append(time.perf_counter() - began)
        seconds[dtype] = min(rounds)
    return seconds[torch.bfloat16] < 0.7 * seconds[torch.float32]


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices).

    Raises:
        InputError: The seed is negative or too large to make seeds of single shapes of it.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"--seed must lie in 0 to 2^40, got {seed}")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """What a report needs so that somebody else can repeat a run, ready for JSON."""
    device = torch.device(device)
    # PyTorch says more of itself than its package does: the device that it was built for.
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

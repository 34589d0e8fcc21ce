"""A trained network and its file."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ..errors import InputError
from ..files import write_bytes
from ..runs import tensor_file
from ..weights import find
from .config import NetworkConfig
from .mobile_encoder import imagenet_is_installed
from .model import build_network

FORMAT = "bozzetto height network"
BORROWED = "imagenet."
"""Weights under this name come from a package of their own, which keeps them."""


@dataclass(frozen=True)
class Predictor:
    """A network that sees height.

    Attributes:
        network: In evaluation mode.
        config: What it is.
        metadata: Where it comes from, ready for JSON.
    """

    network: nn.Module
    config: NetworkConfig
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        self.network.eval().requires_grad_(False)

    def to(self, device: torch.device | str) -> "Predictor":
        """The same on another device."""
        return Predictor(self.network.to(device), self.config, self.metadata)


def save_predictor(predictor: Predictor, path: str | os.PathLike[str], half: bool = True) -> None:
    """Write a network as safetensors, by default with 16 bits per number; without what it borrows.

    Raises:
        InputError: The folder cannot be written to.
    """
    tensors = {
        name: value.detach().cpu().contiguous()
        for name, value in predictor.network.state_dict().items()
        if not name.startswith(BORROWED)
    }
    if half:
        tensors = {n: v.half() if v.is_floating_point() and v.ndim > 1 else v for n, v in tensors.items()}
    meta = {
        "format": FORMAT,
        "config": json.dumps(asdict(predictor.config)),
        "about": json.dumps(predictor.metadata),
    }
    write_bytes(Path(path), tensor_file(tensors, meta))


def load_predictor(path: str | os.PathLike[str]) -> Predictor:
    """Read a network.

    Raises:
        InputError: The file is missing, damaged or holds something else, or the network needs a package that is
            not installed.
    """
    try:
        with safe_open(str(path), "pt") as file:
            meta = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}; check the path") from None
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read as weights ({error}); train or download them again"
        ) from None
    if meta.get("format") != FORMAT:
        raise InputError(f"{path} holds no height network; give a file from `bozzetto train heightmap`")
    stored = json.loads(meta["config"])
    widths, blocks = (tuple(stored.pop(name)) for name in ("widths", "blocks"))
    config = NetworkConfig(widths=widths, blocks=blocks, **stored)
    network = build_network(config)
    tensors = {n: v.float() if v.is_floating_point() else v for n, v in tensors.items()}
    tensors |= {n: v for n, v in network.state_dict().items() if n.startswith(BORROWED)}
    network.load_state_dict(tensors)
    return Predictor(network, config, json.loads(meta["about"]))


def best_weights() -> str:
    """Name of the shipped weights that see best with what is installed."""
    return "heights-imagenet" if imagenet_is_installed() else "heights"


def open_predictor(name: str = "auto") -> Predictor:
    """A network from a file, or one that comes with the package, by its name; `auto` takes the best.

    Raises:
        InputError: There is none of this name, or the file holds something else.
    """
    path = Path(name)
    if path.suffix or path.is_file():
        return load_predictor(path)
    return load_predictor(find(best_weights() if name == "auto" else name))

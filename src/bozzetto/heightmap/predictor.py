"""Trained networks and their files."""

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
"""Prefix of weights that come from a separate package and are not stored."""


@dataclass(frozen=True)
class Predictor:
    """A trained network that predicts height maps.

    Attributes:
        network: The network, in evaluation mode.
        config: Its configuration.
        metadata: Description of the training, as JSON values.
    """

    network: nn.Module
    config: NetworkConfig
    metadata: dict[str, Any]

    def __post_init__(self) -> None:
        self.network.eval().requires_grad_(False)

    def to(self, device: torch.device | str) -> "Predictor":
        """The predictor on another device."""
        return Predictor(self.network.to(device), self.config, self.metadata)


def save_predictor(predictor: Predictor, path: str | os.PathLike[str], half: bool = True) -> None:
    """Write a network as safetensors, by default in float16, without the weights of the ImageNet encoder.

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
    """Read a network from a file of `save_predictor`.

    Raises:
        InputError: The file is missing or damaged or is not a height network, or the network needs a package
            that is not installed.
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
    """Name of the most accurate shipped weights that can be used with the installed packages."""
    return "heights-imagenet" if imagenet_is_installed() else "heights"


def open_predictor(name: str = "auto") -> Predictor:
    """Open a network: a file, or the name of one that comes with the package; `auto` takes the most accurate.

    Raises:
        InputError: There is no network of this name, or the file is not a height network.
    """
    path = Path(name)
    if path.suffix or path.is_file():
        return load_predictor(path)
    return load_predictor(find(best_weights() if name == "auto" else name))

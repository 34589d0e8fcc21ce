"""Opening models of clouds by name, and checkpoints of the released ShapeGF code (RuojinCai/ShapeGF)."""

import io
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, warn_input
from ..files import write_bytes
from ..runs import load_weights, read_checkpoint
from ..weights import find
from .config import REFERENCE_MODEL
from .model import ResidualModel
from .prior import KIND, CloudPrior, load_cloud_prior

RELEASED = (".pt", ".pth")
# Names of layers: ours, then those of the released code.
_ENCODER = {f"points.{3 * i}": f"conv{i + 1}" for i in range(4)}
_ENCODER |= {f"points.{3 * i + 1}": f"bn{i + 1}" for i in range(4)}
_ENCODER |= {"head.0": "fc1", "head.1": "fc_bn1", "head.3": "fc2", "head.4": "fc_bn2", "head.6": "fc3"}
_DECODER = {"first": "conv_p", "norm": "bn_out", "last": "conv_out"}
_BLOCK = {"norm1": "bn_0", "norm2": "bn_1", "layer1": "fc_0", "layer2": "fc_1", "condition": "fc_c"}
_CONDITIONAL = {"norm": "bn", "scale": "conv_gamma", "shift": "conv_beta"}


def load_shapegf(path: str | os.PathLike[str], config: str | os.PathLike[str] | None = None) -> CloudPrior:
    """Read the auto-encoder of a checkpoint of the released code, as written by `trainers/ae_trainer.py`.

    Args:
        path: `latest.pt` or `epoch_*.pt`, with encoder (`enc`) and decoder (`dec`, `resnet_add` or
            `resnet_cbn`). The sizes of the networks are those of the tensors.
        config: The YAML file of the training, from which `sigma_begin` and `sigma_end` are read. None takes
            noise levels from 1 to 0.01, with a warning.

    Returns:
        The prior, without a distribution of codes and without codes of training shapes: it can encode and
        reconstruct clouds, but not sample new shapes. `save_cloud_prior` converts it to safetensors.

    Raises:
        InputError: A file is missing or damaged, or has other content, such as a variational encoder.
    """
    path = Path(path)
    stored = load_weights(path)
    encoder, decoder = (stored.get(part) for part in ("enc", "dec"))
    if not isinstance(encoder, dict) or not isinstance(decoder, dict):
        raise InputError(
            f"{path} has no encoder `enc` and decoder `dec`; give a checkpoint of ShapeGF's auto-encoder"
        )
    encoder, decoder = (_plain(network) for network in (encoder, decoder))
    if not {"fc3.weight"} <= encoder.keys() or not {"conv_p.weight", "conv_out.weight"} <= decoder.keys():
        raise InputError(
            f"{path} holds other networks than a deterministic l3dp_encoder with resnet_add or resnet_cbn"
        )
    high, low = _levels(config)
    blocks = {name.split(".")[1] for name in decoder if name.startswith("blocks.")}
    model = ResidualModel(
        replace(
            REFERENCE_MODEL,
            dimensions=len(decoder["conv_out.weight"]),
            code_size=len(encoder["fc3.weight"]),
            hidden=len(decoder["conv_p.weight"]),
            blocks=len(blocks),
            condition="batch norm" if "bn_out.conv_gamma.weight" in decoder else "add",
            low=low,
            high=high,
        )
    )
    state = {}
    for ours, value in model.state_dict().items():
        part, name = _released(ours)
        found = (encoder if part == "enc" else decoder).pop(name, None)
        if not isinstance(found, Tensor) or found.shape != value.shape:
            raise InputError(
                f"{path} lacks {part}.{name} of shape {tuple(value.shape)}; give an unchanged checkpoint"
            )
        state[ours] = found
    if rest := [*encoder, *decoder]:
        raise InputError(
            f"{path} holds layers that our network has not, such as {rest[0]}; it cannot be loaded"
        )
    model.load_state_dict(state)
    about = {"name": path.stem, "source": "a checkpoint of RuojinCai/ShapeGF", "epoch": stored.get("epoch")}
    codes = torch.zeros(0, model.config.code_size)
    return CloudPrior(model.eval().requires_grad_(False), None, codes, (), about)


def save_shapegf(prior: CloudPrior, path: str | os.PathLike[str]) -> None:
    """Write encoder and decoder of a prior as a checkpoint that the released code reads.

    Raises:
        InputError: The networks are not the published ones, or the file cannot be written.
    """
    if not isinstance(prior.model, ResidualModel):
        raise InputError(
            "only models with the published networks fit into this layout; train --preset reference"
        )
    content: dict[str, Any] = {"enc": {}, "dec": {}, "epoch": 0, "step": 0}
    for ours, value in prior.model.state_dict().items():
        part, name = _released(ours)
        content[part][name] = value.cpu()
    file = io.BytesIO()
    torch.save(content, file)
    write_bytes(Path(path), file.getvalue())


def open_cloud_prior(name: str) -> CloudPrior:
    """Open a model: a file, also of the released code (.pt), or the name of one that comes with the package.

    If there is exactly one YAML file in the folder of a checkpoint of the released code, it is its
    configuration. Otherwise the published noise levels are taken, with a warning.

    Raises:
        InputError: There is no model of this name, or the file has other content.
    """
    path = _place(name)
    if path.suffix not in RELEASED:
        return load_cloud_prior(path)
    configs = [*path.parent.glob("*.yaml"), *path.parent.glob("*.yml")]
    return load_shapegf(path, configs[0] if len(configs) == 1 else None)


def is_cloud_prior(name: str) -> bool:
    """Whether a file, or the file that comes with the package under a name, is a model of point clouds.

    Raises:
        InputError: There is no file of this name, or the file is damaged.
    """
    if Path(name).is_dir():
        return False
    path = _place(name)
    return path.is_file() and (path.suffix in RELEASED or read_checkpoint(path)[1].get("kind") == KIND)


def _place(name: str) -> Path:
    path = Path(name)
    return path if path.suffix or path.is_file() else find(name)


def _released(name: str) -> tuple[str, str]:
    """Network and name of a tensor in the released code."""
    network, rest = name.split(".", 1)
    layer, tensor = rest.rsplit(".", 1)
    if network == "encoder":
        return "enc", f"{_ENCODER[layer]}.{tensor}"
    words = layer.split(".")
    if words[0] == "blocks":
        found = ["blocks", words.pop(1), _BLOCK[words.pop(1)]]
    else:
        found = [_DECODER[words[0]]]
    return "dec", ".".join([*found, *(_CONDITIONAL[word] for word in words[1:]), tensor])


def _plain(network: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors by name, without the prefix of `DataParallel`."""
    return {n.removeprefix("module."): v for n, v in network.items() if isinstance(v, Tensor)}


def _levels(config: str | os.PathLike[str] | None) -> tuple[float, float]:
    """Largest and smallest noise level of a training of the released code."""
    if config is None:
        high, low = REFERENCE_MODEL.high, REFERENCE_MODEL.low
        warn_input(
            f"noise levels of the checkpoint are taken to go from {high:g} to {low:g}, as published; put the "
            "YAML file of its training beside it, and no other"
        )
        return high, low
    try:
        text = Path(config).read_text(encoding="utf-8")
        begin, end = (
            re.findall(rf"^\s*{name}:\s*([-+.\deE]+)", text, re.M) for name in ("sigma_begin", "sigma_end")
        )
        ((high, low),) = {(float(b), float(e)) for b, e in zip(begin, end, strict=True)}
    except (OSError, ValueError, IndexError):
        raise InputError(
            f"{config} cannot be read, or lacks one sigma_begin and one sigma_end; "
            "give the YAML file of the training"
        ) from None
    if not 0 < low < high < 1e6:
        raise InputError(f"{config} has noise levels from {high:g} to {low:g}; they must fall and be above 0")
    return high, low

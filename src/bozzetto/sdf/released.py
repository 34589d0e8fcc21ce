"""Opening priors by name, and experiments of the released DeepSDF code (facebookresearch/DeepSDF)."""

import io
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..files import write_bytes, write_text
from ..runs import load_weights
from ..weights import find
from .config import DecoderConfig
from .model import build_decoder
from .prior import ShapePrior, load_prior

MODEL, CODES, SPECS = "ModelParameters/latest.pth", "LatentCodes/latest.pth", "specs.json"
_PARTS = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
    "bias": "bias",
}


def load_deepsdf(folder: str | os.PathLike[str]) -> ShapePrior:
    """Read the prior of an experiment of the released code.

    Args:
        folder: Folder of the experiment, with `specs.json`, `ModelParameters/latest.pth` and
            `LatentCodes/latest.pth`.

    Returns:
        The prior, whose values agree with those of the released network up to rounding. `save_prior` converts
        it to safetensors. Shapes are named `shape 0` and so on, since their names are in the split file.

    Raises:
        InputError: A file is missing or damaged or has other content, or the network is not supported:
            `xyz_in_all`, `use_tanh`, several `latent_in`, layers without weight normalisation, or
            another `NetworkArch` than `deep_sdf_decoder`.
    """
    folder = Path(folder)
    specs = _specs(folder / SPECS)
    config = _decoder_config(specs, folder / SPECS)
    found = load_weights(folder / MODEL).get("model_state_dict")
    weights = {}
    for name, value in found.items() if isinstance(found, dict) else ():
        layer, _, part = name.removeprefix("module.").partition(".")
        number = layer.removeprefix("lin")
        ours = "last" if number == str(config.layers) else f"hidden.{number}"
        weights[f"{ours}.{_PARTS.get(part, part)}"] = value
    decoder = build_decoder(config)
    expected = {name: value.shape for name, value in decoder.state_dict().items()}
    if {name: getattr(value, "shape", None) for name, value in weights.items()} != expected:
        raise InputError(
            f"{folder / MODEL} does not hold the network that {SPECS} describes; give both of one experiment"
        )
    decoder.load_state_dict(weights)
    codes = load_weights(folder / CODES).get("latent_codes")
    codes = codes.get("weight") if isinstance(codes, dict) else codes  # a tensor in early versions
    if not isinstance(codes, Tensor) or codes.numel() == 0 or codes.numel() % config.code_size:
        raise InputError(
            f"{folder / CODES} does not hold codes of {config.code_size} numbers; give those of {MODEL}"
        )
    codes = codes.detach().float().reshape(-1, config.code_size)
    names = tuple(f"shape {number}" for number in range(len(codes)))
    about = {"name": folder.name, "source": "an experiment of facebookresearch/DeepSDF", "specs": specs}
    clamp = float(specs.get("ClampingDistance", 0.1))
    return ShapePrior(decoder.eval().requires_grad_(False), codes, names, about, clamp)


def save_deepsdf(prior: ShapePrior, folder: str | os.PathLike[str]) -> None:
    """Write a prior as an experiment that the released code reads.

    Raises:
        InputError: The network is not the published one, or a file cannot be written.
    """
    config, folder = prior.decoder.config, Path(folder)
    if config.architecture != "concatenate":
        raise InputError(
            "only priors with the published network fit into this layout; train --preset reference"
        )
    parts = {ours: theirs for theirs, ours in _PARTS.items()}
    state = {}
    for name, value in prior.decoder.state_dict().items():
        part = name.removeprefix("last.")
        if part == name:
            _, number, part = name.split(".", 2)
        else:
            number = str(config.layers)
        state[f"module.lin{number}.{parts.get(part, part)}"] = value.cpu()
    layers = list(range(config.layers))
    specs = {
        "NetworkArch": "deep_sdf_decoder",
        "NetworkSpecs": {
            "dims": [config.hidden] * config.layers,
            "dropout": layers,
            "dropout_prob": config.dropout,
            "norm_layers": layers,
            "latent_in": [] if config.skip is None else [config.skip],
            "xyz_in_all": False,
            "use_tanh": False,
            "latent_dropout": False,
            "weight_norm": True,
        },
        "CodeLength": config.code_size,
        "ClampingDistance": prior.clamp,
    }
    contents = {MODEL: {"epoch": 0, "model_state_dict": state}}
    contents[CODES] = {"epoch": 0, "latent_codes": {"weight": prior.codes.cpu()}}
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        torch.save(content, file)
        write_bytes(folder / name, file.getvalue())
    write_text(folder / SPECS, json.dumps(specs, indent=2) + "\n")


def open_prior(name: str) -> ShapePrior:
    """Open a prior: a file, a folder of the released code, or the name of a prior that comes with the package.

    Raises:
        InputError: There is no prior of this name, or the file is not a prior.
    """
    path = Path(name)
    if (path / SPECS).is_file():
        return load_deepsdf(path)
    return load_prior(path if path.suffix or path.is_file() else find(name))


def _specs(path: Path) -> dict[str, Any]:
    try:
        specs = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(specs["NetworkSpecs"]["dims"], list) or not isinstance(specs["CodeLength"], int):
            raise TypeError("dims are no list, or CodeLength no number")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is not the specs.json of a DeepSDF experiment ({error!r}); give its folder"
        ) from None
    return specs


def _decoder_config(specs: dict[str, Any], path: Path) -> DecoderConfig:
    network = specs["NetworkSpecs"]
    dims, skips = network["dims"], network.get("latent_in") or []
    layers = set(range(len(dims)))
    if (
        specs.get("NetworkArch", "deep_sdf_decoder") != "deep_sdf_decoder"
        or len(set(dims)) != 1
        or len(skips) > 1
        or network.get("xyz_in_all")
        or network.get("use_tanh")
        or not network.get("weight_norm")
        or set(network.get("norm_layers") or []) != layers
    ):
        raise InputError(
            f"{path} describes a network that cannot be loaded; it must be a deep_sdf_decoder whose layers are "
            "equally wide and weight-normalised, with at most one latent_in, no xyz_in_all and no use_tanh"
        )
    dropout = float(network.get("dropout_prob") or 0.0) if network.get("dropout") else 0.0
    skip = skips[0] if skips else None
    return DecoderConfig("concatenate", specs["CodeLength"], dims[0], len(dims), skip, dropout)


def as_prior(prior: ShapePrior | str) -> ShapePrior:
    """Return a prior unchanged, or open one by name or path with `open_prior`."""
    return open_prior(prior) if isinstance(prior, str) else prior

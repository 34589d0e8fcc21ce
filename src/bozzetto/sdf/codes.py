"""Codes as files that know which prior they belong to."""

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..runs import fingerprint, read_checkpoint, write_checkpoint
from ..shapes.readers import read_array
from .prior import ShapePrior

ENDINGS = (".safetensors", ".npy")


def save_code(code: Float[Tensor, " K"], prior: ShapePrior, path: str | os.PathLike) -> None:
    """Write a code with the fingerprint of its prior, as safetensors.

    Raises:
        InputError: It is no code of this prior, or the file cannot be written.
    """
    prior.check_code(code)
    write_checkpoint(Path(path), {"code": code}, {"kind": "sdf code", "prior": prior_fingerprint(prior)})


def load_code(path: str | os.PathLike, prior: ShapePrior) -> Float[Tensor, " K"]:
    """Read a code from a file of `save_code` or from a NumPy array (.npy), which does not know its prior.

    Raises:
        InputError: The file is missing or damaged, was changed, holds something else, or was made with
            another prior.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS or not path.is_file():
        raise InputError(f"{path} is no file with a code; codes end in {' or '.join(ENDINGS)}")
    if path.suffix.lower() == ".npy":
        code = _array(path)
    else:
        tensors, meta = read_checkpoint(path)
        if meta.get("kind") != "sdf code" or "code" not in tensors:
            raise InputError(f"{path} holds {meta.get('kind', 'something else')!r}, not a code of a shape")
        code = tensors["code"].float()
        prior.check_code(code, f"the code in {path}")
        if meta.get("prior") != prior_fingerprint(prior):
            raise InputError(f"the code in {path} was made with another prior; give that one with --prior")
    return prior.check_code(code, f"the code in {path}").to(prior.codes.device)


def prior_fingerprint(prior: ShapePrior) -> str:
    """A short name for the weights of a decoder."""
    state = prior.decoder.state_dict()
    return fingerprint(*[part for name in sorted(state) for part in (name, state[name].cpu())])


def _array(path: Path) -> Tensor:
    return torch.from_numpy(read_array(path).astype(np.float32))

"""Priors over shapes: decoder, codes and their distribution; files of priors and of codes."""

import math
import os
from dataclasses import asdict, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import InputError
from ..runs import fingerprint, read_checkpoint, write_checkpoint
from ..shapes.readers import read_array
from ..values import value_type
from .config import DecoderConfig
from .model import Decoder, build_decoder


@value_type
class ShapePrior:
    """A prior over a family of shapes: a trained decoder with the codes of its training shapes.

    Attributes:
        decoder: The decoder, in evaluation mode.
        codes: Code of every training shape, one per row.
        names: Names of the training shapes.
        metadata: Description of the training: name, licence, command, seed, metrics.
        clamp: delta of the training (equation 4), in the normalised frame: larger distances are not reliable;
            infinite if distances were not clamped.
        width: Width of the family, see `family_width`; None if the file does not have it.
    """

    decoder: Decoder
    codes: Float[Tensor, "S K"]
    names: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    clamp: float = 0.1
    width: float | None = None

    def check_code(self, code: Tensor, name: str = "the code") -> Float[Tensor, " K"]:
        """Check that a code fits this prior, and return it.

        Raises:
            InputError: The code has another length or values that are not finite.
        """
        size = self.decoder.config.code_size
        if code.shape != (size,):
            raise InputError(
                f"{name} has shape {tuple(code.shape)}, but this prior's codes have {size} numbers; "
                "use the prior that the code was made with"
            )
        if not torch.isfinite(code).all():
            raise InputError(f"{name} has NaN or infinite numbers; make it anew")
        return code

    def to(self, device: torch.device | str) -> "ShapePrior":
        """The prior on another device."""
        return replace(self, decoder=self.decoder.to(device), codes=self.codes.to(device))


def save_prior(prior: ShapePrior, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a prior as safetensors, with a checksum; `dtype` float16 halves its size."""
    weights = {f"decoder.{name}": value.to(dtype) for name, value in prior.decoder.state_dict().items()}
    meta = {
        "kind": "sdf prior",
        "decoder": asdict(prior.decoder.config),
        "names": list(prior.names),
        "about": prior.metadata,
        "clamp": prior.clamp if math.isfinite(prior.clamp) else None,
        "width": prior.width,
    }
    write_checkpoint(Path(path), {**weights, "codes": prior.codes.to(dtype)}, meta)


def load_prior(path: str | Path) -> ShapePrior:
    """Read a prior from a file of `save_prior`.

    Raises:
        InputError: The file is missing, damaged or modified, or is not a prior.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no prior at {path}; train one with: bozzetto train sdf DATA")
    tensors, meta = read_checkpoint(path, "give the prior.safetensors of: bozzetto train sdf DATA")
    if meta.get("kind") != "sdf prior":
        raise InputError(f"{path} holds {meta.get('kind', 'a training state')!r}, not a prior over shapes")
    decoder = build_decoder(DecoderConfig(**meta["decoder"]))
    weights = {n.removeprefix("decoder."): v.float() for n, v in tensors.items() if n.startswith("decoder.")}
    decoder.load_state_dict(weights)
    clamp = meta.get("clamp", 0.1)  # files of the first version have none, and were trained with this one
    return ShapePrior(
        decoder.eval().requires_grad_(False),
        tensors["codes"].float(),
        tuple(meta["names"]),
        meta["about"],
        math.inf if clamp is None else clamp,
        meta.get("width"),
    )


@value_type
class CodeDistribution:
    """A Gaussian distribution of codes.

    Attributes:
        mean: Mean, the most probable code.
        covariance: Covariance, symmetric and positive definite.
    """

    mean: Float64[Tensor, " K"]
    covariance: Float64[Tensor, "K K"]

    @classmethod
    def of(cls, codes: Float[Tensor, "S K"]) -> "CodeDistribution":
        """Estimate mean and covariance of codes, with the covariance shrunk towards a multiple of the identity.

        The shrinkage is the oracle-approximating one for a Gaussian (Chen, Wiesel, Eldar, Hero 2010, "Shrinkage
        algorithms for MMSE covariance estimation", equation 23), so that directions that a few codes do not
        cover have positive variance. A single code has the standard deviation of the published prior, 0.01.

        Source: Chen et al. 2010, the oracle-approximating shrinkage.

        Raises:
            InputError: There are no codes.
        """
        count, size = codes.shape
        if count == 0:
            raise InputError("this prior holds no codes of training shapes; train it again")
        codes = codes.detach().double()
        mean = codes.mean(dim=0)
        spread = codes - mean
        sample = spread.T @ spread / count
        squared, traced = (sample * sample).sum(), sample.trace().square()
        excess = (count + 1 - 2 / size) * (squared - traced / size)
        share = float(((1 - 2 / size) * squared + traced) / excess) if excess > 0 else 1.0
        share = min(max(share, 0.0), 1.0)
        scale = max(float(sample.trace()) / size, 1e-4)
        identity = torch.eye(size, dtype=torch.float64, device=codes.device)
        return cls(mean, (1 - share) * sample + share * scale * identity)

    @classmethod
    def isotropic(cls, size: int, std: float, device: torch.device | str = "cpu") -> "CodeDistribution":
        """The published prior: zero mean and the same standard deviation in all dimensions.

        Source: Park et al. 2019, section 4.2, the prior over codes.
        """
        identity = torch.eye(size, dtype=torch.float64, device=device)
        return cls(identity[0] * 0, std**2 * identity)

    @cached_property
    def precision(self) -> Float64[Tensor, "K K"]:
        """Inverse of the covariance."""
        return torch.linalg.inv(self.covariance)

    def distance(self, code: Float[Tensor, " K"]) -> float:
        """Squared Mahalanobis distance of a code from the mean; K on average for codes of this distribution."""
        offset = code.double() - self.mean
        return float(offset @ self.precision @ offset)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Float64[Tensor, "{count} K"]:
        """Sample random codes."""
        noise = torch.randn(count, len(self.mean), dtype=torch.float64, generator=generator)
        return self.mean + noise.to(self.mean.device) @ torch.linalg.cholesky(self.covariance).T


ENDINGS = (".safetensors", ".npy")


def save_code(code: Float[Tensor, " K"], prior: ShapePrior, path: str | os.PathLike[str]) -> None:
    """Write a code with the fingerprint of its prior, as safetensors.

    Raises:
        InputError: The code does not fit this prior, or the file cannot be written.
    """
    prior.check_code(code)
    write_checkpoint(Path(path), {"code": code}, {"kind": "sdf code", "prior": prior_fingerprint(prior)})


def load_code(path: str | os.PathLike[str], prior: ShapePrior) -> Float[Tensor, " K"]:
    """Read a code from a file of `save_code`, or from a NumPy array (.npy), which has no fingerprint.

    Raises:
        InputError: The file is missing, damaged or modified, is not a code, or belongs to another prior.
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
    """A short hash of the weights of a decoder."""
    state = prior.decoder.state_dict()
    return fingerprint(*[part for name in sorted(state) for part in (name, state[name].cpu())])


def _array(path: Path) -> Tensor:
    return torch.from_numpy(read_array(path).astype(np.float32))

"""Trained models of clouds: networks, codes of the training shapes, and the distribution of codes."""

from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from ..runs import read_checkpoint, renamed, write_checkpoint
from ..shapes.frames import Frame
from ..values import value_type
from .config import LatentConfig, ModelConfig
from .latent import LatentFlow, LatentGenerator
from .model import ScoreModel, build_latent, build_model

KIND = "score model"


@value_type
class CloudPrior:
    """A trained model of point clouds.

    Attributes:
        model: Encoder and field, in evaluation mode.
        latent: Distribution of codes; None if none was learned.
        codes: Code of every training shape, one per row.
        names: Names of the training shapes.
        frame: Common frame of the whole collection; None if every shape was normalised by itself.
        metadata: Description of the training: name, licence, command, seed, metrics.
        limits: Largest misfits of shapes of the family, see `FitLimits`; None if the file does not have them.
    """

    model: ScoreModel
    latent: LatentFlow | LatentGenerator | None
    codes: Float[Tensor, "S K"]
    names: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    frame: Frame | None = None
    limits: tuple[float, float] | None = None

    def sample_codes(
        self, count: int, seed: int = 0, truncation: float = 1.0, attempt: int = 0
    ) -> Float[Tensor, "{count} K"]:
        """Sample random codes, without the selection of good ones that `sample` makes.

        Args:
            count: Number of codes.
            seed: Seed of the noise; code i depends on the seed, the attempt and i only.
            truncation: Factor in (0, 1] on the noise; values below 1 give more typical shapes and less variety.
            attempt: Number of the attempt; another number gives other codes for the same seed.

        Raises:
            InputError: The model has no distribution of codes, or the truncation is not in (0, 1].
        """
        latent = self.check_truncation(truncation)
        first = seed * 1_000_003 + attempt * 1_000_000_000_039
        rows = [
            torch.randn(latent.noise_size, generator=torch.Generator().manual_seed(first + index))
            for index in range(count)
        ]
        return latent.sample(truncation * torch.stack(rows).to(self.codes))

    def check_truncation(self, truncation: float) -> LatentFlow | LatentGenerator:
        """Check that a truncation is valid, and return the distribution of codes.

        Raises:
            InputError: The model has no distribution of codes, or the truncation is not in (0, 1].
        """
        if self.latent is None:
            raise InputError(
                "this model was trained without a distribution of codes and cannot invent shapes; "
                "train it with the default preset"
            )
        if not 0 < truncation <= 1:
            raise InputError(f"the truncation must lie in (0, 1], got {truncation}")
        return self.latent

    def to(self, device: torch.device | str) -> "CloudPrior":
        """The model on another device."""
        latent = None if self.latent is None else self.latent.to(device)
        return replace(self, model=self.model.to(device), latent=latent, codes=self.codes.to(device))


def save_cloud_prior(prior: CloudPrior, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a model as safetensors, with a checksum; `dtype` float16 halves its size."""
    tensors = {f"model.{name}": value for name, value in prior.model.state_dict().items()}
    if prior.latent is not None:
        tensors |= {f"latent.{name}": value for name, value in prior.latent.state_dict().items()}
    tensors |= {"codes": prior.codes}
    latent = None if prior.latent is None else asdict(prior.latent.config)
    meta = {
        "kind": KIND,
        "model": asdict(prior.model.config),
        "latent": latent,
        "names": list(prior.names),
        "about": prior.metadata,
        "frame": None if prior.frame is None else [prior.frame.center.tolist(), prior.frame.scale],
        "limits": prior.limits,
    }
    stored = {n: v.to(dtype) if v.is_floating_point() else v for n, v in tensors.items()}
    write_checkpoint(Path(path), stored, meta)


def load_cloud_prior(path: str | Path) -> CloudPrior:
    """Read a model from a file of `save_cloud_prior`.

    Raises:
        InputError: The file is missing, damaged or modified, or is not a model of point clouds.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no model at {path}; train one with: bozzetto train score DATA")
    tensors, meta = read_checkpoint(path, "give the model.safetensors of: bozzetto train score DATA")
    if meta.get("kind") != KIND:
        raise InputError(
            f"{path} holds {meta.get('kind', 'a training state')!r}, not a model of point clouds; "
            "give the model.safetensors of: bozzetto train score DATA"
        )
    model = build_model(ModelConfig(**meta["model"]))
    _load(model, "model.", tensors)
    latent = None
    if meta["latent"] is not None:
        latent = build_latent(model.config.code_size, LatentConfig(**renamed(meta["latent"])))
        _load(latent, "latent.", tensors)
    frame = None
    if meta.get("frame") is not None:
        center, scale = meta["frame"]
        frame = Frame(torch.tensor(center, dtype=torch.float64), scale)
    limits = None if meta.get("limits") is None else tuple(meta["limits"])
    codes, names = tensors["codes"].float(), tuple(meta["names"])
    return CloudPrior(model, latent, codes, names, meta["about"], frame, limits)


def _load(module: nn.Module, prefix: str, tensors: dict[str, Tensor]) -> None:
    state = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    module.load_state_dict({n: v.float() if v.is_floating_point() else v for n, v in state.items()})
    module.eval().requires_grad_(False)

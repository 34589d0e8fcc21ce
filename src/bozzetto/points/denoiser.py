"""The trained networks of denoising, as a file, and the one that chooses between local fits."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..runs import read_checkpoint, write_checkpoint
from ..weights import find
from .local_fits import CANDIDATES, FEATURES, NoiseLevel

HIDDEN = 96


class FitChoice(nn.Module):
    """Shares of the local fits of a point, and of staying where it is.

    The result is a convex combination of moves that were measured, so that nothing is invented: a network
    that knows little can only choose a poor scale.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, CANDIDATES + 1),
        )

    def forward(self, moves: Float[Tensor, "N C 3"], features: Float[Tensor, "N F"]) -> Float[Tensor, "N 3"]:
        """The move of each point."""
        shares = self.layers(features).softmax(dim=1)[:, :-1]
        return torch.einsum("nc,ncd->nd", shares, moves)


Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class DenoiserRecipe:
    """How the networks are trained; kept in their file.

    Attributes:
        seed: Of shapes, noise and weights.
        passes: Networks that move points, one after the other.
        shapes: Clouds that each of them learns from.
        places: Places of each cloud that are learned from.
        rows: Points nearest to each place.
        levels: Least and largest noise, of the radius of a shape.
        sizes: Least and largest number of points of a cloud.
        mistake: Deviation of the logarithm of the noise that a network is told; so it may be off, too.
        steps: Of each network.
        rate: Largest learning rate, of one cycle (Smith and Topin 2018).
        decay: Of weights.
        far: Distance, in units of the noise, beyond which the loss grows slower than its square.
        level_shapes: Shapes that the estimate of noise learns from.
        level_clouds: Clouds of each.
        level_levels: Least and largest noise of these; some have none.
        level_sizes: Least and largest number of their points.
        level_steps: Of the estimate.
        level_batch: Clouds per step.
        level_quantile: Of the truth, given what is seen, that is estimated: below the median, as thin shapes
            suffer more from noise that is taken for too strong than from noise that is taken for too weak.
    """

    seed: int = 0
    passes: int = 2
    shapes: int = 160
    places: int = 5
    rows: int = 300
    levels: tuple[float, float] = (0.0015, 0.05)
    sizes: tuple[int, int] = (1500, 10000)
    mistake: float = 0.1
    steps: int = 5000
    rate: float = 6e-3
    decay: float = 1e-4
    far: float = 3.0
    level_shapes: int = 300
    level_clouds: int = 5
    level_levels: tuple[float, float] = (0.0005, 0.06)
    level_sizes: tuple[int, int] = (500, 30000)
    level_steps: int = 3000
    level_batch: int = 256
    level_quantile: float = 0.4


@dataclass(frozen=True)
class Denoiser:
    """Networks that denoise.

    Attributes:
        passes: One for each pass; they choose among local fits.
        level: The one that estimates how strong the noise is.
        metadata: The recipe and what else is known of the training.
    """

    passes: tuple[FitChoice, ...]
    level: NoiseLevel
    metadata: dict[str, Any]


def save_denoiser(denoiser: Denoiser, path: Path) -> None:
    """Write the networks as a safetensors file."""
    named: dict[str, nn.Module] = {str(i): network for i, network in enumerate(denoiser.passes)}
    named["level"] = denoiser.level
    tensors = {f"{n}.{key}": v for n, network in named.items() for key, v in network.state_dict().items()}
    write_checkpoint(path, tensors, {"passes": len(denoiser.passes), "about": denoiser.metadata})


def load_denoiser(path: Path, device: torch.device | str = "cpu") -> Denoiser:
    """Read the networks.

    Raises:
        InputError: The file is not there or damaged.
    """
    tensors, meta = read_checkpoint(path)

    def filled(network: Network, name: str) -> Network:
        start = f"{name}."
        state = {key.removeprefix(start): v.float() for key, v in tensors.items() if key.startswith(start)}
        network.load_state_dict(state)
        return network.eval().requires_grad_(False).to(device)

    passes = tuple(filled(FitChoice(), str(i)) for i in range(meta["passes"]))
    return Denoiser(passes, filled(NoiseLevel(), "level"), meta["about"])


@cache
def shipped_denoiser(device: str = "cpu") -> Denoiser:
    """The networks that come with the package."""
    return load_denoiser(find("denoiser"), device)


def recipe_of(denoiser: Denoiser) -> DenoiserRecipe:
    """What the networks were trained with."""
    kept: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in denoiser.metadata["recipe"].items()
    }
    return DenoiserRecipe(**kept)

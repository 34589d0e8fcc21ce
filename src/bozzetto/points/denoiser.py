"""The trained networks of denoising and their file."""

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
    """Network that combines the local fits of a point with weights that sum to 1; one candidate is not to move.

    The result is a convex combination of estimates from the data. So errors of the network can only lead to a
    bad choice of scale.
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
        """Displacement of each point."""
        shares = self.layers(features).softmax(dim=1)[:, :-1]
        return torch.einsum("nc,ncd->nd", shares, moves)


Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class DenoiserRecipe:
    """Settings of the training of the networks, which are stored in their file.

    Attributes:
        seed: Seed of shapes, noise and initial weights.
        passes: Number of networks that move points, one after the other.
        shapes: Number of clouds that each of them is trained on.
        places: Number of places in each cloud that are used for training.
        rows: Number of nearest points used at each place.
        levels: Smallest and largest noise, as fractions of the radius of a shape.
        sizes: Smallest and largest number of points of a cloud.
        mistake: Standard deviation of the logarithmic error of the noise level given to a network, so that it
            becomes robust to such errors.
        steps: Number of training steps of each network.
        rate: Largest learning rate of the 1cycle schedule (Smith and Topin 2018).
        decay: Weight decay.
        far: Distance, in units of the noise, beyond which the loss grows more slowly than quadratically.
        level_shapes: Number of shapes for training the noise estimate.
        level_clouds: Number of clouds of each of these shapes.
        level_levels: Smallest and largest noise of these clouds; some have none.
        level_sizes: Smallest and largest number of points of these clouds.
        level_steps: Number of training steps of the noise estimate.
        level_batch: Number of clouds per step.
        level_quantile: Estimated quantile of the noise. It is below the median, because an overestimated noise
            level damages thin shapes more than an underestimated one.
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
    """Networks for denoising.

    Attributes:
        passes: One network per pass, which combines local fits.
        level: Network that estimates the noise level.
        metadata: The recipe and further information on the training.
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
    """Read the networks from a file of `save_denoiser`.

    Raises:
        InputError: The file is missing or damaged.
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
    """Settings with which the networks were trained."""
    kept: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in denoiser.metadata["recipe"].items()
    }
    return DenoiserRecipe(**kept)

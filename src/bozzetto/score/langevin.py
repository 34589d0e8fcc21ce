"""Annealed Langevin dynamics, the published sampler."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .model import ScoreModel

STEPS = 10


@torch.no_grad()
def annealed_langevin(
    model: ScoreModel,
    codes: Float[Tensor, "B K"],
    start: Float[Tensor, "B N D"],
    generator: torch.Generator | None = None,
    levels: int = 10,
    steps: int = STEPS,
    high: float | None = None,
    low: float | None = None,
) -> Float[Tensor, "B N D"]:
    """Move points of any prior to the shapes (Cai et al. 2020, algorithm 1, as released).

    On each of a geometric ladder of noise levels, from large to small, `steps` times: noise of sqrt(2) sigma is
    added, then the point takes the whole way to where the field says that it came from. That is step size
    2 sigma^2 in the notation of the paper.

    Source: Cai et al. 2020, algorithm 1, as released.

    Args:
        model: With codes.
        codes: One per shape.
        start: Points of the prior: uniform in [-1.5, 1.5]^D as released, or any other.
        generator: Source of the noise, on the CPU.
        levels: Noise levels; 10 for auto-encoding, 5 in the released configurations for generation.
        steps: Evaluations per level.
        high: Largest level; that of the model if None.
        low: Least level.
    """
    high, low = high or model.config.high, low or model.config.low
    prepared, x = model.prepare(codes), start
    for level in range(levels):
        sigma = high * (low / high) ** (level / max(levels - 1, 1))
        sigmas = x.new_full((len(x), 1), sigma)
        for _ in range(steps):
            noise = torch.randn(x.shape, generator=generator).to(x)
            x = x + math.sqrt(2) * sigma * noise
            x = model.denoise(prepared, x[:, None], sigmas)[:, 0]
    return x

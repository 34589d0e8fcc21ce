"""Few evaluations per sample: the probability-flow equation of the field, from even noise to points."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from .model import ScoreModel

Prior = Literal["gaussian", "uniform", "point"]
RHO = 7.0


def noise_levels(high: float, low: float, steps: int) -> list[float]:
    """Levels from large to small, denser at the small end (Karras et al. 2022, equation 5)."""
    if steps < 2:
        return [high]
    ends = high ** (1 / RHO), low ** (1 / RHO)
    return [(ends[0] + i / (steps - 1) * (ends[1] - ends[0])) ** RHO for i in range(steps)]


def start_noise(
    shapes: int, count: int, dimensions: int, seed: int, stratified: bool = True
) -> Float[Tensor, "{shapes} {count} {dimensions}"]:
    """Standard normal numbers, different for every shape.

    Stratified ones are Sobol points, scrambled anew for every shape, through the quantile function of the
    normal distribution: each alone is normal, but together they fill space evenly. The map from noise to shape
    is smooth, so the points of a sample cover the shape more evenly than independent ones would.
    """
    if not stratified:
        return torch.randn(shapes, count, dimensions, generator=torch.Generator().manual_seed(seed))
    parts = []
    for index in range(shapes):
        engine = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed * 1_000_003 + index)
        parts.append(engine.draw(count, dtype=torch.float64))
    tiny = 1e-9
    return torch.special.ndtri(torch.stack(parts).clamp(tiny, 1 - tiny)).float()


@torch.no_grad()
def draw_points(
    model: ScoreModel,
    codes: Float[Tensor, "B K"],
    count: int,
    seed: int = 0,
    evaluations: int = 10,
    stratified: bool = True,
    prior: Prior = "gaussian",
) -> Float[Tensor, "B {count} D"]:
    """Points of shapes, by the probability-flow equation dx / dsigma = (x - D(x; sigma)) / sigma.

    Solved by DPM-Solver++ (2M) of Lu et al. 2022, which is exact where D is linear in ln sigma; the last
    evaluation moves points to where they came from at the least noise level.

    Args:
        model: With codes.
        codes: One per shape.
        count: Points per shape.
        seed: Of the noise; the same seed gives the same points.
        evaluations: Of the network.
        stratified: Start from even noise, see `start_noise`; otherwise points are independent, as those of a
            surface sample are, which sets of clouds need to be compared fairly.
        prior: What is blurred by the largest level to start from: the Gaussian of the data's spread, the cube
            [-1.5, 1.5]^D, or the origin alone. It hardly matters, since the noise is larger.

    Raises:
        InputError: `count` or `evaluations` is less than one.
    """
    if count < 1 or evaluations < 1:
        raise InputError(f"at least one point and one evaluation are needed, got {count} and {evaluations}")
    config = model.config
    noise = start_noise(len(codes), count, config.dimensions, seed, stratified)
    if prior == "gaussian":
        x = noise * math.sqrt(config.high**2 + _spread(model) ** 2)
    else:
        cube = torch.rand(noise.shape, generator=torch.Generator().manual_seed(seed + 1)) * 3 - 1.5
        x = noise * config.high + (cube if prior == "uniform" else 0.0)
    return solve(model, model.prepare(codes), x.to(codes), noise_levels(config.high, config.low, evaluations))


def _spread(model: ScoreModel) -> float:
    return model.config.data_std


def solve(
    model: ScoreModel,
    prepared: tuple[Tensor, ...],
    x: Float[Tensor, "B N D"],
    levels: list[float],
) -> Float[Tensor, "B N D"]:
    """Points at the first noise level to clean points, one evaluation per level."""
    before, width = None, 0.0
    for index, sigma in enumerate(levels):
        clean = model.denoise(prepared, x[:, None], x.new_full((len(x), 1), sigma))[:, 0]
        if index + 1 == len(levels):
            return clean
        step = math.log(sigma / levels[index + 1])
        # Linear extrapolation of D to the middle of the step, from this level and the one before.
        ahead = clean if before is None else clean + (clean - before) * (step / (2 * width))
        x = torch.lerp(ahead, x, levels[index + 1] / sigma)
        before, width = clean, step
    return x

"""Samplers of the gradient field: annealed Langevin dynamics, as published, and its probability-flow ODE.

The ODE needs few evaluations per sample, from uniform noise to points.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..steps import counted
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


RHO = 7.0
BEGIN = 1.0
"""First noise level: about the size of normalised shapes."""
PROBES = 256
"""Points at which a field is asked for the moments of its shape."""


def noise_levels(high: float, low: float, steps: int) -> list[float]:
    """Levels from large to small, denser at the small end (Karras et al. 2022, equation 5).

    Source: Karras et al. 2022, equation 5.
    """
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
    begin: float = BEGIN,
) -> Float[Tensor, "B {count} D"]:
    """Points of shapes, by the probability-flow equation dx / dsigma = (x - D(x; sigma)) / sigma.

    Solved by DPM-Solver++ (2M) of Lu et al. 2022, which is exact where D is linear in ln sigma; the last
    evaluation moves points to where they came from at the least noise level. It begins at a noise level of the
    size of the shape, from the Gaussian with the mean and covariance that the blurred shape has there: these
    the field itself tells, see `moments`. Beginning far out from a Gaussian that fits no shape in particular
    costs evaluations, and what the first ones miss leaves too many points in one part of a shape and too few
    in another.

    Source: Karras et al. 2022, equation 1.

    Source: Lu et al. 2022, algorithm 2. Differs: it begins at a level of the size of the shape, from the
    Gaussian with the moments that the field tells.

    Args:
        model: With codes.
        codes: One per shape.
        count: Points per shape.
        seed: Of the noise; the same seed gives the same points.
        evaluations: Of the network for each point.
        stratified: Start from even noise, see `start_noise`; otherwise points are independent, as those of a
            surface sample are, which sets of clouds need to be compared fairly.
        begin: The first noise level.

    Raises:
        InputError: `count` or `evaluations` is less than one.
    """
    if count < 1 or evaluations < 1:
        raise InputError(f"at least one point and one evaluation are needed, got {count} and {evaluations}")
    config = model.config
    d = config.dimensions
    noise = start_noise(len(codes), count, d, seed, stratified)
    prepared = model.prepare(codes)
    mean, covariance = moments(model, prepared, len(codes), begin)
    unit = torch.eye(d).to(covariance)
    x = mean[:, None] + noise.to(codes) @ square_root(covariance + begin**2 * unit)
    return solve_ode(model, prepared, x, noise_levels(begin, config.low, evaluations))


def moments(
    model: ScoreModel, prepared: tuple[Tensor, ...], shapes: int, sigma: float
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D D"]]:
    """Mean m and covariance C of the shapes of some codes, from their fields at a large noise level.

    There D(x) is nearly that of a Gaussian, m + A (x - m) with A = C (C + sigma^2)^-1; A and m come from a
    linear fit to D at even points.
    """
    config = model.config
    x = start_noise(1, PROBES, config.dimensions, 0) * math.sqrt(sigma**2 + config.data_std**2)
    x = x.to(prepared[0]).expand(shapes, -1, -1)
    clean = model.denoise(prepared, x[:, None], x.new_full((shapes, 1), sigma))[:, 0]
    rows = torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)
    fit = torch.linalg.solve(rows.mT @ rows, rows.mT @ clean)  # D(x) = fit[:D].T x + fit[D]
    slope, offset = fit[:, :-1].mT, fit[:, -1]
    # C is symmetric, and lies between a point and a shape much larger than normalised ones.
    values, axes = torch.linalg.eigh((slope + slope.mT) / 2)
    values = values.clamp(1e-4, 1 / (1 + sigma**2))
    symmetric = axes @ (values[..., None] * axes.mT)
    unit = torch.eye(x.shape[2]).to(x)
    mean = torch.linalg.solve(unit - symmetric, offset)
    return mean, axes @ ((sigma**2 * values / (1 - values))[..., None] * axes.mT)


def square_root(matrix: Float[Tensor, "B D D"]) -> Float[Tensor, "B D D"]:
    """The symmetric square root of positive definite matrices."""
    values, axes = torch.linalg.eigh(matrix)
    return axes @ (values.clamp(min=0).sqrt()[..., None] * axes.mT)


def solve_ode(
    model: ScoreModel,
    prepared: tuple[Tensor, ...],
    x: Float[Tensor, "B N D"],
    levels: list[float],
) -> Float[Tensor, "B N D"]:
    """Points at the first noise level to clean points, one evaluation per level."""
    before, width = None, 0.0
    for index, sigma in enumerate(counted(levels, "points")):
        clean = model.denoise(prepared, x[:, None], x.new_full((len(x), 1), sigma))[:, 0]
        if index + 1 == len(levels):
            return clean
        step = math.log(sigma / levels[index + 1])
        # Linear extrapolation of D to the middle of the step, from this level and the one before.
        ahead = clean if before is None else clean + (clean - before) * (step / (2 * width))
        x = torch.lerp(ahead, x, levels[index + 1] / sigma)
        before, width = clean, step
    return x

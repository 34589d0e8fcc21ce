"""Samplers of the gradient field: annealed Langevin dynamics, as published, and its probability-flow ODE.

The ODE needs few evaluations per point.
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
    """Move points from any initial distribution to shapes (Cai et al. 2020, algorithm 1, as released).

    For each noise level of a geometric sequence, from large to small, the following is done `steps` times:
    noise of standard deviation sqrt(2) sigma is added to a point, then the point is replaced by its denoised
    position. This is step size 2 sigma^2 in the notation of the paper.

    Source: Cai et al. 2020, algorithm 1, as released.

    Args:
        model: The model of the codes.
        codes: One code per shape.
        start: Initial points: uniform in [-1.5, 1.5]^D as released, or any other.
        generator: Source of the noise, on the CPU.
        levels: Number of noise levels; the released configurations take 10 for auto-encoding and 5 for
            generation.
        steps: Number of evaluations per level.
        high: Largest noise level; None takes that of the model.
        low: Smallest noise level; None takes that of the model.
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
"""Initial noise level of `draw_points`, about the size of normalised shapes."""
PROBES = 256
"""Number of points at which the field is evaluated for the moments of a shape."""


def noise_levels(high: float, low: float, steps: int) -> list[float]:
    """Noise levels from large to small, denser at small levels (Karras et al. 2022, equation 5).

    Source: Karras et al. 2022, equation 5.
    """
    if steps < 2:
        return [high]
    ends = high ** (1 / RHO), low ** (1 / RHO)
    return [(ends[0] + i / (steps - 1) * (ends[1] - ends[0])) ** RHO for i in range(steps)]


def start_noise(
    shapes: int, count: int, dimensions: int, seed: int, stratified: bool = True
) -> Float[Tensor, "{shapes} {count} {dimensions}"]:
    """Standard normal noise, different for every shape.

    Stratified noise is the normal quantile function of Sobol points, which are scrambled differently for every
    shape: every number is normally distributed, but together they cover space evenly. The map from noise to
    shape
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
    """Sample points of shapes by the probability-flow ODE dx / dsigma = (x - D(x; sigma)) / sigma.

    The solver is DPM-Solver++ (2M) of Lu et al. 2022, which is exact where D is linear in ln sigma. The last
    evaluation replaces points by their denoised positions at the smallest noise level. The ODE starts at a
    noise level of the size of the shape, from the Gaussian with mean and covariance of the blurred shape, which
    are estimated from the field (see `moments`). A start at a larger noise level, from a Gaussian that is the
    same for all shapes, needs more evaluations, and errors of the first ones lead to too many points in one
    part of a shape and too few in another.

    Source: Karras et al. 2022, equation 1.

    Source: Lu et al. 2022, algorithm 2. Differs: it begins at a level of the size of the shape, from the
    Gaussian with the moments that the field determines.

    Args:
        model: The model of the codes.
        codes: One code per shape.
        count: Number of points per shape.
        seed: Seed of the noise.
        evaluations: Number of evaluations of the network per point.
        stratified: Whether to start from stratified noise, see `start_noise`. False gives independent points,
            as needed for fair comparisons of sets of clouds.
        begin: Initial noise level.

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
    """Estimate mean m and covariance C of the shapes of codes from their fields at a large noise level.

    There D(x) is approximately that of a Gaussian, m + A (x - m) with A = C (C + sigma^2)^-1. A and m come from
    a linear fit to D at evenly distributed points.
    """
    config = model.config
    x = start_noise(1, PROBES, config.dimensions, 0) * math.sqrt(sigma**2 + config.data_std**2)
    x = x.to(prepared[0]).expand(shapes, -1, -1)
    clean = model.denoise(prepared, x[:, None], x.new_full((shapes, 1), sigma))[:, 0]
    rows = torch.cat([x, torch.ones_like(x[..., :1])], dim=-1)
    fit = torch.linalg.solve(rows.mT @ rows, rows.mT @ clean)  # D(x) = fit[:D].T x + fit[D]
    slope, offset = fit[:, :-1].mT, fit[:, -1]
    # C is symmetric, with eigenvalues between 0 and those of a shape much larger than normalised ones.
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
    """Solve the ODE from points at the first noise level to clean points, with one evaluation per level."""
    before, width = None, 0.0
    for index, sigma in enumerate(counted(levels, "points")):
        clean = model.denoise(prepared, x[:, None], x.new_full((len(x), 1), sigma))[:, 0]
        if index + 1 == len(levels):
            return clean
        step = math.log(sigma / levels[index + 1])
        # Linear extrapolation of D to the middle of the step, from this level and the previous one.
        ahead = clean if before is None else clean + (clean - before) * (step / (2 * width))
        x = torch.lerp(ahead, x, levels[index + 1] / sigma)
        before, width = clean, step
    return x

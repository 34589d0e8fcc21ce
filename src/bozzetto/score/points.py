"""Points of the shapes of codes."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..steps import counted
from .langevin import annealed_langevin
from .model import ScoreModel
from .ode import draw_points
from .prior import CloudPrior

Start = Literal["gaussian", "uniform", "point"]
AT_ONCE = 1 << 17
"""Points that are moved together, so that memory stays bounded."""


def points_of(
    prior: CloudPrior,
    codes: Float[Tensor, "B K"],
    points: int = 2048,
    seed: int = 0,
    evaluations: int = 10,
    stratified: bool = True,
    start: Start = "gaussian",
) -> Float[Tensor, "B {points} D"]:
    """Points of the shapes of some codes; a few shapes, or a part of the points of one, at a time.

    The published network is sampled as published, by annealed Langevin dynamics in 100 evaluations, from noise,
    points of the cube [-1.5, 1.5]^D or the origin. The default's sampler begins at a Gaussian, to which each of
    these is taken by a map in closed form (quantiles, or nothing but noise), so that `start` changes nothing.

    Raises:
        InputError: No points are asked for.
    """
    if points < 1:
        raise InputError(f"at least one point must be asked for, got {points}")
    shapes = max(AT_ONCE // points, 1)
    per_part = min(points, AT_ONCE)
    found = []
    for first in counted(range(0, len(codes), shapes), "points"):
        some = codes[first : first + shapes]
        parts = [
            _draw(
                prior.model,
                some,
                min(per_part, points - done),
                seed * 7919 + first + 104729 * (done // per_part),
                evaluations,
                stratified,
                start,
            )
            for done in counted(range(0, points, per_part))
        ]
        found.append(torch.cat(parts, dim=1))
    return torch.cat(found)


def _draw(
    model: ScoreModel,
    codes: Float[Tensor, "B K"],
    count: int,
    seed: int,
    evaluations: int,
    stratified: bool,
    start: Start,
) -> Float[Tensor, "B {count} D"]:
    if model.config.architecture != "residual":
        return draw_points(model, codes, count, seed, evaluations, stratified)
    generator = torch.Generator().manual_seed(seed)
    shape = (len(codes), count, model.config.dimensions)
    points = {
        "gaussian": lambda: torch.randn(shape, generator=generator),
        "uniform": lambda: torch.rand(shape, generator=generator) * 3 - 1.5,
        "point": lambda: torch.zeros(shape),
    }[start]()
    return annealed_langevin(model, codes, points.to(codes), generator)

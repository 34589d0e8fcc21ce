"""Sampling of points of codes, and of new shapes as clouds or meshes."""

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError, warn_input
from ..geometry import is_one_solid, without_specks
from ..geometry.measures import warn_of_broken
from ..points.surface_mesh import surface
from ..shapes import Mesh, PointCloud
from ..steps import counted
from .model import ScoreModel
from .prior import CloudPrior
from .solvers import annealed_langevin, draw_points

Start = Literal["gaussian", "uniform", "point"]
AT_ONCE = 1 << 17
"""Largest number of points that are processed together, to bound memory."""


def points_of(
    prior: CloudPrior,
    codes: Float[Tensor, "B K"],
    points: int = 2048,
    seed: int = 0,
    evaluations: int = 10,
    stratified: bool = True,
    start: Start = "gaussian",
) -> Float[Tensor, "B {points} D"]:
    """Sample points of the shapes of given codes.

    The published network is sampled as published, by annealed Langevin dynamics in 100 evaluations. Its initial
    points are Gaussian noise, uniform points of the cube [-1.5, 1.5]^D or the origin, by `start`. The sampler
    of the default model always starts from a Gaussian, so that `start` has no effect.

    Raises:
        InputError: `points` is less than 1.
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


ATTEMPTS = 16
"""Largest number of codes that are sampled for a shape."""
LOOKED_AT = 1024
"""Number of points of a sampled shape that are encoded again."""
COMPARED = 1024
"""Largest number of training shapes whose codes are compared."""
UNLIKE = 0.25
"""Quantile of the cosines between codes of training shapes that a sampled code and the code of its own points
must exceed."""
MESH_POINTS, MESH_EVALUATIONS, MESH_NOISE = 10_000, 16, 0.015
"""For the mesh of a shape: number of points, as many as screened Poisson takes, so that outliers do not disrupt
the surface; number of evaluations; and standard deviation of sampled points from their surface, which would be
underestimated from neighbouring points."""


@torch.no_grad()
def invented_codes(
    prior: CloudPrior, count: int, seed: int = 0, truncation: float = 1.0
) -> Float[Tensor, "{count} K"]:
    """Sample random codes whose shapes the model itself recognises.

    A flow also samples codes between those of training shapes that represent no shape of the family: their
    points are scattered, and the encoder maps them to another code. So a code is sampled again, up to 16 times
    in all, until the cosine between it and the code of 1,024 of its points is above the lower quartile of the
    cosines between training shapes. If none is, the one with the largest cosine is returned, with a warning.
    Codes of the published network are not checked, since its points take a thousand times as long.

    Args:
        prior: A trained model.
        count: Number of codes.
        seed: Seed; code i depends on the seed and i only.
        truncation: See `CloudPrior.sample_codes`.

    Raises:
        InputError: The model has no distribution of codes, or the truncation is not in (0, 1].
    """
    found = prior.sample_codes(count, seed, truncation)
    if prior.model.config.architecture == "residual":
        return found
    alike, least = recognised(prior, found), least_likeness(prior)
    for attempt in counted(range(1, ATTEMPTS), "inventions"):
        poor = alike <= least
        if not bool(poor.any()):
            break
        drawn = prior.sample_codes(count, seed, truncation, attempt)[poor]
        again = recognised(prior, drawn)
        better = again > alike[poor]
        places = poor.nonzero()[:, 0][better]
        found[places], alike[places] = drawn[better], again[better]
    if (poor := int((alike <= least).sum())) > 0:
        warn_input(
            f"{poor} of {count} inventions look like no shape of the family to the model itself, after "
            f"{ATTEMPTS} attempts each; train it longer, or give a smaller --truncation"
        )
    return found


def recognised(prior: CloudPrior, codes: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
    """Cosine between codes and the codes that the encoder computes from points of their shapes."""
    if len(codes) == 0:
        return codes.new_zeros(0)
    seen = prior.model.encode(points_of(prior, codes, LOOKED_AT, stratified=False))
    return torch.nn.functional.cosine_similarity(codes, seen)


def least_likeness(prior: CloudPrior) -> float:
    """Lower quartile of the cosines between codes of training shapes; -1 with fewer than two shapes."""
    some = torch.linspace(0, len(prior.codes) - 1, min(COMPARED, len(prior.codes))).round().long()
    codes = torch.nn.functional.normalize(prior.codes[some.to(prior.codes.device)], dim=1)
    pairs = (codes @ codes.T)[_upper(len(codes)).to(codes.device)]
    return float(pairs.sort().values[int(UNLIKE * len(pairs))]) if len(pairs) else -1.0


def _upper(count: int) -> Bool[Tensor, "{count} {count}"]:
    return torch.ones(count, count, dtype=torch.bool).triu(diagonal=1)


def sample_meshes(
    prior: CloudPrior,
    shapes: int,
    seed: int = 0,
    truncation: float = 1.0,
    resolution: int | None = None,
) -> list[Mesh]:
    """Sample new shapes as closed meshes, in the normalised frame of the prior.

    Each is the `surface` of 10,000 points. Connected components with less than a hundredth of the area are left
    out. If the rest is not closed and connected, the shape is sampled again with another seed, up to 16 times
    in all. If none succeeds, the last one is returned, with a warning.

    Args:
        prior: A model of clouds in three dimensions.
        shapes: Number of shapes, at least 1.
        seed: Seed of the codes; shape i does not depend on the number of shapes.
        truncation: Factor in (0, 1] on the noise of codes, see `CloudPrior.sample_codes`.
        resolution: Number of grid cells along the longest side; None takes 100.

    Raises:
        InputError: The model is for 2D clouds or has no distribution of codes, or a number is out of range.
    """
    if prior.model.config.dimensions != 3:
        raise InputError("this model is for clouds in the plane, which have no surface; leave --mesh out")
    if shapes < 1:
        raise InputError(f"at least one shape must be asked for, got {shapes}")
    codes = invented_codes(prior, shapes, seed, truncation)
    found = [_mesh_of(prior, code, resolution) for code in counted(codes, "meshes")]
    for attempt in counted(range(1, ATTEMPTS), "again"):
        poor = [i for i, mesh in enumerate(found) if not is_one_solid(mesh)]
        if not poor:
            break
        for i in poor:
            other = seed + attempt * 1_000_000_007 + i * 7919
            found[i] = _mesh_of(prior, invented_codes(prior, 1, other, truncation)[0], resolution)
    warn_of_broken(found, ATTEMPTS)
    return found


def _mesh_of(prior: CloudPrior, code: Float[Tensor, " K"], resolution: int | None) -> Mesh:
    points = points_of(prior, code[None], MESH_POINTS, evaluations=MESH_EVALUATIONS)[0]
    mesh = without_specks(surface(PointCloud(points), resolution, "closed", MESH_NOISE))
    return mesh if prior.frame is None else replace(mesh, vertices=prior.frame.undo(mesh.vertices))


def sample(
    prior: CloudPrior,
    shapes: int,
    points: int = 2048,
    seed: int = 0,
    truncation: float = 1.0,
    evaluations: int = 10,
    stratified: bool = True,
    start: Start = "gaussian",
) -> Float[Tensor, "{shapes} {points} D"]:
    """Sample new shapes as clouds, in the normalised frame or in the common frame of the collection.

    Their codes are selected as those that the model recognises, see `invented_codes`.

    Args:
        prior: A trained model.
        shapes: Number of shapes, at least 1.
        points: Number of points of each, at least 1.
        seed: Seed of codes and points; shape i does not depend on the number of shapes.
        truncation: Factor in (0, 1] on the noise of codes; smaller values give more typical shapes and less
            variety.
        evaluations: Number of evaluations of the denoiser per point.
        stratified: Whether points cover shapes evenly, see `start_noise`; False samples independent points.
        start: Initial points of the published network, see `points_of`.

    Raises:
        InputError: A number is out of range, or the model has no distribution of codes.
    """
    if shapes < 1:
        raise InputError(f"at least one shape must be asked for, got {shapes}")
    codes = invented_codes(prior, shapes, seed, truncation)
    made = points_of(prior, codes, points, seed, evaluations, stratified, start)
    return made if prior.frame is None else prior.frame.undo(made)

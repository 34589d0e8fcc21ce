"""Points of codes, new shapes as clouds, and which of them can become meshes."""

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


ATTEMPTS = 16
"""Codes that are drawn for a shape, at most."""
LOOKED_AT = 1024
"""Points by which a shape is recognised."""
COMPARED = 1024
"""Training shapes whose codes are compared, at most."""
UNLIKE = 0.25
"""Share of the pairs of training shapes whose codes are less alike than an invented code and that of its own
points must be."""
MESH_POINTS, MESH_EVALUATIONS, MESH_NOISE = 10_000, 16, 0.015
"""For the mesh of a shape: points, as many as screened Poisson takes, so that strays do not tear the surface;
evaluations; and how far points of models lie beside their surface, of which neighbours tell less."""


@torch.no_grad()
def invented_codes(
    prior: CloudPrior, count: int, seed: int = 0, truncation: float = 1.0
) -> Float[Tensor, "{count} K"]:
    """Random codes whose shapes the model itself recognises.

    Between the codes of the training shapes a flow finds some that stand for no shape: their points are a trunk
    with dust for limbs, and the encoder makes another code of them. So a code is drawn again, up to 16 times,
    until the cosine between it and the code of 1,024 of its points is above the lower quartile of the cosines
    between training shapes. If none is, the most alike stands, with a warning. The published network, whose
    points take a thousand times as long, is not asked.

    Args:
        prior: A trained model.
        count: How many.
        seed: Code i depends on the seed and i only.
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
    """The cosine between codes and those that the encoder gives to points of their shapes."""
    if len(codes) == 0:
        return codes.new_zeros(0)
    seen = prior.model.encode(points_of(prior, codes, LOOKED_AT, stratified=False))
    return torch.nn.functional.cosine_similarity(codes, seen)


def least_likeness(prior: CloudPrior) -> float:
    """The lower quartile of the cosines between codes of training shapes; -1 with less than two."""
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
    """Closed surfaces of shapes that the prior invents, in its normalised frame.

    Each is the `surface` of 10,000 points. Pieces with less than a hundredth of its area are left out; what is
    then of several pieces, or not closed, is invented anew with another seed, up to 16 times. If none is, the
    last stands, with a warning.

    Args:
        prior: A model of clouds in three dimensions.
        shapes: How many.
        seed: The same seed gives the same shapes; shape i does not depend on how many there are.
        truncation: See `CloudPrior.sample_codes`.
        resolution: Cells along the longest side; 100 by default.

    Raises:
        InputError: The model is for clouds in the plane or cannot invent shapes, or a number is out of range.
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
    """Shapes that the prior invents, in its normalised frame, or that of its collection if that had one frame.

    Their codes are those that the model recognises, see `invented_codes`.

    Args:
        prior: A trained model.
        shapes: How many.
        points: Points of each, any number.
        seed: The same seed gives the same shapes; shape i does not depend on how many there are.
        truncation: In (0, 1]; smaller gives more typical shapes of less variety.
        evaluations: Of the field, per point.
        stratified: See `start_noise`.
        start: See `points_of`.

    Raises:
        InputError: A number is out of range, or the model cannot invent shapes.
    """
    if shapes < 1:
        raise InputError(f"at least one shape must be asked for, got {shapes}")
    codes = invented_codes(prior, shapes, seed, truncation)
    made = points_of(prior, codes, points, seed, evaluations, stratified, start)
    return made if prior.frame is None else prior.frame.undo(made)

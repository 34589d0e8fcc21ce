"""What belongs to the family of a prior: how much its shapes differ, and when a scan differs more."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, warn_input
from ..shapes import sample_surface
from ..steps import counted
from .extract import extract_mesh
from .prior import CodeDistribution, ShapePrior

LEAST_WIDTH = 0.01
"""Of a family: what a decoder and a solved pose may be off by, also where all training shapes are alike."""
SHAPES, NEIGHBOURS, POINTS, RESOLUTION = 24, 256, 100, 48
"""Training shapes that are compared, with how many others each, at how many points, from meshes of so many
nodes along each axis."""
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal variable."""


def family_width(prior: ShapePrior) -> float:
    """How far shapes of a family may be from the nearest one that a prior knows, in the normalised frame.

    Every training shape (24 of them, spread over the collection) is left out in turn and compared with those
    others whose codes are nearest: the distance is the median of |f| of the other over points of its surface.
    The largest distance to a nearest other is the width. A prior explains a shape of its family that it has not
    seen better than the nearest training shape alone, so that members lie well within it. Variants of a shape
    are none of its others.

    Returns:
        What the prior has stored, or this number, which is at least 0.01. With one shape it is 0.01.
    """
    if prior.width is not None:
        return prior.width
    originals = [name.split("~")[0] for name in prior.names] or [str(i) for i in range(len(prior.codes))]
    chosen = torch.linspace(0, len(prior.codes) - 1, min(SHAPES, len(prior.codes))).round().long()
    root = torch.linalg.cholesky(CodeDistribution.of(prior.codes).precision)
    places = prior.codes.double() @ root
    width = LEAST_WIDTH
    for index in counted(chosen.tolist(), "family"):
        apart = (places - places[index]).norm(dim=1).cpu()
        apart[torch.tensor([name == originals[index] for name in originals])] = torch.inf
        near = apart.argsort()[: min(NEIGHBOURS, int(apart.isfinite().sum()))]
        surface = _surface_points(prior, index) if len(near) else None
        if surface is not None:
            with torch.no_grad():
                values = prior.decoder(prior.codes[near], surface.expand(len(near), -1, -1))
            width = max(width, float(values.abs().median(dim=1).values.min()))
    return width


def with_width(prior: ShapePrior) -> ShapePrior:
    """The prior with the width of its family, for a file."""
    return replace(prior, width=family_width(prior))


def misfit(residual: Float[Tensor, " N"], noise: float) -> float:
    """How far observed points lie from a shape beyond their noise: sqrt(median^2 - (0.6745 noise)^2).

    Half of the points may belong to something else, a floor say.

    Args:
        residual: Distances of observed points.
        noise: Their standard deviation.
    """
    middle = float(residual.abs().median())
    return math.sqrt(max(middle**2 - (NORMAL_MEDIAN * noise) ** 2, 0.0))


def require_member(
    found: float, width: float, any_shape: bool = False, advice: str = "", what: str = "the scan"
) -> None:
    """Refuse a scan that a prior cannot explain.

    Args:
        found: Its `misfit` from the most probable shape, in radii.
        width: Of the family.
        any_shape: Warn instead.
        advice: What else may be wrong, in front of what to do.
        what: What the message is about.

    Raises:
        InputError: The misfit is larger than the width.
    """
    if found <= width:
        return
    sentence = (
        f"{what} is no member of the prior's family: half of its points lie {100 * found:.1f} % of its radius "
        f"or more, beyond their noise, from the nearest shape of the prior, where {100 * width:.1f} % is the "
        "most between a training shape and its nearest other"
    )
    if any_shape:
        warn_input(f"{sentence}; what was not observed is a guess that means nothing")
        return
    raise InputError(
        f"{sentence}; {advice}give a prior that was trained on such shapes, or --any-shape to go on all the "
        "same"
    )


def _surface_points(prior: ShapePrior, index: int) -> Float[Tensor, "P 3"] | None:
    """Random points of a training shape as the prior draws it; None if it draws nothing."""
    try:
        mesh = extract_mesh(prior, prior.codes[index], RESOLUTION)
    except InputError:
        return None
    generator = torch.Generator(mesh.vertices.device).manual_seed(index)
    return sample_surface(mesh, POINTS, generator)[0]

"""Sampling of new shapes from a prior."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry import is_one_solid, without_specks
from ..geometry.measures import warn_of_broken
from ..shapes import Mesh
from ..steps import counted
from .extract import extract_mesh
from .prior import CodeDistribution, ShapePrior
from .released import as_prior

ATTEMPTS = 16
"""Largest number of codes that are sampled for a shape until one has a closed connected surface."""


def sample(
    prior: ShapePrior | str = "bodies",
    shapes: int = 1,
    seed: int = 0,
    truncation: float = 1.0,
    resolution: int = 128,
) -> list[tuple[Float[Tensor, " K"], Mesh]]:
    """Sample new shapes: codes from the Gaussian fitted to the training codes, and their meshes.

    Connected components with less than a hundredth of the area are left out. If the rest is not closed and
    connected, the shape is sampled again, up to 16 times in all; if none succeeds, the last one is returned,
    with a warning.

    Args:
        prior: The family of shapes: a prior, or a name or path for `open_prior`.
        shapes: Number of shapes, at least 1.
        seed: Seed of the codes; shape i does not depend on the number of shapes.
        truncation: Factor in (0, 1] on the difference from the mean code; smaller values give more typical
            shapes and less variety.
        resolution: Number of grid nodes along each axis for the meshes.

    Returns:
        Code and mesh, in the normalised frame of the prior, of every shape.

    Raises:
        InputError: A number is out of range, or a code has no surface.
    """
    if shapes < 1:
        raise InputError(f"at least one shape must be asked for, got {shapes}")
    if not 0 < truncation <= 1:
        raise InputError(f"the truncation must lie in (0, 1], got {truncation}")
    prior = as_prior(prior)
    found = [
        _invented(prior, seed * 1_000_003 + i, truncation, resolution)
        for i in counted(range(shapes), "shapes")
    ]
    warn_of_broken([mesh for _, mesh in found], ATTEMPTS)
    return found


def _invented(
    prior: ShapePrior, seed: int, truncation: float, resolution: int
) -> tuple[Float[Tensor, " K"], Mesh]:
    """The first closed connected shape of up to `ATTEMPTS` random ones, or the last one."""
    codes, generator = CodeDistribution.of(prior.codes), torch.Generator().manual_seed(seed)
    for drawn in codes.sample(ATTEMPTS, generator):
        code = (codes.mean + truncation * (drawn - codes.mean)).float()
        mesh = without_specks(extract_mesh(prior, code, resolution))
        if is_one_solid(mesh):
            break
    return code, mesh  # type: ignore[possibly-unbound]  # there is at least one attempt

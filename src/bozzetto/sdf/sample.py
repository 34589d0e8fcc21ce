"""Shapes that a prior invents."""

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
"""Codes that are drawn for a shape, at most, until one gives a closed surface of one piece."""


def sample(
    prior: ShapePrior | str = "bodies",
    shapes: int = 1,
    seed: int = 0,
    truncation: float = 1.0,
    resolution: int = 128,
) -> list[tuple[Float[Tensor, " K"], Mesh]]:
    """Codes from the Gaussian that the codes of the training shapes have, and their meshes.

    Pieces with less than a hundredth of the area are left out. A shape that is then not closed or not of one
    piece is drawn again, up to 16 times; if none is, the last one stands, with a warning.

    Args:
        prior: The family of shapes: a prior, or what `open_prior` takes, a name or a path.
        shapes: How many.
        seed: The same seed gives the same shapes; shape i does not depend on how many there are.
        truncation: In (0, 1]: factor of the distance from the average code; smaller gives more typical shapes
            of less variety.
        resolution: Grid for the meshes, along each axis.

    Returns:
        Code and mesh, in the normalised frame of the prior, of every shape.

    Raises:
        InputError: A number is out of range, or a code gives no surface.
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
    """The first good one of some shapes."""
    codes, generator = CodeDistribution.of(prior.codes), torch.Generator().manual_seed(seed)
    for drawn in codes.sample(ATTEMPTS, generator):
        code = (codes.mean + truncation * (drawn - codes.mean)).float()
        mesh = without_specks(extract_mesh(prior, code, resolution))
        if is_one_solid(mesh):
            break
    return code, mesh  # type: ignore[possibly-unbound]  # there is at least one attempt

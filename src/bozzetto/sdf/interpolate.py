"""From one shape to another through shapes of the family."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry import SurfaceIndex
from ..shapes import Mesh
from .correction import project
from .distribution import CodeDistribution
from .extract import extract_mesh
from .prior import ShapePrior

LOST = 0.04
"""Distance, in the normalised frame, that a deformed mesh may leave to the true surface before it counts as
torn: beyond it the surface has parts that the first mesh has not."""


@dataclass(frozen=True)
class Interpolation:
    """Shapes along a path.

    Attributes:
        codes: From the first to the last.
        meshes: Of these codes, in the normalised frame, each with vertices of its own.
        morph: Vertices of the first mesh carried along, for all codes; None where the topology changes on
            the way or parts grow that the first mesh has not.
    """

    codes: Float[Tensor, "C K"]
    meshes: tuple[Mesh, ...]
    morph: tuple[Float[Tensor, "V 3"], ...] | None


def interpolate(
    prior: ShapePrior,
    a: Float[Tensor, " K"],
    b: Float[Tensor, " K"],
    count: int = 9,
    path: Literal["straight", "spherical"] = "straight",
    resolution: int = 128,
) -> Interpolation:
    """Shapes from code `a` to code `b`.

    Args:
        prior: The family of shapes.
        a: The first code.
        b: The last one.
        count: Shapes, including both ends.
        path: Straight, or an arc around the mean of the codes of the collection, on which shapes in the
            middle are no more average than those at the ends.
        resolution: Grid for the meshes, along each axis.

    Raises:
        InputError: A code is not one of this prior, or fewer than two shapes are asked for.
    """
    if count < 2:
        raise InputError(f"an interpolation needs at least 2 shapes, got {count}")
    a, b = prior.check_code(a, "the first code"), prior.check_code(b, "the second code")
    centre = CodeDistribution.of(prior.codes).mean.float() if path == "spherical" else torch.zeros_like(a)
    codes = code_path(a - centre, b - centre, count, path) + centre
    meshes = tuple(extract_mesh(prior, code, resolution) for code in codes)
    return Interpolation(codes, meshes, carried(prior, codes, meshes))


def code_path(
    a: Float[Tensor, " K"],
    b: Float[Tensor, " K"],
    count: int,
    path: Literal["straight", "spherical"] = "straight",
) -> Float[Tensor, "{count} K"]:
    """Codes at equal steps from `a` to `b`; spherical turns the direction evenly and blends the length
    (Shoemake 1985, "Animating rotation with quaternion curves")."""
    share = torch.linspace(0, 1, count, device=a.device, dtype=a.dtype)[:, None]
    straight = (1 - share) * a + share * b
    lengths = a.norm() * b.norm()
    cosine = float((a @ b / lengths.clamp_min(1e-12)).clamp(-1, 1))
    angle = torch.tensor(cosine, dtype=a.dtype, device=a.device).acos()
    if path == "straight" or float(lengths) == 0 or float(angle.sin()) < 1e-4:
        return straight
    directions = (
        ((1 - share) * angle).sin() * a / a.norm() + (share * angle).sin() * b / b.norm()
    ) / angle.sin()
    return directions * ((1 - share) * a.norm() + share * b.norm())


def carried(
    prior: ShapePrior, codes: Float[Tensor, "C K"], meshes: Sequence[Mesh], steps: int = 3
) -> tuple[Float[Tensor, "V 3"], ...] | None:
    """Vertices of the first mesh moved onto the surfaces of all codes, in small steps along the gradient.

    Returns:
        Positions per code; None where they end more than `LOST` away from one of the meshes or leave a part
        of it that far behind.
    """
    vertices = meshes[0].vertices
    positions = [vertices]
    for start, end, mesh in zip(codes[:-1], codes[1:], meshes[1:], strict=True):
        for step in range(1, steps + 1):
            code = start + (end - start) * (step / steps)
            vertices = project(prior.decoder, code, vertices, iterations=2, reach=0.05)
        deformed = meshes[0].with_vertices(vertices)
        there = SurfaceIndex(mesh).closest(vertices).distance.max()
        back = SurfaceIndex(deformed).closest(mesh.vertices).distance.max()
        if float(torch.maximum(there, back)) > LOST:
            return None
        positions.append(vertices)
    return tuple(positions)

"""From one shape to another through shapes of the family."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry import SurfaceIndex, laplacian, unique_edges, vertex_normals
from ..shapes import Mesh
from ..steps import counted
from ..values import value_type
from .completed_surface import project
from .extract import extract_mesh
from .fit import fit
from .prior import ENDINGS, CodeDistribution, ShapePrior, load_code
from .solver import CompleteConfig

RELAXED = 0.3
LOST, MISSING = 0.03, 0.1
"""Distances, in the normalised frame, up to which a deformed mesh follows the true surface: for 99 of 100
vertices of either, and for all of them. Beyond, the surface has parts that the deformed mesh has not."""


@value_type
class Interpolation:
    """Shapes along a path.

    Attributes:
        codes: From the first to the last.
        meshes: Of these codes, in the normalised frame, each with vertices of its own.
        morph: One mesh per code, all with the faces of the mesh in the middle, which is carried along to both
            ends; None where the topology changes on the way or parts grow that it has not.
    """

    codes: Float[Tensor, "C K"]
    meshes: tuple[Mesh, ...]
    morph: tuple[Mesh, ...] | None


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
    meshes = tuple(extract_mesh(prior, code, resolution) for code in counted(codes, "meshes"))
    return Interpolation(codes, meshes, carried(prior, codes, meshes))


def code_path(
    a: Float[Tensor, " K"],
    b: Float[Tensor, " K"],
    count: int,
    path: Literal["straight", "spherical"] = "straight",
) -> Float[Tensor, "{count} K"]:
    """Codes at equal steps from `a` to `b`; spherical turns the direction evenly and blends the length
    (Shoemake 1985, "Animating rotation with quaternion curves").

    Source: Shoemake 1985, the spherical path.
    """
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
    prior: ShapePrior, codes: Float[Tensor, "C K"], meshes: Sequence[Mesh]
) -> tuple[Mesh, ...] | None:
    """The mesh in the middle moved onto the surfaces of all codes; None if it cannot follow."""
    middle = len(meshes) // 2
    ahead = _followed(prior, codes[middle:], meshes[middle:])
    back = _followed(prior, codes[: middle + 1].flip(0), meshes[middle::-1])
    return None if ahead is None or back is None else (*back[:0:-1], *ahead)


def _followed(
    prior: ShapePrior, codes: Float[Tensor, "C K"], meshes: Sequence[Mesh], steps: int = 6
) -> list[Mesh] | None:
    """The first mesh moved onto the surfaces of all codes, in small steps along the gradient.

    Where surfaces slide along themselves, vertices would crowd; relaxing them within the surface after each
    step keeps triangles even.
    """
    mesh, found = meshes[0], [meshes[0]]
    for start, end, true in counted(list(zip(codes[:-1], codes[1:], meshes[1:], strict=True)), "morph"):
        for step in counted(range(1, steps + 1)):
            code = start + (end - start) * (step / steps)
            mesh = mesh.with_vertices(
                project(prior.decoder, code, mesh.vertices, iterations=2, max_step=0.05)
            )
            relaxed = mesh.vertices + RELAXED * _along(mesh)
            mesh = mesh.with_vertices(project(prior.decoder, code, relaxed, iterations=1))
        there = SurfaceIndex(true).closest(mesh.vertices).distance
        back = SurfaceIndex(mesh).closest(true.vertices).distance
        far = max(float(distance.quantile(0.99)) for distance in (there, back))
        if far > LOST or float(torch.maximum(there.max(), back.max())) > MISSING:
            return None
        found.append(mesh)
    return found


def _along(mesh: Mesh) -> Float[Tensor, "V 3"]:
    """From every vertex to the mean of its neighbours, within the tangent plane."""
    matrix = laplacian(mesh.faces, len(mesh.vertices)).to(mesh.vertices.device)
    edges = unique_edges(mesh.faces).flatten()
    count = torch.bincount(edges, minlength=len(mesh.vertices)).clamp_min(1)
    way = -(matrix @ mesh.vertices) / count[:, None]
    normals = vertex_normals(mesh.vertices, mesh.faces)
    return way - (way * normals).sum(dim=1, keepdim=True) * normals


def find_shape(
    word: str, prior: ShapePrior, config: CompleteConfig | None = None
) -> tuple[Float[Tensor, " K"], float | None]:
    """The code of a training shape, of a file with a code, or of the shape in a file, and its misfit there.

    A training shape may be called by the last part of its name if no other ends in the same.

    Args:
        word: A name or a file.
        prior: What the code is of.
        config: How a mesh or scan is fitted.

    Raises:
        InputError: There is no such shape or file, or it cannot be used.
    """
    named = _named(word, prior)
    if len(named) == 1:
        return prior.codes[named[0]], None
    path = Path(word)
    if not path.is_file():
        known = f"{prior.names[0]} to {prior.names[-1]}" if prior.names else "none"
        raise InputError(f"{word} is neither a file nor a training shape of this prior; names are {known}")
    if path.suffix.lower() in ENDINGS:
        return load_code(path, prior), None
    found = fit(path, prior, config)
    return found.code, found.misfit


def needs_fit(word: str, prior: ShapePrior) -> bool:
    """Whether `find_shape` reads a shape from a file and looks for its code."""
    path = Path(word)
    return len(_named(word, prior)) != 1 and path.is_file() and path.suffix.lower() not in ENDINGS


def _named(word: str, prior: ShapePrior) -> list[int]:
    return [i for i, name in enumerate(prior.names) if word in (name, name.rsplit("/", 1)[-1])]

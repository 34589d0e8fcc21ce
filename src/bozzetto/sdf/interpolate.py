"""Interpolation between two shapes through shapes of the family."""

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
"""Largest distances, in the normalised frame, between a deformed mesh and the true surface: for 99 of 100
vertices of either, and for all vertices. If they are larger, the surface has parts that the deformed mesh
lacks."""


@value_type
class Interpolation:
    """Shapes along a path of codes.

    Attributes:
        codes: Codes from the first to the last.
        meshes: Meshes of these codes, in the normalised frame, each with its own connectivity.
        morph: One mesh per code, all with the faces of the mesh at the middle of the path, which is deformed
            towards both ends; None if the topology changes along the path or parts grow that this mesh lacks.
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
    """Interpolate between the shapes of codes `a` and `b`.

    Args:
        prior: The family of shapes.
        a: The first code.
        b: The last code.
        count: Number of shapes, including both ends, at least 2.
        path: `straight`, or `spherical`: an arc around the mean of the training codes, so that shapes in
            between are not closer to the average shape than those at the ends.
        resolution: Number of grid nodes along each axis for the meshes.

    Raises:
        InputError: A code does not fit this prior, or `count` is less than 2.
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
    """Codes at equal steps from `a` to `b`, on a straight or spherical path.

    On the spherical path the direction changes at a constant rate (Shoemake 1985, "Animating rotation with
    quaternion curves"), and the length is interpolated linearly.

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
    """The mesh at the middle of the path, deformed to the surfaces of all codes; None if a surface is too
    different."""
    middle = len(meshes) // 2
    ahead = _followed(prior, codes[middle:], meshes[middle:])
    back = _followed(prior, codes[: middle + 1].flip(0), meshes[middle::-1])
    return None if ahead is None or back is None else (*back[:0:-1], *ahead)


def _followed(
    prior: ShapePrior, codes: Float[Tensor, "C K"], meshes: Sequence[Mesh], steps: int = 6
) -> list[Mesh] | None:
    """Deform the first mesh to the surfaces of all codes in turn, in small steps; None if it fails.

    Steps follow the gradient, but this alone would make vertices crowd. Tangential relaxation after each step
    keeps
    triangles even.
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
    """Displacement from every vertex to the mean of its neighbours, projected to the tangent plane."""
    matrix = laplacian(mesh.faces, len(mesh.vertices)).to(mesh.vertices.device)
    edges = unique_edges(mesh.faces).flatten()
    count = torch.bincount(edges, minlength=len(mesh.vertices)).clamp_min(1)
    way = -(matrix @ mesh.vertices) / count[:, None]
    normals = vertex_normals(mesh.vertices, mesh.faces)
    return way - (way * normals).sum(dim=1, keepdim=True) * normals


def find_shape(
    word: str, prior: ShapePrior, config: CompleteConfig | None = None
) -> tuple[Float[Tensor, " K"], float | None]:
    """Find a code by the name of a training shape, in a file with a code, or by a fit to the shape in a file.

    A training shape may be given by the last part of its name if this is unique. The second result is the
    misfit of a fitted code, and None otherwise.

    Args:
        word: Name of a training shape, or path of a file.
        prior: The prior of the code.
        config: Settings of the fit to a mesh or scan.

    Raises:
        InputError: There is no such training shape or file, or the file cannot be used.
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
    """Whether `find_shape` fits a code to the shape in a file."""
    path = Path(word)
    return len(_named(word, prior)) != 1 and path.is_file() and path.suffix.lower() not in ENDINGS


def _named(word: str, prior: ShapePrior) -> list[int]:
    return [i for i, name in enumerate(prior.names) if word in (name, name.rsplit("/", 1)[-1])]

"""Finished pictures of a mesh, in a few lines that also show how the parts of this room go together."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from ..geometry import vertex_normals
from ..shapes import Mesh
from .antialiasing import antialias
from .interpolation import interpolate
from .lighting import shade
from .rasterization import rasterize


def render(
    mesh: Mesh,
    cameras: Cameras,
    light: Float[Tensor, "9 3"],
    background: float | Float[Tensor, " 4"] | Float[Tensor, "N H W 4"] = 0.0,
) -> Float[Tensor, "N H W 4"]:
    """Picture a diffuse mesh under a distant light, antialiased and differentiable.

    Args:
        mesh: The surface; its colours are the albedo, white if it has none.
        cameras: The views.
        light: Radiance as spherical harmonics, see `shade`.
        background: Behind the mesh, (R, G, B, coverage): a number, one colour, or images.

    Returns:
        Linear red, green, blue, multiplied by the coverage, and the coverage.
    """
    fragments = rasterize(mesh.vertices, mesh.faces, cameras.relative_to(mesh.offset))
    normals = interpolate(fragments, vertex_normals(mesh.vertices, mesh.faces))
    albedo = None if mesh.colors is None else interpolate(fragments, mesh.colors)
    colors = shade(normals, light, albedo)
    return antialias(fragments, torch.cat([colors, torch.ones_like(colors[:, :1])], dim=1), background)


def render_depth(mesh: Mesh, cameras: Cameras) -> Float[Tensor, "N H W"]:
    """Camera-space depth at the pixel centres in world units, infinite where nothing is seen."""
    fragments = rasterize(mesh.vertices, mesh.faces, cameras.relative_to(mesh.offset))
    images = torch.full(fragments.triangle.shape, torch.inf, device=fragments.depth.device)
    return images.view(-1).index_put((fragments.pixel,), fragments.depth).view_as(images)


def render_normals(mesh: Mesh, cameras: Cameras) -> Float[Tensor, "N H W 3"]:
    """Unit normals in the world at the pixel centres, interpolated from the vertices; 0 in the background."""
    fragments = rasterize(mesh.vertices, mesh.faces, cameras.relative_to(mesh.offset))
    normals = interpolate(fragments, vertex_normals(mesh.vertices, mesh.faces))
    images = normals.new_zeros(*fragments.triangle.shape, 3)
    unit = torch.nn.functional.normalize(normals, dim=1)
    return images.view(-1, 3).index_put((fragments.pixel,), unit).view_as(images)

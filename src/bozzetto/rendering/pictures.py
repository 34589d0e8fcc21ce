"""Pictures of meshes and clouds: short functions that show how the parts of this room are combined."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, orbit_cameras
from ..errors import InputError
from ..geometry import vertex_normals
from ..shapes import Mesh
from .antialiasing import antialias
from .interpolation import interpolate
from .lighting import shade, studio_light
from .rasterization import rasterize


def render(
    mesh: Mesh,
    cameras: Cameras | int = 512,
    light: Float[Tensor, "9 3"] | None = None,
    background: float | Float[Tensor, " 4"] | Float[Tensor, "N H W 4"] = 0.0,
) -> Float[Tensor, "N H W 4"]:
    """Render a diffuse mesh under a distant light, antialiased and differentiable.

    Args:
        mesh: The surface; its colours are the albedo, white if it has none.
        cameras: The views; or the size in pixels of one square picture of the whole mesh, with +Y up, from the
            front right and slightly from above, see `view_of`.
        light: Radiance as spherical harmonics, see `shade`; None for `studio_light`.
        background: Background (R, G, B, coverage): a number, one colour, or images.

    Returns:
        Linear red, green and blue, premultiplied by the coverage, and the coverage.

    Raises:
        InputError: `cameras` is a size, and the mesh is empty or has no extent.
    """
    if isinstance(cameras, int):
        cameras = view_of(mesh, cameras)
    if light is None:
        light = studio_light().to(mesh.vertices)
    fragments = rasterize(mesh.vertices, mesh.faces, cameras.relative_to(mesh.offset))
    normals = interpolate(fragments, vertex_normals(mesh.vertices, mesh.faces))
    albedo = None if mesh.colors is None else interpolate(fragments, mesh.colors)
    colors = shade(normals, light, albedo)
    return antialias(fragments, torch.cat([colors, torch.ones_like(colors[:, :1])], dim=1), background)


FIELD_OF_VIEW = math.radians(28)
"""Horizontal field of view of `view_of` in radians."""
MARGIN = 1.1
"""Factor on the radius of the sphere around the mesh that `view_of` shows."""


def view_of(mesh: Mesh, size: int = 512, azimuth: float = 0.6, elevation: float = 0.25) -> Cameras:
    """A camera that shows the whole mesh, with +Y up in the picture.

    Args:
        mesh: The mesh to show.
        size: Width and height of the picture in pixels.
        azimuth: Angle around +Y from +Z towards +X, in radians.
        elevation: Angle above the horizontal plane, in radians.

    Raises:
        InputError: The mesh is empty or has no extent.
    """
    corners = mesh.check().corners().double().reshape(-1, 3).cpu() + torch.tensor(mesh.offset)
    middle = (corners.amin(dim=0) + corners.amax(dim=0)) / 2
    radius = float((corners - middle).norm(dim=1).max())
    if not radius > 0:
        raise InputError("all vertices of the mesh coincide, so there is nothing to render")
    cameras = orbit_cameras(
        [azimuth - math.pi / 2],  # `orbit_cameras` has another zero of azimuths
        elevation,
        distance=MARGIN * radius / math.sin(FIELD_OF_VIEW / 2),
        target=middle,
        up=(0, 1, 0),
        fov=FIELD_OF_VIEW,
        size=size,
    )
    return cameras.to(mesh.vertices.device)


def render_depth(mesh: Mesh, cameras: Cameras) -> Float[Tensor, "N H W"]:
    """Camera-space depth at the pixel centres in world units, infinite in the background."""
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


PAPER = (0.98, 0.976, 0.969)
NEAR, FAR = (0.16, 0.29, 0.45), (0.72, 0.78, 0.84)


def cloud_picture(
    points: Float[Tensor, "N D"],
    size: int = 240,
    azimuth: float = 0.6,
    elevation: float = 0.25,
    extent: float = 1.15,
    colors: Float[Tensor, "N 3"] | None = None,
) -> Float[Tensor, "{size} {size} 3"]:
    """Picture of a cloud in parallel projection: near points are dark and on top, far points pale.

    Args:
        points: Points in 3D with y up, or in 2D, for which the angles are ignored.
        size: Pixels along each side.
        azimuth: Azimuth of the viewer around y, from +z, in radians.
        elevation: Elevation of the viewer above the horizontal plane, in radians.
        extent: Half the side of the visible square around the origin, in units of the points.
        colors: sRGB colour per point; None shades points by depth.
    """
    points = points.detach().float().cpu()
    if points.shape[1] == 2:
        points = torch.cat([points, torch.zeros_like(points[:, :1])], dim=1)
        azimuth = elevation = 0.0
    a, e = (torch.tensor(value) for value in (azimuth, elevation))
    right = torch.stack([a.cos(), torch.zeros(()), -a.sin()])
    back = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()])
    up = torch.linalg.cross(back, right)
    radius = math.sqrt(1.3) if elevation else 1.0  # so that corners of the cube are within the picture
    column, row, depth = points @ right, -(points @ up), points @ back
    shade = ((depth / extent + 1) / 2).clamp(0, 1)[:, None]
    paint = torch.lerp(torch.tensor(FAR), torch.tensor(NEAR), shade) if colors is None else colors.cpu()
    picture = torch.tensor(PAPER).repeat(size, size, 1)
    order = depth.argsort()
    scale = size / 2 / (extent * radius)
    x, y = ((value * scale + size / 2).floor().long()[order] for value in (column, row))
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):  # a point is two pixels wide
        seen = (x + dx >= 0) & (x + dx < size) & (y + dy >= 0) & (y + dy < size)
        picture[(y + dy)[seen], (x + dx)[seen]] = paint[order][seen]
    return picture


def cloud_pictures(
    clouds: Sequence[Float[Tensor, "_ D"]], size: int = 200
) -> list[Float[Tensor, "{size} {size} 3"]]:
    """One picture per cloud."""
    return [cloud_picture(cloud, size) for cloud in clouds]

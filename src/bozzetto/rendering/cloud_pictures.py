"""Pictures of point clouds."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

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
    """A cloud in parallel projection: near points dark and on top, far points pale.

    Args:
        points: In 3D with y up, seen from +z turned by `azimuth`; or in 2D, seen as they are.
        size: Pixels along each side.
        azimuth: Of the viewer around y, in radians.
        elevation: Of the viewer above the horizon, in radians.
        extent: Half the side of what is seen, around the origin; for flat clouds as for others.
        colors: sRGB per point, instead of shades of depth.
    """
    points = points.detach().float().cpu()
    if points.shape[1] == 2:
        points = torch.cat([points, torch.zeros_like(points[:, :1])], dim=1)
        azimuth = elevation = 0.0
    a, e = (torch.tensor(value) for value in (azimuth, elevation))
    right = torch.stack([a.cos(), torch.zeros(()), -a.sin()])
    back = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()])
    up = torch.linalg.cross(back, right)
    radius = math.sqrt(1.3) if elevation else 1.0  # corners of the cube stay within the picture
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

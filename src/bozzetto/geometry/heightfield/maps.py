"""Maps that go with a height map: normals as pictures, ambient occlusion and curvature."""

import math
import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from ...errors import InputError
from ...images import save_image
from ...images.io import load_data_image
from ...shapes import HeightField
from .gradients import check_convention


def ambient_occlusion(
    field: HeightField, radius: float = 0.05, directions: int = 16, steps: int = 12
) -> Float[Tensor, "H W"]:
    """Visible fraction of a uniform sky per pixel, weighted by the cosine of the angle to the normal.

    In every direction the horizon is the steepest line of sight within the radius (horizon-based ambient
    occlusion, Bavoil and Sainz 2008, with the horizon measured from the plane of the map): where the map is
    flat within the radius, the result is 1. Samples are whole pixels along each direction, denser near the
    pixel.

    Args:
        field: Heights and their size. A field that tiles continues at the opposite border.
        radius: Largest distance of occluders, as a fraction of the width.
        directions: Number of directions around each pixel.
        steps: Number of samples along each direction.

    Returns:
        Values in [0, 1]: 1 where nothing occludes the sky, towards 0 in deep hollows.

    Raises:
        InputError: The radius or a count is not positive.
    """
    if radius <= 0 or directions < 1 or steps < 1:
        raise InputError(
            f"ambient occlusion needs a positive radius and counts, got {radius}, {directions} and {steps}"
        )
    height = field.in_pixels().float()
    reach = max(1.0, radius * height.shape[1])
    margin = math.ceil(reach)
    around = _padded(height, margin, field.tiles)
    total = torch.zeros_like(height)
    for k in range(directions):
        horizon = torch.zeros_like(height)
        for right, down in _offsets(2 * math.pi * (k + 0.5) / directions, reach, steps):
            y, x = margin + down, margin + right
            there = around[y : y + height.shape[0], x : x + height.shape[1]]
            torch.maximum(horizon, (there - height).mul_(1 / math.hypot(right, down)), out=horizon)
        total += 1 / (1 + horizon.square())  # the sky above the horizon by its cosine: cos^2 of the elevation
    return total / directions


def _offsets(angle: float, reach: float, steps: int) -> list[tuple[int, int]]:
    """Different whole pixels (right, down) along a direction, at distances that grow quadratically."""
    ranks = [t / max(1, steps - 1) for t in range(steps)]
    distances = [1 + (reach - 1) * rank**2 for rank in ranks]
    points = [(round(d * math.cos(angle)), round(d * math.sin(angle))) for d in distances]
    return sorted(set(points) - {(0, 0)})


def curvature(field: HeightField, scale: float = 1.0) -> Float[Tensor, "H W"]:
    """Mean curvature, positive on ridges and bumps, in 1 / pixel.

    H = -div(grad h / sqrt(1 + |grad h|^2)) / 2 with differences between neighbouring pixels.

    Args:
        field: Heights and their size.
        scale: Standard deviation, in pixels, of a Gaussian that smooths the heights first; 0 for no smoothing.

    Raises:
        InputError: The scale is negative.
    """
    if scale < 0:
        raise InputError(f"the scale of a curvature must be at least 0 pixels, got {scale}")
    height = _smoothed(field.in_pixels().float(), scale, field.tiles)
    around = _padded(height, 1, field.tiles)
    right = around[1:-1, 1:] - around[1:-1, :-1]  # between columns
    down = around[1:, 1:-1] - around[:-1, 1:-1]
    slope_y = (around[2:] - around[:-2]) / 2  # central, at all columns
    slope_x = (around[:, 2:] - around[:, :-2]) / 2
    side_y = (slope_y[:, 1:] + slope_y[:, :-1]) / 2
    side_x = (slope_x[1:] + slope_x[:-1]) / 2
    flow_x = right / (1 + right.square() + side_y.square()).sqrt()
    flow_y = down / (1 + down.square() + side_x.square()).sqrt()
    return -(flow_x.diff(dim=1) + flow_y.diff(dim=0)) / 2


def _padded(height: Tensor, margin: int, tiles: bool) -> Tensor:
    places = [torch.arange(-margin, n + margin, device=height.device) for n in height.shape]
    rows, columns = (p % n if tiles else p.clamp(0, n - 1) for p, n in zip(places, height.shape, strict=True))
    return height[rows][:, columns]


def _smoothed(height: Tensor, scale: float, tiles: bool) -> Tensor:
    if scale == 0:
        return height
    margin = math.ceil(3 * scale)
    weights = torch.exp(-(torch.arange(-margin, margin + 1, device=height.device) ** 2) / (2 * scale**2))
    weights = weights / weights.sum()
    image = _padded(height, margin, tiles)[None, None]
    return conv2d(conv2d(image, weights[None, None, None, :]), weights[None, None, :, None])[0, 0]


def save_normal_map(
    normals: Float[Tensor, "H W 3"], path: str | os.PathLike[str], convention: str = "gl", bits: int = 8
) -> None:
    """Write unit normals as a picture.

    Args:
        normals: Tangent space, y up.
        path: The file to write: PNG for 16 bits.
        convention: `gl` writes green up (OpenGL, Blender), `dx` green down (DirectX).
        bits: 8 or 16 per channel.

    Raises:
        InputError: The convention is unknown, or the format or bits cannot be written.
    """
    save_image(path, (check_convention(normals, convention) + 1) / 2, bits)


def load_normal_map(path: str | os.PathLike[str], convention: str = "gl") -> Float[Tensor, "H W 3"]:
    """Unit normals, y up, of a picture with 8 or 16 bits per channel.

    Integer levels are mapped to -1 to 1. Some programs store zero as a middle level (128 of 255), which tilts
    normals by a quarter of a degree. Floats, if some are negative, are the vectors themselves. Zero vectors
    become (0, 0, 1).

    Raises:
        InputError: The file cannot be read, is grey, or the convention is unknown.
    """
    image = load_data_image(Path(path))
    if image.shape[-1] < 3:
        raise InputError(
            f"{path} is a grey picture; a normal map has red, green and blue (is it a height map?)"
        )
    vectors = image[..., :3]
    vectors = vectors if float(vectors.min()) < -0.05 else vectors * 2 - 1
    normals = check_convention(vectors, convention)
    length = normals.norm(dim=-1, keepdim=True)
    up = normals.new_tensor([0.0, 0.0, 1.0])
    return torch.where(length > 1e-3, normals / length.clamp(min=1e-3), up)

"""More shapes than a small collection has: its shapes, stretched smoothly."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..shapes import Mesh

WAVES = 3
"""Half waves along the upright axis that a stretch is made of."""


def stretched(
    mesh: Mesh, generator: torch.Generator, strength: float = 0.15, upright: int = 1, sideways: float = 0.05
) -> Mesh:
    """A variant of a shape: heights moved, and cross sections scaled, both smoothly along the upright axis.

    What stands upright still does, mirror planes through the axis stay mirror planes, and round shapes stay
    round up to `sideways`. A prior of some dozen shapes, which otherwise learns little but those, so learns
    that proportions vary from shape to shape.

    Args:
        mesh: The shape.
        generator: Source of randomness, on the CPU.
        strength: Standard deviation of the logarithm of the scale along the axis, and of that of the cross
            sections, for the longest wave; shorter ones vary less in proportion to their length.
        upright: Number of the axis.
        sideways: Standard deviation of the logarithm of the ratio of the other two scales.
    """
    low, high = mesh.bounds.double()
    height = ((mesh.vertices.double() - low) / (high - low).clamp_min(1e-12))[:, upright]
    across = [axis for axis in range(3) if axis != upright]
    middle = (low + high) / 2
    places = mesh.vertices.double() - middle
    slope, section, ratio = torch.randn(3, WAVES + 1, generator=generator, dtype=torch.float64)
    places[:, upright] = (high - low)[upright] * (_moved(height, strength * slope) - 0.5)
    scale = _waves(height, strength * section).exp()
    for axis, sign in zip(across, (0.5, -0.5), strict=True):
        places[:, axis] *= scale * math.exp(sign * sideways * float(ratio[0]))
    return mesh.with_vertices((places + middle).to(mesh.vertices))


def _waves(height: Float[Tensor, " V"], weights: Float[Tensor, " W"]) -> Float[Tensor, " V"]:
    """A constant and half waves, the shorter the weaker."""
    waves = torch.arange(len(weights), dtype=height.dtype)
    return torch.cos(math.pi * height[:, None] * waves) @ (weights / waves.clamp_min(1))


def _moved(
    height: Float[Tensor, " V"], weights: Float[Tensor, " W"], nodes: int = 257
) -> Float[Tensor, " V"]:
    """Heights in [0, 1] under the map whose slope is the exponential of waves: it never folds."""
    grid = torch.linspace(0, 1, nodes, dtype=height.dtype)
    slope = _waves(grid, weights).exp()
    sums = torch.cat([slope.new_zeros(1), torch.cumulative_trapezoid(slope, grid)])
    left = (height * (nodes - 1)).long().clamp(0, nodes - 2)
    return torch.lerp(sums[left], sums[left + 1], height * (nodes - 1) - left)

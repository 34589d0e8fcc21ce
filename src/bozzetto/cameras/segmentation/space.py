"""A ball of space as samples: which of them can be object, and which pixels show these."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..camera import Cameras

ROOM = 1.4
"""Radius of a ball around the object, as a multiple of the object's."""


@dataclass(frozen=True)
class Ball:
    """A region of the world.

    Attributes:
        center: World coordinates, float64.
        radius: In the unit of the world.
    """

    center: Float[Tensor, "3"]
    radius: float

    def depth(self, cameras: Cameras) -> Float[Tensor, "N H W"]:
        """Length of every pixel's ray inside the ball, as a share of its diameter."""
        origins, directions = cameras.rays()
        offset = self.center - origins
        along = (offset * directions).sum(dim=-1)
        miss = (offset**2).sum(dim=-1) - along**2
        inside = (1 - miss.clamp(min=0) / self.radius**2).clamp(min=0).sqrt()
        return (inside * (along > 0)).float()


@dataclass(frozen=True)
class Samples:
    """Samples of a ball on a regular grid, and the pixels of the views in which they lie.

    Attributes:
        points: World coordinates, float64.
        pixels: Index of the pixel (row * width + column); 0 where a view does not show the sample.
        seen: Whether a view shows it, in a known pixel.
        spread: Pixels from the middle of a sample to its edge, one per view.
        size: Height and width of the pictures.
    """

    points: Float[Tensor, "P 3"]
    pixels: Int[Tensor, "N P"]
    seen: Bool[Tensor, "N P"]
    spread: tuple[int, ...]
    size: tuple[int, int]

    def agreeing(self, support: Float[Tensor, "N H W"], least: int) -> Float[Tensor, "N H W"]:
        """For every pixel the largest share of the other views that a sample on its ray has on its side.

        Args:
            support: How much each pixel speaks for the object: 1 object, 0 background.
            least: Samples that fewer views show count for nothing.
        """
        against = self._against(support)
        total, shown = against.sum(dim=0), self.seen.sum(dim=0)
        pictures = torch.zeros(len(support), self.size[0] * self.size[1])
        for view in range(len(support)):
            others = (shown - self.seen[view].int()).clamp(min=1)
            share = 1 - (total - against[view]) / others
            share = torch.where(shown >= least, share, 0) * self.seen[view]
            pictures[view].scatter_reduce_(0, self.pixels[view], share, "amax")
        pictures = pictures.reshape(support.shape)
        return torch.stack([_grown(p[None], s)[0] for p, s in zip(pictures, self.spread, strict=True)])

    def _against(self, support: Float[Tensor, "N H W"]) -> Float[Tensor, "N P"]:
        """How much each view speaks against a sample; what is less than a pixel beside the object does not."""
        return self.seen * (1 - _grown(support, 1).flatten(1).gather(1, self.pixels))

    def fitted(self, support: Float[Tensor, "N H W"], least: int, share: float) -> Ball | None:
        """A ball, with some room, around the samples that this share of the views agrees on; None if empty."""
        against, shown = self._against(support).sum(dim=0), self.seen.sum(dim=0)
        chosen = self.points[(shown >= least) & (against <= (1 - share) * shown)]
        if len(chosen) < 8:
            return None
        low, high = (chosen.quantile(q, dim=0) for q in (0.01, 0.99))
        center = (low + high) / 2
        return Ball(center, ROOM * float((chosen - center).norm(dim=1).quantile(0.99)))


def sampled(ball: Ball, cameras: Cameras, known: Bool[Tensor, "N H W"], across: int) -> Samples:
    """Samples of a ball, so many along its diameter."""
    axis = torch.linspace(-1, 1, across, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    points = grid[grid.norm(dim=1) <= 1] * ball.radius + ball.center
    height, width = known.shape[1:]
    indices, shown = [], []
    for view in range(len(cameras)):
        u, v, z = cameras[[view]].project(points)[0].unbind(dim=-1)
        column, row = u.floor().long(), v.floor().long()
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        inside &= (z > cameras.near) | cameras.orthographic
        pixel = torch.where(inside, row * width + column, 0)
        indices.append(pixel)
        shown.append(inside & known[view].flatten()[pixel])
    cell = 2 * ball.radius / (across - 1) * pixels_per_unit(cameras, ball.center)
    spread = tuple(min(8, math.ceil(c / 2 - 0.5)) for c in cell.tolist())
    return Samples(points, torch.stack(indices), torch.stack(shown), spread, (height, width))


def pixels_per_unit(cameras: Cameras, place: Float[Tensor, "3"]) -> Float[Tensor, "N"]:
    """How many pixels a unit of length covers at a place in the world; 0 behind a camera."""
    focal = torch.linalg.det(cameras.K[:, :2, :2]).abs().sqrt()
    if cameras.orthographic:
        return focal
    depth = cameras.project(place[None])[:, 0, 2]
    return torch.where(depth > cameras.near, focal / depth.clamp(min=1e-12), 0)


def _grown(pictures: Float[Tensor, "N H W"], reach: int) -> Float[Tensor, "N H W"]:
    """The largest value within so many pixels."""
    if reach < 1:
        return pictures
    return torch.nn.functional.max_pool2d(pictures[:, None], 2 * reach + 1, stride=1, padding=reach)[:, 0]

"""Samples of a region of space, the pixels that show them, and agreement of views on them."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...values import value_type
from ..camera import Cameras

DEEPER = 0.01
"""Depth below the ground that still counts as above, in radii of the region, since the ground is inexact."""
ROOM = 1.4
"""Radius of a ball around the object, as a multiple of the object's radius."""


@value_type
class Ground:
    """The ground plane under the object: points x with normal . x = height, and larger values above.

    Attributes:
        normal: Upward unit vector, float64.
        height: Offset of the plane along the normal, in world units.
    """

    normal: Float[Tensor, "3"]
    height: float

    def above(self, points: Float[Tensor, "*S 3"]) -> Float[Tensor, "*S"]:
        """Height of points above the ground, in world units."""
        return points @ self.normal.to(points) - self.height


@value_type
class Region:
    """The region that contains the object: a ball, or the part of it above the ground.

    Attributes:
        center: Centre of the ball in world coordinates, float64.
        radius: Radius of the ball in world units.
        ground: The ground plane if it is known, or None.
    """

    center: Float[Tensor, "3"]
    radius: float
    ground: Ground | None = None

    def chord(
        self, origins: Float[Tensor, "*S 3"], directions: Float[Tensor, "*S 3"]
    ) -> tuple[Float[Tensor, "*S"], Float[Tensor, "*S"]]:
        """Distances along rays at which they enter and leave the region; equal if they miss it."""
        offset = self.center - origins
        along = (offset * directions).sum(dim=-1)
        half = (self.radius**2 - (offset**2).sum(dim=-1) + along**2).clamp(min=0).sqrt()
        enter, leave = (along - half).clamp(min=0), (along + half).clamp(min=0)
        if self.ground is not None:
            slope = directions @ self.ground.normal
            high = self.ground.above(origins) + DEEPER * self.radius
            on = -high / torch.where(slope.abs() > 1e-9, slope, 1e-9)
            leave = torch.where(slope < 0, torch.minimum(leave, on), leave)
            enter = torch.where(slope > 0, torch.maximum(enter, on), enter)
            leave = torch.where((slope.abs() <= 1e-9) & (high < 0), enter, leave)
        return enter, torch.maximum(enter, leave)

    def depth(self, cameras: Cameras) -> Float[Tensor, "N H W"]:
        """Length of every pixel's ray inside the region, as a fraction of the ball's diameter."""
        enter, leave = self.chord(*cameras.rays())
        return ((leave - enter) / (2 * self.radius)).float()


@value_type
class RegionSamples:
    """Samples of a region on a regular grid, and the pixels of the views onto which they project.

    Attributes:
        points: World coordinates, float64.
        pixels: Index of the pixel (row * width + column); 0 if a view does not show the sample.
        visible: Whether a view shows the sample in a known pixel.
        spread: Half the side of a sample in pixels, per view.
        size: Height and width of the pictures.
    """

    points: Float[Tensor, "P 3"]
    pixels: Int[Tensor, "N P"]
    visible: Bool[Tensor, "N P"]
    spread: tuple[int, ...]
    size: tuple[int, int]

    def agreeing(self, support: Float[Tensor, "N H W"], least: int) -> Float[Tensor, "N H W"]:
        """For every pixel, the largest fraction of the other views that agree on a sample on its ray.

        Args:
            support: Support of each pixel for the object: 1 object, 0 background.
            least: Samples that fewer views show are ignored.
        """
        against = self._against(support)
        total, shown = against.sum(dim=0), self.visible.sum(dim=0)
        pictures = torch.zeros(len(support), self.size[0] * self.size[1])
        for view in range(len(support)):
            others = (shown - self.visible[view].int()).clamp(min=1)
            fraction = 1 - (total - against[view]) / others
            fraction = torch.where(shown >= least, fraction, 0) * self.visible[view]
            pictures[view].scatter_reduce_(0, self.pixels[view], fraction, "amax")
        pictures = pictures.reshape(support.shape)
        return torch.stack([_grown(p[None], s)[0] for p, s in zip(pictures, self.spread, strict=True)])

    def agreed(self, support: Float[Tensor, "N H W"], fraction: float, least: int) -> Bool[Tensor, "P"]:
        """Whether a sample is shown by at least `least` views, of which at least `fraction` agree on it."""
        against, shown = self._against(support).sum(dim=0), self.visible.sum(dim=0)
        return (shown >= least) & (against <= (1 - fraction) * shown)

    def _against(self, support: Float[Tensor, "N H W"]) -> Float[Tensor, "N P"]:
        """Contradiction of each view to a sample; samples less than a pixel away from the object are not
        contradicted."""
        return self.visible * (1 - _grown(support, 1).flatten(1).gather(1, self.pixels))

    def fitted(self, support: Float[Tensor, "N H W"], least: int, fraction: float) -> Region | None:
        """A region with a margin around the samples that at least `fraction` of the views agree on; None if
        these are few."""
        chosen = self.points[self.agreed(support, fraction, least)]
        if len(chosen) < 8:
            return None
        low, high = (chosen.quantile(q, dim=0) for q in (0.01, 0.99))
        center = (low + high) / 2
        return Region(center, ROOM * float((chosen - center).norm(dim=1).quantile(0.99)))


def region_samples(
    region: Region, cameras: Cameras, known: Bool[Tensor, "N H W"], across: int
) -> RegionSamples:
    """Sample a region on a grid with `across` samples along the diameter of its ball."""
    axis = torch.linspace(-1, 1, across, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    points = grid[grid.norm(dim=1) <= 1] * region.radius + region.center
    if region.ground is not None:
        points = points[region.ground.above(points) > -DEEPER * region.radius]
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
    cell = 2 * region.radius / (across - 1) * pixels_per_unit(cameras, region.center)
    spread = tuple(min(8, math.ceil(c / 2 - 0.5)) for c in cell.tolist())
    return RegionSamples(points, torch.stack(indices), torch.stack(shown), spread, (height, width))


def pixels_per_unit(cameras: Cameras, place: Float[Tensor, "3"]) -> Float[Tensor, "N"]:
    """Number of pixels that a unit of length covers at a point of the world; 0 behind a camera."""
    focal = torch.linalg.det(cameras.K[:, :2, :2]).abs().sqrt()
    if cameras.orthographic:
        return focal
    depth = cameras.project(place[None])[:, 0, 2]
    return torch.where(depth > cameras.near, focal / depth.clamp(min=1e-12), 0)


def _grown(pictures: Float[Tensor, "N H W"], reach: int) -> Float[Tensor, "N H W"]:
    """Dilation: the largest value within `reach` pixels."""
    if reach < 1:
        return pictures
    return torch.nn.functional.max_pool2d(pictures[:, None], 2 * reach + 1, stride=1, padding=reach)[:, 0]

"""Space that was seen to be empty, and shapes cut back to what it leaves."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree
from torch import Tensor

from .observations import Observations

CLEARANCE = 0.02
"""Nothing is cut nearer to what was observed, in units of the normalised frame."""
VIEWPOINTS = 64
"""Segments that start in more places than these are no bundles of rays."""
Field = Callable[[Tensor], Tensor]


class RayBundle:
    """Rays from one place, each empty up to some length.

    Args:
        origin: Where they start.
        ends: Where they stop.
    """

    def __init__(self, origin: Float[Tensor, "3"], ends: Float[Tensor, "Q 3"]) -> None:
        rays = (ends - origin).double().cpu().numpy()
        self.origin = origin.double().cpu().numpy()
        self.length = np.linalg.norm(rays, axis=1)
        self.tree = KDTree(rays / np.maximum(self.length, 1e-12)[:, None])
        sample = self.tree.data[:: max(1, len(rays) // 2000)]
        self.spacing = float(np.median(self.tree.query(sample, k=2)[0][:, -1])) if len(rays) > 1 else 0.0

    def passes(self, points: np.ndarray, clearance: float) -> np.ndarray:
        """Whether rays all around points (N, 3) go on beyond them by a clearance."""
        way = points - self.origin
        distance = np.linalg.norm(way, axis=1)
        angle, ray = self.tree.query(way / np.maximum(distance, 1e-12)[:, None], k=min(4, len(self.length)))
        angle, ray = angle.reshape(len(points), -1), ray.reshape(len(points), -1)
        beyond = (self.length[ray] > distance[:, None] + clearance).all(axis=1)
        return beyond & (angle.max(axis=1) < 2.5 * self.spacing)


def ray_bundles(seen: Observations) -> list[RayBundle]:
    """The rays of every viewpoint; none if emptiness was not observed from a few places."""
    if seen.empty_from is None or seen.empty_to is None or len(seen.empty_from) < 4:
        return []
    origins, index = torch.unique(seen.empty_from, dim=0, return_inverse=True)
    if len(origins) > VIEWPOINTS:
        return []
    return [RayBundle(origin, seen.empty_to[index == i]) for i, origin in enumerate(origins)]


def cut(field: Field, seen: Observations, side: int = 128) -> Field | None:
    """The distance to space that a shape fills although it was seen to be empty, positive within.

    The larger of it and the field is the shape without what cannot be there. None where a shape fills no
    empty space.

    Args:
        field: The shape's signed distance in the normalised frame, negative inside.
        seen: In the normalised frame.
        side: Nodes along each axis of the grid over [-1, 1]^3 on which emptiness is decided.
    """
    bundles = ray_bundles(seen)
    if not bundles:
        return None
    device = seen.points.device
    axis = torch.linspace(-1, 1, side, device=device)
    nodes = torch.cartesian_prod(axis, axis, axis)
    filled = (field(nodes) < 0).nonzero()[:, 0]
    empty = _known_empty(nodes[filled], bundles, max(CLEARANCE, 3 * seen.noise))
    if not bool(empty.any()):
        return None
    mask = np.zeros(side**3, dtype=bool)
    mask[filled[empty].cpu().numpy()] = True
    return _sampled(_signed_distance(mask.reshape(side, side, side)).to(device))


def _known_empty(
    points: Float[Tensor, "N 3"], bundles: list[RayBundle], clearance: float
) -> Bool[Tensor, " N"]:
    places = points.double().cpu().numpy()
    empty = np.zeros(len(places), dtype=bool)
    for bundle in bundles:
        empty |= bundle.passes(places, clearance)
    return torch.from_numpy(empty).to(points.device)


def _signed_distance(mask: np.ndarray) -> Float[Tensor, "X Y Z"]:
    """Positive within the mask, in units of a frame in which the grid spans [-1, 1]."""
    within, without = distance_transform_edt(mask), distance_transform_edt(~mask)
    spacing = 2 / (len(mask) - 1)
    return torch.from_numpy(spacing * (np.asarray(within) - np.asarray(without))).float()


def _sampled(values: Float[Tensor, "X Y Z"]) -> Field:
    """A grid over [-1, 1]^3 as a function of points."""

    def at(points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        places = points.flip(-1).reshape(1, 1, 1, -1, 3)
        found = torch.nn.functional.grid_sample(
            values[None, None], places, padding_mode="border", align_corners=True
        )
        return found.reshape(-1)

    return at

"""Distances between a predicted point cloud and its reference."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError
from .earth_mover import earth_mover

EARTH_MOVER_POINTS = 2048


@dataclass(frozen=True)
class CloudScores:
    """Distances between a predicted cloud P and a reference cloud R, in the unit of the files.

    Source: Cai et al. 2020, table 1: both distances.

    Attributes:
        chamfer_squared_sum: mean over P of the squared distance to the nearest point of R, plus the same from
            R to P: the Chamfer distance of PointFlow and ShapeGF, printed times 10^4 for auto-encoding.
        chamfer_sum: The same of unsquared distances; half of it is printed by completion benchmarks (CD-l1).
        pred_to_ref: Mean unsquared distance from P to R.
        ref_to_pred: Mean unsquared distance from R to P.
        hausdorff: The largest distance from a point of either to the nearest of the other.
        earth_mover: Mean unsquared distance of the optimal matching, exact, printed times 10^2.
        earth_mover_points: Number of points of each cloud that were matched.
    """

    chamfer_squared_sum: float
    chamfer_sum: float
    pred_to_ref: float
    ref_to_pred: float
    hausdorff: float
    earth_mover: float
    earth_mover_points: int


def evaluate_points(
    pred: Float[Tensor, "P D"],
    ref: Float[Tensor, "R D"],
    seed: int = 0,
    earth_mover_points: int = EARTH_MOVER_POINTS,
) -> CloudScores:
    """Compare two point clouds with any numbers of points.

    Chamfer distances take all points. The earth mover's distance needs equal numbers: a random subset of the
    larger cloud is taken with as many points as the smaller has, and at most `earth_mover_points` of both.

    Args:
        pred: The prediction, in the frame of the reference; float64 if this is far from the origin.
        ref: The reference, likewise.
        seed: Seed of the random subsets.
        earth_mover_points: Largest number of points to match; the time grows more than quadratically.

    Raises:
        InputError: A cloud has fewer than two points, no extent or coordinates that are not finite.
    """
    check_cloud(pred, "the prediction")
    check_cloud(ref, "the reference")
    p, r = (cloud.detach().double() for cloud in (pred, ref))
    middle = (r.amin(dim=0) + r.amax(dim=0)) / 2  # float32 is used below; clouds may be far from the origin
    pred, ref = (p - middle).float(), (r - middle).float()
    p, r = p.cpu(), r.cpu()
    to_ref, to_pred = _nearest(p, r), _nearest(r, p)
    count = min(len(pred), len(ref), earth_mover_points)
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        cloud[torch.randperm(len(cloud), generator=generator)[:count].to(cloud.device)]
        for cloud in (pred, ref)
    ]
    return CloudScores(
        chamfer_squared_sum=float(to_ref.square().mean() + to_pred.square().mean()),
        chamfer_sum=float(to_ref.mean() + to_pred.mean()),
        pred_to_ref=float(to_ref.mean()),
        ref_to_pred=float(to_pred.mean()),
        hausdorff=float(max(to_ref.max(), to_pred.max())),
        earth_mover=earth_mover(*drawn).distance,
        earth_mover_points=count,
    )


def check_cloud(cloud: Float[Tensor, "P D"], name: str) -> None:
    """Raise an error for a cloud for which distances are not meaningful.

    Raises:
        InputError: The cloud has fewer than two points, all points are equal, or coordinates are not finite.
    """
    if len(cloud) < 2:
        raise InputError(f"{name} has {len(cloud)} points; at least two are needed")
    if not torch.isfinite(cloud).all():
        raise InputError(f"{name} has NaN or infinite coordinates; repair or remove them")
    if math.isclose(float((cloud.amax(dim=0) - cloud.amin(dim=0)).max()), 0.0):
        raise InputError(f"all {len(cloud)} points of {name} are equal; points that differ are needed")


def _nearest(queries: Float[Tensor, "P D"], points: Float[Tensor, "R D"]) -> Float[Tensor, "P"]:
    return torch.from_numpy(KDTree(points.numpy()).query(queries.numpy())[0])

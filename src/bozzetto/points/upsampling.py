"""Upsampling: more points on the surface of a clean cloud."""

import torch
from torch.nn.functional import normalize

from ..errors import InputError
from ..shapes import PointCloud
from ..shapes.frames import box_frame
from ..steps import counted
from .denoising import FLOOR, LEAST_POINTS, spread
from .local_fits import BATCH, Support, local_fits, neighbours, support_of

NEAREST = 1  # index of the quadratic through 16 neighbours among the local fits


@torch.no_grad()
def upsample(cloud: PointCloud, count: int, seed: int = 0, name: str = "the cloud") -> PointCloud:
    """Upsample a clean cloud: add points between the given ones, which come first and do not move.

    New points start near old ones, are projected to the quadratic through their neighbours, are moved
    tangentially to where points are sparse, and are projected again.

    Args:
        cloud: Points with negligible noise, see `denoise`.
        count: Number of points of the result.
        seed: Seed of the new points.
        name: Name of the cloud in messages.

    Returns:
        Points with unit normals, whose signs are those of the input's normals, or arbitrary if it has none.

    Raises:
        InputError: The cloud has too few points, or already has `count` points or more.
    """
    old = len(cloud)
    frame = box_frame(cloud.check(name).points, name)
    if old < LEAST_POINTS:
        raise InputError(f"{name} has {old} points; {LEAST_POINTS} or more are needed to find a surface")
    if count <= old:
        raise InputError(f"{name} has {old} points already, and {count} were asked for; ask for more")
    points = frame.apply(cloud.points)
    support = support_of(points)
    draw = torch.Generator().manual_seed(seed)
    extra = count - old
    parent = torch.cat([torch.randperm(old, generator=draw) for _ in range(extra // old + 1)])[:extra]
    parent = parent.to(points.device)
    gap = neighbours(support, points[parent], 7)[0][:, -1:]
    way = normalize(torch.randn(extra, 3, generator=draw).to(points), dim=1)
    own = torch.cat(
        [local_fits(support, part, FLOOR).normals for part in counted(points.split(BATCH), "normals")]
    )
    added, normals = _settled(support, points[parent] + gap * way)
    everything, normals = torch.cat([points, added]), torch.cat([own, normals])
    added, normals = _settled(support, spread(everything, normals, float(gap.median()), old)[old:])
    normals = torch.cat([own, normals])
    if cloud.normals is not None:
        side = torch.cat([cloud.normals, cloud.normals[neighbours(support, added, 1)[1][:, 0]]])
        normals = torch.where((normals * side).sum(dim=1, keepdim=True) < 0, -normals, normals)
    return PointCloud(torch.cat([cloud.points, frame.undo(added)]), normals, offset=cloud.offset)


def _settled(support: Support, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points projected to the quadratic through their nearest neighbours, twice, and normals there."""
    normals = points
    for _ in counted(range(2), "new points"):
        fits = [local_fits(support, part, FLOOR) for part in counted(points.split(BATCH))]
        points = points + torch.cat([fit.moves[:, NEAREST] for fit in fits])
        normals = torch.cat([fit.normals for fit in fits])
    return points, normals

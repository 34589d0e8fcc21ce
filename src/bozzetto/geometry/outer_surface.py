"""The outer surface of the solid that a mesh encloses: its faces without what lies inside."""

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from ..shapes import Mesh
from .closest import SurfaceIndex
from .face_cutting import cut_faces
from .winding_index import INSIDE, WindingIndex

_OFF = 1e-5  # how far from a face one looks, in the size of the mesh


def outer_distance(
    index: WindingIndex, points: Float[Tensor, "P 3"], pairs: Int64[Tensor, "N 2"]
) -> Float[Tensor, " P"]:
    """Distance to the outer surface of a solid; both in the frame of the index.

    Inside is where the winding number exceeds one half. A part of a face that has inside on both sides is no
    part of the surface. Faces that others pass through are cut along the common lines first. What has outside
    on both sides, a sheet, stays.

    Args:
        index: The mesh.
        points: Query points.
        pairs: All pairs of its faces that intersect.
    """
    corners = index.corners()
    whole = torch.ones(len(corners), dtype=torch.bool, device=corners.device)
    whole[pairs.flatten()] = False
    parts = corners[whole]
    if len(pairs):
        parts = torch.cat([parts, cut_faces(corners, pairs)[0]])
    outer = parts[~_has_inside_on_both_sides(index, parts)].reshape(-1, 3).float()
    if len(outer) == 0:
        outer = parts.reshape(-1, 3).float()
    faces = torch.arange(len(outer), device=outer.device).view(-1, 3)
    return SurfaceIndex(Mesh(outer, faces)).closest(points).distance


def _has_inside_on_both_sides(index: WindingIndex, parts: Float64[Tensor, "N 3 3"]) -> Bool[Tensor, " N"]:
    middle = parts.mean(dim=1)
    normal = torch.linalg.cross(parts[:, 1] - parts[:, 0], parts[:, 2] - parts[:, 0])
    step = _OFF * torch.nn.functional.normalize(normal, dim=1, eps=1e-300)
    sides = [index.winding((middle + way * step).float().contiguous()) > INSIDE for way in (1, -1)]
    return sides[0] & sides[1]

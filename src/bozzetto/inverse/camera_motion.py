"""Small changes of cameras, their effect on pixels, and the part of them that no picture can determine.

A change of view i is a rotation w about the origin of the frame (the centre of the object) and a shift s,
both in camera axes: x_cam = exp(w) R x + t + s. The object rotates in place with w and moves with s. The two
are nearly independent, unlike a rotation about the camera centre and a shift. Views of one camera share a
factor exp(g) on the focal lengths.
"""

from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..cameras import Cameras
from ..shapes import Similarity
from ..values import value_type

DIGITS = 2.0**28
"""Poses (in the unit of the frame) and intrinsics are rounded to multiples of one over this number."""
GROUP = 3
"""A focal length is refined only if at least this many views share it."""


@value_type
class Motion:
    """Changes of the cameras of all views.

    Attributes:
        poses: Rotation vector (radians) and shift (world units) of every view, in camera axes.
        zoom: Logarithm of the factor on the focal lengths, one per group.
        group: Group of every view; -1 if its focal length does not change.
    """

    poses: Float[Tensor, "N 6"]
    zoom: Float[Tensor, " G"]
    group: Int64[Tensor, " N"]

    def applied(self, cameras: Cameras) -> Cameras:
        """The given cameras after these changes."""
        T, K = cameras.T_cam_world.clone(), cameras.K.clone()
        T[:, :3, :3] = rotations(self.poses[:, :3]) @ T[:, :3, :3]
        T[:, :3, 3] += self.poses[:, 3:]
        zoomed = self.group >= 0
        K[zoomed, :2, :2] *= self.zoom[self.group[zoomed]].exp()[:, None, None]
        return replace(cameras, T_cam_world=T, K=K)


def focal_groups(cameras: Cameras) -> Int64[Tensor, " N"]:
    """Number of the group of views that share a focal length, for every view; -1 in groups of fewer than
    `GROUP`."""
    rounded = (cameras.K[:, [0, 1], [0, 1]].cpu().log() * 1e4).round()
    _, label, count = torch.unique(rounded, dim=0, return_inverse=True, return_counts=True)
    enough = count >= GROUP
    number = torch.where(enough, enough.long().cumsum(0) - 1, -1)
    return number[label]


def rotations(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3 3"]:
    """Rotation matrices of rotation vectors in radians (Rodrigues' formula)."""
    return torch.linalg.matrix_exp(cross_matrices(vectors))


def rotation_vectors(matrices: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 3"]:
    """Rotation vectors of matrices that rotate by less than pi: the inverse of `rotations`."""
    skew = (matrices - matrices.transpose(1, 2)) / 2
    axis = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1)
    sine = torch.linalg.vector_norm(axis, dim=1)
    cosine = (matrices.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    angle = torch.atan2(sine, cosine)
    return axis * torch.where(sine > 1e-12, angle / sine.clamp(min=1e-12), 1.0)[:, None]


def cross_matrices(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3 3"]:
    """Matrices M of vectors v such that M x is the cross product of v and x."""
    x, y, z = vectors.unbind(dim=1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)


def motion_between(start: Cameras, cameras: Cameras, group: Int64[Tensor, " N"]) -> Motion:
    """The changes that lead from the cameras `start` to `cameras`."""
    turned = cameras.T_cam_world[:, :3, :3] @ start.T_cam_world[:, :3, :3].transpose(1, 2)
    shift = cameras.T_cam_world[:, :3, 3] - start.T_cam_world[:, :3, 3]
    ratio = (cameras.K[:, 0, 0] / start.K[:, 0, 0]).log()
    zoom = torch.stack(
        [ratio[group == g].mean() for g in range(int(group.max()) + 1)] or [ratio.new_zeros(())]
    )
    return Motion(torch.cat([rotation_vectors(turned), shift], dim=1), zoom[: int(group.max()) + 1], group)


def settled(cameras: Cameras) -> Cameras:
    """The cameras, rounded to multiples of 1 / `DIGITS`.

    The last digits that linear algebra returns depend on the memory addresses of tensors, but resumed runs have
    to end like uninterrupted ones, bit for bit.
    """
    poses = (cameras.T_cam_world * DIGITS).round() / DIGITS
    return replace(cameras, T_cam_world=poses, K=(cameras.K * DIGITS).round() / DIGITS)


def motion_derivatives(
    camera: Cameras, points: Float[Tensor, "P 3"]
) -> tuple[Float[Tensor, "P 2"], Float[Tensor, "P 2 6"], Float[Tensor, "P 2"]]:
    """Pixels at which one camera sees points, and their derivatives with respect to changes of the camera.

    Args:
        camera: A single view.
        points: Positions in the frame of the camera's world.

    Returns:
        Pixels (u, v); their derivatives with respect to rotation vector and shift, at 0; their derivatives with
        respect to the zoom, at 0.
    """
    R, t, K = camera.T_cam_world[0, :3, :3], camera.T_cam_world[0, :3, 3], camera.K[0]
    turned = points.to(R) @ R.T
    local = turned + t
    moved = torch.cat([-cross_matrices(turned), torch.eye(3).to(R).expand(len(points), 3, 3)], dim=2)
    if camera.orthographic:
        plane, slopes = local[:, :2], moved[:, :2]
    else:
        depth = local[:, 2:]
        plane = local[:, :2] / depth
        slopes = (moved[:, :2] - plane[:, :, None] * moved[:, 2:]) / depth[:, :, None]
    away = plane @ K[:2, :2].T
    return away + K[:2, 2], K[:2, :2] @ slopes, away


def shift_across(
    cameras: Cameras, view: int, place: Float[Tensor, "3"], pixels: Float[Tensor, "2"]
) -> Float[Tensor, "2"]:
    """The shift along the camera's x and y axes that moves the image of the point `place` by `pixels` (u,
    v)."""
    depth = 1.0 if cameras.orthographic else float(cameras[[view]].project(place[None])[0, 0, 2])
    return depth * torch.linalg.solve(cameras.K[view, :2, :2], pixels)


def unseen_part(start: Cameras, cameras: Cameras) -> Similarity:
    """The similarity of the frame that is contained in a change of all cameras.

    Rotating, shifting and scaling object and cameras together changes no picture. This is the part of the
    change from `start` to `cameras` that is such a similarity (least squares, shifts in units of the distance).

    Returns:
        The similarity that removes this part when it is applied to object and cameras.
    """
    motion = motion_between(start, cameras, torch.full((len(start),), -1))
    R, t = cameras.T_cam_world[:, :3, :3], cameras.T_cam_world[:, :3, 3]
    distance = torch.linalg.vector_norm(t, dim=1).mean()
    columns = R.new_zeros(len(start), 6, 7)
    columns[:, :3, :3], columns[:, 3:, 3:6], columns[:, 3:, 6] = R, R, -t
    weights = R.new_tensor([1.0, 1, 1, 0, 0, 0]) + R.new_tensor([0.0, 0, 0, 1, 1, 1]) / distance
    rows = (columns * weights[:, None]).reshape(-1, 7)
    if cameras.orthographic:
        rows = rows[:, :6]
    found = torch.linalg.lstsq(rows, (motion.poses * weights).reshape(-1, 1)).solution[:, 0]
    scale = float(found[6].exp()) if len(found) == 7 else 1.0
    return Similarity(scale, found[3:6], rotations(found[None, :3])[0])

"""Small changes of cameras: how they move pixels, and which of them nothing can see.

A change of view i is a rotation w about the origin of the frame (the middle of the object) and a shift s,
both in camera axes: x_cam = exp(w) R x + t + s. So w turns the object on the spot, s moves it, and the two are
nearly independent, which turning about the camera is not. Views of one camera share a factor exp(g) on the
focal lengths.
"""

from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..cameras import Cameras
from ..shapes import Similarity
from ..values import value_type

DIGITS = 2.0**28
"""Inverse of the last digit that is kept of poses (in the unit of the object) and intrinsics."""
GROUP = 3
"""Focal lengths are refined where at least so many views share them."""


@value_type
class Motion:
    """Changes of all views.

    Attributes:
        poses: Rotation vector (radians) and shift (world units) of every view, camera axes.
        zoom: Logarithm of the factor on the focal lengths, one per group.
        group: Group of every view, -1 where the focal length stays.
    """

    poses: Float[Tensor, "N 6"]
    zoom: Float[Tensor, " G"]
    group: Int64[Tensor, " N"]

    def applied(self, cameras: Cameras) -> Cameras:
        """The cameras after the change."""
        T, K = cameras.T_cam_world.clone(), cameras.K.clone()
        T[:, :3, :3] = rotations(self.poses[:, :3]) @ T[:, :3, :3]
        T[:, :3, 3] += self.poses[:, 3:]
        zoomed = self.group >= 0
        K[zoomed, :2, :2] *= self.zoom[self.group[zoomed]].exp()[:, None, None]
        return replace(cameras, T_cam_world=T, K=K)


def focal_groups(cameras: Cameras) -> Int64[Tensor, " N"]:
    """Views that share their focal lengths, numbered; -1 for views that share them with too few others."""
    rounded = (cameras.K[:, [0, 1], [0, 1]].cpu().log() * 1e4).round()
    _, label, count = torch.unique(rounded, dim=0, return_inverse=True, return_counts=True)
    enough = count >= GROUP
    number = torch.where(enough, enough.long().cumsum(0) - 1, -1)
    return number[label]


def rotations(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3 3"]:
    """Rotation matrices of rotation vectors (Rodrigues)."""
    return torch.linalg.matrix_exp(cross_matrices(vectors))


def rotation_vectors(matrices: Float[Tensor, "N 3 3"]) -> Float[Tensor, "N 3"]:
    """Rotation vectors of matrices that turn by less than half a turn: undoes `rotations`."""
    skew = (matrices - matrices.transpose(1, 2)) / 2
    axis = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1)
    sine = torch.linalg.vector_norm(axis, dim=1)
    cosine = (matrices.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2
    angle = torch.atan2(sine, cosine)
    return axis * torch.where(sine > 1e-12, angle / sine.clamp(min=1e-12), 1.0)[:, None]


def cross_matrices(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3 3"]:
    """Matrices that multiply as the cross product with a vector does."""
    x, y, z = vectors.unbind(dim=1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)


def motion_between(start: Cameras, cameras: Cameras, group: Int64[Tensor, " N"]) -> Motion:
    """The change that leads from some cameras to others."""
    turned = cameras.T_cam_world[:, :3, :3] @ start.T_cam_world[:, :3, :3].transpose(1, 2)
    shift = cameras.T_cam_world[:, :3, 3] - start.T_cam_world[:, :3, 3]
    ratio = (cameras.K[:, 0, 0] / start.K[:, 0, 0]).log()
    zoom = torch.stack(
        [ratio[group == g].mean() for g in range(int(group.max()) + 1)] or [ratio.new_zeros(())]
    )
    return Motion(torch.cat([rotation_vectors(turned), shift], dim=1), zoom[: int(group.max()) + 1], group)


def settled(cameras: Cameras) -> Cameras:
    """The cameras with the last digits rounded away.

    Linear algebra gives these differently where tensors happen to lie elsewhere in memory; resumed runs have to
    end like uninterrupted ones, bit for bit.
    """
    poses = (cameras.T_cam_world * DIGITS).round() / DIGITS
    return replace(cameras, T_cam_world=poses, K=(cameras.K * DIGITS).round() / DIGITS)


def motion_derivatives(
    camera: Cameras, points: Float[Tensor, "P 3"]
) -> tuple[Float[Tensor, "P 2"], Float[Tensor, "P 2 6"], Float[Tensor, "P 2"]]:
    """Where one camera sees points, and how that depends on a change of it.

    Args:
        camera: A single view.
        points: Frame coordinates.

    Returns:
        Pixels (u, v); their derivatives with respect to the pose change at 0; with respect to the zoom at 0.
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
    """The shift of a view along its x and y axes after which it sees a place so many pixels (u, v) further."""
    depth = 1.0 if cameras.orthographic else float(cameras[[view]].project(place[None])[0, 0, 2])
    return depth * torch.linalg.solve(cameras.K[view, :2, :2], pixels)


def unseen_part(start: Cameras, cameras: Cameras) -> Similarity:
    """The similarity of the frame that all views together seem to have gone through.

    Turning, shifting and scaling object and cameras together changes no picture. Of the change that leads
    from the first cameras to these, this is the part of that kind (least squares, shifts in units of the
    distance).

    Returns:
        What object and cameras have to go through for that part to vanish.
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

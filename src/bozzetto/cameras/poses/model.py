"""What structure from motion found, and a frame for it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...values import value_type
from ..formats.colmap_text import read_cameras_txt, read_images_txt, read_points_txt


@value_type
class Model:
    """Placed pictures and points.

    Attributes:
        names: File names of the pictures, sorted.
        camera: Which row of `lenses` each has.
        poses: World to camera, (N, 4, 4), OpenCV axes.
        lenses: f, cx, cy, k1, k2 per camera, (C, 5), in pixels of the small pictures.
        sizes: Their width and height, (C, 2).
        points: Positions, (P, 3).
        visible: Which pictures each point was matched in, (P, N).
    """

    names: tuple[str, ...]
    camera: npt.NDArray[Any]
    poses: npt.NDArray[Any]
    lenses: npt.NDArray[Any]
    sizes: npt.NDArray[Any]
    points: npt.NDArray[Any]
    visible: npt.NDArray[Any]

    @property
    def centers(self) -> npt.NDArray[Any]:
        """Camera positions, (N, 3)."""
        return -np.einsum("nji,nj->ni", self.poses[:, :3, :3], self.poses[:, :3, 3])

    @property
    def forward(self) -> npt.NDArray[Any]:
        """Viewing directions, (N, 3)."""
        return self.poses[:, 2, :3]


def read_model(folder: Path) -> Model:
    """Read a COLMAP text model.

    Raises:
        InputError: It is damaged.
    """
    cameras = read_cameras_txt(folder / "cameras.txt")
    images = sorted(read_images_txt(folder / "images.txt"), key=lambda image: image.name)
    points = list(read_points_txt(folder / "points3D.txt"))
    rows = {key: row for row, key in enumerate(cameras)}
    lenses, sizes = [], []
    for camera in cameras.values():
        K, lens = camera.intrinsics()
        k1, k2 = (*(lens.radial if lens else ()), 0.0, 0.0)[:2]
        lenses.append([float(K[0, 0]), float(K[0, 2]), float(K[1, 2]), k1, k2])
        sizes.append([camera.width, camera.height])
    place = {image.key: row for row, image in enumerate(images)}
    visible = np.zeros((len(points), len(images)), bool)
    for row, point in enumerate(points):
        visible[row, [place[key] for key in point.images]] = True
    return Model(
        names=tuple(image.name for image in images),
        camera=np.array([rows[image.camera] for image in images], int),
        poses=np.stack([image.pose(folder).numpy() for image in images]),
        lenses=np.array(lenses),
        sizes=np.array(sizes),
        points=np.array([point.position for point in points]).reshape(-1, 3),
        visible=visible,
    )


def turned_model(model: Model, turns: Mapping[str, int]) -> Model:
    """The model of upright pictures, each with a lens of its own.

    Args:
        model: Of pictures as the sensor took them.
        turns: Anticlockwise quarter turns that set them upright, by their names.
    """
    poses, lenses, sizes = model.poses.copy(), [], []
    for row, (name, camera) in enumerate(zip(model.names, model.camera, strict=True)):
        (focal, x, y, k1, k2), (width, height) = model.lenses[camera], model.sizes[camera]
        for _ in range(turns[name] % 4):  # what was at (x, y) comes to (y, width - x)
            x, y, width, height = y, width - x, height, width
            poses[row, :2] = poses[row, 1], -poses[row, 0]
        lenses.append([focal, x, y, k1, k2])
        sizes.append([width, height])
    return replace(
        model,
        camera=np.arange(len(model.names)),
        poses=poses,
        lenses=np.array(lenses).reshape(-1, 5),
        sizes=np.array(sizes).reshape(-1, 2),
    )


def placed_model(model: Model) -> Model:
    """The model in a frame that means something, as far as photographs can say.

    They tell neither scale nor orientation. The origin is the point nearest to all optical axes, or, if these
    are nearly parallel, the middle of the points; the median distance of the cameras from it is 1; +Z is the
    mean of what is up in the photographs.
    """
    center = _middle(model)
    distance = float(np.median(np.linalg.norm(model.centers - center, axis=1)))
    scale = 1 / max(distance, 1e-12)
    turn = _upright(model)
    poses = model.poses.copy()
    poses[:, :3, :3] = model.poses[:, :3, :3] @ turn.T
    poses[:, :3, 3] = scale * (model.poses[:, :3, :3] @ center + model.poses[:, :3, 3])
    return replace(model, poses=poses, points=scale * (model.points - center) @ turn.T)


def _middle(model: Model) -> npt.NDArray[Any]:
    """The point nearest to all optical axes in front of most cameras, else the median of the points."""
    forward = model.forward
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    total = across.sum(axis=0)
    if np.linalg.eigvalsh(total)[0] > 0.02 * len(forward):
        point = np.linalg.solve(total, np.einsum("nij,nj->i", across, model.centers))
        depth = np.einsum("ni,ni->n", point - model.centers, forward)
        if np.mean(depth > 0) > 0.8:
            return point
    return np.median(model.points, axis=0)


def _upright(model: Model) -> npt.NDArray[Any]:
    """A rotation after which +Z is up in most photographs."""
    ups = -model.poses[:, 1, :3]
    up = ups.mean(axis=0)
    if np.linalg.norm(up) < 0.2:  # turned in all ways: the axis of the ring in which the cameras stand
        spread = model.forward - model.forward.mean(axis=0)
        axis = np.linalg.eigh(spread.T @ spread)[1][:, 0]
        up = axis if np.mean(ups @ axis > 0) >= 0.5 else -axis
    up = up / np.linalg.norm(up)
    side = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(up, side), up])

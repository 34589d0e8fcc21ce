"""Results of structure from motion, their world frame, and their files.

A folder contains the text model of pycolmap, and a report on each photograph as JSON.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...errors import InputError, join_names
from ...files import write_text
from ...values import value_type
from ..capture import ScenePoints
from ..distortion import Lens
from ..formats.camera_files import PosedViews, View
from ..formats.colmap_model import read_cameras_txt, read_images_txt, read_points_txt
from .prepare import Photo


@value_type
class Model:
    """Placed pictures and points of structure from motion.

    Attributes:
        names: File names of the pictures, sorted.
        camera: Row of `lenses` of each picture, (N,).
        poses: World-to-camera transforms, (N, 4, 4), with OpenCV axes.
        lenses: f, cx, cy, k1, k2 per camera, (C, 5), in pixels of the reduced pictures.
        sizes: Width and height of the reduced pictures per camera, (C, 2).
        points: Positions of the points, (P, 3).
        visible: Whether each point was matched in each picture, (P, N).
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
        InputError: The model is damaged.
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
    """Convert a model to upright pictures, each with its own lens.

    Args:
        model: Model of pictures in the orientation of the sensor.
        turns: Anticlockwise quarter turns that make pictures upright, by name.
    """
    poses, lenses, sizes = model.poses.copy(), [], []
    for row, (name, camera) in enumerate(zip(model.names, model.camera, strict=True)):
        (focal, x, y, k1, k2), (width, height) = model.lenses[camera], model.sizes[camera]
        for _ in range(turns[name] % 4):  # (x, y) becomes (y, width - x)
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
    """Transform the model to a canonical world frame.

    Photographs determine neither scale nor orientation. The origin is the point nearest to all optical axes, or
    the median of the points if these are nearly parallel. The median distance of the cameras from it is 1. +Z
    is the mean upward direction of the photographs.
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
    if np.linalg.norm(up) < 0.2:  # rotated in all directions: take the axis of the ring of cameras
        spread = model.forward - model.forward.mean(axis=0)
        axis = np.linalg.eigh(spread.T @ spread)[1][:, 0]
        up = axis if np.mean(ups @ axis > 0) >= 0.5 else -axis
    up = up / np.linalg.norm(up)
    side = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(up, side), up])


@dataclass(frozen=True)
class PoseReport:
    """Report on the estimation of cameras.

    Attributes:
        photos: Names of all given photographs.
        placed: Names of the photographs with a camera.
        reasons: Reason for each of the others why it has no camera.
        points: Number of reconstructed points of the scene.
        error: Mean reprojection error, in pixels of the reduced pictures (`work_size`).
        work_size: Longer side of the reduced pictures, in pixels.
        focal: Focal length of each camera, as a fraction of the longer side of its photographs.
        notes: Sentences about unusual properties.
    """

    photos: tuple[str, ...]
    placed: tuple[str, ...]
    reasons: dict[str, str]
    points: int
    error: float
    work_size: int
    focal: tuple[float, ...]
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """A sentence: how many photographs were placed, and why others were not."""
        text = f"{len(self.placed)} of {len(self.photos)} photos were placed, with {self.points} points"
        kinds: dict[str, list[str]] = {}
        for name, reason in self.reasons.items():
            kinds.setdefault(reason, []).append(name)
        return "; ".join([text, *(f"{join_names(names)}: {reason}" for reason, names in kinds.items())])


MODEL, REPORT = "sparse", "report.json"
_INTERMEDIATE = (
    *("pictures", "masks", "models", "job.json"),
    *(f"{name}.db{journal}" for name in ("matches", "sample") for journal in ("", "-shm", "-wal")),
)


@dataclass(frozen=True)
class EstimatedViews(PosedViews):
    """Estimated cameras with a report.

    Attributes:
        report: Report on the estimation.
    """

    report: PoseReport | None = None


@dataclass(frozen=True)
class Source:
    """Relation of a reduced picture to its photograph.

    Attributes:
        number: Position of its photograph among the given ones.
        size: Width and height of the upright photograph.
        scale: Number of pixels of the photograph per pixel of the reduced picture, along each axis.
        turn: Anticlockwise quarter turns that make the reduced picture upright.
    """

    number: int
    size: tuple[int, int]
    scale: float
    turn: int


def store(folder: Path, key: str, report: PoseReport, photos: Sequence[Photo], found: Path) -> None:
    """Store the text model and the report, and delete intermediate files.

    Args:
        folder: Folder to store to.
        key: Fingerprint of the input.
        report: Report on the estimation.
        photos: The prepared photographs.
        found: Folder of the text model.
    """
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    shutil.copytree(found, folder / MODEL)
    numbers = {name: number for number, name in enumerate(report.photos)}
    sources = {p.work: asdict(Source(numbers[p.name], p.size, p.scale, p.turn)) for p in photos}
    content = {"input": key, "report": asdict(report), "pictures": sources}
    write_text(folder / REPORT, json.dumps(content, indent=1))
    remove_intermediate(folder)


def remove_intermediate(folder: Path) -> None:
    """Delete files that are needed only during estimation."""
    for name in _INTERMEDIATE:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def read_stored_poses(
    folder: Path, key: str, paths: Sequence[Path], masks: Sequence[Path | None]
) -> EstimatedViews | None:
    """Read the stored result of an earlier call with the same input; None if there is none.

    Args:
        folder: Folder of the result.
        key: Fingerprint of the input.
        paths: The photographs.
        masks: Masks of the photographs.
    """
    try:
        content = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if content["input"] != key:
            return None
        said: dict[str, Any] = content["report"]
        said |= {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
        report = PoseReport(**said)
        rows = content["pictures"].items()
        sources = {work: Source(**{**row, "size": tuple(row["size"])}) for work, row in rows}
        turns = {work: source.turn for work, source in sources.items()}
        model = placed_model(turned_model(read_model(folder / MODEL), turns))
        return _views(model, sources, report, folder, paths, masks)
    except (OSError, ValueError, KeyError, TypeError, IndexError, InputError):
        return None


def _views(
    model: Model,
    sources: dict[str, Source],
    report: PoseReport,
    folder: Path,
    paths: Sequence[Path],
    masks: Sequence[Path | None],
) -> EstimatedViews:
    """Cameras for the upright photographs in full size."""
    views = []
    for work, camera, pose in zip(model.names, model.camera, model.poses, strict=True):
        source = sources[work]
        focal, cx, cy, k1, k2 = model.lenses[camera].tolist()
        K = torch.tensor([[focal, 0, cx], [0, focal, cy], [0, 0, 1 / source.scale]], dtype=torch.float64)
        views.append(
            View(
                name=report.photos[source.number],
                image=paths[source.number],
                T_cam_world=torch.from_numpy(pose.copy()),
                K=K * source.scale,
                size=source.size,
                lens=Lens(radial=(k1, k2)) or None,
                mask=masks[source.number],
                upright=True,
            )
        )
    points = ScenePoints(torch.from_numpy(model.points), torch.from_numpy(model.visible))
    return EstimatedViews(tuple(views), folder / MODEL, points, report)

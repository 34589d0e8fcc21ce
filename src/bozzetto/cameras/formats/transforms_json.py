"""Camera files in JSON, a pose per frame: `transforms.json` and Polycam's raw data.

`transforms.json` is written by NeRF (Blender), instant-ngp and nerfstudio; Polycam writes a file per picture
in keyframes/corrected_cameras or keyframes/cameras.
"""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...files import write_text
from ...shapes import PointCloud, save_points
from ...shapes.offsets import split_offset
from ..camera import Cameras
from ..capture import Capture, ScenePoints
from ..distortion import Lens
from .camera_files import (
    PosedViews,
    View,
    WholeView,
    camera_at,
    intrinsics,
    nearest_rotation,
    picture_size,
    points_of_cloud,
    read_json,
    real_number,
    shorten,
    warn_of_rounding,
    whole_views,
)
from .picture_paths import MOST_VIEWS, PictureFinder, unique_picture_names

# From camera axes of the file (OpenGL: +Y up, looking along -Z) to OpenCV axes.
FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
PARAMETERS = ("k1", "k2", "k3", "k4", "p1", "p2")
"""Supported lens coefficients."""
_INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "skew", "w", "h", "camera_angle_x", "camera_angle_y")
FISHEYES = ("OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")
MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", *FISHEYES)


def read_transforms(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a `transforms.json` file.

    `transform_matrix` is the camera-to-world transform (OpenGL axes). Intrinsics are `camera_angle_x` (radians,
    horizontal; square pixels, principal point at the centre) or `fl_x fl_y cx cy w h`, for all frames or for
    each, and `skew` (K[0][1] in pixels; our own key); distortion is `k1 k2 k3 k4 p1 p2`, or k1 to k4 of a
    fisheye (`OPENCV_FISHEYE`, `is_fisheye`). `mask_path` may name masks of the object.
    Pixel centres are at half-integers in all three variants: Blender and instant-ngp put cx = w / 2 in the
    middle of the picture, and nerfstudio adds 0.5 to pixel indices before it uses cx (its documentation
    says that "coordinates correspond to the centers of pixels", meaning these indices).
    `aabb_scale` and `applied_transform` are ignored: the world is the file's, which is also that of the points
    that `ply_file_path` names (nerfstudio has applied the transform to both).

    Raises:
        InputError: The file is not such a JSON file or has no frames, a pose or intrinsics are missing, or the
            camera is a panorama.
    """
    data = read_json(path)
    frames = data.get("frames") if isinstance(data, dict) else None
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path} has no list of frames, so there are no cameras; export it again")
    finder = PictureFinder(path, [photos] if photos else [])
    images = finder.locate([_file_path(path, frame, i) for i, frame in enumerate(frames)])
    names = unique_picture_names(images, path)
    written = {
        name: _mask_path(path, name, frame)
        for name, frame in zip(names, frames, strict=True)
        if frame.get("mask_path") is not None
    }
    masks = dict(zip(written, finder.locate(list(written.values()), masks=True), strict=True))
    shared = {key: value for key, value in data.items() if key != "frames"}
    rows = [
        _view(path, name, image, {**shared, **frame}, masks.get(name))
        for name, image, frame in zip(names, images, frames, strict=True)
    ]
    warn_of_rounding([error for _, error in rows], path)
    views = tuple(view for view, _ in rows)
    return PosedViews(views, path, _points(path, data.get("ply_file_path"), views))


def _points(path: Path, written: Any, views: Sequence[View]) -> ScenePoints | None:
    if not isinstance(written, str):
        return None
    try:
        cloud = path.parent / written.replace("\\", "/")
        return points_of_cloud(cloud, views) if cloud.is_file() else None
    except (OSError, ValueError):  # no name that a file can have
        return None


def _file_path(path: Path, frame: Any, number: int) -> str:
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise InputError(f"{path}: frame {number} has no file_path; every frame must name its image")
    return frame["file_path"]


def _mask_path(path: Path, name: str, frame: dict[str, Any]) -> str:
    if not isinstance(frame["mask_path"], str):
        shown = shorten(frame["mask_path"])
        raise InputError(f"{path}: mask_path of {name} is {shown}, expected the path of a picture")
    return frame["mask_path"]


def _view(
    path: Path, name: str, image: Path, values: dict[str, Any], mask: Path | None
) -> tuple[View, float]:
    """The view, and the rounding error of the rotation in the file."""
    _check_model(path, name, values)
    values = {key: value for key, value in values.items() if value is not None}
    numbers = {
        key: real_number(values[key], f"{path}: {key} of {name}")
        for key in (*_INTRINSICS, *PARAMETERS)
        if key in values
    }
    k1, k2, k3, k4, p1, p2 = (numbers.get(k, 0.0) for k in PARAMETERS)
    lens = Lens(
        "equidistant" if _is_fisheye(values) else "perspective",
        radial=(k1, k2, k3, k4),
        tangential=(p1, p2),
    )
    if lens.projection == "equidistant" and "fl_x" not in numbers:
        raise InputError(f"{path}: {name} is a fisheye without fl_x; give its focal length in pixels")
    size = _size(path, name, numbers)
    pose, error = _pose(path, name, values.get("transform_matrix"))
    view = View(
        name,
        image,
        pose,
        K=_intrinsics(path, name, numbers, size) if "fl_x" in numbers else None,
        fov=_fov(path, name, numbers) if "fl_x" not in numbers else None,
        size=size,
        lens=lens or None,
        mask=mask,
    )
    return view, error


def _check_model(path: Path, name: str, values: dict[str, Any]) -> None:
    model = _model(values)
    if model not in MODELS:
        raise InputError(
            f"{path}: {name} has the camera model {shorten(model)}, but only {', '.join(MODELS)} can be read; "
            "undistort these pictures to PINHOLE first"
        )


def _model(values: dict[str, Any]) -> str:
    return str(values.get("camera_model") or "OPENCV").upper()


def _is_fisheye(values: dict[str, Any]) -> bool:
    return _model(values) in FISHEYES or bool(values.get("is_fisheye"))


def _size(path: Path, name: str, numbers: dict[str, float]) -> tuple[int, int] | None:
    if "w" not in numbers or "h" not in numbers:
        return None
    width, height = numbers["w"], numbers["h"]
    if not (width > 0 and height > 0 and width % 1 == 0 and height % 1 == 0):
        raise InputError(
            f"{path}: w and h of {name} are {width:g} and {height:g}, expected whole numbers of pixels"
        )
    return int(width), int(height)


def _pose(path: Path, name: str, rows: Any) -> tuple[Float[Tensor, "4 4"], float]:
    if not isinstance(rows, list) or [len(r) if isinstance(r, list) else 0 for r in rows] not in (
        [4, 4, 4],
        [4, 4, 4, 4],
    ):
        raise InputError(f"{path}: the transform_matrix of {name} has not the shape (4, 4); export it again")
    what = f"{path}: an entry of the transform_matrix of {name}"
    matrix = torch.tensor([[real_number(v, what) for v in row] for row in rows], dtype=torch.float64)
    if len(matrix) == 3:
        matrix = torch.cat([matrix, matrix.new_tensor([[0, 0, 0, 1]])])
    rotation, error = nearest_rotation(matrix[:3, :3])
    # The transpose inverts a rotation; an invalid one is kept and causes an error when all poses are checked.
    inverse = torch.eye(4, dtype=torch.float64)
    inverse[:3, :3] = rotation.T
    inverse[:3, 3] = -rotation.T @ matrix[:3, 3]
    inverse[3] = matrix[3]
    return FLIP @ inverse, error


def _intrinsics(
    path: Path, name: str, numbers: dict[str, float], size: tuple[int, int] | None
) -> Float[Tensor, "3 3"]:
    """Intrinsics; NaN if the principal point is the centre of a picture of unknown size."""
    fx = numbers["fl_x"]
    fy = numbers.get("fl_y", fx)
    if not (fx > 0 and fy > 0):
        raise InputError(
            f"{path}: the focal lengths fl_x and fl_y of {name} are {fx:g} and {fy:g}, expected positive "
            "numbers of pixels; export it again"
        )
    middle = (math.nan, math.nan) if size is None else (size[0] / 2, size[1] / 2)
    cx, cy = (numbers.get(key, half) for key, half in zip(("cx", "cy"), middle, strict=True))
    return torch.tensor([[fx, numbers.get("skew", 0.0), cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def _fov(path: Path, name: str, numbers: dict[str, float]) -> tuple[float, float | None]:
    if "camera_angle_x" not in numbers:
        raise InputError(f"{path}: {name} has neither fl_x nor camera_angle_x; give its focal length")
    horizontal, vertical = numbers["camera_angle_x"], numbers.get("camera_angle_y")
    for angle in (horizontal, horizontal if vertical is None else vertical):
        if not 0 < angle < math.pi:
            raise InputError(f"{path}: the field of view of {name} is {angle:g} radians, expected 0 to pi")
    return horizontal, vertical


def save_transforms(
    views: Capture | Cameras | PosedViews, path: str | os.PathLike[str], names: Sequence[str] | None = None
) -> None:
    """Write perspective cameras as `transforms.json` with intrinsics per frame (instant-ngp, nerfstudio).

    Points of the scene are written to the same folder as `points.ply`. Skew is written with a key that only
    this package reads.

    Args:
        views: Cameras, a capture, or the content of a camera file.
        path: File to write; `load_capture` finds the name `transforms.json` in its folder.
        names: Image paths relative to the folder of `path`. None takes the names of a capture, the paths of the
            pictures, or `images/0000.png` and so on.

    Raises:
        InputError: The cameras are orthographic, or the format does not support a lens model.
    """
    path = Path(path)
    whole = whole_views(views, names, path.parent)
    frames = [_frame(view) for view in whole]
    shared = {}
    for key in ("camera_model", "w", "h"):
        if len({frame[key] for frame in frames}) == 1:
            shared[key] = [frame.pop(key) for frame in frames][0]
    points = None if isinstance(views, Cameras) else views.points
    if points is not None:
        shared["ply_file_path"] = "points.ply"
        near, offset = split_offset(points.positions.cpu().numpy())
        save_points(PointCloud(torch.from_numpy(near), offset=offset), path.parent / "points.ply")
    write_text(path, json.dumps({**shared, "frames": frames}, indent=1) + "\n")


def _frame(view: WholeView) -> dict[str, Any]:
    rotation = view.T_cam_world[:3, :3]
    T_world_cam = torch.eye(4, dtype=torch.float64)
    T_world_cam[:3, :3] = rotation.T
    T_world_cam[:3, 3] = -rotation.T @ view.T_cam_world[:3, 3]
    (fx, skew, cx), (_, fy, cy) = view.K[:2].tolist()
    lens = view.lens or Lens()
    fisheye = lens.projection == "equidistant"
    (p1, p2), k = lens.tangential, lens.radial[:4]
    held = Lens("equidistant", radial=k) if fisheye else Lens(radial=k, tangential=(p1, p2))
    if lens != held:
        raise InputError(
            f"transforms.json cannot hold the lens of {view.name} ({lens.projection}); write a COLMAP model"
        )
    return {
        "file_path": view.name,
        "camera_model": "OPENCV_FISHEYE" if fisheye else "OPENCV",
        "w": view.size[0],
        "h": view.size[1],
        "fl_x": fx,
        "fl_y": fy,
        "cx": cx,
        "cy": cy,
        **({"skew": skew} if skew else {}),
        **{f"k{i + 1}": value for i, value in enumerate(k)},
        **({"p1": p1, "p2": p2} if p1 or p2 else {}),
        "transform_matrix": (T_world_cam @ FLIP).tolist(),
    }


CAMERAS = {"corrected_cameras": "corrected_images", "cameras": "images"}
"""Folders of cameras, best first, and the folders of their pictures (polyform's README)."""


def find_polycam(path: Path) -> Path | None:
    """Find the folder of cameras, given an exported capture, its keyframes, or the folder itself."""
    below = [place / name for place in (path / "keyframes", path) for name in CAMERAS]
    for folder in (*below, path) if path.name in CAMERAS else below:
        first = next(iter(sorted(folder.glob("*.json"))), None)
        if first is not None and "t_00" in first.read_text(encoding="utf-8", errors="replace")[:5000]:
            return folder
    return None


def read_polycam(folder: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a folder of cameras of Polycam.

    t_00 to t_23 are the camera-to-world transform (ARKit: OpenGL axes), row by row; fx fy cx cy are pixels from
    the
    corner of the picture (Apple's documentation of ARCamera.intrinsics). The world is ARKit's: +Y up, metres.

    Raises:
        InputError: A file is not such a camera.
    """
    files = sorted(folder.glob("*.json"))
    if len(files) > MOST_VIEWS:
        raise InputError(f"{folder} holds {len(files)} cameras, up to {MOST_VIEWS} are read; leave some out")
    places = [photos] if photos else [folder.parent / CAMERAS[folder.name], folder.parent / "images"]
    images = PictureFinder(files[0], places, photos or folder.parent).locate([file.stem for file in files])
    views, errors = [], []
    for name, image, file in zip(unique_picture_names(images, folder), images, files, strict=True):
        camera = read_json(file)
        if not isinstance(camera, dict):
            raise InputError(f"{file} is no camera of Polycam; export the raw data again")

        def number(key: str, camera: dict[str, Any] = camera, file: Path = file) -> float:
            return real_number(camera.get(key), f"{file}: {key}")

        rows = [[number(f"t_{i}{j}") for j in range(4)] for i in range(3)]
        matrix = torch.tensor(rows, dtype=torch.float64)
        flip = torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64))
        T, error = camera_at(matrix[:, :3] @ flip, matrix[:, 3])
        K = intrinsics(number("fx"), number("fy"), number("cx"), number("cy"), str(file))
        size = picture_size((camera.get("width"), camera.get("height")), str(file))
        errors.append(error)
        views.append(View(name, image, T, K, size=size))
    warn_of_rounding(errors, folder)
    return PosedViews(tuple(views), folder)

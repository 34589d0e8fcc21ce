"""Camera files `transforms.json` as NeRF (Blender), instant-ngp and nerfstudio write them."""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..files import write_text
from .camera import Cameras
from .capture import Capture
from .distortion import PARAMETERS
from .formats import View, read_text, unique_names
from .images import SUFFIXES

# Camera axes of the file (OpenGL: +Y up, looking along -Z) against ours (OpenCV).
FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")


def read_transforms(path: Path) -> list[View]:
    """Views of a `transforms.json` file.

    `transform_matrix` takes the camera (OpenGL axes) to the world. Intrinsics are `camera_angle_x` (radians,
    horizontal; square pixels, principal point in the middle) or `fl_x fl_y cx cy w h`, for all frames or for
    each; distortion is `k1 k2 k3 k4 p1 p2`. Masks may be named by `mask_path` and mark the object.
    Pixel centres are at half-integers in all three variants: Blender and instant-ngp put cx = w / 2 in the
    middle of the picture, and nerfstudio adds 0.5 to pixel indices before it uses cx (its documentation
    says that "coordinates correspond to the centers of pixels", meaning these indices).
    `aabb_scale`, `ply_file_path` and `applied_transform` are ignored: the world is the file's.

    Raises:
        InputError: The file is no such JSON, has no frames, a pose or intrinsics are missing, or the lens is
            a fisheye or panorama.
    """
    try:
        data = json.loads(read_text(path))
        frames = data["frames"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no transforms.json with a list of frames: {error}; export it again"
        ) from None
    if not isinstance(frames, list) or not frames:
        raise InputError(f"{path} has no frames, so there are no cameras; export it again")
    images = [_image_path(path, frame, i) for i, frame in enumerate(frames)]
    names = unique_names(images, path)
    shared = {key: value for key, value in data.items() if key != "frames"}
    return [_view(path, *row, shared) for row in zip(names, images, frames, strict=True)]


def _image_path(path: Path, frame: Any, number: int) -> Path:
    if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
        raise InputError(f"{path}: frame {number} has no file_path; every frame must name its image")
    image = path.parent / frame["file_path"].replace("\\", "/")
    if image.suffix.lower() in SUFFIXES or image.is_file():
        return image
    candidates = [image.with_name(image.name + suffix) for suffix in SUFFIXES]
    return next((c for c in candidates if c.is_file()), candidates[0])


def _view(path: Path, name: str, image: Path, frame: dict, shared: dict) -> View:
    values = {**shared, **frame}
    try:
        _check_model(path, name, values)
        coefficients = torch.tensor([float(values.get(k, 0)) for k in PARAMETERS], dtype=torch.float64)
        size = (int(values["w"]), int(values["h"])) if "w" in values and "h" in values else None
        mask = frame.get("mask_path")
        return View(
            name,
            image,
            _pose(path, name, frame),
            K=_intrinsics(values, size) if "fl_x" in values else None,
            fov=_fov(path, name, values) if "fl_x" not in values else None,
            size=size,
            distortion=coefficients if bool(coefficients.any()) else None,
            mask=None if mask is None else path.parent / mask.replace("\\", "/"),
        )
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: the frame of {name} is not as expected: {error}; export it again"
        ) from None


def _check_model(path: Path, name: str, values: dict) -> None:
    model = str(values.get("camera_model", "OPENCV")).upper()
    if model not in MODELS or values.get("is_fisheye"):
        raise InputError(
            f"{path}: {name} has the camera model {model if model not in MODELS else 'fisheye'}, but only "
            f"{', '.join(MODELS)} can be read; undistort these pictures to PINHOLE first"
        )


def _pose(path: Path, name: str, frame: dict) -> Float[Tensor, "4 4"]:
    matrix = torch.tensor(frame.get("transform_matrix", []), dtype=torch.float64)
    if matrix.shape == (3, 4):
        matrix = torch.cat([matrix, matrix.new_tensor([[0, 0, 0, 1]])])
    if matrix.shape != (4, 4):
        raise InputError(
            f"{path}: the transform_matrix of {name} has shape {tuple(matrix.shape)}, expected (4, 4)"
        )
    rotation = matrix[:3, :3]
    error = rotation @ rotation.T - torch.eye(3, dtype=torch.float64)
    if bool(torch.isfinite(error).all()) and float(error.abs().max()) < 1e-3:
        # The transpose inverts a rotation; of a matrix rounded in the file both are as good.
        inverse = torch.eye(4, dtype=torch.float64)
        inverse[:3, :3] = rotation.T
        inverse[:3, 3] = -rotation.T @ matrix[:3, 3]
        inverse[3] = matrix[3]
        return FLIP @ inverse
    return FLIP @ matrix  # NaN or no rotation: Cameras.check says what is wrong


def _intrinsics(values: dict, size: tuple[int, int] | None) -> Float[Tensor, "3 3"] | None:
    given = {k: float(values[k]) for k in ("fl_x", "fl_y", "cx", "cy") if k in values}
    if not all(math.isfinite(number) for number in given.values()):
        raise ValueError(f"intrinsics are not finite: {given}")
    fx = float(values["fl_x"])
    fy = float(values.get("fl_y", fx))
    if "cx" not in values and size is None:
        return torch.tensor([[fx, 0, float("nan")], [0, fy, float("nan")], [0, 0, 1]], dtype=torch.float64)
    cx, cy = (
        float(values[k]) if k in values else (size or (0, 0))[i] / 2 for i, k in enumerate(("cx", "cy"))
    )
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def _fov(path: Path, name: str, values: dict) -> tuple[float, float | None]:
    if "camera_angle_x" not in values:
        raise InputError(f"{path}: {name} has neither fl_x nor camera_angle_x; give its focal length")
    horizontal = float(values["camera_angle_x"])
    vertical = float(values["camera_angle_y"]) if "camera_angle_y" in values else None
    for angle in (horizontal, horizontal if vertical is None else vertical):
        if not 0 < angle < math.pi:
            raise InputError(f"{path}: the field of view of {name} is {angle:g} radians, expected 0 to pi")
    return horizontal, vertical


def save_transforms(
    views: Capture | Cameras, path: str | os.PathLike, names: Sequence[str] | None = None
) -> None:
    """Write perspective cameras as `transforms.json` with intrinsics per frame (instant-ngp, nerfstudio).

    Args:
        views: The cameras, or the capture that has them.
        path: Where to; `load_capture` finds the name `transforms.json` in its folder.
        names: Image paths relative to the folder of `path`; by default the names of the capture, or
            `images/0000.png` and so on.

    Raises:
        InputError: The cameras are orthographic or their intrinsics have skew, which the format cannot hold.
    """
    cameras = views.cameras if isinstance(views, Capture) else views
    if names is None:
        names = (
            views.names if isinstance(views, Capture) else [f"images/{i:04}.png" for i in range(len(views))]
        )
    if cameras.orthographic or bool(cameras.K[:, [0, 1], [1, 0]].any()):
        raise InputError("transforms.json has no orthographic cameras and no skew; use another format")
    frames = [
        _frame(name, K, T)
        for name, K, T in zip(names, cameras.K.cpu(), cameras.T_cam_world.cpu(), strict=True)
    ]
    data = {"camera_model": "OPENCV", "w": cameras.width, "h": cameras.height, "frames": frames}
    write_text(path, json.dumps(data, indent=1) + "\n")


def _frame(name: str, K: Float[Tensor, "3 3"], T_cam_world: Float[Tensor, "4 4"]) -> dict:
    rotation = T_cam_world[:3, :3]
    T_world_cam = torch.eye(4, dtype=torch.float64)
    T_world_cam[:3, :3] = rotation.T
    T_world_cam[:3, 3] = -rotation.T @ T_cam_world[:3, 3]
    return {
        "file_path": name,
        "fl_x": float(K[0, 0]),
        "fl_y": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
        "transform_matrix": (T_world_cam @ FLIP).tolist(),
    }

"""Polycam's raw data: a JSON file per picture in keyframes/corrected_cameras or keyframes/cameras."""

from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from .camera_files import (
    PosedViews,
    View,
    camera_at,
    intrinsics,
    picture_size,
    read_json,
    real_number,
    warn_of_rounding,
)
from .picture_paths import MOST_VIEWS, PictureFinder, unique_picture_names

CAMERAS = {"corrected_cameras": "corrected_images", "cameras": "images"}
"""Folders of cameras, best first, and where their pictures lie (polyform's README)."""


def find_polycam(path: Path) -> Path | None:
    """The folder of cameras in an exported capture, its keyframes, or the folder itself."""
    below = [place / name for place in (path / "keyframes", path) for name in CAMERAS]
    for folder in (*below, path) if path.name in CAMERAS else below:
        first = next(iter(sorted(folder.glob("*.json"))), None)
        if first is not None and "t_00" in first.read_text(encoding="utf-8", errors="replace")[:5000]:
            return folder
    return None


def read_polycam(folder: Path, photos: Path | None = None) -> PosedViews:
    """Views of a folder of cameras.

    t_00 to t_23 take the camera (ARKit: OpenGL axes) to the world, row by row; fx fy cx cy are pixels from the
    corner of the picture (Apple's documentation of ARCamera.intrinsics). The world is ARKit's: +Y up, metres.

    Raises:
        InputError: A file is no such camera.
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

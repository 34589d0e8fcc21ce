"""What a camera file says about one view, before any picture is opened, and how its numbers are read."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError, warn_input
from ..capture import ScenePoints
from ..distortion import Lens

LARGEST_FILE = 32 * 2**20
"""Bytes of a camera file; twenty thousand photographs fill less."""
ROUNDED = 2e-2
"""So far from the identity may R R^T be for R to be taken for a rounded rotation: two decimals."""


@dataclass(frozen=True)
class View:
    """One line or frame of a camera file.

    Attributes:
        name: File name of the picture.
        image: Its path.
        T_cam_world: Pose, OpenCV camera axes.
        K: Intrinsics in pixels, or None if they follow from `fov` and the size of the picture.
        fov: Horizontal and vertical field of view in radians; the second may be None (square pixels).
        size: Width and height that the file claims, or None.
        lens: How it departs from a pinhole, or None.
        mask: Path of the mask, if the file names one.
        upright: The camera is for the picture as its EXIF orientation turns it; None if that is not known.
    """

    name: str
    image: Path
    T_cam_world: Float[Tensor, "4 4"]
    K: Float[Tensor, "3 3"] | None = None
    fov: tuple[float, float | None] | None = None
    size: tuple[int, int] | None = None
    lens: Lens | None = None
    mask: Path | None = None
    upright: bool | None = None


@dataclass(frozen=True)
class PosedViews:
    """What a camera file says.

    Attributes:
        views: One per photograph.
        source: The file.
        points: Points of the scene from structure from motion, None if it has none.
    """

    views: tuple[View, ...]
    source: Path
    points: ScenePoints | None = None


def read_text(path: Path) -> str:
    """The text of a camera file.

    Raises:
        InputError: It is missing, too large or no text.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB, camera files of up to "
                f"{LARGEST_FILE // 2**20} MiB are read; is it a camera file?"
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the camera file {path}: {error}; check the path") from None


def real_number(value: Any, what: str) -> float:
    """A finite number from a camera file; numbers written as text count.

    Raises:
        InputError: It is none; the message begins with `what`.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{what} is {shorten(value)}, expected a finite number; export it again")
    return number


def shorten(value: Any, length: int = 60) -> str:
    """A value as text for a message, cut after so many characters."""
    if isinstance(value, int) and value.bit_length() > 4 * length:  # Python refuses to print huge numbers
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."


def nearest_rotation(matrix: Float[Tensor, "3 3"]) -> tuple[Float[Tensor, "3 3"], float]:
    """The rotation that a rounded matrix stands for, and how far R R^T of the matrix was from the identity.

    What is further away than `ROUNDED`, mirrored or not finite is returned as it is.
    """
    error = float((matrix @ matrix.T - torch.eye(3, dtype=matrix.dtype)).abs().max())
    if not error <= ROUNDED or float(torch.linalg.det(matrix)) < 0:
        return matrix, error
    u, _, v = torch.linalg.svd(matrix)  # the nearest orthogonal matrix in the Frobenius norm
    return u @ v, error


def warn_of_rounding(errors: Iterable[float], source: Path) -> None:
    """Say that rotations were rounded in the file, if it can be noticed."""
    rounded = [error for error in errors if 1e-3 < error <= ROUNDED]
    if rounded:
        warn_input(
            f"{source}: {len(rounded)} poses are rounded, R R^T is up to {max(rounded):.2g} away from the "
            "identity; the nearest rotations are used"
        )

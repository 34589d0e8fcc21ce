"""What a camera file says about one view, before any picture is opened, and how its numbers are read."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError, warn_input
from ...values import value_type
from ..capture import ScenePoints
from ..distortion import Lens

LARGEST_FILE = 32 * 2**20
"""Bytes of a camera file; twenty thousand photographs fill less."""
ROUNDED = 2e-2
"""So far from the identity may R R^T be for R to be taken for a rounded rotation: two decimals."""


@value_type
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


def read_text(path: Path, largest: int = LARGEST_FILE) -> str:
    """The text of a camera file of up to so many bytes.

    Raises:
        InputError: It is missing, too large or no text.
    """
    try:
        if path.stat().st_size > largest:
            raise InputError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB, camera files of this kind are read up to "
                f"{largest // 2**20} MiB; is it a camera file?"
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the camera file {path}: {reason(error)}; check the path") from None


def read_json(path: Path, largest: int = LARGEST_FILE) -> Any:
    """What a JSON file holds.

    Raises:
        InputError: It is missing, too large, or no JSON.
    """
    text = read_text(path, largest)
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(f"{path} cannot be read: it is nested too deeply; export it again") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON file: {reason(error)}; export it again") from None


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


def reason(error: Exception) -> str:
    """What an error says, as part of a message: one line, cut after 200 characters."""
    return " ".join(str(error).split())[:200]


def shorten(value: Any, length: int = 60) -> str:
    """A value as text for a message, cut after so many characters."""
    if isinstance(value, int) and value.bit_length() > 4 * length:  # Python refuses to print huge numbers
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."


def whole_number(value: Any, what: str) -> int:
    """A whole number from a camera file; numbers written as text count.

    Raises:
        InputError: It is none; the message begins with `what`.
    """
    number = real_number(value, what)
    if number % 1 or abs(number) > 2**53:
        raise InputError(f"{what} is {shorten(value)}, expected a whole number; export it again")
    return int(number)


def real_numbers(values: Any, count: int, what: str) -> Float[Tensor, "count"]:
    """So many finite numbers from a camera file, float64; nested lists count as one.

    Raises:
        InputError: They are not; the message begins with `what`.
    """
    flat = [v for row in values for v in (row if isinstance(row, list) else [row])] if _is_row(values) else []
    if len(flat) != count:
        raise InputError(f"{what} is {shorten(values)}, expected {count} numbers; export it again")
    return torch.tensor([real_number(value, f"a number of {what}") for value in flat], dtype=torch.float64)


def _is_row(values: Any) -> bool:
    return isinstance(values, list | tuple)


def picture_size(value: tuple[Any, Any], what: str) -> tuple[int, int]:
    """Width and height of a picture from a camera file.

    Raises:
        InputError: They are no whole positive numbers; the message begins with `what`.
    """
    width = real_number(value[0], f"the width of {what}")
    height = real_number(value[1], f"the height of {what}")
    if not (0 < width < 2**31 and 0 < height < 2**31 and width % 1 == 0 and height % 1 == 0):
        raise InputError(
            f"{what} is for pictures of {width:g} x {height:g}, expected whole numbers; export it again"
        )
    return int(width), int(height)


def camera_at(
    T_world_cam: Float[Tensor, "3 3"], center: Float[Tensor, "3"]
) -> tuple[Float[Tensor, "4 4"], float]:
    """T_cam_world of a camera with this rotation to the world and position, and how rounded the rotation was.

    What is no rotation keeps its place and is refused with all poses.
    """
    rotation, error = nearest_rotation(T_world_cam.T)
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = rotation
    T[:3, 3] = -rotation @ center
    return T, error


def intrinsics(
    fx: float, fy: float, cx: float, cy: float, what: str, skew: float = 0.0
) -> Float[Tensor, "3 3"]:
    """K in pixels.

    Raises:
        InputError: A focal length is not positive; the message begins with `what`.
    """
    if not (fx > 0 and fy > 0):
        raise InputError(f"{what} has the focal lengths {fx:g} and {fy:g}, expected positive pixels")
    return torch.tensor([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


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

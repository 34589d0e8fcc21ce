"""What a camera file says: its views, before any picture is opened, and the points of the scene.

Intrinsics are completed once the sizes of the pictures are known.
"""

import json
import math
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError, warn_input
from ...shapes import load_points
from ...values import value_type
from ..camera import Cameras
from ..capture import Capture, ScenePoints
from ..distortion import Lens
from ..picture_files import SIDEWAYS, read_header, stored_size
from ..rigs import intrinsics_from_fov

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


@value_type
class WholeView:
    """A camera with all that a file can say.

    Attributes:
        name: What the file calls the picture.
        T_cam_world: Pose, OpenCV camera axes.
        K: Intrinsics in pixels of a picture of this size.
        size: Width and height.
        lens: How it departs from a pinhole, or None.
    """

    name: str
    T_cam_world: Float[Tensor, "4 4"]
    K: Float[Tensor, "3 3"]
    size: tuple[int, int]
    lens: Lens | None = None


def complete_intrinsics(view: View, width: int, height: int) -> Float[Tensor, "3 3"]:
    """Intrinsics of a view for its picture of this size.

    Raises:
        InputError: They are singular.
    """
    if view.K is not None:
        middle = torch.tensor([[0, 0, width / 2], [0, 0, height / 2], [0, 0, 0]], dtype=torch.float64)
        size = view.size or (width, height)
        scale = torch.tensor([[width / size[0]], [height / size[1]], [1.0]], dtype=torch.float64)
        K = torch.where(torch.isnan(view.K) & (middle > 0), middle, view.K * scale)
    else:
        assert view.fov is not None
        K = intrinsics_from_fov(view.fov[0], width, height)
        if view.fov[1] is not None:
            K[1, 1] = intrinsics_from_fov(view.fov[1], height, width)[0, 0]
    Cameras(torch.eye(4).double()[None], K[None], width, height).check([view.name])
    return K


def whole_views(
    views: Capture | Cameras | PosedViews, names: Sequence[str] | None, folder: Path
) -> list[WholeView]:
    """What a writer writes.

    Args:
        views: Cameras alone, those of a capture, or what a camera file says.
        names: What the file calls the pictures; by default `images/0000.png` and so on, the names of the
            capture, or the paths of the pictures as seen from the folder.
        folder: Where the file is written.

    Raises:
        InputError: The cameras are orthographic, or the size of a picture is nowhere to be found.
    """
    if isinstance(views, PosedViews):
        names = [_seen_from(folder, view.image) for view in views.views] if names is None else names
        return [_whole(view, name) for view, name in zip(views.views, names, strict=True)]
    cameras = views.cameras if isinstance(views, Capture) else views
    if cameras.orthographic:
        raise InputError("camera files have no orthographic cameras; keep them in Python")
    if names is None:
        many = [f"images/{i:04}.png" for i in range(len(cameras))]
        names = views.names if isinstance(views, Capture) else many
    size = (cameras.width, cameras.height)
    return [
        WholeView(name, T, K, size)
        for name, T, K in zip(names, cameras.T_cam_world.cpu(), cameras.K.cpu(), strict=True)
    ]


def _whole(view: View, name: str) -> WholeView:
    size = view.size
    if size is None:
        size = stored_size(view.image)
        if view.upright and read_header(view.image)[0] in SIDEWAYS:
            size = (size[1], size[0])
    return WholeView(name, view.T_cam_world, complete_intrinsics(view, *size), size, view.lens)


def _seen_from(folder: Path, image: Path) -> str:
    """The path of a picture relative to a folder, or as it is on another drive."""
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:
        return image.absolute().as_posix()


MOST_MARKS = 2**28
"""Points times views of which it is kept who saw whom; of more points every so-manieth is kept."""


def gathered_points(
    points: Iterable[tuple[Any, Iterable[Hashable]]], index: Mapping[Any, int], views: int
) -> ScenePoints | None:
    """Points that at least two of the views saw; what has no three finite coordinates is left out.

    Args:
        points: Position and numbers of the views that saw it.
        index: The place of a view by its number in the file.
        views: How many views there are.
    """
    positions: list[tuple[float, float, float]] = []
    tracks: list[set[int]] = []
    for written, keys in points:
        track = {index[key] for key in keys if key in index}
        position = _position(written)
        if len(track) >= 2 and position is not None:
            positions.append(position)
            tracks.append(track)
    step = max(1, -(-len(positions) * views // MOST_MARKS))
    positions, tracks = positions[::step], tracks[::step]
    seen = torch.zeros(len(tracks), views, dtype=torch.bool)
    for row, track in zip(seen, tracks, strict=True):
        row[list(track)] = True
    return ScenePoints(torch.tensor(positions, dtype=torch.float64), seen) if positions else None


def _position(written: Any) -> tuple[float, float, float] | None:
    try:
        x, y, z = (float(number) for number in written)
    except (TypeError, ValueError, OverflowError):
        return None
    return (x, y, z) if math.isfinite(x + y + z) else None


def points_of_cloud(path: Path, views: Sequence[View]) -> ScenePoints | None:
    """Points from a file that does not say who saw them: every view that they lie in the frame of.

    None, with a warning, if the file cannot be used.
    """
    try:
        positions = load_points(path).world_points.double()
    except InputError as error:
        warn_input(f"the points of {path.name} are not used: {error}")
        return None
    step = max(1, -(-len(positions) * len(views) // MOST_MARKS))
    positions = positions[::step]
    seen = torch.stack([_in_frame(positions, view) for view in views], dim=1)
    kept = seen.sum(dim=1) >= 2
    return ScenePoints(positions[kept], seen[kept]) if bool(kept.any()) else None


def _in_frame(points: Float[Tensor, "P 3"], view: View) -> Tensor:
    """Points in front of a camera, within its picture as far as its size and intrinsics are in the file."""
    local = points @ view.T_cam_world[:3, :3].T + view.T_cam_world[:3, 3]
    ahead = local[:, 2] > 1e-9
    if view.size is None or view.K is None:
        return ahead
    size = torch.tensor(view.size, dtype=torch.float64)
    K = view.K.clone()
    K[:2, 2] = torch.where(torch.isnan(K[:2, 2]), size / 2, K[:2, 2])
    pixels = (local[:, :2] / local[:, 2:].clamp(min=1e-9)) @ K[:2, :2].T + K[:2, 2]
    return ahead & (pixels >= 0).all(dim=1) & (pixels <= size).all(dim=1)

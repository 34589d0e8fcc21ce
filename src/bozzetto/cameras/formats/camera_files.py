"""Content of camera files: views, before any picture is opened, and points of the scene.

Intrinsics are completed when the sizes of the pictures are known.
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
"""Largest size of a camera file in bytes; one of twenty thousand photographs is smaller."""
ROUNDED = 2e-2
"""Largest distance of R R^T from the identity at which R counts as a rotation rounded to two decimals."""


@value_type
class View:
    """One view of a camera file.

    Attributes:
        name: File name of the picture.
        image: Path of the picture.
        T_cam_world: World-to-camera transform, with OpenCV camera axes.
        K: Intrinsics in pixels, or None if they follow from `fov` and the size of the picture.
        fov: Horizontal and vertical field of view in radians; the second may be None (square pixels).
        size: Width and height according to the file, or None.
        lens: Lens model; None for a pinhole.
        mask: Path of the mask if the file names one, or None.
        upright: Whether the camera belongs to the picture after applying its EXIF orientation; None if this is
            unknown.
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
    """Content of a camera file.

    Attributes:
        views: One view per photograph.
        source: The file.
        points: Points of the scene from structure from motion; None if the file has none.
    """

    views: tuple[View, ...]
    source: Path
    points: ScenePoints | None = None


def read_text(path: Path, largest: int = LARGEST_FILE) -> str:
    """Read the text of a camera file of at most `largest` bytes.

    Raises:
        InputError: The file is missing, too large or not text.
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
    """Read a JSON file of at most `largest` bytes.

    Raises:
        InputError: The file is missing, too large, or not JSON.
    """
    text = read_text(path, largest)
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(f"{path} cannot be read: it is nested too deeply; export it again") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON file: {reason(error)}; export it again") from None


def real_number(value: Any, what: str) -> float:
    """Check a finite number of a camera file; numbers written as text are accepted.

    Raises:
        InputError: It is not a finite number; the message begins with `what`.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{what} is {shorten(value)}, expected a finite number; export it again")
    return number


def reason(error: Exception) -> str:
    """The text of an error for use in a message: one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def shorten(value: Any, length: int = 60) -> str:
    """A value as text for a message, cut after `length` characters."""
    if isinstance(value, int) and value.bit_length() > 4 * length:  # Python refuses to print huge numbers
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= length else text[:length] + "..."


def whole_number(value: Any, what: str) -> int:
    """Check a whole number of a camera file; numbers written as text are accepted.

    Raises:
        InputError: It is not a whole number; the message begins with `what`.
    """
    number = real_number(value, what)
    if number % 1 or abs(number) > 2**53:
        raise InputError(f"{what} is {shorten(value)}, expected a whole number; export it again")
    return int(number)


def real_numbers(values: Any, count: int, what: str) -> Float[Tensor, "count"]:
    """Check `count` finite numbers of a camera file, returned as float64; nested lists are flattened.

    Raises:
        InputError: They are not `count` finite numbers; the message begins with `what`.
    """
    flat = [v for row in values for v in (row if isinstance(row, list) else [row])] if _is_row(values) else []
    if len(flat) != count:
        raise InputError(f"{what} is {shorten(values)}, expected {count} numbers; export it again")
    return torch.tensor([real_number(value, f"a number of {what}") for value in flat], dtype=torch.float64)


def _is_row(values: Any) -> bool:
    return isinstance(values, list | tuple)


def picture_size(value: tuple[Any, Any], what: str) -> tuple[int, int]:
    """Check width and height of a picture in a camera file.

    Raises:
        InputError: They are not positive whole numbers; the message begins with `what`.
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
    """T_cam_world of a camera with this rotation to the world and position, and the rotation's rounding error.

    A matrix that is not a rotation is kept; it causes an error when all poses are checked.
    """
    rotation, error = nearest_rotation(T_world_cam.T)
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = rotation
    T[:3, 3] = -rotation @ center
    return T, error


def intrinsics(
    fx: float, fy: float, cx: float, cy: float, what: str, skew: float = 0.0
) -> Float[Tensor, "3 3"]:
    """Build the intrinsics K in pixels.

    Raises:
        InputError: A focal length is not positive; the message begins with `what`.
    """
    if not (fx > 0 and fy > 0):
        raise InputError(f"{what} has the focal lengths {fx:g} and {fy:g}, expected positive pixels")
    return torch.tensor([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def nearest_rotation(matrix: Float[Tensor, "3 3"]) -> tuple[Float[Tensor, "3 3"], float]:
    """The rotation nearest to a rounded matrix, and the distance of R R^T of the matrix from the identity.

    Matrices farther away than `ROUNDED`, mirrored or not finite are returned unchanged.
    """
    error = float((matrix @ matrix.T - torch.eye(3, dtype=matrix.dtype)).abs().max())
    if not error <= ROUNDED or float(torch.linalg.det(matrix)) < 0:
        return matrix, error
    u, _, v = torch.linalg.svd(matrix)  # the nearest orthogonal matrix in the Frobenius norm
    return u @ v, error


def warn_of_rounding(errors: Iterable[float], source: Path) -> None:
    """Warn if rotations in the file are noticeably rounded."""
    rounded = [error for error in errors if 1e-3 < error <= ROUNDED]
    if rounded:
        warn_input(
            f"{source}: {len(rounded)} poses are rounded, R R^T is up to {max(rounded):.2g} away from the "
            "identity; the nearest rotations are used"
        )


@value_type
class WholeView:
    """A camera with complete intrinsics, as written to files.

    Attributes:
        name: Name of the picture in the file.
        T_cam_world: World-to-camera transform, with OpenCV camera axes.
        K: Intrinsics in pixels of a picture of this size.
        size: Width and height in pixels.
        lens: Lens model; None for a pinhole.
    """

    name: str
    T_cam_world: Float[Tensor, "4 4"]
    K: Float[Tensor, "3 3"]
    size: tuple[int, int]
    lens: Lens | None = None


def complete_intrinsics(view: View, width: int, height: int) -> Float[Tensor, "3 3"]:
    """Complete the intrinsics of a view for a picture of this size.

    Raises:
        InputError: The intrinsics are singular.
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
    """Collect complete views for a writer of camera files.

    Args:
        views: Cameras, a capture, or the content of a camera file.
        names: Names of the pictures in the file. None takes `images/0000.png` and so on for cameras, the names
            of a capture, or the paths of the pictures relative to the folder.
        folder: Folder of the file.

    Raises:
        InputError: The cameras are orthographic, or the size of a picture is unknown.
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
    """The path of a picture relative to a folder, or unchanged if it is on another drive."""
    try:
        return Path(os.path.relpath(image, folder)).as_posix()
    except ValueError:
        return image.absolute().as_posix()


MOST_MARKS = 2**28
"""Largest product of points and views in `ScenePoints`; if there are more points, a regular subset is kept."""


def gathered_points(
    points: Iterable[tuple[Any, Iterable[Hashable]]], index: Mapping[Any, int], views: int
) -> ScenePoints | None:
    """Collect points that were observed in at least two views, leaving out those without finite coordinates.

    Args:
        points: Position of each point, and numbers of the views that observed it.
        index: Position of a view by its number in the file.
        views: Number of views.
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
    """Read points of a file without visibility; they count as visible in every view with them in its frame.

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
    """Whether points are in front of a camera and, if size and intrinsics are known, within its picture."""
    local = points @ view.T_cam_world[:3, :3].T + view.T_cam_world[:3, 3]
    ahead = local[:, 2] > 1e-9
    if view.size is None or view.K is None:
        return ahead
    size = torch.tensor(view.size, dtype=torch.float64)
    K = view.K.clone()
    K[:2, 2] = torch.where(torch.isnan(K[:2, 2]), size / 2, K[:2, 2])
    pixels = (local[:, :2] / local[:, 2:].clamp(min=1e-9)) @ K[:2, :2].T + K[:2, 2]
    return ahead & (pixels >= 0).all(dim=1) & (pixels <= size).all(dim=1)

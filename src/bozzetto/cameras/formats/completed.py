"""Views once the sizes of their pictures are known: what loading needs and what writers write."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...values import value_type
from ..camera import Cameras
from ..capture import Capture
from ..distortion import Lens
from ..picture_headers import SIDEWAYS, read_header, stored_size
from ..rigs import intrinsics_from_fov
from .camera_files import PosedViews, View


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

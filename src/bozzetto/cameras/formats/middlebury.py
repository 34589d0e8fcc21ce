"""Camera files of the Middlebury multi-view stereo sets, `*_par.txt`."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import InputError
from ...files import write_text
from ..camera import Cameras
from .camera_files import (
    PosedViews,
    View,
    nearest_rotation,
    read_text,
    real_number,
    shorten,
    warn_of_rounding,
)
from .picture_paths import PictureFinder, unique_picture_names


def read_middlebury(path: Path, photos: Path | None = None) -> PosedViews:
    """Views of a `*_par.txt` file.

    The first line is the number of images; each other line holds the image's name, K and R row by row, and
    t: world to camera, OpenCV axes, the pixel is K (R X + t). The format does not say whether (0, 0) is the
    centre or the corner of the first pixel. The photographs do: the silhouettes of dino and temple (some of
    them upside down) agree better with the hulls of the other views if it is the centre, mean IoU 0.9889
    against 0.9870 and 0.9750 against 0.9731. So half a pixel is added to cx and cy.

    Raises:
        InputError: The number of lines, the fields or the numbers are not as expected.
    """
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if not lines or len(lines[0]) != 1 or not re.fullmatch("[0-9]{1,9}", lines[0][0]):
        raise InputError(
            f"{path} does not begin with the number of images; is it a Middlebury _par.txt file?"
        )
    if int(lines[0][0]) != len(lines) - 1:
        raise InputError(
            f"{path} announces {lines[0][0]} images but lists cameras for {len(lines) - 1}; correct the file"
        )
    if len(lines) == 1:
        raise InputError(f"{path} lists no images, so there are no cameras; export it again")
    images = PictureFinder(path, [photos] if photos else []).locate([fields[0] for fields in lines[1:]])
    names = unique_picture_names(images, path)
    views, errors = zip(
        *[_view(path, *row) for row in zip(names, images, lines[1:], strict=True)], strict=True
    )
    warn_of_rounding(errors, path)
    return PosedViews(views, path)


PIXEL_OFFSET = 0.5
"""Added to cx and cy on reading: the pixel coordinates of these files are taken to be centres of pixels."""


def _view(path: Path, name: str, image: Path, fields: list[str]) -> tuple[View, float]:
    """The view, and how far R R^T in the file is from the identity."""
    if len(fields) != 22:
        raise InputError(f"{path}: the line of {name} has {len(fields) - 1} numbers, expected 21 (K, R, t)")
    numbers = torch.tensor(
        [real_number(field, f"{path}: a number in the line of {name}") for field in fields[1:]],
        dtype=torch.float64,
    )
    K = numbers[:9].reshape(3, 3).clone()
    if not bool((K[2] == K[2].new_tensor([0, 0, float(K[2, 2])])).all()) or float(K[2, 2]) == 0:
        raise InputError(f"{path}: K of {name} has the last row {shorten(K[2].tolist())}, expected 0 0 1")
    K[:2, 2] += PIXEL_OFFSET * K[2, 2]
    T_cam_world = torch.eye(4, dtype=torch.float64)
    T_cam_world[:3, :3], error = nearest_rotation(numbers[9:18].reshape(3, 3))
    T_cam_world[:3, 3] = numbers[18:]
    return View(name, image, T_cam_world, K / K[2, 2] if K[2, 2] != 1 else K), error


def save_middlebury(cameras: Cameras, path: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Write perspective cameras as a Middlebury `*_par.txt` file.

    Args:
        cameras: The cameras.
        path: Where to; the name should end in `_par.txt` for `load_capture` to find it in its folder.
        names: Image file names, relative to the folder of `path` and without blanks.

    Raises:
        InputError: The cameras are orthographic, or a name has blanks.
    """
    if cameras.orthographic:
        raise InputError("the Middlebury format has no orthographic cameras; keep them in Python")
    lines = [str(len(cameras))]
    for name, K, T in zip(names, cameras.K.cpu().clone(), cameras.T_cam_world.cpu(), strict=True):
        if name.split() != [name]:
            raise InputError(f"the Middlebury format has no blanks in names, got {name!r}; rename the image")
        K[:2, 2] -= PIXEL_OFFSET
        numbers = torch.cat([K.flatten(), T[:3, :3].flatten(), T[:3, 3]]).tolist()
        lines.append(" ".join([name, *(repr(n) for n in numbers)]))
    write_text(path, "\n".join(lines) + "\n")

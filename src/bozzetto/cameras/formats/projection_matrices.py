"""A text file of numbers per picture: 3 x 4 projection matrices, Strecha's `.camera`, MVSNet's `_cam.txt`."""

import re
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ..distortion import Lens
from .camera_files import (
    PosedViews,
    View,
    camera_at,
    nearest_rotation,
    picture_size,
    read_text,
    shorten,
    warn_of_rounding,
)
from .picture_paths import MOST_VIEWS, PICTURE_FOLDERS, PictureFinder, unique_picture_names

PIXEL_OFFSET = 0.5
"""Added to the principal point of projection matrices, of which integers are taken to be centres of pixels."""
ENDINGS = (".camera", "_cam.txt", "_p.txt", ".p.txt", ".p")
"""How names of such files end, in lower case; before it stands the picture's name."""
FOLDERS = ("", "cams", "cameras", "calib", "txt", "p", "P", "gt_dense_cameras")
_SIBLINGS = (*PICTURE_FOLDERS, "blended_images", "visualize")


def matrix_files(folder: Path) -> list[Path]:
    """Files of matrices in a folder or in its folders of the usual names."""
    for name in FOLDERS:
        place = folder / name
        if place.is_dir():
            files = sorted(p for p in place.iterdir() if p.name.lower().endswith(ENDINGS) and p.is_file())
            if files:
                return files
    return []


def decompose(
    matrix: Float[Tensor, "3 4"], what: str
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "4 4"], float]:
    """K, T_cam_world and the rounding of the rotation of a projection matrix of any scale and sign.

    P = s K [R t]; K and R are the RQ factors of the left block with positive focal lengths (Hartley and
    Zisserman 2004, 6.2.4). Their sign follows from the determinant, so that R is a rotation.

    Raises:
        InputError: The matrix is no projection of the perspective kind; the message begins with `what`.
    """
    left = matrix[:, :3]
    if not bool(torch.isfinite(matrix).all()) or not float(torch.linalg.cond(left)) < 1e12:
        raise InputError(f"{what} is no projection matrix of a perspective camera; export it again")
    matrix = matrix * torch.sign(torch.linalg.det(left))
    flip = torch.eye(3, dtype=torch.float64).flip(0)
    q, r = torch.linalg.qr((flip @ matrix[:, :3]).T)
    K, R = flip @ r.T @ flip, flip @ q.T
    signs = torch.diag(torch.sign(torch.diagonal(K)))
    K, R = K @ signs, signs @ R
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3], error = nearest_rotation(R)
    T[:3, 3] = torch.linalg.solve(K, matrix[:, 3])
    K = K / K[2, 2]
    K[1, 0] = K[2, 0] = K[2, 1] = 0.0
    return K, T, error


def read_matrices(path: Path, photos: Path | None = None) -> PosedViews:
    """Views of a folder with a text file per picture.

    - NAME.P, NAME_P.txt: twelve numbers, the matrix that projects the world to pixels, perhaps after the word
      CONTOUR; integers are taken to be centres of pixels.
    - NAME.jpg.camera (Strecha et al. 2008): K, three coefficients of distortion, the rotation from the camera
      to the world, the position, width and height; integers are taken to be centres of pixels.
    - NAME_cam.txt (MVSNet): `extrinsic` 4 x 4 from the world to the camera, `intrinsic` K; centres of pixels at
      half-integers, as in its code.

    All cameras have OpenCV's axes.

    Args:
        path: The folder, or one of the files, of which the others of the same kind beside it are read too.
        photos: Where the pictures lie.

    Raises:
        InputError: A file holds something else, or is no camera.
    """
    folder = path if path.is_dir() else path.parent
    files = matrix_files(folder)
    ending = next(e for e in ENDINGS if (files[0] if path.is_dir() else path).name.lower().endswith(e))
    files = [file for file in files if file.name.lower().endswith(ending)]
    if len(files) > MOST_VIEWS:
        raise InputError(f"{folder} holds {len(files)} cameras, up to {MOST_VIEWS} are read; leave some out")
    read = _READERS.get(ending, _projection)
    home = files[0].parent
    places = [home, *(p / name for p in (home, home.parent) for name in _SIBLINGS), home.parent]
    finder = PictureFinder(files[0], [photos] if photos else places, photos or home.parent)
    images = finder.locate([re.sub(r"[_.]$", "", file.name[: -len(ending)]) for file in files])
    names = unique_picture_names(images, files[0])
    rows = [read(file, name, image) for file, name, image in zip(files, names, images, strict=True)]
    warn_of_rounding([error for _, error in rows], home)
    return PosedViews(tuple(view for view, _ in rows), home)


def _projection(file: Path, name: str, image: Path) -> tuple[View, float]:
    numbers = _numbers(file, 12, ("contour",))
    K, T, error = decompose(numbers.reshape(3, 4), f"{file}: the matrix")
    K[:2, 2] += PIXEL_OFFSET
    return View(name, image, T, K), error


def _strecha(file: Path, name: str, image: Path) -> tuple[View, float]:
    numbers = _numbers(file, 26, ())
    K = _intrinsics(numbers[:9], file)
    K[:2, 2] += PIXEL_OFFSET
    T, error = camera_at(numbers[12:21].reshape(3, 3), numbers[21:24])
    size = picture_size((float(numbers[24]), float(numbers[25])), str(file))
    lens = Lens(radial=tuple(numbers[9:12].tolist()))
    return View(name, image, T, K, size=size, lens=lens or None), error


def _mvsnet(file: Path, name: str, image: Path) -> tuple[View, float]:
    numbers = _numbers(file, 25, ("extrinsic", "intrinsic"), more=True)
    T = numbers[:16].reshape(4, 4).clone()
    T[:3, :3], error = nearest_rotation(T[:3, :3])
    return View(name, image, T, _intrinsics(numbers[16:25], file)), error


_READERS: dict[str, Callable[[Path, str, Path], tuple[View, float]]] = {
    ".camera": _strecha,
    "_cam.txt": _mvsnet,
}


def _intrinsics(numbers: Float[Tensor, "9"], file: Path) -> Float[Tensor, "3 3"]:
    K = numbers.reshape(3, 3).clone()
    if not (float(K[0, 0]) > 0 and float(K[1, 1]) > 0 and K[2].tolist() == [0, 0, 1] and float(K[1, 0]) == 0):
        raise InputError(f"{file} has the intrinsics {shorten(K.tolist())}, expected fx s cx, 0 fy cy, 0 0 1")
    return K


def _numbers(file: Path, count: int, words: tuple[str, ...], more: bool = False) -> Float[Tensor, "count"]:
    """The numbers of a file that holds so many of them, or more of which the rest is not needed."""
    fields = [field for field in read_text(file).split() if field.lower() not in words]
    try:
        numbers = [float(field) for field in fields]
    except ValueError:
        numbers = []
    if len(numbers) != count and not (more and len(numbers) > count):
        raise InputError(
            f"{file} holds {shorten(' '.join(fields))}, expected {count} numbers; export it again"
        )
    found = torch.tensor(numbers[:count], dtype=torch.float64)
    if not bool(torch.isfinite(found).all()):
        raise InputError(f"{file} holds NaN or infinite numbers; calibrate again")
    return found

"""Camera files of plain matrices: text files per picture, NumPy files, and the Middlebury sets.

Text files hold 3 x 4 projection matrices, Strecha's `.camera` or MVSNet's `_cam.txt`. NumPy files are
`cameras*.npz` of IDR, NeuS and VolSDF and `poses_bounds.npy` of LLFF. Middlebury writes `*_par.txt`.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...files import write_text
from ...images.io import SUFFIXES
from ...shapes.packed import arrays_of, numbers_of
from ..camera import Cameras
from ..distortion import Lens
from .camera_files import (
    LARGEST_FILE,
    PosedViews,
    View,
    camera_at,
    nearest_rotation,
    picture_size,
    read_text,
    real_number,
    reason,
    shorten,
    warn_of_rounding,
)
from .picture_paths import MOST_VIEWS, PICTURE_FOLDERS, PictureFinder, unique_picture_names

PIXEL_OFFSET = 0.5
"""Offset added to the principal point of projection matrices, whose integer coordinates are pixel centres."""
ENDINGS = (".camera", "_cam.txt", "_p.txt", ".p.txt", ".p")
"""Ends of the names of such files, in lower case, after the name of the picture."""
FOLDERS = ("", "cams", "cameras", "calib", "txt", "p", "P", "gt_dense_cameras")
_SIBLINGS = (*PICTURE_FOLDERS, "blended_images", "visualize")


def matrix_files(folder: Path) -> list[Path]:
    """Matrix files in a folder or in its sub-folders with usual names."""
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
    """Decompose a projection matrix of any scale and sign: K, T_cam_world and the rotation's rounding error.

    P = s K [R t]; K and R are the RQ factors of the left block with positive focal lengths (Hartley and
    Zisserman 2004, 6.2.4). Their sign follows from the determinant, so that R is a rotation.

    Raises:
        InputError: The matrix is not a perspective projection; the message begins with `what`.
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
    """Read the views of a folder with one text file per picture.

    - NAME.P, NAME_P.txt: twelve numbers, the projection matrix from the world to pixels, optionally after the
    word CONTOUR; integers are pixel centres.
    - NAME.jpg.camera (Strecha et al. 2008): K, three coefficients of distortion, the rotation from the camera
      to the world, the position, width and height; integers are pixel centres.
    - NAME_cam.txt (MVSNet): `extrinsic` 4 x 4 from the world to the camera, `intrinsic` K; pixel centres are at
    half-integers, as in its code.

    All cameras have OpenCV's axes.

    Args:
        path: The folder, or one of the files; all files of the same kind in its folder are read.
        photos: Folder of the pictures; None searches for them.

    Raises:
        InputError: A file has other content, or is not a valid camera.
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
    """Read `count` numbers of a file; with `more`, further numbers are ignored."""
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


def read_idr(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a `cameras.npz` or `cameras_sphere.npz` (IDR's DATA_CONVENTION.md).

    `world_mat_i` projects the world to pixels of the i-th picture of the folder `image`; integers are pixel
    centres, as in the programs that read these files. `scale_mat_i`, which maps a sphere around the object to
    the world, is not used: the world is that of `world_mat_i`.

    Raises:
        InputError: The file is damaged, a matrix is missing or not a projection, or the numbers of pictures and
            matrices differ.
    """
    data = _bytes(path)
    try:
        arrays = arrays_of(data)
    except Exception as error:  # NumPy raises errors of many kinds
        raise InputError(f"{path} cannot be read: {reason(error)}; export it again") from None
    numbers = sorted(int(m[1]) for m in (re.fullmatch(r"world_mat_(\d{1,9})", name) for name in arrays) if m)
    if not numbers:
        raise InputError(f"{path} has no world_mat_0 and so on; is it a camera file of IDR or NeuS?")
    images = _pictures(path, photos, len(numbers), ("image", "images", "rgb", "."))
    names = unique_picture_names(images, path)
    views, errors = [], []
    for name, image, number in zip(names, images, numbers, strict=True):
        matrix = arrays[f"world_mat_{number}"]
        what = f"{path}: world_mat_{number}"
        if matrix.shape not in ((3, 4), (4, 4)):
            raise InputError(f"{what} has the shape {matrix.shape}, expected (4, 4); export it again")
        K, T, error = decompose(torch.from_numpy(matrix[:3].astype("float64")), what)
        K[:2, 2] += PIXEL_OFFSET
        errors.append(error)
        views.append(View(name, image, T, K))
    warn_of_rounding(errors, path)
    return PosedViews(tuple(views), path)


def read_llff(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a `poses_bounds.npy`, in the order of the sorted pictures (LLFF's README).

    Each row has a 3 x 5 matrix and two depths. The first four columns are the camera-to-world transform, with
    camera axes down, right, backwards. The fifth column is height, width and focal length in pixels. The
    principal point is the centre of the picture. Depths are not used.

    Raises:
        InputError: The file is damaged or has another shape, or the numbers of pictures and poses differ.
    """
    data = _bytes(path)
    try:
        rows = torch.from_numpy(numbers_of(data).astype("float64"))
    except Exception as error:  # NumPy raises errors of many kinds
        raise InputError(f"{path} cannot be read: {reason(error)}; export it again") from None
    if rows.ndim != 2 or rows.shape[1] != 17 or len(rows) == 0:
        raise InputError(
            f"{path} has the shape {tuple(rows.shape)}, expected (photographs, 17); export it again"
        )
    if not bool(torch.isfinite(rows[:, :15]).all()):
        raise InputError(f"{path} holds NaN or infinite numbers; calibrate again")
    images = _pictures(path, photos, len(rows), (*PICTURE_FOLDERS, "."))
    names = unique_picture_names(images, path)
    views, errors = [], []
    for name, image, row in zip(names, images, rows, strict=True):
        matrix = row[:15].reshape(3, 5)
        down, right, back, center, (height, width, focal) = matrix.T
        T, error = camera_at(torch.stack([right, down, -back], dim=1), center)
        size = picture_size((float(width), float(height)), f"{path}: {name}")
        K = torch.tensor([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]], dtype=torch.float64)
        if not focal > 0:
            raise InputError(f"{path}: the focal length of {name} is {focal:g}, expected positive pixels")
        errors.append(error)
        views.append(View(name, image, T, K, size=size))
    warn_of_rounding(errors, path)
    return PosedViews(tuple(views), path)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path} has more than {LARGEST_FILE // 2**20} MiB; is it a camera file?")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the camera file {path}: {reason(error)}; check the path") from None


def _pictures(path: Path, photos: Path | None, count: int, folders: tuple[str, ...]) -> list[Path]:
    """The pictures, which the format assigns to cameras only by their order.

    Of several folders the first with as many pictures as cameras is taken.
    """
    places = [photos] if photos else [path.parent / name for name in folders]
    found = [(place, _sorted_pictures(place)) for place in places if place.is_dir()]
    found = [(place, pictures) for place, pictures in found if pictures]
    matching = next((pictures for _, pictures in found if len(pictures) == count), None)
    if matching is not None:
        return matching
    if not found:
        raise InputError(
            f"{path} has {count} cameras but there are no pictures beside it; put them into images/"
        )
    place, pictures = found[0]
    raise InputError(
        f"{path} has {count} cameras and {place} has {len(pictures)} pictures, which the format pairs by their "
        "order; remove those that have no camera"
    )


def _sorted_pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def read_middlebury(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a Middlebury `*_par.txt` file.

    The first line is the number of images. Each other line has the image's name, K and R row by row, and t of
    the world-to-camera transform with OpenCV axes; the pixel is K (R X + t). The format does not specify
    whether (0, 0) is the centre or the corner of the first pixel. The photographs decide: the silhouettes of
    dino and temple (some of
    them upside down) agree better with the hulls of the other views if it is the centre, mean IoU 0.9889
    against 0.9870 and 0.9750 against 0.9731. So half a pixel is added to cx and cy.

    Raises:
        InputError: The number of lines or of fields is wrong, or a number is invalid.
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


MIDDLEBURY_OFFSET = 0.5
"""Offset added to cx and cy on reading: integer pixel coordinates of these files are pixel centres."""


def _view(path: Path, name: str, image: Path, fields: list[str]) -> tuple[View, float]:
    """The view, and the distance of R R^T in the file from the identity."""
    if len(fields) != 22:
        raise InputError(f"{path}: the line of {name} has {len(fields) - 1} numbers, expected 21 (K, R, t)")
    numbers = torch.tensor(
        [real_number(field, f"{path}: a number in the line of {name}") for field in fields[1:]],
        dtype=torch.float64,
    )
    K = numbers[:9].reshape(3, 3).clone()
    if not bool((K[2] == K[2].new_tensor([0, 0, float(K[2, 2])])).all()) or float(K[2, 2]) == 0:
        raise InputError(f"{path}: K of {name} has the last row {shorten(K[2].tolist())}, expected 0 0 1")
    K[:2, 2] += MIDDLEBURY_OFFSET * K[2, 2]
    T_cam_world = torch.eye(4, dtype=torch.float64)
    T_cam_world[:3, :3], error = nearest_rotation(numbers[9:18].reshape(3, 3))
    T_cam_world[:3, 3] = numbers[18:]
    return View(name, image, T_cam_world, K / K[2, 2] if K[2, 2] != 1 else K), error


def save_middlebury(cameras: Cameras, path: str | os.PathLike[str], names: Sequence[str]) -> None:
    """Write perspective cameras as a Middlebury `*_par.txt` file.

    Args:
        cameras: The cameras.
        path: File to write; its name should end in `_par.txt`, so that `load_capture` finds it in its folder.
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
        K[:2, 2] -= MIDDLEBURY_OFFSET
        numbers = torch.cat([K.flatten(), T[:3, :3].flatten(), T[:3, 3]]).tolist()
        lines.append(" ".join([name, *(repr(n) for n in numbers)]))
    write_text(path, "\n".join(lines) + "\n")

"""Cameras in NumPy files: `cameras*.npz` of IDR, NeuS and VolSDF, and `poses_bounds.npy` of LLFF."""

import re
from pathlib import Path

import torch

from ...errors import InputError
from ...images.io import SUFFIXES
from ...shapes.numpy_files import arrays_of, numbers_of
from .camera_files import LARGEST_FILE, PosedViews, View, camera_at, picture_size, reason, warn_of_rounding
from .picture_paths import PICTURE_FOLDERS, unique_picture_names
from .projection_matrices import PIXEL_OFFSET, decompose


def read_idr(path: Path, photos: Path | None = None) -> PosedViews:
    """Views of a `cameras.npz` or `cameras_sphere.npz` (IDR's DATA_CONVENTION.md).

    `world_mat_i` projects the world to pixels of the i-th picture of the folder `image`; integers are the
    centres of pixels, as the programs that read these files take them. `scale_mat_i`, which takes a sphere
    around the object to the world, is not needed: the world is that of `world_mat_i`.

    Raises:
        InputError: The file is damaged, a matrix is missing or no projection, or pictures and matrices are not
            as many.
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
    """Views of a `poses_bounds.npy`, in the order of the sorted pictures (LLFF's README).

    Each row holds a matrix of 3 rows and 5 columns and two depths. The first four columns take the camera to
    the world; its axes are down, right, backwards. The fifth is height, width and focal length in pixels; the
    principal point is the middle. Depths are not needed.

    Raises:
        InputError: The file is damaged, has another shape, or pictures and poses are not as many.
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
    """The pictures that the format pairs with its rows by their order alone.

    Of several folders the first with as many pictures as there are cameras is taken.
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

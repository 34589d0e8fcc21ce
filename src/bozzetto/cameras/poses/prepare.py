"""Preparation of photographs for structure from motion: grey, reduced, one at a time."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...errors import InputError
from ...files import make_folder, writing
from ...images.io import load_image
from ...images.readers import heif_tags, is_heif
from ...images.stored_picture import check_file, open_picture, turned_upright
from ...steps import counted
from ...values import value_type
from ..exif_orientation import SIDEWAYS, proportional
from ..mask_files import load_mask

LONGEST = 1000
"""Longer side of the reduced pictures in pixels. Larger ones take much more time for little more accuracy."""
SMALLEST = 160
"""Smallest longer side of a photograph in pixels."""
_THUMB = 32
QUARTER_TURNS = {3: 2, 6: -1, 8: 1}
"""Anticlockwise quarter turns that make a picture upright, by its EXIF orientation."""


@value_type
class Photo:
    """A prepared photograph.

    Attributes:
        name: Unique name in messages.
        path: File of the photograph.
        mask: Mask file, or None.
        masked: Whether only a part of it is used, by its mask file or its alpha.
        size: Width and height of the upright photograph in pixels.
        work: File name of the reduced picture, which has the orientation of the sensor.
        work_size: Width and height of the reduced picture. Rotated upright and enlarged by `scale`, it covers
            the photograph except less than `scale` pixels at the right and bottom.
        turn: Anticlockwise quarter turns that make the reduced picture upright.
        scale: Number of pixels of the photograph per pixel of the reduced picture, along each axis.
        focal: Focal length from EXIF data, in pixels of the photograph, or None.
        device: Maker and model of the camera from EXIF data.
        detail: Amount of image detail, see `detail_of`.
        sharpness: Sharpness of edges, see `sharpness_of`.
        thumb: Thumbnail by which equal pictures are recognised.
    """

    name: str
    path: Path
    mask: Path | None
    masked: bool
    size: tuple[int, int]
    work: str
    work_size: tuple[int, int]
    turn: int
    scale: float
    focal: float | None
    device: str
    detail: float
    sharpness: float
    thumb: npt.NDArray[Any]


def prepare_photos(
    paths: Sequence[Path],
    names: Sequence[str],
    masks: Sequence[Path | None],
    folder: Path,
    longest: int = LONGEST,
) -> list[Photo]:
    """Write reduced grey versions of photographs to `folder/pictures`, and of their masks to `folder/masks`.

    They have the orientation of the sensor, so that portraits and landscapes of a phone share a lens. Only one
    photograph is in memory at a time.

    Raises:
        InputError: A photograph cannot be read or is too small.
    """
    pictures, covers = make_folder(folder / "pictures"), make_folder(folder / "masks")
    found = []
    rows = list(zip(paths, names, masks, strict=True))
    for number, (path, name, mask) in enumerate(counted(rows, "photos")):
        grey, size, tags, alpha = _read_small(path, longest)
        if max(size) < SMALLEST:
            raise InputError(
                f"the photo {path} has {size[0]} x {size[1]} pixels, at least {SMALLEST} on the longer side "
                "are needed; give the photos in their full size"
            )
        turn = QUARTER_TURNS.get(tags.get(ORIENTATION, 1), 0)
        taken = np.ascontiguousarray(np.rot90(grey, -turn))
        height, width = taken.shape
        work = f"{number:05d}.png"
        with writing(pictures / work):
            Image.fromarray(taken).save(pictures / work, compress_level=1)
        cover = alpha if mask is None else _read_mask(mask, path, size, int(tags.get(ORIENTATION, 1)))
        if cover is not None:
            with writing(covers / f"{work}.png"):
                _small_mask(np.rot90(cover, -turn), (width, height)).save(covers / f"{work}.png")
        found.append(
            Photo(
                name=name,
                path=path,
                mask=mask,
                masked=cover is not None,
                size=size,
                work=work,
                work_size=(width, height),
                turn=turn,
                scale=max(1.0, max(size) / longest),
                focal=focal_pixels(tags, size),
                device=" ".join(str(tags.get(tag, "")).strip("\0 ") for tag in (MAKE, MODEL)).strip(),
                detail=detail_of(grey),
                sharpness=sharpness_of(grey),
                thumb=np.asarray(Image.fromarray(grey).resize((_THUMB, _THUMB), Image.Resampling.BOX)),
            )
        )
    if any(photo.masked for photo in found):
        for photo in found:
            if not photo.masked:
                Image.new("L", photo.work_size, 255).save(covers / f"{photo.work}.png")
    return found


def _read_small(
    path: Path, longest: int
) -> tuple[npt.NDArray[Any], tuple[int, int], dict[int, Any], npt.NDArray[Any] | None]:
    """The reduced upright photograph in grey levels, its full size, its EXIF tags, and alpha if it has any."""
    heif = is_heif(check_file(path, "photo"))
    tags, small = ({}, None) if heif else _small_jpeg(path, longest)
    if small is not None:
        return small[0], small[1], tags, None
    values = load_image(path)
    tags = heif_tags(path) if heif else tags
    alpha = None
    if values.shape[-1] in (2, 4):
        alpha = values[..., -1].numpy()
        values = values[..., :-1] * values[..., -1:]
        alpha = None if alpha.min() > 0.999 or alpha.max() < 0.5 else alpha
    grey = values.mean(dim=-1).numpy()
    size = (grey.shape[1], grey.shape[0])
    return _shrunk(Image.fromarray(grey), size, longest), size, tags, alpha


def _small_jpeg(
    path: Path, longest: int
) -> tuple[dict[int, Any], tuple[npt.NDArray[Any], tuple[int, int]] | None]:
    """EXIF tags, and for a large JPEG also the picture and size, decoded fast at a fraction of its size."""
    try:
        with open_picture(path) as image:
            exif = image.getexif()
            tags = {**exif, **exif.get_ifd(EXIF)}
            if image.format not in ("JPEG", "MPO") or image.mode not in ("RGB", "L"):
                return tags, None
            orientation = tags.get(ORIENTATION, 1)
            width, height = image.size
            size = (height, width) if orientation in SIDEWAYS else (width, height)
            image.draft("L", (2 * longest, 2 * longest))
            values = turned_upright(np.asarray(image.convert("L")), orientation)
    except Exception:  # reading it in full reports the error
        return {}, None
    grey = Image.fromarray(np.ascontiguousarray(values, np.float32) / 255)
    return tags, (_shrunk(grey, size, longest), size)


def _shrunk(grey: Image.Image, size: tuple[int, int], longest: int) -> npt.NDArray[Any]:
    """Reduce a grey picture of a photograph of the given size to a longer side of at most `longest` pixels.

    The scale is the same in both directions; fractions of a pixel at the right or bottom are cut off.
    """
    scale = max(1.0, max(size) / longest)
    new = tuple(max(1, int(side / scale + 1e-6)) for side in size)
    shown = [side * now / full for side, now, full in zip(new, grey.size, size, strict=True)]
    box = (0.0, 0.0, min(shown[0] * scale, grey.width), min(shown[1] * scale, grey.height))
    small = grey.resize((new[0], new[1]), Image.Resampling.LANCZOS, box=box)
    return np.asarray(np.clip(np.asarray(small) * 255 + 0.5, 0, 255), np.uint8)


def _read_mask(path: Path, photo: Path, size: tuple[int, int], orientation: int) -> npt.NDArray[Any]:
    """Read the mask of the upright photograph. Masks are taken as upright unless their size contradicts this.

    Raises:
        InputError: The mask cannot be read or has other proportions than the photograph.
    """
    coverage = load_mask(path).coverage.numpy()
    shown = (coverage.shape[1], coverage.shape[0])
    if not proportional(size, shown) and orientation in SIDEWAYS and proportional(size, shown[::-1]):
        return np.ascontiguousarray(turned_upright(coverage, orientation))
    if not proportional(size, shown):
        raise InputError(
            f"the mask {path} is {shown[0]} x {shown[1]} but {photo.name} is {size[0]} x {size[1]}; masks must "
            "have the size of their photographs, or at least their proportions"
        )
    return coverage


def _small_mask(coverage: npt.NDArray[Any], size: tuple[int, int]) -> Image.Image:
    """A mask of 0 and 255 in the size of the reduced picture; partly covered pixels are 255."""
    small = np.asarray(Image.fromarray(np.ascontiguousarray(coverage)).resize(size, Image.Resampling.BOX))
    return Image.fromarray(np.where(small > 0.25, 255, 0).astype(np.uint8))


def detail_of(grey: npt.NDArray[Any]) -> float:
    """Mean change over 12 pixels at the strongest tenth of places, in grey levels, with noise averaged out."""
    coarse = np.asarray(Image.fromarray(grey).reduce(4), np.float32)
    return max(_change(coarse, 3), _change(coarse.T, 3))


def sharpness_of(grey: npt.NDArray[Any]) -> float:
    """Change over 1 pixel as a fraction of that over 12, at the strongest tenth of places.

    About .2 for a sharp photograph, .12 for one blurred by a Gaussian of 2 pixels, .09 by one of 5 or by a
    motion of 20; the smaller of the two directions is taken.
    """
    values = grey.astype(np.float32)
    return min(_change(v, 1) / max(_change(v, 12), 1e-6) for v in (values, values.T))


def _change(values: npt.NDArray[Any], step: int) -> float:
    size = np.abs(values[step:] - values[:-step]).reshape(-1)
    few = max(1, size.size // 10)
    return float(np.partition(size, size.size - few)[size.size - few :].mean())


MAKE, MODEL, ORIENTATION, EXIF = 0x010F, 0x0110, 0x0112, 0x8769
FOCAL, FOCAL_35MM = 0x920A, 0xA405
WIDTH, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0xA002, 0xA20E, 0xA20F, 0xA210
DIAGONAL_35MM = math.hypot(36.0, 24.0)
"""Diagonal of 35 mm film in millimetres, to which equivalent focal lengths refer (CIPA DCG-001)."""
_UNITS = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # units of the sensor's resolution, in millimetres
PLAUSIBLE = (0.2, 20.0)
"""Smallest and largest plausible focal length in EXIF data, as fractions of the longer side."""


def focal_pixels(tags: Mapping[int, Any], size: tuple[int, int]) -> float | None:
    """Focal length in pixels from the EXIF tags of a photograph; None if they do not have it.

    The equivalent focal length is preferred, because it includes digital zoom. Otherwise the focal length and
    the resolution of the sensor are used. The latter refers to the original picture, whose size is in
    `ExifImageWidth`.

    Args:
        tags: EXIF tags of the main and the EXIF directory, by number.
        size: Width and height of the picture.
    """
    focal = None
    equivalent, length = _number(tags.get(FOCAL_35MM)), _number(tags.get(FOCAL))
    if equivalent:
        focal = equivalent * math.hypot(*size) / DIAGONAL_35MM
    elif length:
        unit = _UNITS.get(int(_number(tags.get(RESOLUTION_UNIT)) or 2))
        resolution = _number(tags.get(X_RESOLUTION)) or _number(tags.get(Y_RESOLUTION))
        taken = _number(tags.get(WIDTH)) or max(size)
        if unit and resolution:
            focal = length / unit * resolution * max(size) / taken
    if focal is None or not PLAUSIBLE[0] < focal / max(size) < PLAUSIBLE[1]:
        return None
    return focal


def _number(value: Any) -> float | None:
    """A positive number, or None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None

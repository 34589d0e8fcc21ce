"""The stored values of a picture file before their interpretation, and checks used by all readers."""

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import InputError
from ..values import value_type

MAX_PIXELS = 180_000_000
"""Largest number of pixels; an error is raised for larger pictures before memory is allocated."""
LARGEST_FACTOR = 1100
"""Bound of the compression factor of the formats that have one; that of Deflate is at most 1032."""


@value_type
class StoredPicture:
    """The contents of a picture file.

    Attributes:
        values: (H, W, C) as stored, row 0 on top: grey, grey + alpha, RGB or RGBA. Palettes are resolved.
        full: The value that represents 1, or None for floats and for signed integers without such a value.
        orientation: EXIF orientation: 1 upright, 2 to 8 rotated or mirrored.
        premultiplied: Whether colours are multiplied by alpha.
        profile: The ICC profile, for RGB and grey.
        encoding: `srgb`, `linear`, the exponent of another encoding, or None if the file does not declare it.
        frames: Number of pictures in the file; this is the first.
        nodata: The value that represents missing heights.
        text: Text entries.
    """

    values: npt.NDArray[Any]
    full: float | None
    orientation: int = 1
    premultiplied: bool = False
    profile: bytes | None = None
    encoding: str | float | None = None
    frames: int = 1
    nodata: float | None = None
    text: dict[str, Any] = field(default_factory=dict)

    @property
    def upright(self) -> npt.NDArray[Any]:
        """The values, rotated and mirrored according to `orientation`."""
        return turned_upright(self.values, self.orientation)


def turned_upright(values: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Apply an EXIF orientation, 1 to 8 (EXIF 2.32, section 4.6.4); other values are treated as 1."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def check_file(path: Path, kind: str) -> bytes:
    """Raise an error unless the path is a non-empty regular file; return its first 64 bytes.

    Args:
        path: The file.
        kind: Noun for messages, as in "there is no ...".

    Raises:
        InputError: There is no such file, or it is a folder, a device, a pipe, empty, or may not be read.
    """
    try:
        mode = os.stat(path).st_mode
        start = b""
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:
                start = file.read(64)
    except (FileNotFoundError, NotADirectoryError):
        broken = os.path.islink(path)
        why = "the link leads nowhere" if broken else "check the path"
        raise InputError(f"there is no {kind} {path}; {why}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        name = str(path) if len(str(path)) < 300 else f"{str(path)[:100]}..."
        raise InputError(f"cannot read the {kind} {name} ({reason}); give another file") from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise InputError(f"{path} is {what} and no {kind}; give a file")
    if not start:
        raise InputError(f"cannot read the {kind} {path}: it is empty; copy or export it again")
    return start


def check_size(
    path: Path, width: int, height: int, bytes_per_pixel: float, compressible: bool = True
) -> None:
    """Raise an error if a header declares too many pixels, or more than the file can contain.

    Raises:
        InputError: It has more than `MAX_PIXELS`, none, or the file is too short for its size.
    """
    if width < 1 or height < 1:
        raise damaged(path, f"its header says {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise too_large(path, width, height, MAX_PIXELS)
    share = LARGEST_FACTOR if compressible else 1
    size = os.path.getsize(path)
    if width * height * bytes_per_pixel > share * size:
        raise damaged(path, f"its header says {width} x {height} pixels, more than {size} bytes can hold")


def too_large(path: Path, width: int, height: int, limit: int) -> InputError:
    """The error for a picture of more pixels than a limit."""
    side = math.isqrt(limit)
    return InputError(
        f"{path} has {width} x {height} pixels, which needs too much memory; "
        f"scale it down to {side} x {side} or less"
    )


def damaged(path: Path, reason: object, kind: str = "image") -> InputError:
    """The error for a damaged file."""
    text = " ".join(str(reason).split())[:200] or type(reason).__name__
    return InputError(f"cannot read the {kind} {path}: {text}; copy or export it again")


@contextmanager
def open_picture(path: Path) -> Iterator[Image.Image]:
    """Open with Pillow, whose limit of the number of pixels is replaced by our own."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        image = Image.open(path)
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    with image:
        if image.format in ("EPS", "WMF", "PDF"):
            raise InputError(f"{path} is a drawing ({image.format}); export it as PNG")
        check_size(path, *image.size, bytes_per_pixel=0)
        yield image


def pillow_picture(path: Path, image: Image.Image) -> StoredPicture:
    """The stored values of a picture that Pillow has opened."""
    frames = 1
    if image.format != "MPO" and getattr(image, "is_animated", False):
        frames = int(getattr(image, "n_frames", 1))
    image.load()
    orientation = 1 if isinstance(image, TiffImageFile) else int(image.getexif().get(274, 1) or 1)
    profile = image.info.get("icc_profile")
    if image.mode in ("CMYK", "LAB"):
        image, profile = _as_rgb(image, profile), None
    transparent = "transparency" in image.info
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if transparent or image.mode == "PA" else "RGB")
    elif image.mode in ("L", "RGB") and transparent:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    elif image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif image.mode not in ("1", "L", "LA", "RGB", "RGBA", "F") and not image.mode.startswith("I"):
        image = image.convert("RGB")
    values = np.asarray(image)
    full: float | None = 255.0
    if image.mode == "1":
        values, full = values.astype(np.uint8), 1.0
    elif image.mode == "F":
        full = None
    elif image.mode.startswith("I"):
        values, full = values.astype(np.uint16), 65535.0
    text = {key: value for key, value in image.info.items() if isinstance(key, str)}
    values = values.reshape(*values.shape[:2], -1)
    return StoredPicture(values, full, orientation, profile=profile, frames=frames, text=text)


def _as_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """CMYK or Lab as sRGB: by the file's profile, and CMYK without one as 1 - ink."""
    source = None
    if image.mode == "LAB":
        source = ImageCms.createProfile("LAB")
    elif profile:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
    if source is not None:
        try:
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
        except ImageCms.PyCMSError:
            if image.mode == "LAB":
                raise
    return image.convert("RGB")


def with_alpha(picture: StoredPicture, alpha: npt.NDArray[Any]) -> StoredPicture:
    """The picture with an alpha channel (H, W) of the same full scale."""
    return replace(picture, values=np.concatenate([picture.values, alpha[..., None]], axis=-1))

"""Reading and writing pictures: 8- and 16-bit files of any common kind as float tensors."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..errors import InputError, warn_input
from ..files import atomic_path, write_bytes
from . import linear_to_srgb as linear_to_srgb
from . import srgb_to_linear as srgb_to_linear
from .color import to_srgb
from .exr import color_channels, read_exr
from .readers import is_exr, read_picture
from .stored_picture import MAX_PIXELS, StoredPicture, too_large

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".pgm"),
    *(".tga", ".avif", ".exr", ".gif", ".jp2", ".heic", ".heif"),
)


def load_image(
    path: str | os.PathLike[str], orient: bool = True, max_pixels: int = MAX_PIXELS
) -> Float[Tensor, "H W C"]:
    """Read a picture of colours as sRGB values, with straight alpha.

    Integers are sRGB unless the file says otherwise (a profile, or cICP or gAMA of PNG); linear light (EXR,
    gAMA 1) and other encodings are converted. TIFF does not declare the encoding of floats: they are read as
    sRGB from 0 to 1 or, if the values suggest it, from 0 to 255 or 65535.

    Args:
        path: PNG, JPEG, TIFF, EXR, WebP, AVIF, BMP, TGA, PNM or another kind that Pillow opens, with any number
            of bits.
        orient: Rotate the picture upright by its EXIF orientation.
        max_pixels: Largest number of pixels; an error is raised for larger pictures.

    Returns:
        Values in [0, 1]; the channels are grey, grey + alpha, RGB or RGBA. Palettes are resolved.

    Raises:
        InputError: The file is missing, truncated or not a picture, too large, contains NaN, or has values with
            an unknown white level.
    """
    path = Path(path)
    picture = read_stored(path, max_pixels)
    return encoded_colors(path, picture, picture.upright if orient else picture.values)


def read_stored(path: Path, max_pixels: int = MAX_PIXELS) -> StoredPicture:
    """The stored values of a picture file; for animations, those of the first picture, with a warning.

    Raises:
        InputError: The same as for `load_image`.
    """
    if is_exr(path):
        values = color_channels(path, read_exr(path)[1])
        picture = StoredPicture(values, None, premultiplied=True, encoding="linear")
    else:
        picture = read_picture(path)
    height, width = picture.values.shape[:2]
    if height * width > max_pixels:
        raise too_large(path, width, height, max_pixels)
    if picture.frames > 1:
        warn_input(f"{path} holds {picture.frames} pictures; the first is used")
    return picture


def encoded_colors(path: Path, picture: StoredPicture, stored: npt.NDArray[Any]) -> Float[Tensor, "H W C"]:
    """Stored values, optionally rotated upright, as sRGB with straight alpha: the second half of
    `load_image`."""
    values = _scaled(picture, stored)
    if stored.dtype.kind in "fi":
        values = in_range(path, values, picture.encoding == "linear", picture.profile is not None)
    if picture.premultiplied:
        values = _straight(values)
    values = _encoded(path, picture, values)
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def load_data_image(path: str | os.PathLike[str], orient: bool = True) -> Float[Tensor, "H W C"]:
    """Read a picture of data instead of colours, such as a mask or a normal map, without colour conversion.

    Args:
        path: A file as for `load_image`.
        orient: Rotate the picture upright by its EXIF orientation.

    Returns:
        Unsigned integers become 0 to 1, signed ones -1 to 1; floats stay as they are.

    Raises:
        InputError: The file is missing, truncated or not a picture, too large, or holds NaN.
    """
    path = Path(path)
    picture = read_stored(path)
    values = _scaled(picture, picture.upright if orient else picture.values)
    _refuse_nan(path, values)
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _scaled(picture: StoredPicture, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if picture.full is None:
        return stored.astype(np.float32)
    exact = np.float64 if stored.dtype.itemsize > 2 else np.float32
    return (stored.astype(exact) / exact(picture.full)).astype(np.float32)


def _refuse_nan(path: Path, values: npt.NDArray[Any]) -> None:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise InputError(f"{path} holds {bad} NaN or infinite numbers; fill them or export it again")


def in_range(path: Path, values: npt.NDArray[Any], linear: bool, declared: bool = False) -> npt.NDArray[Any]:
    """Floats of a photo scaled or clipped to [0, 1], with a warning of changes and guesses.

    Args:
        path: Name for messages.
        values: Colours, finite or not.
        linear: Whether the values are linear light, where values above 1 are brighter than white.
        declared: Whether the file declares their encoding.

    Raises:
        InputError: There are NaN or infinite values, or the white level is unknown.
    """
    _refuse_nan(path, values)
    low, high = float(values.min()), float(values.max())
    lit = values[values > 0]
    middle = float(np.median(lit)) if lit.size else 0.0
    span = f"{path} holds numbers from {low:.4g} to {high:.4g}"
    if low < -0.1 * max(high, 1e-6):
        raise InputError(f"{span}, of which the negative ones are no brightness; scale them to 0 to 1")
    whole = high > 4 and bool((lit == np.round(lit)).all())
    for white in () if linear else (255.0, 65535.0):
        if 1 < high <= white and (whole or (middle > 1 and white / 4 < high)):
            warn_input(f"{span}, which are taken for 0 to {white:.0f}")
            return np.clip(values / white, 0, 1)
    above = float((values > 1.001).mean())
    if above > 0.5:
        raise InputError(f"{span}, most of them above white, which is 1; scale them to 0 to 1")
    if above > 0:
        warn_input(f"{span}; {100 * above:.2g} % lie above white, which is 1, and are cut off")
    elif not linear and not declared:
        warn_input(f"{path} holds floats and does not say how they are encoded; they are taken for sRGB")
    if low < -1e-3:
        warn_input(f"{span}; negative ones are taken for 0")
    return np.clip(values, 0, 1)


def _straight(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Colours divided by their alpha; unchanged where alpha is 0."""
    if values.shape[-1] not in (2, 4):
        return values
    alpha = values[..., -1:]
    color = np.where(alpha > 0, values[..., :-1] / np.maximum(alpha, 1e-6), values[..., :-1])
    return np.concatenate([color.clip(0, 1), alpha], axis=-1)


def _encoded(path: Path, picture: StoredPicture, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Colours converted from the encoding of the file to sRGB."""
    count = values.shape[-1] - (values.shape[-1] in (2, 4))
    color = values[..., :count]
    if picture.profile is not None:
        color = to_srgb(path, picture.profile, color)
    elif picture.encoding == "linear":
        color = linear_to_srgb(torch.from_numpy(np.ascontiguousarray(color))).numpy()
    elif isinstance(picture.encoding, float):
        linear = torch.from_numpy(np.ascontiguousarray(color)) ** picture.encoding
        color = linear_to_srgb(linear).numpy()
    elif picture.encoding not in (None, "srgb"):
        warn_input(f"{path} is encoded as {picture.encoding}, which is not known here; it is taken for sRGB")
    return np.concatenate([color, values[..., count:]], axis=-1)


def save_image(
    path: str | os.PathLike[str], image: Float[Tensor, "H W C"] | Float[Tensor, "H W"], bits: int = 8
) -> None:
    """Write values, clipped to [0, 1], without conversion; encode colours with `linear_to_srgb` first.

    Args:
        path: The file to write; its suffix selects the format. Only PNG can have 16 bits.
        image: Grey, grey + alpha, RGB or RGBA.
        bits: Bits per channel, 8 or 16.

    Raises:
        InputError: The format, the bits or the number of channels cannot be written.
    """
    path = Path(path)
    array = image.detach().cpu().double().numpy()
    array = array[..., None] if array.ndim == 2 else array
    if bits not in (8, 16) or (bits == 16 and path.suffix.lower() != ".png") or array.shape[2] > 4:
        raise InputError(
            f"cannot write {array.shape[2]} channels of {bits} bits to {path}; "
            "use 1 to 4 channels of 8 bits, or of 16 bits with a name ending in .png"
        )
    array = np.nan_to_num(array).clip(0, 1) * (2**bits - 1)
    if bits == 16:
        write_bytes(path, _png16(array.round().astype(">u2")))
        return
    pixels = Image.fromarray(
        array.round().astype(np.uint8).squeeze(2) if array.shape[2] == 1 else array.round().astype(np.uint8)
    )
    try:
        with atomic_path(path) as temporary:
            pixels.save(temporary)
    except InputError:  # the disk, not the picture
        raise
    except ValueError as error:
        raise InputError(f"cannot write the image {path}: {error}; a name ending in .png works") from None


def _png16(array: npt.NDArray[Any]) -> bytes:
    """A PNG file of big-endian 16-bit values (PNG specification, third edition, sections 5 and 11)."""
    height, width, channels = array.shape
    color_type = (0, 4, 2, 6)[channels - 1]
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    rows = array.reshape(height, -1).view(np.uint8)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)  # filter type 0: none
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)

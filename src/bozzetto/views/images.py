"""Reading and writing pictures: 8- and 16-bit files of any common kind as float tensors."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from ..errors import InputError
from ..files import atomic_path, write_bytes
from ..shapes import linear_to_srgb as linear_to_srgb
from ..shapes import srgb_to_linear as srgb_to_linear

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".ppm", ".pgm")


def load_image(path: str | os.PathLike, orient: bool = True) -> Float[Tensor, "H W C"]:
    """Read a picture as it is stored: sRGB-encoded if it is a photograph, alpha straight.

    Args:
        path: PNG (8 or 16 bit), JPEG, TIFF, WebP, BMP, PNM or anything else that Pillow opens.
        orient: Turn the picture upright if its EXIF data say that the camera was held sideways.

    Returns:
        Values in [0, 1]; the channels are grey, grey + alpha, RGB or RGBA. Palettes are resolved.

    Raises:
        InputError: The file is missing, truncated or not a picture.
    """
    path = Path(path)
    try:
        with Image.open(path) as image:
            deep = _deep_color(image)
            if deep is not None:
                return torch.from_numpy(deep)
            if isinstance(image, TiffImageFile) and image.mode.startswith("RGB") and _bits(image) > 8:
                return _load_tiff(path)
            image.load()
            upright = ImageOps.exif_transpose(image) if orient else image
            return torch.from_numpy(_values(upright))
    except FileNotFoundError:
        raise InputError(f"there is no image {path}; check the path") from None
    except UnidentifiedImageError:
        return _load_tiff(path)
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, struct.error) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"cannot read the image {path}: {error}; copy or export it again")


def _deep_color(image: Image.Image) -> np.ndarray | None:
    """A PNG with 16 bits per colour channel, of which Pillow keeps the upper byte only; None for others.

    Pillow's names for the stored layout end in 16B (big-endian, as in PNG) and 16L. Read as the first it
    keeps the upper byte, read as the second the lower one.
    """
    if not isinstance(image, PngImageFile) or image.tile[0].args not in ("RGB;16B", "RGBA;16B"):
        return None
    mode = str(image.tile[0].args)[:-1]
    image.load()
    upper = np.asarray(image).astype(np.float32)
    with Image.open(image.filename) as again:
        assert isinstance(again, PngImageFile)
        again.tile = [again.tile[0]._replace(args=mode + "L")]
        lower = np.asarray(again).astype(np.float32)
    return (upper * 256 + lower) / 65535


def _bits(image: TiffImageFile) -> int:
    bits = image.tag_v2.get(258, 1)  # the tag BitsPerSample
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _load_tiff(path: Path) -> Float[Tensor, "H W C"]:
    """TIFF files of which Pillow keeps the upper byte or nothing, such as RGB with 16 bits or floats."""
    try:
        import imageio.v3 as imageio

        if path.suffix.lower() not in (".tif", ".tiff"):
            raise ValueError("it is not a picture, or a damaged one")
        array = np.atleast_3d(imageio.imread(path))
        if array.ndim != 3 or array.shape[2] > 4:
            raise ValueError(f"it holds an array of shape {array.shape}")
    except Exception as error:  # the readers behind imageio raise errors of many kinds
        raise _unreadable(path, error) from None
    return torch.from_numpy(_scaled(array))


def _values(image: Image.Image) -> np.ndarray:
    transparent = "transparency" in image.info
    if image.mode in ("1", "L"):
        image = image.convert("LA" if transparent else "L")
    elif image.mode in ("P", "PA", "RGB"):
        image = image.convert("RGBA" if transparent or image.mode == "PA" else "RGB")
    elif image.mode not in ("LA", "RGBA", "F") and not image.mode.startswith("I"):
        image = image.convert("RGB")
    array = np.asarray(image)
    if image.mode == "I":  # 32-bit integers, in which Pillow may keep 16-bit grey
        array = array.astype(np.uint16) if not isinstance(image, TiffImageFile) else array
    return _scaled(array.reshape(*array.shape[:2], -1))


def _scaled(array: np.ndarray) -> np.ndarray:
    if array.dtype == bool:
        return array.astype(np.float32)
    if np.issubdtype(array.dtype, np.integer):
        return (array.astype(np.float64) / np.iinfo(array.dtype).max).astype(np.float32)
    return array.astype(np.float32)


def save_image(
    path: str | os.PathLike, image: Float[Tensor, "H W C"] | Float[Tensor, "H W"], bits: int = 8
) -> None:
    """Write values in [0, 1] as they are (encode colours with `linear_to_srgb` first); others are clipped.

    Args:
        path: The suffix chooses the format; 16 bits go into PNG only.
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


def _png16(array: np.ndarray) -> bytes:
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

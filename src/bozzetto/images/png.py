"""PNG files at full bit depth (Portable Network Graphics, third edition, W3C 2025).

Pillow reads 16-bit grey in full, but only the upper byte of 16-bit colour and of grey with alpha.
"""

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from .stored_picture import StoredPicture, check_size, damaged, open_picture, pillow_picture, with_alpha

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_LINEAR, _SRGB, _BT709 = 8, 13, 1  # transfer functions of cICP, ITU-T H.273, and its usual primaries


def read_png(path: Path) -> StoredPicture:
    """Read a PNG file; see `read_picture`."""
    chunks = _chunks(path)
    header = chunks.get(b"IHDR", b"")
    if len(header) != 13:
        raise damaged(path, "it has no header")
    width, height, depth, kind = struct.unpack(">IIBB", header[:10])
    if kind not in _CHANNELS:
        raise damaged(path, f"its header says colour type {kind}")
    check_size(path, width, height, depth * _CHANNELS[kind] / 8)
    with open_picture(path) as image:
        assert isinstance(image, PngImageFile)
        if depth == 16 and kind in (RGB, RGBA, GREY_ALPHA):
            deep = _grey_alpha(path) if kind == GREY_ALPHA else _deep_color(path, image, kind)
            text = {key: value for key, value in image.info.items() if isinstance(key, str)}
            orientation = int(image.getexif().get(274, 1) or 1)
            picture = StoredPicture(deep, 65535.0, orientation, profile=text.get("icc_profile"), text=text)
            frames = int(getattr(image, "n_frames", 1))
        else:
            if kind in (GREY, RGB):
                image.info.pop("transparency", None)  # it is below, at full depth
            picture = pillow_picture(path, image)
            frames = picture.frames
    key = chunks.get(b"tRNS")
    if kind in (GREY, RGB) and key is not None and len(key) >= 2 * _CHANNELS[kind]:
        picture = _with_key(picture, key, depth)
    return StoredPicture(
        picture.values,
        picture.full,
        picture.orientation,
        profile=picture.profile,
        encoding=_encoding(chunks),
        frames=frames,
        text=picture.text,
    )


def _chunks(path: Path) -> dict[bytes, bytes]:
    """The small chunks before the pixels."""
    found: dict[bytes, bytes] = {}
    size = os.path.getsize(path)
    with path.open("rb") as file:
        file.seek(8)
        while file.tell() < size and len(found) < 100:
            head = file.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                break
            length = struct.unpack(">I", head[:4])[0]
            if length <= 1024:
                found.setdefault(head[4:], file.read(length))
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)
    return found


def _deep_color(path: Path, image: PngImageFile, kind: int) -> npt.NDArray[Any]:
    """Read 16-bit colour.

    Pillow's names for the stored layout end in 16B (big-endian, as in PNG) and 16L. Read as 16B, Pillow keeps
    the upper byte; read as 16L, the lower byte.
    """
    mode = "RGB" if kind == RGB else "RGBA"
    image.load()
    upper = np.asarray(image).astype(np.uint16)
    with open_picture(path) as again:
        assert isinstance(again, PngImageFile)
        again.tile = [again.tile[0]._replace(args=mode + ";16L")]
        lower = np.asarray(again)
    return upper * 256 + lower


def _grey_alpha(path: Path) -> npt.NDArray[Any]:
    """Read 16-bit grey and alpha: four bytes per pixel, as 8-bit RGBA, for which the PNG filters are the
    same."""
    data = bytearray(path.read_bytes())
    data[24:26] = bytes([8, RGBA])
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with Image.open(BytesIO(bytes(data))) as image:
        pixels = np.asarray(image).astype(np.uint16)
    return pixels[..., 0::2] * 256 + pixels[..., 1::2]


def _with_key(picture: StoredPicture, key: bytes, depth: int) -> StoredPicture:
    """Apply a colour key: pixels of exactly this colour are transparent."""
    channels = picture.values.shape[-1]
    color = np.frombuffer(key[: 2 * channels], ">u2").astype(np.int64)
    assert picture.full is not None
    color = color * int(picture.full) // (2**depth - 1) if depth < 16 else color
    hidden = (picture.values == color).all(axis=-1)
    alpha = np.where(hidden, 0, int(picture.full)).astype(picture.values.dtype)
    return with_alpha(picture, alpha)


def _encoding(chunks: dict[bytes, bytes]) -> str | float | None:
    """The encoding of a photo without a profile: cICP has priority over sRGB, and sRGB over gAMA."""
    coding = chunks.get(b"cICP", b"")
    if len(coding) == 4:
        known = {_SRGB: "srgb", _LINEAR: "linear", 1: "srgb"}
        return known.get(coding[1]) if coding[0] == _BT709 else f"cICP {coding[0]}/{coding[1]}"
    if b"sRGB" in chunks:
        return "srgb"
    gamma = chunks.get(b"gAMA", b"")
    if len(gamma) == 4 and (stored := struct.unpack(">I", gamma)[0]) > 0:
        if abs(stored - 45455) < 1500:
            return "srgb"
        return "linear" if abs(stored - 100000) < 1000 else 100000 / stored
    return None

"""TIFF files with numbers of any type (TIFF 6.0; BigTIFF; Adobe's technical notes).

tifffile reads all number types, but not all compressions, and no colours except RGB. Pillow reads all of these,
but only with 8 bits: it confuses other types (unsigned and signed, 16 and 8 bits) or does not support them.
"""

import os
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import InputError
from .stored_picture import LARGEST_FACTOR, StoredPicture, check_size, damaged, open_picture, pillow_picture

if TYPE_CHECKING:
    from tifffile import TiffPage

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
_DEFLATE = (8, 32946)
_OPEN = (1, *_DEFLATE, 32773)
"""Compressions that tifffile decodes without further packages: none, Deflate, PackBits."""
_REDUCED, _MASK = 1, 4
_MOST_PAGES, _MOST_TAGS = 10_000, 4096
_HARMLESS = 1 << 26


def read_tiff(path: Path) -> StoredPicture:
    """Read the first full-size page of a TIFF file; see `read_picture`."""
    import tifffile

    kinds = _kinds_of_pages(path)
    pages = [k for k, kind in enumerate(kinds) if not kind & (_REDUCED | _MASK)] or [0]
    with tifffile.TiffFile(path) as file:
        first = file.pages[pages[0]]
        page: TiffPage = first if isinstance(first, tifffile.TiffPage) else first.aspage()
        _check(path, page)
        bits, photometric = int(page.bitspersample), int(page.photometric)
        plain = photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB) or photometric == CMYK and bits > 8
        if plain and int(page.compression) in _OPEN and bits not in (1, 2, 4, 12):
            picture = _by_tifffile(path, page)
        elif page.index == 0 and (bits <= 8 and page.sampleformat == 1 or photometric in (YCBCR, LAB)):
            with open_picture(path) as image:
                picture = pillow_picture(path, image)
        else:
            picture = _by_libtiff(path, page)
        nodata = page.tags.get(42113)
        return StoredPicture(
            picture.values,
            picture.full,
            picture.orientation,
            picture.premultiplied,
            picture.profile,
            frames=len(pages),
            nodata=_number(None if nodata is None else nodata.value),
            text=picture.text,
        )


def _kinds_of_pages(path: Path) -> list[int]:
    """The tag NewSubfileType of each page, or 0; the chain of pages may contain cycles."""
    with path.open("rb") as file:
        start = file.read(16)
        order = "<" if start[:2] == b"II" else ">"
        big = 43 in start[2:4]
        count_code, entry, offset_code = ("Q", 20, "Q") if big else ("H", 12, "I")
        place = struct.unpack_from(order + offset_code, start, 8 if big else 4)[0]
        seen: dict[int, int] = {}
        while place and place not in seen and len(seen) < _MOST_PAGES:
            file.seek(place)
            count = struct.unpack(order + count_code, file.read(struct.calcsize(count_code)))[0]
            tags = file.read(entry * min(count, _MOST_TAGS))
            seen[place] = 0
            for at in range(0, len(tags) - entry + 1, entry):
                if struct.unpack_from(order + "H", tags, at)[0] == 254:
                    value = at + entry - struct.calcsize(offset_code)
                    seen[place] = struct.unpack_from(order + "I", tags, value)[0]
            following = file.read(struct.calcsize(offset_code))
            if count > _MOST_TAGS or not following:
                break
            place = struct.unpack(order + offset_code, following)[0]
    return list(seen.values()) or [0]


def _check(path: Path, page: "TiffPage") -> None:
    width, height = int(page.imagewidth), int(page.imagelength)
    bits, samples = int(page.bitspersample), int(page.samplesperpixel)
    stored = int(page.compression) == 1
    check_size(path, width, height, bits * samples / 8, not stored)
    photometric = int(page.photometric)
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB):
        name = getattr(page.photometric, "name", photometric)
        raw = photometric in (32803, 34892)
        what = "a raw photo of a camera; develop it" if raw else f"a TIFF of {name} values; convert it"
        raise InputError(f"{path} is {what} to RGB or grey")
    if page.dtype is not None and np.dtype(page.dtype).kind == "c":
        raise InputError(f"{path} holds complex numbers; save their size alone, as float32")
    if int(page.imagedepth) > 1 or page.axes not in ("YX", "YXS", "SYX"):
        raise InputError(f"{path} holds an array with axes {page.axes}; save one plane of it")
    size = os.path.getsize(path)
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not ends or min(page.databytecounts) < 1 or max(ends) > size:
        raise damaged(path, "parts of its pixels are missing")
    extra = len(page.extrasamples)
    expected = {RGB: 3, CMYK: 4, YCBCR: 3, LAB: 3}.get(photometric, 1)
    if samples - extra != expected or extra > 1 and any(int(kind) for kind in page.extrasamples[1:]):
        if not (samples - extra == 4 and photometric == RGB):
            raise InputError(f"{path} holds {samples} channels; save it as grey, RGB or RGBA")


def _by_tifffile(path: Path, page: "TiffPage") -> StoredPicture:
    if int(page.compression) in _DEFLATE:
        _check_unpacked(path, page)
    values = page.asarray()
    if page.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(int(page.imagelength), int(page.imagewidth), -1)
    return _meaning(page, values)


def _check_unpacked(path: Path, page: "TiffPage") -> None:
    """Raise an error for a part that decompresses to much more than its pixels, if it is large."""
    expected = int(np.prod(page.chunks)) * np.dtype(page.dtype).itemsize
    with path.open("rb") as file:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if count * LARGEST_FACTOR > _HARMLESS:
                file.seek(offset)
                unpacked = zlib.decompressobj().decompress(file.read(count), expected + 1)
                if len(unpacked) > expected:
                    raise damaged(path, f"a part of it unpacks to more than its {expected} bytes")


def _meaning(page: "TiffPage", values: npt.NDArray[Any]) -> StoredPicture:
    """Convert to grey or RGB, where 0 is black, with at most one alpha channel."""
    kind, photometric = values.dtype.kind, int(page.photometric)
    full = None if kind == "f" else 1.0 if kind == "b" else float(np.iinfo(values.dtype).max)
    if kind == "u" and int(page.bitspersample) < 8 * values.dtype.itemsize:
        full = 2.0 ** int(page.bitspersample) - 1
    colors = {RGB: 3, CMYK: 4}.get(photometric, 1)
    extra = [int(sample) for sample in page.extrasamples]
    alpha = [values[..., colors : colors + 1]] if extra and extra[0] in (1, 2) else []
    if not extra and values.shape[-1] == colors + 1:
        alpha = [values[..., colors:]]
    color = values[..., :colors]
    if photometric == CMYK and full is not None:
        ink = color.astype(np.float64) / full
        color = ((1 - ink[..., :3]) * (1 - ink[..., 3:]) * full).round().astype(values.dtype)
    if photometric == WHITE_IS_ZERO and kind == "u":
        color = (np.asarray(full, values.dtype) - color).astype(values.dtype)
    profile = page.tags.get(34675)
    turn = page.tags.get(274)
    return StoredPicture(
        np.concatenate([color, *alpha], axis=-1),
        full,
        int(turn.value) if turn is not None and isinstance(turn.value, int) else 1,
        bool(alpha) and bool(extra) and extra[0] == 1,
        None if profile is None or photometric == CMYK else bytes(profile.value),
    )


def _by_libtiff(path: Path, page: "TiffPage") -> StoredPicture:
    """Read compressions that only libtiff (in Pillow) decodes: grey directly, and colour byte by byte."""
    kind, bits = np.dtype(page.dtype).kind if page.dtype is not None else "?", int(page.bitspersample)
    what = {"u": "unsigned", "i": "signed", "f": "float"}.get(kind, "odd") + f" {bits}-bit"
    refusal = InputError(
        f"{path} holds {what} numbers with compression {getattr(page.compression, 'name', page.compression)}, "
        "which is not read; save it without compression or with Deflate"
    )
    if page.index != 0 or int(page.planarconfig) != 1:
        raise refusal
    with open_picture(path) as image:
        assert isinstance(image, TiffImageFile)
        mode = str(image.mode)
        if mode.startswith("RGB") and bits == 16 and kind == "u":
            values = _byte_by_byte(path, image)
        elif mode in ("I;16", "I;16B", "I", "F") and int(page.samplesperpixel) == 1:
            values = np.asarray(image)
            if kind != "f" and bits != 12:
                values = values.astype(np.dtype(page.dtype).newbyteorder("="))
        else:
            raise refusal
    picture = _meaning(page, values.reshape(*values.shape[:2], -1))
    return StoredPicture(  # Pillow has turned it upright
        picture.values, picture.full, 1, picture.premultiplied, picture.profile
    )


def _byte_by_byte(path: Path, image: TiffImageFile) -> npt.NDArray[Any]:
    """Read 16-bit colour: Pillow keeps one of two bytes, and the name of the layout decides which one."""
    mode = _layout(image).split(";")[0].replace("a", "A").replace("X", "")
    halves = []
    for ending in ("16L", "16B") if sys.byteorder == "little" else ("16B", "16L"):
        with open_picture(path) as again:
            assert isinstance(again, TiffImageFile)
            tile = again.tile[0]
            again.tile = [tile._replace(args=(f"{mode};{ending}", *(tile.args or ())[1:]))]
            halves.append(np.asarray(again).astype(np.uint16))
    upper, lower = halves  # libtiff gives the machine's byte order, and 16L keeps the second byte
    return upper * 256 + lower


def _layout(image: TiffImageFile) -> str:
    """Pillow's name for how the pixels are stored."""
    return str((image.tile[0].args or ("",))[0])


def _number(value: object) -> float | None:
    try:
        return None if value is None else float(str(value).strip("\0 ").replace(",", "."))
    except ValueError:
        return None

"""Readers of the stored values of picture files.

Pillow reads most formats. Where it would lose bits or misread number types, `png` and `tiff` are used instead.
EXR is read by `exr`, because its channels have names. HEIC and HEIF, as phones write
them, are read through the optional package pillow-heif.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from .png import read_png
from .stored_picture import StoredPicture, check_file, check_size, damaged, open_picture, pillow_picture
from .tiff import read_tiff

BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevm", b"hevs", b"mif1")
"""Brands of single HEIC pictures (ISO/IEC 23008-12); mif1 may contain other formats, too."""
_CURVES = {16: "PQ", 18: "HLG"}  # ITU-T H.273; photographs of the usual range have an sRGB-like curve


def is_heif(start: bytes) -> bool:
    """Whether a file is HEIC or HEIF, by its first 64 bytes; AVIF is not, and is read by Pillow."""
    return start[4:8] == b"ftyp" and start[8:12] in BRANDS and b"avif" not in start


def read_heif(path: Path) -> StoredPicture:
    """Read the main picture, upright: its rotation is part of the format, independent of its EXIF data.

    Raises:
        InputError: pillow-heif is not installed, or the picture is too large.
    """
    image = _open(path)
    check_size(path, *image.size, bytes_per_pixel=0)
    values = np.asarray(image)
    values = values.reshape(*values.shape[:2], -1)
    bits = int(image.info.get("bit_depth", 8)) if values.dtype == np.uint16 else 8
    full = 255.0 if bits == 8 else float(((1 << bits) - 1) << (16 - bits))
    curve = _CURVES.get((image.info.get("nclx_profile") or {}).get("transfer_characteristics", 0))
    profile = image.info.get("icc_profile") or None
    return StoredPicture(values, full, profile=profile, encoding=None if profile else curve)


def heif_tags(path: Path) -> dict[int, Any]:
    """EXIF tags of a HEIC picture, of the main and the EXIF directory; none if they are damaged."""
    exif = Image.Exif()
    try:
        exif.load(_open(path).info.get("exif") or b"")
        return {**exif, **exif.get_ifd(0x8769)}
    except Exception:  # Pillow raises errors of many kinds
        return {}


def _open(path: Path) -> Any:
    try:
        import pillow_heif
    except ModuleNotFoundError:
        raise InputError(
            f"{path} is a HEIC picture, which needs another package; run: pip install 'bozzetto[heic]', or "
            "save it as PNG or JPEG"
        ) from None
    file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
    return file[file.primary_index]


EXR_MAGIC = b"\x76\x2f\x31\x01"
_FOREIGN = {
    b"%PDF": "a PDF document; export the picture in it as PNG",
    b"#?RADIANCE": "a Radiance picture (HDR), which is not read; save it as EXR or 16-bit PNG",
    b"#?RGBE": "a Radiance picture (HDR), which is not read; save it as EXR or 16-bit PNG",
    b"\xff\x0a": "a JPEG XL picture, which is not read; save it as PNG or JPEG",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture, which is not read; save it as PNG or JPEG",
    b"P7\n": "a PAM picture, which is not read; save it as PNG",
    b"SDPX": "a DPX picture, which is not read; save it as 16-bit TIFF or EXR",
    b"XPDS": "a DPX picture, which is not read; save it as 16-bit TIFF or EXR",
    b"<svg": "an SVG drawing; export it as PNG",
    b"<?xml": "an XML document, perhaps an SVG drawing; export it as PNG",
    b"<!DOCTYPE": "a web page and no picture; download the picture itself",
    b"<html": "a web page and no picture; download the picture itself",
    b"version https://git-lfs": "the pointer of a file in Git LFS; run git lfs pull",
    b"\x93NUMPY": "a NumPy array; save it as 16-bit PNG, TIFF or EXR",
    b"PK\x03\x04": "a zip archive; unpack it",
    b"%!PS": "a PostScript document; export it as PNG",
}
_BRANDS = {
    b"hevc": "a HEIC sequence, which is not read; save it as PNG or JPEG",
    b"crx ": "a raw photo of a camera, which is not read; develop it to PNG or TIFF",
    b"mp42": "a video; give a picture",
    b"isom": "a video; give a picture",
    b"qt  ": "a video; give a picture",
}


def is_exr(path: Path, kind: str = "image") -> bool:
    """Whether a file is EXR, by its first bytes.

    Raises:
        InputError: The same as for `check_file`.
    """
    return check_file(path, kind)[:4] == EXR_MAGIC


def read_picture(path: Path, kind: str = "image") -> StoredPicture:
    """Read the stored values of a picture in any format except EXR.

    Raises:
        InputError: The file is missing, damaged, not a picture, of an unsupported format, or too large.
    """
    start = check_file(path, kind)
    _refuse_foreign(path, start)
    try:
        with _silenced():
            picture = _read(path, start)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise damaged(path, "it is not a picture, or a damaged one", kind) from None
    except ValueError as error:
        if "MAX_TEXT" in str(error):
            raise InputError(
                f"{path} holds text or a colour profile of more than a megabyte; save it without"
            ) from None
        raise damaged(path, error, kind) from None
    except Exception as error:  # what readers stumble over in a damaged file is of many kinds
        raise damaged(path, error, kind) from None
    if 0 in picture.values.shape or picture.values.shape[-1] > 4:
        raise damaged(path, f"its header and its {picture.values.shape[-1]} channels do not agree", kind)
    return picture


def _read(path: Path, start: bytes) -> StoredPicture:
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return read_tiff(path)
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return read_png(path)
    if start[:2] in (b"P2", b"P3", b"P5", b"P6"):
        return read_pnm(path)
    if is_heif(start):
        return read_heif(path)
    if start[:2] == b"\xff\xd8":
        _refuse_jpeg(path)
    with open_picture(path) as image:
        return pillow_picture(path, image)


@contextmanager
def _silenced() -> Iterator[None]:
    """Silence warnings of libraries about unusual files; the readers issue their own."""
    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _refuse_foreign(path: Path, start: bytes) -> None:
    found = next((words for magic, words in _FOREIGN.items() if start.lstrip().startswith(magic)), None)
    if start[4:8] == b"ftyp":
        found = _BRANDS.get(start[8:12], found)
    if found is not None:
        raise InputError(f"{path} is {found}")


def _refuse_jpeg(path: Path) -> None:
    """Raise an error with the name of the kind for rare JPEG files: lossless, or with more than 8 bits."""
    with path.open("rb") as file:
        file.read(2)
        for _ in range(1000):
            marker = file.read(2)
            if len(marker) < 2 or marker[0] != 0xFF:
                return
            length = int.from_bytes(file.read(2), "big")
            if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
                bits = (file.read(1) or b"\x08")[0]
                if marker[1] in (0xC3, 0xC7, 0xCB, 0xCF) or bits != 8:
                    lossless = "lossless " if marker[1] in (0xC3, 0xC7, 0xCB, 0xCF) else ""
                    raise InputError(
                        f"{path} is a {lossless}JPEG of {bits} bits, which is not read; save it as PNG"
                    )
                return
            if marker[1] == 0xDA or length < 2:
                return
            file.seek(length - 2, 1)


_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"P([2356])" + 3 * (_GAP + rb"(\d+)") + rb"\s")


def read_pnm(path: Path) -> StoredPicture:
    """Read a grey or colour picture; see `read_picture`. If a file contains several, read the first."""
    with path.open("rb") as file:
        found = _HEADER.match(file.read(4096))
        if found is None or any(len(number) > 9 for number in found.groups()):
            raise damaged(path, "its header is not that of a PGM or PPM file")
        kind, width, height, largest = (int(number) for number in found.groups())
        channels = 3 if kind in (3, 6) else 1
        bytes_each = 2 if largest > 255 else 1
        if not 0 < largest < 65536:
            raise damaged(path, f"its largest value is {largest}; between 1 and 65535 are allowed")
        check_size(path, width, height, channels * bytes_each if kind > 3 else 2 * channels - 1, False)
        count = width * height * channels
        file.seek(found.end())
        if kind > 3:
            values = np.frombuffer(file.read(count * bytes_each), ">u2" if bytes_each == 2 else np.uint8)
        else:
            words = re.sub(rb"#[^\n]*", b"", file.read(os.path.getsize(path))).split(maxsplit=count)[:count]
            values = np.array([int(word) for word in words], np.int64)
    if len(values) < count:
        raise damaged(path, f"it ends after {len(values)} of {count} values")
    if values.max() > largest or values.min() < 0:
        raise damaged(path, f"a value lies outside 0 to {largest}")
    pixels = values.astype(np.uint16 if bytes_each == 2 else np.uint8).reshape(height, width, channels)
    return StoredPicture(pixels, float(largest))

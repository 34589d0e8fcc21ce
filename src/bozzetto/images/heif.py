"""Reading HEIC and HEIF pictures, as phones write them, through the optional package pillow-heif."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from .stored_picture import StoredPicture, check_size

BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevm", b"hevs", b"mif1")
"""Of single pictures (ISO/IEC 23008-12); mif1 may hold other kinds, too."""
_CURVES = {16: "PQ", 18: "HLG"}  # ITU-T H.273; photographs of the usual range have an sRGB-like curve


def is_heif(start: bytes) -> bool:
    """Whether a file is such a picture, by its first 64 bytes; AVIF is another kind, which Pillow reads."""
    return start[4:8] == b"ftyp" and start[8:12] in BRANDS and b"avif" not in start


def read_heif(path: Path) -> StoredPicture:
    """Read the main picture, upright: its rotation is part of the format, whatever its EXIF data say.

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
    """EXIF tags of a HEIC picture that can be read, of the main and the EXIF directory; none if damaged."""
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

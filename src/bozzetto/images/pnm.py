"""PGM and PPM files with any largest value (Netpbm formats P2, P3, P5 and P6); Pillow rounds to 8 bits."""

import os
import re
from pathlib import Path

import numpy as np

from .stored_picture import StoredPicture, check_size, damaged

_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"P([2356])" + 3 * (_GAP + rb"(\d+)") + rb"\s")


def read_pnm(path: Path) -> StoredPicture:
    """Read a grey or colour picture; see `read_picture`. Of several in one file, the first."""
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

"""What EXIF data say about the focal length of a photograph."""

import math
from collections.abc import Mapping
from typing import Any

MAKE, MODEL, ORIENTATION, EXIF = 0x010F, 0x0110, 0x0112, 0x8769
FOCAL, FOCAL_35MM = 0x920A, 0xA405
WIDTH, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0xA002, 0xA20E, 0xA20F, 0xA210
DIAGONAL_35MM = math.hypot(36.0, 24.0)
"""Millimetres; equivalent focal lengths refer to it (CIPA DCG-001)."""
_UNITS = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}  # of the resolution on the sensor, in millimetres
PLAUSIBLE = (0.2, 20.0)
"""Focal lengths as shares of the longer side beyond which EXIF data are not believed."""


def focal_pixels(tags: Mapping[int, Any], size: tuple[int, int]) -> float | None:
    """Focal length in pixels of a photograph of this size, None where it is not said.

    The equivalent focal length is preferred, because it holds for what is left of the sensor when the phone
    zooms. Without it, the focal length and the resolution on the sensor, which holds for the picture as it was
    taken: `ExifImageWidth` tells whether it was made smaller since.

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

"""Reading LAS and LAZ files of laser scanners, through the optional package laspy."""

import io

import numpy as np

from .arrays import Arrays, Unsupported, unit_colors

_SMALLEST = 227  # bytes of the shortest header
_POINT = 20  # bytes of the shortest point
_SHRINK = 200  # times that LAZ packs points at most


def read_las(data: bytes) -> Arrays:
    """Coordinates in double precision, scaled and moved as the header says, and colours if there are any.

    Raises:
        Unsupported: laspy is not installed.
    """
    try:
        import laspy
    except ModuleNotFoundError:
        raise Unsupported("LAS needs another package; run: pip install 'bozzetto[las]'") from None
    if len(data) < _SMALLEST:
        raise ValueError(f"{len(data)} bytes are too few for LAS")
    with laspy.open(io.BytesIO(data)) as reader:
        header = reader.header
        count = header.point_count
        room = len(data) * (_SHRINK if header.are_points_compressed else 1)
        if count * _POINT > room:
            raise ValueError(f"{count} points announced, {len(data)} bytes found")
        points = reader.read()
    if len(points) != count:
        raise ValueError(f"{count} points announced, {len(points)} found")
    notes: list[str] = []
    colors = None
    names = set(points.point_format.dimension_names)
    if {"red", "green", "blue"} <= names:
        colors = np.stack([np.asarray(one) for one in (points.red, points.green, points.blue)], axis=1)
        if not colors.any():
            colors = None  # the format has room for colours, the scanner had none
    return Arrays(
        np.stack([np.asarray(axis, np.float64) for axis in (points.x, points.y, points.z)], axis=1),
        colors=None if colors is None else unit_colors(colors, notes),
        notes=notes,
    )

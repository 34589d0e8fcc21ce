"""Reading NumPy files, .npy and .npz, whose headers may announce more than they hold."""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .arrays import Arrays, Unsupported
from .packed import Zip

_MAGIC = b"\x93NUMPY"
_HEAD = 1 << 16  # bytes that hold any header of numbers
_OPTIONAL = ("faces", "normals", "colors")


def read_npy(data: bytes) -> Arrays:
    """An array of shape (points, 3)."""
    points = numbers_of(data)
    if points.ndim != 2 or points.shape[1] != 3:
        kind = "points in 2D, " if points.ndim == 2 and points.shape[1] == 2 else ""
        raise Unsupported(f"it has {kind}shape {points.shape}, expected (points, 3)")
    surplus = len(data) - sum(_extent(data))
    notes = [f"{surplus} bytes behind its array were left out"] if surplus else []
    return Arrays(points, notes=notes)


def arrays_of(data: bytes, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """Those of the named arrays (all, if None) that an .npz file has, of numbers or text.

    Raises:
        ValueError: It is no such file, damaged, holds objects, or unpacks to far more than its size.
    """
    archive = Zip(data)
    members = _members(archive)
    found = {}
    for name in members if names is None else names:
        if name in members:
            # What a member holds behind its array is not unpacked.
            extent = sum(_extent(archive.read(members[name], _HEAD), "fiubU"))
            found[name] = _checked(archive.read(members[name], extent), "fiubU")
    return found


def _members(archive: Zip) -> dict[str, str]:
    return {name.removesuffix(".npy"): name for name in archive.names}


def numbers_of(data: bytes) -> NDArray[Any]:
    """The array at the beginning of an .npy file, if its header announces no more than there is.

    Raises:
        ValueError: It is no such file, damaged, or holds something else than numbers.
    """
    return _checked(data, "fiub")


def _checked(data: bytes, kinds: str) -> NDArray[Any]:
    start, size = _extent(data, kinds)
    if start + size > len(data):
        raise ValueError(f"{size} bytes announced, {len(data) - start} bytes found")
    return npy.read_array(io.BytesIO(data), allow_pickle=False)


def _extent(data: bytes, kinds: str = "fiub") -> tuple[int, int]:
    """Bytes of the header of an .npy file and of the numbers that it announces."""
    file = io.BytesIO(data)
    if not data.startswith(_MAGIC):
        raise Unsupported("it does not begin as NumPy files do; save it with numpy.save")
    version = npy.read_magic(file)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, kind = read_header(file)
    if kind.kind not in kinds:
        raise Unsupported(f"it holds {kind}, expected numbers")
    count = 1
    for side in shape:
        count *= side
    return file.tell(), count * kind.itemsize


def read_npz(data: bytes) -> Arrays:
    """An archive with `vertices` or `points`, and optionally `faces`, `normals` and linear `colors`."""
    members = _members(Zip(data))
    name = "vertices" if "vertices" in members else "points"
    if name not in members:
        raise Unsupported(
            f"it has no array called vertices or points, only {', '.join(members)[:200] or 'none at all'}"
        )
    wanted = [name, *(key for key in _OPTIONAL if key in members)]
    arrays = arrays_of(data, wanted)
    for key, array in arrays.items():
        if array.ndim != 2 or array.shape[1] != 3:
            raise Unsupported(f"its array {key} has shape {array.shape}, expected (rows, 3)")
    faces = arrays.get("faces", np.zeros((0, 3), np.int64))
    if faces.dtype.kind not in "iu":
        raise Unsupported(f"its faces are {faces.dtype}, not integers")
    optional = {key: arrays[key] for key in ("normals", "colors") if key in arrays}
    left = [key for key in members if key not in wanted]
    notes = [f"its arrays {', '.join(left)[:200]} were left out"] if left else []
    return Arrays(arrays[name], faces, **optional, linear=True, notes=notes)

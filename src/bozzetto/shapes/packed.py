"""Reading of regular files, of gzip and zip archives, and of NumPy files, with bounds on their size.

Decompression stops at a size beyond that of any real shape, and the sizes in headers are not trusted.
"""

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import InputError
from .arrays import Arrays, Unsupported

_STEP = 1 << 20
_FREE = 1 << 26  # bytes to which anything may unpack
_RATIO = 100  # times its packed size to which more may unpack; shapes shrink by less than 50 times


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The bytes of a regular file, or at most its first `most` bytes.

    Raises:
        InputError: It does not exist, is a folder, a pipe or a device, or may not be read.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:
                return file.read() if most is None else file.read(most)
        reason = "a folder" if stat.S_ISDIR(mode) else "no regular file"
    except PermissionError as error:
        reason = error.strerror
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise InputError(f"{str(path)[:300]} does not exist or is not a file ({reason}); check the path")


def gunzipped(data: bytes) -> bytes:
    """The decompressed contents of a gzip file with all its members.

    Raises:
        ValueError: It ends early or is damaged.
        Unsupported: It decompresses to far more than a shape needs.
    """
    parts, total = [], 0
    while data:
        stream = zlib.decompressobj(wbits=31)
        rest = data
        while rest and not stream.eof:
            try:
                parts.append(stream.decompress(rest, _STEP))
            except zlib.error as error:
                raise ValueError(f"gzip: {error}") from None
            rest = stream.unconsumed_tail
            total += len(parts[-1])
            _check(total, len(data) - len(rest))
        if not stream.eof:
            raise ValueError("gzip: it ends too early")
        data = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _check(unpacked: int, packed: int) -> None:
    if unpacked > max(_FREE, _RATIO * packed):
        raise Unsupported(
            f"{packed} bytes unpack to more than {unpacked}, as no shape does; unpack it if you trust it"
        )


class Zip:
    """The files of a zip archive, read with a bound on their size."""

    def __init__(self, data: bytes) -> None:
        self.packed: int = len(data)
        self.unpacked: int = 0
        try:
            self.archive: zipfile.ZipFile = zipfile.ZipFile(io.BytesIO(data))
        except zipfile.BadZipFile as error:
            raise ValueError(f"zip: {error}") from None
        self.names: list[str] = [
            info.filename
            for info in self.archive.infolist()
            if not info.is_dir()
            and not info.filename.startswith("__MACOSX/")
            and not PurePosixPath(info.filename).name.startswith(".")
        ]

    def read(self, name: str, most: int | None = None) -> bytes:
        """One file of the archive, or its first bytes.

        Raises:
            ValueError: It is damaged or encrypted.
            Unsupported: It decompresses to far more than a shape needs.
        """
        parts = []
        try:
            with self.archive.open(name) as file:
                left = self.archive.getinfo(name).file_size if most is None else most
                while left > 0 and (part := file.read(min(left, _STEP))):
                    parts.append(part)
                    left -= len(part)
                    self.unpacked += len(part)
                    _check(self.unpacked, self.packed)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"zip: {error}") from None
        return b"".join(parts)


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
    """The arrays of an .npz file, of numbers or text: those of the given names, or all if None.

    Raises:
        ValueError: It is not an .npz file, is damaged, contains objects, or decompresses to far more than its
            size.
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
    """The array of an .npy file, if the file is as long as its header declares.

    Raises:
        ValueError: It is not an .npy file, is damaged, or contains something other than numbers.
    """
    return _checked(data, "fiub")


def _checked(data: bytes, kinds: str) -> NDArray[Any]:
    start, size = _extent(data, kinds)
    if start + size > len(data):
        raise ValueError(f"{size} bytes announced, {len(data) - start} bytes found")
    return npy.read_array(io.BytesIO(data), allow_pickle=False)


def _extent(data: bytes, kinds: str = "fiub") -> tuple[int, int]:
    """Number of bytes of the header of an .npy file, and of the data that it declares."""
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

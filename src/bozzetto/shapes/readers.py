"""From a path to arrays: which reader a file belongs to, and what is said when it cannot be read."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, warn_input
from .arrays import Arrays, Unsupported
from .gltf import read_gltf
from .numpy_files import numbers_of, read_npy, read_npz
from .obj import read_obj
from .off import read_off
from .ply import read_ply
from .point_tables import read_points
from .stl import read_stl

READERS: dict[str, Callable[[bytes], Arrays]] = {
    ".ply": read_ply,
    ".obj": read_obj,
    ".stl": read_stl,
    ".off": read_off,
    ".glb": read_gltf,
    ".npz": read_npz,
    ".npy": read_npy,
    ".xyz": read_points,
    ".txt": read_points,
    ".asc": read_points,
    ".csv": read_points,
    ".pts": read_points,
}
# First bytes that tell a format whatever the name says.
_SIGNATURES = {b"ply\n": ".ply", b"ply\r": ".ply", b"glTF": ".glb", b"\x93NUMPY": ".npy"}


def read_shape(path: Path) -> Arrays:
    """Read a file of any known format; what was left out of it is issued as warnings.

    Raises:
        InputError: The file is missing, no regular file, of unknown kind, damaged, or not read for another
            reason that the message says.
    """
    if path.suffix.lower() not in READERS:
        raise InputError(
            f"{path} has an unknown ending {path.suffix.lower()!r}; known are {', '.join(READERS)}"
        )
    data = read_bytes(path)
    ending = path.suffix.lower()
    told = next((known for start, known in _SIGNATURES.items() if data.startswith(start)), ending)
    name = told[1:].upper()
    # What exceeds float32 becomes infinite, and checks say so.
    with said(path, name), np.errstate(over="ignore"):
        if not data:
            raise Unsupported("it is empty")
        arrays = READERS[told](data)
    if told != ending:
        arrays.notes.insert(0, f"it holds {name} whatever its name says, and was read as such")
    for note in arrays.notes:
        warn_input(f"{path}: {note}")
    return arrays


def read_array(path: Path) -> NDArray:
    """The numbers of an .npy file.

    Raises:
        InputError: It cannot be read or holds something else.
    """
    data = read_bytes(path)
    try:
        return numbers_of(data)
    except (ValueError, TypeError, SyntaxError, EOFError) as error:
        raise InputError(f"cannot read {path} ({error}); give an array saved by NumPy") from None


def read_bytes(path: Path) -> bytes:
    """The whole of a regular file.

    Raises:
        InputError: It does not exist, is a folder, a pipe or a device, or may not be read.
    """
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise InputError(f"{path} does not exist or is not a file ({kind}); check the path")
        return path.read_bytes()
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{str(path)[:200]} does not exist or is not a file ({reason}); check the path"
        ) from None


@contextmanager
def said(path: Path, name: str) -> Iterator[None]:
    """Turn whatever a reader stumbles over into one sentence about the file.

    Args:
        path: The file.
        name: Its format.
    """
    try:
        yield
    except (InputError, ModuleNotFoundError):
        raise
    except Unsupported as error:
        raise InputError(f"{path} cannot be read as {name}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path} cannot be read as {name} ({reason}); the file is damaged, export it again"
        ) from error

"""Reading of shape files of any format: choice of the reader, and errors for unreadable files."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, warn_input
from .arrays import Arrays, Unsupported
from .gltf import read_gltf
from .packed import Zip, arrays_of, gunzipped, numbers_of, read_bytes, read_npy, read_npz
from .ply import read_ply
from .point_tables import read_points
from .scanner_formats import read_las, read_pcd
from .stl import read_stl
from .text_meshes import read_obj, read_off

READERS: dict[str, Callable[[bytes], Arrays]] = {
    ".ply": read_ply,
    ".obj": read_obj,
    ".stl": read_stl,
    ".off": read_off,
    ".npz": read_npz,
    ".npy": read_npy,
    ".pcd": read_pcd,
    ".las": read_las,
    ".laz": read_las,
    ".xyz": read_points,
    ".xyzn": read_points,
    ".xyzrgb": read_points,
    ".txt": read_points,
    ".asc": read_points,
    ".csv": read_points,
    ".pts": read_points,
}
_GLTF = (".glb", ".gltf")
ENDINGS = (*READERS, *_GLTF)
"""Endings of supported files; each may be followed by .gz or .zip."""
_PACKED = (".gz", ".zip")
_HEAD = 4096  # bytes at the beginning, not all of which are zero in any format
_GZIP, _ZIP = b"\x1f\x8b", b"PK\3\4"
_ALIKE = {".glb": _GLTF, ".gltf": _GLTF, ".las": (".las", ".laz")}
_TEXTS = (".txt", ".asc", ".csv")
# First bytes that identify a format whatever its name.
_SIGNATURES = {
    b"ply\n": ".ply",
    b"ply\r": ".ply",
    b"glTF": ".glb",
    b"\x93NUMPY": ".npy",
    b"LASF": ".las",
    b"# .PCD": ".pcd",
    _GZIP: ".gz",
}
# Formats that are not read, by their first bytes or their endings.
_FOREIGN = {
    b"Kaydara FBX": "FBX",
    b"; FBX": "FBX",
    b"BLENDER": "a Blender file",
    b"# vtk DataFile": "VTK",
    b"#VRML": "VRML",
    b"ISO-10303-21": "STEP",
    b"#USDA": "USD",
    b"#usda": "USD",
    b"PXR-USDC": "USD",
    b"ASTM-E57": "E57",
    b"xof ": "DirectX X",
    b"AC3D": "AC3D",
    b"%PDF": "PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x89HDF": "HDF5",
}
_MARKUP = {"COLLADA": "COLLADA", "VTKFile": "VTK", "X3D": "X3D", "<kml": "KML", "<html": "a web page"}


def ending_of(path: Path) -> str:
    """The ending that identifies the format, in lower case: ".ply" for both a.PLY and a.ply.gz."""
    inner = path.suffixes[:-1] if path.suffix.lower() in _PACKED else path.suffixes
    return inner[-1].lower() if inner else path.suffix.lower()


def read_shape(path: Path) -> Arrays:
    """Read a file of any known format, with warnings about its parts that were not read.

    Raises:
        InputError: The file is missing, not a regular file, of an unknown format, damaged, or unsupported for a
            reason given by the message.
    """
    ending = ending_of(path)
    if ending not in (*ENDINGS, *_PACKED):
        raise InputError(
            f"{path} has an unknown ending {ending!r}; known are {', '.join(ENDINGS)}, also with .gz or .zip"
        )
    if read_bytes(path, _HEAD) == bytes(_HEAD):  # seen before all of a large file is read
        raise InputError(f"{path} begins with {_HEAD} zero bytes, as no shape does; export it again")
    data = read_bytes(path)
    # What exceeds float32 becomes infinite, and checks say so.
    with explained_errors(path, ending[1:].upper()), np.errstate(over="ignore", invalid="ignore"):
        arrays = _read(data, ending, lambda name, most: read_bytes(_beside(path, name), most))
        if path.suffix.lower() in _PACKED and not data.startswith((_GZIP, _ZIP)):
            arrays.notes.insert(0, f"it is not packed, whatever {path.suffix} says")
    for note in arrays.notes:
        warn_input(f"{path}: {note}")
    return arrays


def _read(data: bytes, ending: str, fetch: Callable[[str, int], bytes]) -> Arrays:
    """Read bytes of a known format.

    Args:
        data: The bytes, optionally compressed.
        ending: The ending of the name.
        fetch: Function of the name of another file, and of a number of bytes, that returns its first bytes.
    """
    if not data:
        raise Unsupported("it is empty")
    if data.startswith(_GZIP):
        data = gunzipped(data)
    if data.startswith(_ZIP) and ending != ".npz":
        return _read_archive(Zip(data))
    detected = _detected_ending(data, ending)
    if detected in _PACKED:
        raise Unsupported("it is packed twice, or what is in it has no known ending; unpack it")
    arrays = read_gltf(data, fetch) if detected in _GLTF else READERS[detected](data)
    if ending not in (detected, *_PACKED, *_ALIKE.get(detected, ())):
        arrays.notes.insert(
            0, f"it holds {detected[1:].upper()} whatever its name says, and was read as such"
        )
    return arrays


def _detected_ending(data: bytes, ending: str) -> str:
    """The ending of the format of the first bytes; `ending` if they are of no other known format."""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    foreign = next((name for start, name in _FOREIGN.items() if head.startswith(start)), None)
    if head.startswith(b"<"):
        text = head.decode("ascii", "replace")
        foreign = next((name for word, name in _MARKUP.items() if word in text), "XML")
    if foreign is not None:
        raise Unsupported(f"it holds {foreign}, which is not read; export it as GLB, PLY or OBJ")
    if head.startswith(b"{") and ending not in _GLTF:
        return ".gltf"
    return next((known for start, known in _SIGNATURES.items() if head.startswith(start)), ending)


def _read_archive(archive: Zip) -> Arrays:
    """Read the one shape of a zip archive."""
    shapes = [name for name in archive.names if Path(name).suffix.lower() in ENDINGS]
    if len(shapes) > 1:  # a text or a table may describe the shape
        shapes = [name for name in shapes if Path(name).suffix.lower() not in _TEXTS] or shapes
    if "vertices.npy" in archive.names or "points.npy" in archive.names:
        raise Unsupported("it holds NumPy arrays; call it .npz")
    if any(name.endswith(".model") for name in archive.names):
        raise Unsupported("it holds 3MF, which is not read; export it as GLB, PLY or OBJ")
    if len(shapes) != 1:
        found = ", ".join(shapes[:5] or archive.names[:5])[:200] or "nothing"
        raise Unsupported(f"it must hold one shape but holds {len(shapes)} ({found}); unpack it")
    inner = PurePosixPath(shapes[0])
    fetch = lambda name, most: archive.read(str(inner.parent / name))[:most]  # noqa: E731
    return _read(archive.read(shapes[0]), inner.suffix.lower(), fetch)


def _beside(path: Path, name: str) -> Path:
    """A file to which another one refers, in its folder or below."""
    if "://" in name:
        raise Unsupported(f"it needs {name[:100]} from the network; save it with its data inside, as GLB")
    beside = path.parent / name
    if not beside.is_file():
        raise Unsupported(f"it needs {name[:100]}, which is not beside it; copy both, or save it as GLB")
    return beside


def read_arrays(path: Path, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file: those of the given names, or all if None.

    Raises:
        InputError: It cannot be read, contains objects, or decompresses to far more than its size.
    """
    data = read_bytes(path)
    try:
        return arrays_of(data, names)
    except (ValueError, TypeError, SyntaxError, EOFError) as error:
        raise InputError(f"cannot read {path} ({error}); give an archive saved by NumPy") from None


def read_array(path: Path) -> NDArray[Any]:
    """The numbers of an .npy file.

    Raises:
        InputError: It cannot be read or contains something other than numbers.
    """
    data = read_bytes(path)
    try:
        return numbers_of(data)
    except (ValueError, TypeError, SyntaxError, EOFError) as error:
        raise InputError(f"cannot read {path} ({error}); give an array saved by NumPy") from None


@contextmanager
def explained_errors(path: Path, name: str) -> Iterator[None]:
    """Turn every error of a reader into an `InputError` about the file.

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

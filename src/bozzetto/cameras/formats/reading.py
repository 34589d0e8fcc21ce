"""Reading of camera files of any supported format, given a file or a folder.

For known files of other programs that are not supported, messages say which export works.
"""

import os
from collections.abc import Callable
from pathlib import Path

import torch

from ...errors import InputError
from ...images.io import SUFFIXES
from ..camera import Cameras
from .camera_files import PosedViews, read_json
from .colmap import find_colmap, read_colmap
from .photogrammetry import is_reality_capture, read_metashape, read_reality_capture
from .projection_matrices import ENDINGS, matrix_files, read_idr, read_llff, read_matrices, read_middlebury
from .structure_from_motion import HEADER, LARGEST_JSON, read_alicevision, read_bundler, read_openmvg
from .transforms_json import find_polycam, read_polycam, read_transforms

_CSV = "export Alignment > Registration > Internal/External camera parameters (CSV) from it"
_MESHROOM = "give cameras.sfm of its StructureFromMotion node, or export it with ConvertSfMFormat to .sfm"
FOREIGN_ENDINGS = {
    ".psx": (
        "a project of Metashape",
        "export the cameras from it with File > Export > Export Cameras (XML)",
    ),
    ".psz": (
        "a project of Metashape",
        "export the cameras from it with File > Export > Export Cameras (XML)",
    ),
    ".rcproj": ("a project of RealityCapture", _CSV),
    ".rsproj": ("a project of RealityScan", _CSV),
    ".rcalign": ("a component of RealityCapture", _CSV),
    ".xmp": ("a sidecar file of RealityCapture", _CSV),
    ".mvs": ("a scene of OpenMVS", "give the COLMAP or OpenMVG model that it was made from"),
    ".nvm": ("a scene of VisualSFM", "save it there as bundle.out with list.txt"),
    ".abc": ("an Alembic file", _MESHROOM),
    ".mg": ("a graph of Meshroom", _MESHROOM),
    ".usdz": ("a USD scene", "export transforms.json or a COLMAP model from the app that wrote it"),
    ".r3d": ("a recording of Record3D", "convert it to transforms.json, with ns-process-data of nerfstudio"),
    ".db": ("a database of COLMAP", "give the sparse model that its mapper wrote, such as sparse/0"),
    ".p4d": ("a project of Pix4D", "export its cameras as a Bundler file"),
    ".mlp": ("a project of MeshLab", "export its cameras as bundle.out"),
    ".fbx": ("a scene with animated cameras", "export transforms.json, a COLMAP model or a CSV file instead"),
    ".dae": ("a scene with animated cameras", "export transforms.json, a COLMAP model or a CSV file instead"),
    ".blend": ("a scene of Blender", "export transforms.json from it"),
}
"""Unsupported files by extension: description and advice."""
FOREIGN_NAMES = {
    "reconstruction.json": ("a reconstruction of OpenSfM", "convert it with its command export_colmap"),
    "rigs.bin": ("a part of a COLMAP model", "give the folder that holds it"),
    "frames.bin": ("a part of a COLMAP model", "give the folder that holds it"),
    "rigs.txt": ("a part of a COLMAP model", "give the folder that holds it"),
    "frames.txt": ("a part of a COLMAP model", "give the folder that holds it"),
}
"""Unsupported files by name: description and advice."""
_WORDS = {
    "BlocksExchange": ("a file of ContextCapture", "export its cameras to COLMAP or Metashape XML"),
    "ExportOrient": ("an orientation of MicMac", "convert it with mm3d Apero2NVM or to COLMAP"),
    "OrientationConique": ("an orientation of MicMac", "convert it with mm3d Apero2NVM or to COLMAP"),
    "NVM_V3": FOREIGN_ENDINGS[".nvm"],
    "fileName imageWidth imageHeight": FOREIGN_ENDINGS[".p4d"],
}
"""Unsupported files by a word near the beginning of their text: description and advice."""


def refuse_foreign(path: Path) -> None:
    """Raise an error for a file in a known but unsupported format.

    Raises:
        InputError: The format is unsupported; the message names it and the export that works.
    """
    found = FOREIGN_NAMES.get(path.name.lower()) or FOREIGN_ENDINGS.get(path.suffix.lower())
    if found is None:
        with path.open("rb") as file:
            start = file.read(2000).decode("latin-1")
        found = next((about for word, about in _WORDS.items() if word in start), None)
    if found is not None:
        raise InputError(f"{path} is {found[0]}, which is not read; {found[1]}")


def about_foreign(folder: Path) -> str | None:
    """Message about an unsupported file in a folder without supported camera files; None if there is none."""
    for file in sorted(folder.iterdir()):
        found = FOREIGN_NAMES.get(file.name.lower()) or FOREIGN_ENDINGS.get(file.suffix.lower())
        if found is not None:
            return f"{file} is {found[0]}, which is not read; {found[1]}"
    return None


class NoCameras(InputError):
    """A folder has no supported camera file; it may contain photographs."""


Reader = Callable[[Path, Path | None], PosedViews]
KNOWN = (
    "transforms.json, COLMAP, Metashape XML, RealityCapture CSV, NeuS or IDR cameras.npz, LLFF "
    "poses_bounds.npy, OpenMVG and Meshroom JSON, Bundler, Polycam, Middlebury _par.txt and projection matrices"
)
"""Supported formats, for messages."""
NAMES: tuple[tuple[str, Reader], ...] = (
    ("transforms.json", read_transforms),
    ("transforms_train.json", read_transforms),
    ("*_par.txt", read_middlebury),
)
"""Name patterns of camera files that are preferred to a COLMAP model in the same folder, and their readers."""
OTHERS: tuple[tuple[str, Reader], ...] = (
    ("cameras_sphere.npz", read_idr),
    ("cameras*.npz", read_idr),
    ("poses_bounds.npy", read_llff),
    ("sfm_data*.json", read_openmvg),
    ("cameras.sfm", read_alicevision),
    ("*.sfm", read_alicevision),
)
"""Name patterns of camera files that are tried after a COLMAP model, and their readers."""


def read_cameras(path: str | os.PathLike[str], photos: str | os.PathLike[str] | None = None) -> PosedViews:
    """Read the cameras of photographs from a file in any supported format, without decoding pictures.

    Args:
        path: A camera file, or a folder that contains one.
        photos: Folder of the pictures if it differs from the paths in the file.

    Returns:
        One view per photograph, in the world frame of the file.

    Raises:
        NoCameras: The path is a folder without a camera file.
        InputError: The camera file cannot be used; the message says why.
    """
    source, reader = find_camera_file(Path(path))
    folder = None if photos is None else Path(photos)
    if folder is not None and not folder.is_dir():
        raise InputError(f"there is no folder {folder} with photographs; give the folder where they lie")
    posed = reader(source, folder)
    if len(posed.views) < 2:
        raise InputError(f"{source} has a camera for one photograph only; a shape needs several")
    K = torch.eye(3, dtype=torch.float64).repeat(len(posed.views), 1, 1)
    poses = torch.stack([view.T_cam_world for view in posed.views])
    Cameras(poses, K, 1, 1).check([view.name for view in posed.views])
    return posed


def find_camera_file(path: Path) -> tuple[Path, Reader]:
    """Find the camera file in a folder, or the path itself if it is a file, and its reader.

    Raises:
        InputError: There is no camera file, its format is not supported, or there are several and none is
            preferred.
    """
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # a name that is too long or has forbidden characters
        raise InputError(f"there is no capture {str(path)[:200]!r}: {error}; check the path") from None
    if not exists:
        raise InputError(f"there is no capture {path}; give a folder with photographs and their cameras")
    if not path.is_dir():
        model = find_colmap(path)
        return (path, _reader(path)) if model is None else (model, read_colmap)
    found = _named(path, NAMES)
    if found is None:
        model = find_colmap(path)
        found = (model, read_colmap) if model is not None else _named(path, OTHERS)
    if found is None:
        polycam = find_polycam(path)
        found = (polycam, read_polycam) if polycam is not None else _by_content(path)
    if found is None and matrix_files(path):
        found = (path, read_matrices)
    if found is None:
        raise NoCameras(
            about_foreign(path)
            or f"there are no cameras in {path}; calibrate the photographs first, for instance with COLMAP "
            f"({KNOWN} are read)"
        )
    return found


def _named(folder: Path, names: tuple[tuple[str, Reader], ...]) -> tuple[Path, Reader] | None:
    for pattern, reader in names:
        found = [p for p in sorted(folder.glob(pattern)) if p.is_file()]
        if len(found) > 1:
            raise InputError(f"{folder} holds {len(found)} camera files ({pattern}); give the one you mean")
        if found:
            return found[0], reader
    return None


def _by_content(folder: Path) -> tuple[Path, Reader] | None:
    """The file of a folder that is a camera file by its content."""
    tests: tuple[tuple[str, Callable[[Path], bool], Reader], ...] = (
        ("*.xml", _is_metashape, read_metashape),
        ("*.csv", is_reality_capture, read_reality_capture),
        ("*.out", _is_bundler, read_bundler),
    )
    for pattern, is_one, reader in tests:
        places = (folder, folder / "bundle") if pattern == "*.out" else (folder,)
        found = [p for place in places for p in sorted(place.glob(pattern)) if p.is_file() and is_one(p)]
        if pattern == "*.out":  # Bundler also writes one after each step
            found = [p for p in found if p.name in ("bundle.out", "bundle.rd.out")][:1] or found
        if len(found) > 1:
            raise InputError(f"{folder} holds {len(found)} camera files ({pattern}); give the one you mean")
        if found:
            return found[0], reader
    return None


def _start(path: Path, size: int = 2000) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def _is_metashape(path: Path) -> bool:
    start = _start(path)
    return b"<document" in start and b"<chunk" in start


def _is_bundler(path: Path) -> bool:
    return _start(path).startswith(HEADER.encode())


def _reader(path: Path) -> Reader:
    """The reader of a file, by its name and then by its content."""
    name, ending = path.name.lower(), path.suffix.lower()
    if not path.is_file():
        raise InputError(f"{path} is no regular file; give a folder with photographs and their cameras")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; export it again")
    refuse_foreign(path)
    if _is_bundler(path):
        return read_bundler
    if ending == ".json":
        return _json_reader(path)
    if name.endswith(ENDINGS):
        return read_matrices
    by_ending: dict[str, Reader] = {
        ".sfm": read_alicevision,
        ".xml": read_metashape,
        ".csv": read_reality_capture,
        ".npz": read_idr,
        ".npy": read_llff,
        ".out": read_bundler,
        ".txt": read_middlebury,
    }
    if ending in by_ending:
        return by_ending[ending]
    if ending in SUFFIXES:
        raise InputError(f"{path} is one picture; give the folder that holds all photographs")
    raise InputError(f"{path} is no camera file that is read; {KNOWN} are")


def _json_reader(path: Path) -> Reader:
    data = read_json(path, LARGEST_JSON)
    keys = set(data) if isinstance(data, dict) else set()
    if "frames" in keys:
        return read_transforms
    if {"sfm_data_version", "root_path"} & keys or "extrinsics" in keys:
        return read_openmvg
    if {"views", "poses"} <= keys:
        return read_alicevision
    if {"t_00", "fx"} <= keys and find_polycam(path.parent) is not None:
        raise InputError(f"{path} is one camera of Polycam; give the folder {path.parent}")
    if isinstance(data, list) and data and isinstance(data[0], dict) and "shots" in data[0]:
        raise InputError(
            f"{path} is a reconstruction of OpenSfM, which is not read; convert it with its export_colmap"
        )
    return read_transforms

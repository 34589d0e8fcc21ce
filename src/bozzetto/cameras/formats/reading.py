"""From a folder or file to what a camera file in it says, whatever its format."""

import os
from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from .camera_files import PosedViews
from .colmap import find_colmap, read_colmap
from .middlebury import read_middlebury
from .transforms_json import read_transforms


class NoCameras(InputError):
    """A folder holds no camera file; it may hold photographs."""


Reader = Callable[[Path, Path | None], PosedViews]


def read_cameras(path: str | os.PathLike, photos: str | os.PathLike | None = None) -> PosedViews:
    """The cameras of photographs from a file of any format that is known. No picture is opened.

    Args:
        path: A camera file, or a folder that holds one.
        photos: The folder where the pictures lie, if they are not where the file says.

    Returns:
        A view per photograph, sorted as in the file. The world is the file's.

    Raises:
        InputError: There is no camera file, or it cannot be used; one sentence says why.
    """
    source, reader = find_camera_file(Path(path))
    folder = None if photos is None else Path(photos)
    if folder is not None and not folder.is_dir():
        raise InputError(f"there is no folder {folder} with photographs; give the folder where they lie")
    return reader(source, folder)


def find_camera_file(path: Path) -> tuple[Path, Reader]:
    """The camera file in a folder, or the path itself if it is a file, and what reads it.

    Raises:
        InputError: There is none, or several and none is preferred.
    """
    if not path.exists():
        raise InputError(f"there is no capture {path}; give a folder with photographs and their cameras")
    if path.is_file():
        model = find_colmap(path)
        if model is not None:
            return model, read_colmap
        if path.suffix.lower() not in (".json", ".txt"):
            raise InputError(f"{path} is no camera file; give a transforms.json or a Middlebury _par.txt")
        return path, read_middlebury if path.suffix.lower() == ".txt" else read_transforms
    for name in ("transforms.json", "transforms_train.json"):
        if (path / name).is_file():
            return path / name, read_transforms
    found = sorted(path.glob("*_par.txt"))
    if len(found) == 1:
        return found[0], read_middlebury
    if found:
        raise InputError(f"{path} holds {len(found)} camera files (*_par.txt); give the one you mean")
    model = find_colmap(path)
    if model is not None:
        return model, read_colmap
    raise NoCameras(
        f"there are no cameras in {path}, no transforms.json, no *_par.txt and no COLMAP model; calibrate the "
        "photographs first, for instance with COLMAP"
    )

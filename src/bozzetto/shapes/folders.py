"""Shapes in folders: finding files, matching the files of two folders, and loading sets of clouds."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ..errors import InputError, join_names, warn_input
from .io import load_points
from .offsets import points_tensor
from .readers import read_array

SHAPE_ENDINGS = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf", ".npz", ".xyz", ".pcd", ".las", ".laz")
"""Endings of files with one mesh or cloud; .npy may contain many clouds."""
HEIGHT_ENDINGS = (".exr", ".png", ".tif", ".tiff")
"""Endings of height maps; of several files with one name, the first of these is used."""


def matched_shapes(pred: Path, ref: Path, arrays: bool = False) -> list[tuple[str, Path, Path]]:
    """Name, prediction and reference of each pair; files in folders are matched by name, without ending.

    Args:
        pred: A file or a folder.
        ref: A file or a folder, like `pred`.
        arrays: Whether .npy files are included.

    Raises:
        InputError: A path is missing, only one is a folder, or a reference has no prediction.
    """
    if not _are_folders(pred, ref):
        return [(pred.stem, pred, ref)]
    endings = (*SHAPE_ENDINGS, ".npy") if arrays else SHAPE_ENDINGS
    found = {path.stem: path for path in _files_in(pred, endings)}
    wanted = {path.stem: path for path in _files_in(ref, endings)}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"{pred} has no shape named {missing[0]}, nor {len(missing) - 1} more of the {len(wanted)} "
            f"references in {ref}; a prediction belongs to the reference of the same name"
        )
    return [(name, found[name], path) for name, path in wanted.items()]


def matched_heights(pred: Path, ref: Path) -> dict[str, tuple[Path, Path]]:
    """Prediction and reference of every height map, matched by name; for names see `height_files`.

    Predictions without a reference are left out with a warning.

    Raises:
        InputError: A path is missing, only one is a folder, or a reference has no prediction.
    """
    if not _are_folders(pred, ref):
        return {ref.stem: (pred, ref)}
    found, wanted = height_files(pred), height_files(ref)
    common = sorted(set(found) & set(wanted))
    missing = sorted(set(wanted) - set(found))
    if missing and not common:
        raise InputError(
            f"{pred} has no height map named {missing[0]}; predictions and references belong together by name"
        )
    if missing:
        raise InputError(
            f"{pred} has no height map named {missing[0]}, nor {len(missing) - 1} more of the {len(wanted)} "
            f"references in {ref}; predict them too, or give a folder with the other references"
        )
    alone = sorted(set(found) - set(wanted))
    if alone:
        warn_input(
            f"{ref} has no reference for {len(alone)} height maps in {pred}, which are left out: "
            f"{join_names(alone)}"
        )
    return {name: (found[name], wanted[name]) for name in common}


def height_files(folder: Path) -> dict[str, Path]:
    """Height maps below a folder by name: the sub-folder's name for `height.*`, else that of the file.

    Of files with one name and several endings, the first of `HEIGHT_ENDINGS` is used, with a warning that names
    the others.

    Raises:
        InputError: There are none.
    """
    names: dict[Path, str] = {}
    for path in folder.rglob("*"):
        if path.suffix.lower() in HEIGHT_ENDINGS and path.stem == "height":
            name = path.parent.relative_to(folder).as_posix()
            names[path] = folder.name if name == "." else name
    if not names:
        files = [path for path in folder.iterdir() if path.suffix.lower() in HEIGHT_ENDINGS]
        names = {path: path.stem for path in files if path.name[0] != "."}
    if not names:
        raise InputError(f"{folder} holds no height maps; files must end in {', '.join(HEIGHT_ENDINGS)}")
    found: dict[str, Path] = {}
    for path in sorted(names, key=lambda p: (p.parent, HEIGHT_ENDINGS.index(p.suffix.lower()), p.name)):
        taken = found.setdefault(names[path], path)
        if taken != path:
            warn_input(f"{path} is left out, because {taken.name} of the same name is taken")
    return dict(sorted(found.items()))


def load_cloud_set(path: Path) -> dict[str, Tensor]:
    """Many 3D clouds by name, from a folder with a file for each, or from an array (clouds, points, 3).

    If a folder contains both single clouds and an array of all, as `bozzetto sample` writes it, the single
    files are used. Clouds are float64 if they are far from the origin.

    Raises:
        InputError: The path is missing, has fewer than two clouds, or has something other than 3D clouds.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if path.is_dir():
        files = _files_in(path, (*SHAPE_ENDINGS, ".npy"))
        single = [file for file in files if file.suffix.lower() != ".npy"]
        clouds = {str(file): load_points(file).world_points for file in single or files}
    else:
        if path.suffix.lower() != ".npy":
            raise InputError(f"{path} is no folder and no .npy file; give one of these")
        array = points_tensor(read_array(path), str(path))
        if array.ndim != 3 or array.shape[2] != 3:
            raise InputError(
                f"{path} has shape {tuple(array.shape)}, expected (clouds, points, 3); 2D clouds cannot be used"
            )
        clouds = {f"cloud {i} of {path}": cloud for i, cloud in enumerate(array)}
    if len(clouds) < 2:
        raise InputError(f"{path} holds {len(clouds)} clouds; sets of at least two are compared")
    return clouds


def _are_folders(pred: Path, ref: Path) -> bool:
    for path in (pred, ref):
        if not path.exists():
            raise InputError(f"{path} does not exist; check the path")
    if pred.is_dir() != ref.is_dir():
        raise InputError(f"{pred} and {ref} must be two files or two folders")
    return pred.is_dir()


def _files_in(folder: Path, endings: Sequence[str]) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)
    if not found:
        raise InputError(f"{folder} holds no shapes; files must end in {', '.join(endings)}")
    return found

"""Finding and loading what `evaluate` compares."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, warn_input

if TYPE_CHECKING:
    from torch import Tensor

    from ..shapes import Mesh, PointCloud

MESHES = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf", ".npz", ".xyz", ".pcd", ".las", ".laz")
SETS = (".npy",)  # a cloud, or one file with many
CLOUDS = (*MESHES, *SETS)


def matched(pred: Path, ref: Path, endings: tuple[str, ...]) -> list[tuple[str, Path, Path]]:
    """Name, prediction and reference; in folders those belong together whose names before the ending agree.

    Raises:
        InputError: A path is missing, only one is a folder, or a reference has no prediction.
    """
    for path in (pred, ref):
        if not path.exists():
            raise InputError(f"{path} does not exist; check the path")
    if pred.is_dir() != ref.is_dir():
        raise InputError(f"{pred} and {ref} must be two files or two folders")
    if not pred.is_dir():
        return [(pred.stem, pred, ref)]
    found = {path.stem: path for path in files_in(pred, endings)}
    pairs = [(path.stem, found.get(path.stem), path) for path in files_in(ref, endings)]
    missing = [name for name, one, _ in pairs if one is None]
    if missing:
        raise InputError(
            f"{pred} has no shape named {missing[0]}, nor {len(missing) - 1} more of the {len(pairs)} "
            f"references in {ref}; a prediction belongs to the reference of the same name"
        )
    return pairs  # type: ignore[return-value]


def files_in(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Files with one of the endings, sorted by name.

    Raises:
        InputError: There are none.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)
    if not found:
        raise InputError(f"{folder} holds no shapes; files must end in {', '.join(endings)}")
    return found


def faults_of(shapes: "dict[Path, Mesh | PointCloud]", solids: bool) -> list[str]:
    """What is wrong with meshes that are about to be compared, as sentences."""
    from ..geometry.measures import mesh_faults
    from ..shapes import Mesh

    meshes = {path: shape for path, shape in shapes.items() if isinstance(shape, Mesh)}
    return [f"{path} {fault}" for path, mesh in meshes.items() for fault in mesh_faults(mesh, solids)]


def warn_of_faults(faults: list[str], most: int = 5) -> None:
    """Say the first of many sentences, and how many there are."""
    for sentence in faults[:most]:
        warn_input(sentence)
    if len(faults) > most:
        warn_input(f"there are {len(faults) - most} more such faults of meshes")


def one_cloud(path: Path) -> "Tensor":
    """The points of a file, float64 where they are far from the origin.

    Raises:
        InputError: It holds no single cloud of points in 3D.
    """
    from ..shapes import load_points

    if path.suffix.lower() not in SETS:
        return load_points(path).world_points
    cloud = load_array(path)
    if cloud.ndim != 2 or cloud.shape[1] != 3:
        raise InputError(f"{path} has shape {tuple(cloud.shape)}, expected (points, 3)")
    return cloud


def load_set(path: Path) -> list["Tensor"]:
    """Many clouds: a folder with a file each, or an array of shape (clouds, points, 3).

    Raises:
        InputError: There is nothing there, or a cloud is not in 3D, not finite or all of its points are equal.
    """
    from ..metrics.cloud_scores import check_cloud

    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if path.is_dir():
        files = files_in(path, CLOUDS)
        single = [file for file in files if file.suffix.lower() not in SETS]
        # A folder of `sample` holds its clouds twice: one by one, and all in an array.
        clouds = {str(file): one_cloud(file) for file in single or files}
    else:
        array = load_array(path)
        if array.ndim != 3 or array.shape[2] != 3:
            raise InputError(
                f"{path} has shape {tuple(array.shape)}, expected (clouds, points, 3); 2D clouds cannot be used"
            )
        clouds = {f"cloud {i} of {path}": cloud for i, cloud in enumerate(array)}
    for name, cloud in clouds.items():
        check_cloud(cloud, name)
    if len(clouds) < 2:
        raise InputError(f"{path} holds {len(clouds)} clouds; sets of at least two are compared")
    return list(clouds.values())


def load_array(path: Path) -> "Tensor":
    """Points of a NumPy file (..., D): float32, or float64 where that cannot hold them.

    Raises:
        InputError: It cannot be read or holds something else.
    """
    from ..shapes.offsets import points_tensor
    from ..shapes.readers import read_array

    if path.suffix.lower() != ".npy":
        raise InputError(f"{path} is no folder and no .npy file; give one of these")
    array = read_array(path)
    return points_tensor(array, str(path))


def together(sets: dict[str, list["Tensor"]]) -> dict[str, list["Tensor"]]:
    """Sets of clouds as float32, all relative to one offset where some are far from the origin."""
    import torch

    if all(cloud.dtype == torch.float32 for clouds in sets.values() for cloud in clouds):
        return sets
    first = next(iter(sets.values()))[0].double()
    middle = (first.amin(dim=0) + first.amax(dim=0)) / 2
    return {name: [(cloud.double() - middle).float() for cloud in clouds] for name, clouds in sets.items()}


def shuffled(cloud: "Tensor", seed: int) -> "Tensor":
    """The points in random order."""
    import torch

    return cloud[torch.randperm(len(cloud), generator=torch.Generator().manual_seed(seed))]


def stack(clouds: list["Tensor"], size: int, seed: int, skip: int = 0) -> "Tensor":
    """So many random points of each cloud; those after the first `skip` for a disjoint sample."""
    import torch

    return torch.stack([shuffled(cloud, seed)[skip : skip + size] for cloud in clouds])

"""Loading and saving shapes.

Loading never merges, splits, reorders or moves vertices; polygons become triangles. Coordinates
that float32 cannot hold, such as those of surveys, get an `offset` in double precision, which is added again
when they are saved, in double precision or with as many digits as it takes (see `offsets`). Colours are sRGB in
files (linear in GLB, as glTF requires, and in NPZ) and linear in memory. Saving is atomic: the file at the path
is either the old one or the whole new one.

What is saved; more is read, see `docs/formats.md`:

| ending | meshes | points | holds colours | holds normals |
|---|---|---|---|---|
| .ply | yes | yes | 8 bits, sRGB | of points |
| .obj | yes | no | sRGB | no |
| .stl | yes, three vertices per face | no | no | no |
| .off | yes | no | no | no |
| .glb | yes | no | float32, linear | no |
| .3mf | yes, only saved; numbers are millimetres | no | no | no |
| .xyz | no | yes, 3, 6 or 9 columns | 8 bits, sRGB | yes |
| .npz | `vertices`, `faces`, `colors` | `points`, `normals`, `colors` | float32, linear | of points |
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InputError, warn_input
from ..files import write_bytes
from ..images.color import clipped_colors, linear_to_srgb, srgb_to_linear
from . import writers
from .arrays import Arrays, unit_colors
from .mesh import Mesh
from .offsets import NO_OFFSET, Offset, split_offset
from .points import PointCloud
from .readers import explained_errors, read_shape

_MESH_WRITERS: dict[str, Callable[[Arrays], bytes]] = {
    ".ply": writers.write_ply,
    ".obj": writers.write_obj,
    ".stl": writers.write_stl,
    ".off": writers.write_off,
    ".glb": writers.write_glb,
    ".3mf": writers.write_3mf,
    ".npz": lambda shape: writers.write_npz(shape, "vertices"),
}
_POINT_WRITERS: dict[str, Callable[[Arrays], bytes]] = {
    ".ply": writers.write_ply,
    ".xyz": writers.write_xyz,
    ".npz": lambda shape: writers.write_npz(shape, "points"),
}
_LINEAR = (".glb", ".npz")


def load_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Load a triangle mesh; the ending of the name selects the format.

    Args:
        path: A file of a format in the table above.

    Returns:
        The mesh in the frame and unit of the file, its vertices in their order.

    Raises:
        InputError: The file is missing, of unknown kind, damaged, or holds no usable mesh: no triangles,
            NaN or infinite coordinates, faces out of range, or details too fine for its size.
    """
    path = Path(path)
    return _mesh(path, read_shape(path))


def _mesh(path: Path, arrays: Arrays) -> Mesh:
    if len(arrays.faces) == 0:
        raise InputError(
            f"{path} has {len(arrays.vertices)} vertices and no faces; "
            "a mesh with at least one triangle is needed (points are loaded by load_points)"
        )
    with explained_errors(path, "a mesh"):
        faces, colors = _indices(arrays.faces), _colors(arrays, str(path))
        mesh = Mesh(_floats(arrays.vertices), torch.from_numpy(faces), colors)
    used = mesh.check(str(path)).used.numpy()
    vertices, offset = split_offset(arrays.vertices, used, str(path))
    return replace(mesh, vertices=torch.from_numpy(vertices), offset=offset)


def load_points(path: str | os.PathLike[str]) -> PointCloud:
    """Load a point cloud; the ending of the name selects the format. For a mesh, these are its vertices.

    Raises:
        InputError: The file is missing, of unknown kind, damaged, or empty, has NaN or infinite values, or
            details too fine for its size.
    """
    path = Path(path)
    return _cloud(path, read_shape(path))


def _cloud(path: Path, arrays: Arrays) -> PointCloud:
    with explained_errors(path, "a cloud"):
        arrays = _with_places(arrays, str(path))
        normals = _normals(arrays, str(path))
        cloud = PointCloud(_floats(arrays.vertices), normals, _colors(arrays, str(path)))
    cloud.check(str(path))
    points, offset = split_offset(arrays.vertices, name=str(path))
    return replace(cloud, points=torch.from_numpy(points), offset=offset)


def load_shape(path: str | os.PathLike[str]) -> Mesh | PointCloud:
    """Load a mesh if the file has faces, and otherwise a cloud.

    Raises:
        InputError: The same as for `load_mesh` and `load_points`.
    """
    path = Path(path)
    arrays = read_shape(path)
    return _mesh(path, arrays) if len(arrays.faces) else _cloud(path, arrays)


def save_mesh(mesh: Mesh, path: str | os.PathLike[str]) -> None:
    """Save a mesh; the ending of the name selects the format. STL, OFF and 3MF hold no colours.

    Args:
        mesh: The mesh, which is written in its frame and unit, with its offset.
        path: The file to write; an existing one is replaced.

    Raises:
        InputError: The ending is unknown, the mesh is empty or invalid, or the folder cannot be written to.
    """
    path = Path(path)
    write = _writer(path, _MESH_WRITERS)
    mesh.check(f"the mesh for {path}")
    faces = mesh.faces.cpu().numpy()
    vertices = _positions(mesh.vertices, mesh.offset)
    write_bytes(path, write(Arrays(vertices, faces, colors=_encoded(mesh.colors, path))))


def save_points(cloud: PointCloud, path: str | os.PathLike[str]) -> None:
    """Save a point cloud; the ending of the name selects the format.

    Raises:
        InputError: The ending is unknown, the cloud is empty or invalid, an XYZ file would need colours
            without normals, or the folder cannot be written to.
    """
    path = Path(path)
    write = _writer(path, _POINT_WRITERS)
    cloud.check(f"the cloud for {path}")
    if path.suffix.lower() == ".xyz" and cloud.colors is not None and cloud.normals is None:
        raise InputError(f"{path} would hold colours without normals, which XYZ cannot; save it as .ply")
    normals = None if cloud.normals is None else _array(cloud.normals)
    colors = _encoded(cloud.colors, path)
    points = _positions(cloud.points, cloud.offset)
    write_bytes(path, write(Arrays(points, normals=normals, colors=colors)))


def _writer(path: Path, known: dict[str, Callable]) -> Callable[[Arrays], bytes]:
    ending = path.suffix.lower()
    if ending not in known:
        raise InputError(f"{path} cannot be saved as {ending!r}; known endings are {', '.join(known)}")
    return known[ending]


def _floats(values: npt.NDArray[Any]) -> Tensor:
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.ascontiguousarray(values, np.float32).copy())


def _indices(faces: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if np.asarray(faces).dtype.kind not in "iu":
        raise ValueError(f"face indices are {np.asarray(faces).dtype}, not integers")
    return np.ascontiguousarray(faces, np.int64).copy()


def _with_places(arrays: Arrays, name: str) -> Arrays:
    """Remove points whose coordinates are all NaN, which scanners write where nothing was measured."""
    missing = np.isnan(np.asarray(arrays.vertices, np.float64)).all(axis=1)
    if not missing.any() or missing.all():
        return arrays
    total = len(arrays.vertices)
    warn_input(
        f"{name} has {missing.sum()} of its {total} points without coordinates (NaN); they are left out"
    )
    rows = {key: getattr(arrays, key) for key in ("vertices", "normals", "colors")}
    return replace(arrays, **{key: None if value is None else value[~missing] for key, value in rows.items()})


def _normals(arrays: Arrays, name: str) -> Tensor | None:
    """Normals, 0 where they are not finite."""
    if arrays.normals is None:
        return None
    normals = _floats(arrays.normals)
    unknown = ~torch.isfinite(normals).all(dim=1)
    if unknown.any():
        warn_input(
            f"the normals of {name} are NaN or infinite at {int(unknown.sum())} of {len(normals)} points"
        )
        normals[unknown] = 0
    return normals


def _colors(arrays: Arrays, name: str) -> Tensor | None:
    if arrays.colors is None:
        return None
    notes: list[str] = []
    colors = unit_colors(arrays.colors, notes)
    for note in notes:
        warn_input(f"{name}: {note}")
    colors = _floats(clipped_colors(colors, f"the colours of {name}"))
    return colors if arrays.linear else srgb_to_linear(colors)


def _positions(points: Tensor, offset: Offset) -> npt.NDArray[Any]:
    """World coordinates: float32 without an offset, otherwise float64."""
    return _array(points) if offset == NO_OFFSET else _array(points).astype(np.float64) + np.asarray(offset)


def _array(values: Tensor) -> npt.NDArray[Any]:
    return values.detach().cpu().float().numpy()


def _encoded(colors: Tensor | None, path: Path) -> npt.NDArray[Any] | None:
    if colors is None:
        return None
    return _array(colors if path.suffix.lower() in _LINEAR else linear_to_srgb(colors))

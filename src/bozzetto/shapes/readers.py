"""One reader per file format: from an open binary file to plain NumPy arrays.

Readers keep the order and the number of the vertices in the file and leave checking values to the caller.
STL and GLB are parsed by trimesh, without its clean-up. PLY, OBJ and OFF are parsed here, because trimesh
refuses PLY lists of varying length, splits OBJ vertices at texture seams and accepts OFF files with missing
faces.
"""

from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from trimesh.exchange.gltf import load_glb
from trimesh.exchange.stl import load_stl
from trimesh.scene.transforms import SceneGraph

from .ply import read_elements


@dataclass
class Arrays:
    """What a file holds. Colours are in [0, 1], as encoded in the file."""

    vertices: NDArray
    faces: NDArray = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    normals: NDArray | None = None
    colors: NDArray | None = None
    linear: bool = False  # whether the colours are linear light instead of sRGB


def read_ply(file: BinaryIO) -> Arrays:
    """Stanford PLY, ASCII or binary; polygons become triangle fans."""
    elements = read_elements(file, ("vertex", "face"))
    if "vertex" not in elements:
        return Arrays(np.zeros((0, 3)))
    columns = elements["vertex"].columns
    groups = []
    for names in ("x y z", "nx ny nz", "red green blue"):
        found = all(name in columns for name in names.split())
        groups.append(np.stack([columns[name] for name in names.split()], axis=1) if found else None)
    vertices, normals, colors = groups
    if vertices is None:
        raise ValueError("its vertices have no x, y and z")
    faces = elements["face"].columns if "face" in elements else {}
    polygons = faces.get("vertex_indices", faces.get("vertex_index", []))
    return Arrays(vertices, _fans(polygons), normals, _unit_colors(colors))


def _unit_colors(colors: NDArray | None) -> NDArray | None:
    if colors is None:
        return None
    top = np.iinfo(colors.dtype).max if colors.dtype.kind in "iu" else 1.0
    return np.asarray(colors, np.float64)[:, :3] / top


def read_stl(file: BinaryIO) -> Arrays:
    """STL, ASCII or binary. The format has no shared vertices: there are three for every face."""
    content = load_stl(file)
    parts = content["geometry"].values() if "geometry" in content else [content]
    parts = [(np.asarray(part["vertices"]), np.asarray(part["faces"])) for part in parts]
    return _joined([Arrays(vertices, faces) for vertices, faces in parts])


def read_glb(file: BinaryIO) -> Arrays:
    """Binary glTF: all meshes of the scene one after the other, moved to where its nodes put them."""
    content = load_glb(file, skip_materials=True)
    graph = SceneGraph(base_frame=content.get("base_frame", "world"))
    for edge in content["graph"]:
        graph.update(**edge)
    parts = []
    for node in graph.nodes_geometry:
        matrix, name = graph[node]
        geometry = content["geometry"][name]
        vertices, faces = geometry["vertices"], geometry.get("faces", np.zeros((0, 3), np.int64))
        if not np.array_equal(matrix, np.eye(4)):
            vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        if np.linalg.det(matrix[:3, :3]) < 0:
            faces = faces[:, ::-1]  # a mirrored surface turns inside out
        parts.append(Arrays(vertices, faces, colors=_unit_colors(geometry.get("vertex_colors"))))
    whole = _joined(parts)
    whole.linear = True
    return whole


def _joined(parts: list[Arrays]) -> Arrays:
    if not parts:
        return Arrays(np.zeros((0, 3)))
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    colors = [part.colors for part in parts if part.colors is not None]
    return Arrays(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, offsets, strict=False)]),
        colors=np.concatenate(colors) if len(colors) == len(parts) else None,
    )


def read_obj(file: BinaryIO) -> Arrays:
    """Wavefront OBJ: its positions (with colours behind them, if any) and faces; all else is skipped."""
    rows: list[list[float]] = []
    polygons: list[list[int]] = []
    for line in _joined_lines(file.read().decode("utf-8", "replace")):
        words = line.split()
        if words[:1] == ["v"]:
            rows.append([float(word) for word in words[1:]])
        elif words[:1] == ["f"]:
            corners = [int(word.split("/")[0]) for word in words[1:]]
            if 0 in corners:
                raise ValueError("face index 0; OBJ counts from 1")
            polygons.append([c - 1 if c > 0 else len(rows) + c for c in corners])
    vertices, colors = _positions(rows)
    return Arrays(vertices, _fans(polygons), colors=colors)


def _joined_lines(text: str) -> list[str]:
    return text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines()


def _positions(rows: list[list[float]]) -> tuple[NDArray, NDArray | None]:
    if not rows:
        return np.zeros((0, 3)), None
    widths = {len(row) for row in rows}
    if min(widths) < 3:
        raise ValueError("a vertex with fewer than three coordinates")
    vertices = np.array([row[:3] for row in rows])
    colors = np.array([row[3:6] for row in rows]) if widths <= {6, 7} else None
    return vertices, colors


def _fans(polygons: NDArray | list) -> NDArray:
    """Triangles (a, b, c), (a, c, d) ... of polygons (a, b, c, d ...), in order."""
    if isinstance(polygons, np.ndarray) and polygons.ndim == 2 and polygons.shape[1] >= 3:
        corners = [[0, k, k + 1] for k in range(1, polygons.shape[1] - 1)]
        return polygons.astype(np.int64)[:, corners].reshape(-1, 3)
    if any(len(polygon) < 3 for polygon in polygons):
        raise ValueError("a face with fewer than three corners")
    triangles = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return np.array(triangles, dtype=np.int64).reshape(-1, 3)


def read_off(file: BinaryIO) -> Arrays:
    """Object File Format, ASCII; values behind the three coordinates and behind a face are skipped."""
    lines = (line.split("#")[0].split() for line in file.read().decode("utf-8", "replace").splitlines())
    words = [line for line in lines if line]
    if not words or not words[0][0].endswith("OFF"):
        raise ValueError("the first line is not OFF")
    head, body = (words[0][1:], words[1:]) if len(words[0]) > 1 else (words[1], words[2:])
    vertex_count, face_count = int(head[0]), int(head[1])
    if len(body) < vertex_count + face_count:
        raise ValueError(f"{vertex_count} vertices and {face_count} faces announced, {len(body)} lines found")
    vertices, _ = _positions([[float(word) for word in row[:3]] for row in body[:vertex_count]])
    polygons = [[int(word) for word in row] for row in body[vertex_count : vertex_count + face_count]]
    if any(len(polygon) <= polygon[0] for polygon in polygons):
        raise ValueError("a face with fewer corners than it announces")
    return Arrays(vertices, _fans([polygon[1 : polygon[0] + 1] for polygon in polygons]))


def read_xyz(file: BinaryIO) -> Arrays:
    """Text, a point per line: x y z, then perhaps a normal, then perhaps an 8-bit sRGB colour."""
    text = file.read().decode("utf-8", "replace").replace(",", " ")
    rows = [line.split("#")[0].split() for line in text.splitlines()]
    values = np.array([[float(word) for word in row] for row in rows if row])
    if values.size == 0:
        return Arrays(np.zeros((0, 3)))
    if values.ndim != 2 or values.shape[1] not in (3, 6, 9):
        raise ValueError("lines must all hold 3, 6 or 9 numbers")
    normals = values[:, 3:6] if values.shape[1] > 3 else None
    colors = values[:, 6:] / 255 if values.shape[1] == 9 else None
    return Arrays(values[:, :3], normals=normals, colors=colors)


def read_npz(file: BinaryIO) -> Arrays:
    """NumPy archive with `vertices` or `points`, and optionally `faces`, `normals` and linear `colors`."""
    with np.load(file, allow_pickle=False) as archive:
        name = "vertices" if "vertices" in archive else "points"
        if name not in archive:
            raise ValueError(
                f"no array called vertices or points, only {', '.join(archive) or 'none at all'}"
            )
        optional = {key: archive[key] for key in ("faces", "normals", "colors") if key in archive}
        return Arrays(archive[name], **optional, linear=True)

"""Every mesh and cloud of folders, read by bozzetto and by independent readers: the same shape, or refused?

    python -m benchmarks.robustness.independent_readers [FOLDER ...]

Independent are trimesh and, where it is installed, meshio. Compared are the number of triangles or points, the
bounds, the area and the signed volume. A file is `same` if an independent reader finds the same, `refused` if
bozzetto names a reason, `no oracle` if no other reader reads it, and `DIFFERENT` otherwise; differences that
were looked at and are not bozzetto's fault are `explained`, by `KNOWN`.

Without folders it reads the files of other projects' tests, `peer_files` below BOZZETTO_DATA.
"""

import argparse
import contextlib
import io
import logging
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import trimesh

from benchmarks.helpers.common import data_folder, save_results
from bozzetto.errors import InputError, InputWarning
from bozzetto.shapes import Mesh, load_shape
from bozzetto.shapes.readers import ENDINGS

CLOSE = 1e-4  # of the size, the area and the volume
BESIDE = (".txt", ".csv")  # read as clouds, but in a folder mostly something else
# Differences that were looked at, by the end of the path: who is right, and why.
_FAN = "the outline is concave and trimesh's fan leaves it; Newell's formula gives the area of bozzetto"
_MORPH = "the specification applies the default weights of morph targets, trimesh does not"
KNOWN = {
    "concave_polygon.obj": _FAN,
    "space_in_material_name.obj": _FAN,
    "wallhole.obj": _FAN,
    "polygonfaces.obj": "a pentagon bent by more than half of its size: every triangulation has another area",
    "MorphPrimitivesTest.gltf": _MORPH,
    "SimpleMorph.gltf": _MORPH,
    "simple_skin.gltf": "the specification moves skins by their joints, trimesh does not",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path)
    folders = parser.parse_args().folders or [data_folder("peer_files")]
    logging.disable(logging.CRITICAL)
    oracles = {"trimesh": by_trimesh}
    try:
        import meshio  # noqa: F401

        oracles["meshio"] = by_meshio
    except ModuleNotFoundError:
        print("meshio is not installed; only trimesh is asked (pip install meshio charset-normalizer)")
    rows = []
    for folder in folders:
        files = [f for f in sorted(folder.rglob("*")) if f.suffix.lower() in ENDINGS and f.is_file()]
        rows += [
            judged(file, str(file.relative_to(folder)), oracles)
            for file in files
            if file.suffix not in BESIDE
        ]
    for row in rows:
        detail = row.get("reason") or row.get("why") or ""
        print(f"{row['verdict']:10} {row['file']:60} {detail[:150]}")
    counts = Counter(row["verdict"] for row in rows)
    print(
        "\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()),
        f"of {len(rows)} files",
    )
    words = [filter(None, (row["verdict"], row.get("reason"), row.get("why"))) for row in rows]
    said = {row["file"]: ": ".join(parts) for row, parts in zip(rows, words, strict=True)}
    save_results("independent_readers", {"oracles": list(oracles), "counts": dict(counts), "files": said})


def judged(path: Path, name: str, oracles: dict) -> dict:
    """What bozzetto and the others make of a file."""
    row: dict = {"file": name}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            row["bozzetto"] = figures(*arrays_of(load_shape(path)))
        except InputError as error:
            row["reason"] = str(error).replace(f"{path} ", "")
    notes = [
        str(one.message).replace(f"{path}: ", "") for one in caught if issubclass(one.category, InputWarning)
    ]
    row |= {"notes": notes} if notes else {}
    for oracle, read in oracles.items():
        try:
            with (
                warnings.catch_warnings(),
                contextlib.redirect_stdout(io.StringIO()),
                np.errstate(all="ignore"),
            ):
                warnings.simplefilter("ignore")
                vertices, faces = read(path)
                row[oracle] = figures(vertices, faces)
        except (Exception, SystemExit) as error:  # whatever other readers raise
            row[f"{oracle} failed"] = f"{type(error).__name__}: {error}".replace(str(path), name)[:200]
    found = {oracle: row[oracle] for oracle in oracles if oracle in row}
    agreeing = [
        oracle for oracle, other in found.items() if "bozzetto" in row and same(row["bozzetto"], other)
    ]
    known = next((why for end, why in KNOWN.items() if name.endswith(end)), None)
    if "reason" in row:
        row["verdict"] = "refused"
    elif agreeing:
        row |= {"verdict": "same", "why": "as " + " and ".join(agreeing)}
    elif not found:
        row |= {"verdict": "no oracle", "why": known}
    else:
        row["verdict"] = "DIFFERENT" if known is None else "explained"
        row["why"] = known or "; ".join(f"{who} {row[who]}" for who in ("bozzetto", *found))
    return row


def figures(vertices: np.ndarray, faces: np.ndarray) -> dict:
    """Counts, bounds, area and signed volume, relative to the middle of what the faces use."""
    if len(vertices) == 0:
        raise ValueError("nothing")
    used = vertices[np.unique(faces)] if len(faces) else vertices
    low, high = used.min(axis=0), used.max(axis=0)
    a, b, c = (
        (vertices[faces[:, k]] - (low + high) / 2 for k in range(3)) if len(faces) else [np.zeros((0, 3))] * 3
    )
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    count = len(faces) or len(vertices)
    bounds = [[float(f"{v:.9g}") for v in corner] for corner in (low, high)]
    return {"count": count, "bounds": bounds, "area": float(area), "volume": float(volume)}


def same(ours: dict, other: dict) -> bool:
    """Whether two shapes are the same as far as these figures tell."""
    bounds = np.array([ours["bounds"], other["bounds"]])
    size = float(np.ptp(bounds[0], axis=0).max()) or 1.0
    return (
        ours["count"] == other["count"]
        and bool((np.abs(bounds[0] - bounds[1]) < CLOSE * size).all())
        and abs(ours["area"] - other["area"]) <= CLOSE * max(ours["area"], size**2 * CLOSE)
        and abs(ours["volume"] - other["volume"]) <= CLOSE * max(abs(ours["volume"]), size**3 * 1e-2)
    )


def arrays_of(shape) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(shape, Mesh):
        return shape.world_vertices.numpy().astype(float), shape.faces.numpy()
    return shape.world_points.numpy().astype(float), np.zeros((0, 3), int)


def by_trimesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    scene = trimesh.load_scene(path, process=False)
    placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
    parts = [(scene.geometry[name], matrix) for matrix, name in placed]
    meshes = [part for part in parts if isinstance(part[0], trimesh.Trimesh)]
    clouds = [part for part in parts if isinstance(part[0], trimesh.PointCloud)]
    vertices, faces, start = [], [np.zeros((0, 3), int)], 0
    for geometry, matrix in meshes or clouds:
        points = geometry.vertices @ matrix[:3, :3].T + matrix[:3, 3]
        vertices.append(points)
        if meshes:
            own = geometry.faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else geometry.faces
            faces.append(own + start)
        start += len(points)
    return np.concatenate(vertices), np.concatenate(faces)


def by_meshio(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import meshio

    mesh = meshio.read(path)
    faces = [np.zeros((0, 3), int)]
    for block in mesh.cells:
        if block.type in ("triangle", "quad", "polygon"):
            rows = np.asarray(block.data)
            faces.append(rows[:, [[0, k, k + 1] for k in range(1, rows.shape[1] - 1)]].reshape(-1, 3))
    return np.asarray(mesh.points, float), np.concatenate(faces)


if __name__ == "__main__":
    main()

"""What trimesh and meshio make of the same mesh files."""

import contextlib
import io
import warnings
from pathlib import Path

import numpy as np

from .inputs import Input, MeshTruth
from .judge import compare_mesh


def peer_verdicts(item: Input, folder: Path) -> dict[str, str]:
    """Of each peer: right, wrong, or refused; nothing for inputs that are no meshes with a truth."""
    if not isinstance(item.truth, MeshTruth) or not isinstance(item.path, str):
        return {}
    found = {}
    for name, read in (("trimesh", _trimesh), ("meshio", _meshio)):
        out = io.StringIO()
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                warnings.simplefilter("ignore")
                vertices, faces = read(folder / item.path)
            truth = MeshTruth(item.truth.area, item.truth.volume, item.truth.bounds)
            difference = compare_mesh(truth, vertices, faces, None)
            found[name] = "wrong" if difference else "right"
        except ModuleNotFoundError as missing:
            if missing.name != name:
                found[name] = "refused"
        except (Exception, SystemExit):
            found[name] = "refused"
    return found


def _trimesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    mesh = trimesh.load(path, process=False, force="mesh")
    return np.asarray(mesh.vertices, float), np.asarray(mesh.faces)


def _meshio(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import meshio

    mesh = meshio.read(path)
    faces = [
        np.array([[p[0], p[i], p[i + 1]] for p in block.data for i in range(1, len(p) - 1)])
        for block in mesh.cells
        if block.type in ("triangle", "quad", "polygon")
    ]
    return np.asarray(mesh.points, float), np.vstack(faces)

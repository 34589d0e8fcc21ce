"""The files of a reconstruction: all faces as they are, and a textured mesh for other programs."""

from dataclasses import dataclass
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Capture
from ..errors import warn_input
from ..geometry import simplify
from ..runs import RunFolder
from ..shapes import Mesh, Similarity, TexturedMesh, placed, save_mesh, save_textured
from . import bake_texture, color_vertices

FACES = 30_000
"""Of the textured mesh, unless another number is asked for; a normal map holds what is finer."""
OBJ_PARTS = ("mesh.mtl", "mesh_color.png", "mesh_normals.png")
AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class MeshFiles:
    """What is written.

    Attributes:
        faces: Most faces of the textured mesh; None takes `FACES`.
        also: Endings of further files: obj, stl, 3mf.
        size_mm: Longest side of the upright object in millimetres; None: a unit of the cameras is a metre.
        up: Axis of the world that points up, such as `z` or `-y`, or `auto`.
    """

    faces: int | None = None
    also: tuple[str, ...] = ()
    size_mm: float | None = None
    up: str = "auto"


def write_mesh_files(
    run: RunFolder,
    mesh: Mesh,
    capture: Capture,
    files: MeshFiles,
    up: Float[Tensor, "3"],
    front: Float[Tensor, "3"],
) -> TexturedMesh | Mesh:
    """Write mesh.ply, mesh.glb and what else is asked for.

    Args:
        run: Where to.
        mesh: The surface, with colours per vertex, in the frame of the cameras.
        capture: The photographs, from which the texture is made.
        files: What is asked for.
        up: World direction that points up if `files` does not say.
        front: World direction from which the object is looked at.

    Returns:
        The textured mesh, in the frame of the cameras; without xatlas a mesh with colours per vertex.
    """
    save_mesh(mesh, run.file("mesh.ply"))
    model = _textured(mesh, capture, files.faces or FACES)
    place = _place(mesh, files, up, front)
    for ending in ("glb", *files.also):
        if ending == "obj":
            for name in OBJ_PARTS:  # are written with it
                run.file(name)
        save_textured(model, run.file(f"mesh.{ending}"), place)
    return model


def _textured(mesh: Mesh, capture: Capture, faces: int) -> TexturedMesh | Mesh:
    coarse = simplify(mesh, faces) if len(mesh.faces) > faces else mesh
    if find_spec("xatlas") is None:
        warn_input(
            "mesh.glb has colours per vertex and no texture, because xatlas is not installed; run: pip install "
            "'bozzetto[texture]'"
        )
        return color_vertices(coarse, capture)
    return bake_texture(coarse, capture, fine=None if coarse is mesh else mesh)


def _place(mesh: Mesh, files: MeshFiles, up: Float[Tensor, "3"], front: Float[Tensor, "3"]) -> Similarity:
    if files.up == "auto":
        return placed(mesh, up, files.size_mm, front)
    axis = torch.tensor(AXES[files.up.removeprefix("-")], dtype=torch.float64)
    axis = -axis if files.up.startswith("-") else axis
    # A photograph straight from above or below tells no front.
    seen_along = float((front.double() @ axis).abs()) > 0.99 * float(front.norm())
    return placed(mesh, axis, files.size_mm, None if seen_along else front)

"""Animations as binary glTF: one mesh with morph targets, or meshes that take turns."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..files import write_bytes
from .arrays import Arrays
from .mesh import Mesh
from .writers import Binary, node

_STILL = 1.0  # seconds at either end


def save_morph(
    mesh: Mesh, positions: Sequence[Float[Tensor, "V 3"]], path: str | os.PathLike[str], seconds: float = 4.0
) -> None:
    """Write a mesh that deforms: glTF morph targets and an animation there and back.

    Args:
        mesh: The first shape.
        positions: Vertices of the following shapes, in the same order and relative to the same offset.
        path: Ends in `.glb`.
        seconds: From the first shape to the last.

    Raises:
        InputError: There is nothing to deform into, or the shapes do not fit together.
    """
    _check(path, len(positions) + 1)
    if any(p.shape != mesh.vertices.shape for p in positions):
        raise InputError(f"every shape of a morph needs the {len(mesh.vertices)} vertices of the first one")
    binary, base = Binary(), mesh.vertices.detach().cpu().float()
    primitive = binary.primitive(_arrays(mesh))
    primitive["targets"] = [
        {"POSITION": binary.add((p.detach().cpu() - base).numpy(), "VEC3", bounds=True)} for p in positions
    ]
    count = len(positions)
    there = np.arange(count + 1)
    order = np.concatenate([[0], there, [count], there[::-1][1:]])
    pace = seconds / count
    times = np.cumsum([0.0, _STILL, *[pace] * count, _STILL, *[pace] * count])
    weights = np.eye(count + 1)[order][:, 1:]
    sampler = {
        "input": binary.add(times, "SCALAR", bounds=True),
        "output": binary.add(weights.ravel(), "SCALAR"),
        "interpolation": "LINEAR",
    }
    tree = {
        "nodes": [node(0, mesh.offset)],
        "meshes": [{"primitives": [primitive], "weights": [0.0] * count}],
        "animations": [
            {"samplers": [sampler], "channels": [{"sampler": 0, "target": {"node": 0, "path": "weights"}}]}
        ],
    }
    write_bytes(Path(path), binary.glb(tree))


def save_sequence(meshes: Sequence[Mesh], path: str | os.PathLike[str], seconds: float = 4.0) -> None:
    """Write meshes of any topology that are shown one after the other: an animation of their scales.

    Raises:
        InputError: There are fewer than two.
    """
    _check(path, len(meshes))
    binary, count = Binary(), len(meshes)
    times = binary.add(np.linspace(0, seconds, count + 1), "SCALAR", bounds=True)
    parts, samplers, channels = [], [], []
    for index, mesh in enumerate(meshes):
        parts.append({"primitives": [binary.primitive(_arrays(mesh))]})
        shown = np.zeros((count + 1, 3))
        shown[index] = 1
        if index == count - 1:
            shown[count] = 1
        samplers.append({"input": times, "output": binary.add(shown, "VEC3"), "interpolation": "STEP"})
        channels.append({"sampler": index, "target": {"node": index, "path": "scale"}})
    nodes = [
        node(i, mesh.offset) | ({} if i == 0 else {"scale": [0.0, 0.0, 0.0]}) for i, mesh in enumerate(meshes)
    ]
    tree = {"nodes": nodes, "meshes": parts, "animations": [{"samplers": samplers, "channels": channels}]}
    write_bytes(Path(path), binary.glb(tree))


def _check(path: str | os.PathLike[str], count: int) -> None:
    if Path(path).suffix.lower() != ".glb":
        raise InputError(f"{path} cannot hold an animation; choose a name in .glb")
    if count < 2:
        raise InputError(f"an animation needs at least two shapes, got {count}")


def _arrays(mesh: Mesh) -> Arrays:
    mesh.check()
    colors = None if mesh.colors is None else mesh.colors.detach().cpu().float().numpy()
    return Arrays(mesh.vertices.detach().cpu().float().numpy(), mesh.faces.cpu().numpy(), colors=colors)

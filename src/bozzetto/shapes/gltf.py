"""Reading glTF files."""

import io

import numpy as np
from trimesh.exchange.gltf import load_glb
from trimesh.scene.transforms import SceneGraph

from .arrays import Arrays, joined, unit_colors


def read_gltf(data: bytes) -> Arrays:
    """Binary glTF: all meshes of the scene one after the other, moved to where its nodes put them."""
    content = load_glb(io.BytesIO(data), skip_materials=True)
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
        colors = geometry.get("vertex_colors")
        colors = None if colors is None else unit_colors(colors, [])
        parts.append(Arrays(vertices, faces, colors=colors, linear=True))
    whole = joined(parts)
    whole.linear = True
    return whole

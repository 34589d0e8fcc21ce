"""Triangle meshes with a texture atlas, and their files."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..files import write_bytes
from ..images.color import linear_to_srgb
from ..values import value_type
from .arrays import Arrays
from .frames import for_printing
from .io import save_mesh
from .mesh import Mesh
from .similarity import Similarity
from .writers import Binary, digits_of, node, text_rows, write_glb


@value_type
class TexturedMesh:
    """A mesh with a texture image.

    The mesh keeps its connectivity: at seams of the atlas, a vertex has several texture coordinates, so that
    corners of faces have a separate index into them, as in OBJ files. `corners_split` gives one vertex per
    texture coordinate.

    Attributes:
        mesh: The surface; colours per vertex, if there are any, are a coarse version of the image.
        uv: Texture coordinates: (0, 0) is the outer corner of the first texel, (1, 1) that of the last one, so
            that v increases downwards as in glTF.
        uv_faces: For every corner of every face, the row of `uv`.
        image: Linear RGB in [0, 1], row 0 on top.
        normals: Unit normals of the vertices of the mesh, which renderers interpolate.
        normal_map: Unit normals in the tangent space of the surface, +X along u, +Y up the image (OpenGL), +Z
            along the interpolated normal; None if there is none.
        tangents: For every row of `uv`, the unit direction of increasing u, and as fourth number the sign s of
            the bitangent s * cross(normal, tangent), which points up the image. None without a normal map.
    """

    mesh: Mesh
    uv: Float[Tensor, "U 2"]
    uv_faces: Int64[Tensor, "F 3"]
    image: Float[Tensor, "H W 3"]
    normals: Float[Tensor, "V 3"]
    normal_map: Float[Tensor, "Hn Wn 3"] | None = None
    tangents: Float[Tensor, "U 4"] | None = None

    def __post_init__(self) -> None:
        if self.uv_faces.shape != self.mesh.faces.shape:
            raise InputError(
                f"a texture needs three places for each of the {len(self.mesh.faces)} faces, got uv_faces of "
                f"shape {tuple(self.uv_faces.shape)}"
            )
        if len(self.uv_faces) and not 0 <= int(self.uv_faces.min()) <= int(self.uv_faces.max()) < len(
            self.uv
        ):
            raise InputError(f"uv_faces must name rows of uv, 0 to {len(self.uv) - 1}")
        if not bool(torch.isfinite(self.uv).all()):
            raise InputError("places in the texture must be finite, got NaN or infinity")

    def placed(self, place: Similarity) -> "TexturedMesh":
        """The textured surface transformed by a similarity of world coordinates."""
        turn = torch.eye(3, dtype=torch.float64) if place.rotation is None else place.rotation
        tangents = self.tangents
        if tangents is not None:
            tangents = torch.cat([tangents[:, :3] @ turn.T.to(tangents), tangents[:, 3:]], dim=1)
        normals = self.normals @ turn.T.to(self.normals)
        return replace(self, mesh=placed_mesh(self.mesh, place), normals=normals, tangents=tangents)

    def corners_split(self) -> tuple[Int64[Tensor, " S"], Int64[Tensor, " S"], Int64[Tensor, "F 3"]]:
        """One vertex per pair of a vertex and its texture coordinates, for formats with a single index.

        Returns:
            The vertex and the row of `uv` of each, and the faces over them.
        """
        pairs = torch.stack([self.mesh.faces.flatten(), self.uv_faces.flatten()], dim=1)
        rows, index = torch.unique(pairs, dim=0, return_inverse=True)
        return rows[:, 0], rows[:, 1], index.reshape(-1, 3)


def placed_mesh(mesh: Mesh, place: Similarity) -> Mesh:
    """A mesh transformed by a similarity of world coordinates."""
    return Mesh(place.apply(mesh.world_vertices.double()).float(), mesh.faces, mesh.colors)


_LINEAR, _MIPMAPS, _CLAMP = 9729, 9987, 33071  # of glTF samplers
_PRINTED = (".stl", ".3mf")
TEXTURED_ENDINGS = (".glb", ".obj")


def save_textured(
    model: TexturedMesh | Mesh,
    path: str | os.PathLike[str],
    place: Similarity | None = None,
    unlit: bool = True,
) -> None:
    """Save a shape for other programs.

    | ending | texture | frame and unit if `place` is given |
    |---|---|---|
    | .glb | colour as JPEG, normal map as PNG, inside the file | +Y up, metres |
    | .obj | colour and normal map as PNG beside it, and an .mtl file | +Y up, metres |
    | .stl, .3mf | none | +Z up, millimetres |

    Other endings, and meshes without a texture, are saved as `save_mesh` does it, GLB with normals as well.

    Args:
        model: The shape.
        path: The file to write; its ending selects the format.
        place: Similarity from world coordinates to the frame of glTF, see `placed`; None keeps the input's
            frame.
        unlit: Whether programs show the texture without lighting (KHR_materials_unlit of glTF). A texture from
            photographs already contains their light, which would otherwise be applied twice. Programs without
            this extension treat it as a matte surface.

    Raises:
        InputError: The ending is unknown, the mesh is empty or invalid, or the folder cannot be written to.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if isinstance(model, Mesh) or ending not in TEXTURED_ENDINGS:
        mesh = model if isinstance(model, Mesh) else model.mesh
        if place is not None:
            mesh = placed_mesh(mesh, for_printing(place) if ending in _PRINTED else place)
        if ending == ".glb":
            write_bytes(path, _smooth_glb(mesh.check(f"the mesh for {path}")))
        else:
            save_mesh(mesh, path)
        return
    model.mesh.check(f"the mesh for {path}")
    model = model if place is None else model.placed(place)
    if ending == ".glb":
        write_bytes(path, _glb(model, unlit))
    else:
        _save_obj(model, path)


def _smooth_glb(mesh: Mesh) -> bytes:
    """Binary glTF with vertex colours and normals; without normals, programs use flat shading."""
    vertices, faces = mesh.world_vertices.detach().cpu().double().numpy(), mesh.faces.cpu().numpy()
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    areas = np.repeat(np.cross(b - a, c - a), 3, axis=0)
    sums = np.stack([np.bincount(faces.ravel(), areas[:, k], len(vertices)) for k in range(3)], axis=1)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    # glTF has unit normals only; where there is none, any will do.
    normals = np.where(length > 0, sums / np.where(length > 0, length, 1), [0.0, 0.0, 1.0])
    colors = None if mesh.colors is None else _array(mesh.colors)
    positions = vertices if mesh.world_vertices.dtype == torch.float64 else vertices.astype(np.float32)
    return write_glb(Arrays(positions, faces, normals, colors))


def _glb(model: TexturedMesh, unlit: bool) -> bytes:
    vertex, row, faces = model.corners_split()
    binary = Binary()
    attributes = {
        "POSITION": binary.add(_array(model.mesh.vertices[vertex]), "VEC3", 34962, bounds=True),
        "NORMAL": binary.add(_array(model.normals[vertex]), "VEC3", 34962),
        "TEXCOORD_0": binary.add(_array(model.uv[row]), "VEC2", 34962),
    }
    if model.tangents is not None:
        attributes["TANGENT"] = binary.add(_array(model.tangents[row]), "VEC4", 34962)
    indices = binary.add(faces.cpu().numpy().astype("<u4"), "SCALAR", 34963)
    color = {"bufferView": binary.add_file(_encoded(_color(model), "JPEG")), "mimeType": "image/jpeg"}
    images = [color | {"name": "color"}]
    material: dict[str, Any] = {
        "name": "photographs",
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicFactor": 0.0,
            "roughnessFactor": 1.0,
        },
    }
    if model.normal_map is not None:
        relief = {
            "bufferView": binary.add_file(_encoded(_relief(model.normal_map), "PNG")),
            "mimeType": "image/png",
        }
        images.append(relief | {"name": "normals"})
        material["normalTexture"] = {"index": 1}
    tree: dict[str, Any] = {
        "nodes": [node(0, model.mesh.offset)],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [material],
        "textures": [{"source": i, "sampler": 0} for i in range(len(images))],
        "images": images,
        "samplers": [
            {"magFilter": _LINEAR, "minFilter": _MIPMAPS, "wrapS": _CLAMP, "wrapT": _CLAMP},
        ],
    }
    if unlit:
        material["extensions"] = {"KHR_materials_unlit": {}}
        tree["extensionsUsed"] = ["KHR_materials_unlit"]
    return binary.glb(tree)


def _save_obj(model: TexturedMesh, path: Path) -> None:
    """Write OBJ, MTL and PNG files of the same name; in OBJ, v is from bottom to top."""
    stem = "_".join(path.stem.split()) or "mesh"  # programs split the lines that name files at spaces
    color, relief, library = (path.with_name(stem + end) for end in ("_color.png", "_normals.png", ".mtl"))
    write_bytes(color, _encoded(_color(model), "PNG"))
    material = f"newmtl photographs\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {color.name}\n"
    if model.normal_map is not None:
        write_bytes(relief, _encoded(_relief(model.normal_map), "PNG"))
        material += f"norm {relief.name}\n"
    write_bytes(library, material.encode())
    positions = model.mesh.world_vertices.detach().cpu().numpy()
    uv = np.array([0, 1], np.float32) + np.array([1, -1], np.float32) * _array(model.uv)
    corners = np.stack([model.mesh.faces.cpu().numpy(), model.uv_faces.cpu().numpy()], axis=2) + 1
    rows = np.concatenate([corners, corners[..., :1]], axis=2).reshape(-1, 9)
    face = "f %d/%d/%d %d/%d/%d %d/%d/%d\n"
    text = [
        f"mtllib {library.name}\n",
        text_rows("v ", positions, digits_of(positions)),
        text_rows("vt ", uv, "%.7g"),
        text_rows("vn ", _array(model.normals), "%.6g"),
        "usemtl photographs\n",
        *(face % tuple(row) for row in rows.tolist()),
    ]
    write_bytes(path, "".join(text).encode())


def _color(model: TexturedMesh) -> NDArray[np.uint8]:
    return (linear_to_srgb(model.image.detach().cpu().clamp(0, 1)) * 255).round().to(torch.uint8).numpy()


def _relief(normals: Tensor) -> NDArray[np.uint8]:
    return ((normals.detach().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()


def _encoded(pixels: NDArray[np.uint8], kind: str) -> bytes:
    buffer = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _array(values: Tensor) -> NDArray[np.float32]:
    return values.detach().cpu().float().numpy()

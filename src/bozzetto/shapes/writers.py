"""Writers of file formats: from NumPy arrays to bytes.

Float32 positions survive exactly. Float64 positions, those of shapes with an offset, are written in double
precision or with 17 digits; GLB, whose positions are float32, stores the offset as the translation of a node.
Animations are binary glTF: one mesh with morph targets, or meshes that are shown in turn.
"""

import io
import json
import os
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..files import write_bytes
from .arrays import Arrays
from .mesh import Mesh
from .offsets import NO_OFFSET, Offset, is_far, split_offset


def write_ply(shape: Arrays) -> bytes:
    """Binary little-endian PLY with positions, normals if there are any, and 8-bit sRGB colours."""
    kind = ("<f8", "double") if shape.vertices.dtype == np.float64 else ("<f4", "float")
    columns = [("x y z", *kind, shape.vertices)]
    if shape.normals is not None:
        columns.append(("nx ny nz", "<f4", "float", shape.normals))
    if shape.colors is not None:
        columns.append(("red green blue", "u1", "uchar", _bytes(shape.colors)))
    table = np.zeros(len(shape.vertices), [(n, kind) for names, kind, _, _ in columns for n in names.split()])
    for names, _, _, values in columns:
        for axis, name in enumerate(names.split()):
            table[name] = values[:, axis]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [f"property {word} {name}" for names, _, word, _ in columns for name in names.split()]
    body = table.tobytes()
    if len(shape.faces):
        header += [f"element face {len(shape.faces)}", "property list uchar int vertex_indices"]
        rows = np.zeros(len(shape.faces), [("count", "u1"), ("corners", "<i4", 3)])
        rows["count"], rows["corners"] = 3, shape.faces
        body += rows.tobytes()
    return "\n".join([*header, "end_header", ""]).encode() + body


def _bytes(colors: NDArray[Any]) -> NDArray[Any]:
    return np.rint(np.clip(colors, 0, 1) * 255).astype(np.uint8)


def write_stl(shape: Arrays) -> bytes:
    """Binary STL: three corners and a normal per face; ASCII where positions are float64."""
    corners = shape.vertices[shape.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    if corners.dtype == np.float64:
        form = "facet normal %.6g %.6g %.6g\nouter loop\n" + 3 * "vertex %.17g %.17g %.17g\n"
        rows = np.hstack([normals, corners.reshape(-1, 9)]).tolist()
        facets = [(form + "endloop\nendfacet\n") % tuple(row) for row in rows]
        return ("solid bozzetto\n" + "".join(facets) + "endsolid bozzetto\n").encode()
    table = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    table["normal"], table["corners"] = normals, corners
    return b"bozzetto".ljust(80) + struct.pack("<I", len(corners)) + table.tobytes()


def write_obj(shape: Arrays) -> bytes:
    """Wavefront OBJ; colours follow the positions as sRGB in [0, 1]."""
    values = [shape.vertices] if shape.colors is None else [shape.vertices, shape.colors]
    digits = [digits_of(shape.vertices)] * 3 + ["%.9g"] * (0 if shape.colors is None else 3)
    return (text_rows("v ", np.hstack(values), digits) + text_rows("f ", shape.faces + 1, "%d")).encode()


def write_off(shape: Arrays) -> bytes:
    """ASCII OFF."""
    head = f"OFF\n{len(shape.vertices)} {len(shape.faces)} 0\n"
    positions = text_rows("", shape.vertices, digits_of(shape.vertices))
    return (head + positions + text_rows("3 ", shape.faces, "%d")).encode()


def write_xyz(shape: Arrays) -> bytes:
    """A line per point: x y z, then the normal and 8-bit sRGB colours if there are any."""
    text = [shape.vertices] + ([] if shape.normals is None else [shape.normals])
    values = np.hstack(text)
    formats = [digits_of(shape.vertices)] * 3 + ["%.9g"] * (values.shape[1] - 3)
    if shape.colors is None:
        return text_rows("", values, formats).encode()
    return text_rows("", np.hstack([values, _bytes(shape.colors)]), formats + ["%d"] * 3).encode()


def digits_of(positions: NDArray[Any]) -> str:
    """Printf format of coordinates: 9 digits for float32; 17 for float64 and for shapes far from the origin."""
    return "%.17g" if positions.dtype == np.float64 or is_far(positions) else "%.9g"


def text_rows(prefix: str, rows: NDArray[Any], form: str | list[str]) -> str:
    """A line per row: the prefix, then its numbers, in one printf form or one per column."""
    forms = [form] * rows.shape[1] if isinstance(form, str) else form
    line = prefix + " ".join(forms) + "\n"
    return "".join([line % tuple(row) for row in rows.tolist()])


def write_3mf(shape: Arrays) -> bytes:
    """3D Manufacturing Format, core specification: one object without colours, in millimetres."""
    number, namespace = digits_of(shape.vertices), "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
    vertex = f'<vertex x="{number}" y="{number}" z="{number}"/>\n'
    triangle = '<triangle v1="%d" v2="%d" v3="%d"/>\n'
    head = '<?xml version="1.0" encoding="UTF-8"?>\n'
    model = [
        f'{head}<model unit="millimeter" xml:lang="en-US" xmlns="{namespace}">\n',
        '<resources><object id="1" type="model"><mesh>\n<vertices>\n',
        *(vertex % tuple(row) for row in shape.vertices.tolist()),
        "</vertices>\n<triangles>\n",
        *(triangle % tuple(row) for row in shape.faces.tolist()),
        '</triangles>\n</mesh></object></resources>\n<build><item objectid="1"/></build>\n</model>\n',
    ]
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.ms-package.3dmanufacturing-3dmodel+xml"
    parts = {
        "[Content_Types].xml": f'{head}<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="model" ContentType="{kind}"/></Types>\n',
        "_rels/.rels": f'{head}<Relationships xmlns="{package}/relationships"><Relationship Id="model" '
        'Target="/3D/3dmodel.model" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>'
        "</Relationships>\n",
        "3D/3dmodel.model": "".join(model),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)  # the same bytes on every day
    return buffer.getvalue()


def write_npz(shape: Arrays, position: str) -> bytes:
    """NumPy archive; `position` names the array of positions."""
    arrays = {
        position: shape.vertices,
        "faces": shape.faces,
        "normals": shape.normals,
        "colors": shape.colors,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: value for name, value in arrays.items() if value is not None})
    return buffer.getvalue()


def write_glb(shape: Arrays) -> bytes:
    """Binary glTF 2.0 with one mesh; linear colours as float32, since in 8 bits dark tones would band."""
    vertices, offset = split_offset(shape.vertices)
    binary = Binary()
    primitive = binary.primitive(replace(shape, vertices=vertices))
    return binary.glb({"nodes": [node(0, offset)], "meshes": [{"primitives": [primitive]}]})


def node(mesh: int, offset: Offset) -> dict[str, Any]:
    """A node of a glTF scene with a mesh and its translation in the world."""
    return {"mesh": mesh} if offset == NO_OFFSET else {"mesh": mesh, "translation": list(offset)}


class Binary:
    """The binary part of a glTF file under construction, and the JSON entries for it."""

    def __init__(self) -> None:
        self._blob, self._views, self._accessors = b"", [], []

    def add(self, values: NDArray[Any], kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append numbers, integers as uint32 and all else as float32, and return their accessor.

        Args:
            values: A row per element.
            kind: SCALAR, VEC2, VEC3 or VEC4.
            target: The buffer target in glTF's numbers: vertex attributes or indices.
            bounds: Whether to store the minimum and maximum, which glTF requires for some accessors.
        """
        integers = np.asarray(values).dtype.kind in "iu"
        values = np.ascontiguousarray(values, "<u4" if integers else "<f4")
        count = values.size if kind == "SCALAR" else len(values)
        view = {"buffer": 0, "byteOffset": len(self._blob), "byteLength": values.nbytes}
        self._views.append(view if target is None else {**view, "target": target})
        accessor = {
            "bufferView": len(self._views) - 1,
            "componentType": 5125 if integers else 5126,
            "count": count,
            "type": kind,
        }
        if bounds:
            rows = values.reshape(count, -1)
            accessor |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self._accessors.append(accessor)
        self._blob += values.tobytes()  # every element size is a multiple of four bytes, so nothing is padded
        return len(self._accessors) - 1

    def add_file(self, content: bytes) -> int:
        """Append a file, such as a picture, and return its buffer view."""
        self._views.append({"buffer": 0, "byteOffset": len(self._blob), "byteLength": len(content)})
        self._blob += content + bytes(-len(content) % 4)
        return len(self._views) - 1

    def primitive(self, shape: Arrays) -> dict[str, Any]:
        """Append a mesh and return its entry."""
        indices = self.add(shape.faces.astype("<u4"), "SCALAR", 34963)
        attributes = {"POSITION": self.add(shape.vertices, "VEC3", 34962, bounds=True)}
        if shape.normals is not None:
            attributes["NORMAL"] = self.add(shape.normals, "VEC3", 34962)
        if shape.colors is not None:
            # glTF allows no other numbers, and optimised albedo may leave the range.
            attributes["COLOR_0"] = self.add(np.clip(shape.colors, 0, 1), "VEC3", 34962)
        return {"attributes": attributes, "indices": indices, "material": 0}

    def glb(self, tree: dict[str, Any]) -> bytes:
        """The whole file, with the nodes, meshes and animations of `tree`, and its materials or a default matte
        one."""
        whole = {
            "asset": {"version": "2.0", "generator": "bozzetto"},
            "scene": 0,
            "scenes": [{"nodes": list(range(len(tree["nodes"])))}],
            "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}],
            **tree,
            "buffers": [{"byteLength": len(self._blob)}],
            "bufferViews": self._views,
            "accessors": self._accessors,
        }
        text = json.dumps(whole, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        chunks += struct.pack("<II", len(self._blob), 0x004E4942) + self._blob
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


_STILL = 1.0  # seconds at either end


def save_morph(
    mesh: Mesh, positions: Sequence[Float[Tensor, "V 3"]], path: str | os.PathLike[str], seconds: float = 4.0
) -> None:
    """Write a mesh that deforms: glTF morph targets and an animation there and back.

    Args:
        mesh: The first shape.
        positions: Vertices of the following shapes, in the same order and relative to the same offset.
        path: The file to write; its name must end in `.glb`.
        seconds: Time from the first shape to the last.

    Raises:
        InputError: There is only one shape, or the shapes do not match.
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
    """Write an animation of meshes of any topology that are shown one by one, by animation of their scales.

    Raises:
        InputError: There are fewer than two meshes.
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

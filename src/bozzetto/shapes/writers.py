"""One writer per file format: from plain NumPy arrays to bytes. Float32 positions survive exactly."""

import io
import json
import struct

import numpy as np
from numpy.typing import NDArray

from .readers import Arrays


def write_ply(shape: Arrays) -> bytes:
    """Binary little-endian PLY with float32 positions, normals if there are any, and 8-bit sRGB colours."""
    columns = [("x y z", "<f4", "float", shape.vertices)]
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


def _bytes(colors: NDArray) -> NDArray:
    return np.rint(np.clip(colors, 0, 1) * 255).astype(np.uint8)


def write_stl(shape: Arrays) -> bytes:
    """Binary STL: three corners and a normal per face."""
    corners = shape.vertices[shape.faces].astype(np.float32)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    table = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    table["normal"] = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    table["corners"] = corners
    return b"bozzetto".ljust(80) + struct.pack("<I", len(corners)) + table.tobytes()


def write_obj(shape: Arrays) -> bytes:
    """Wavefront OBJ; colours follow the positions as sRGB in [0, 1]."""
    values = [shape.vertices] if shape.colors is None else [shape.vertices, shape.colors]
    return (_lines("v ", np.hstack(values), "%.9g") + _lines("f ", shape.faces + 1, "%d")).encode()


def write_off(shape: Arrays) -> bytes:
    """ASCII OFF."""
    head = f"OFF\n{len(shape.vertices)} {len(shape.faces)} 0\n"
    return (head + _lines("", shape.vertices, "%.9g") + _lines("3 ", shape.faces, "%d")).encode()


def write_xyz(shape: Arrays) -> bytes:
    """A line per point: x y z, then the normal, then 8-bit sRGB colours, as far as there are any."""
    text = [shape.vertices] + ([] if shape.normals is None else [shape.normals])
    values = np.hstack(text)
    if shape.colors is None:
        return _lines("", values, "%.9g").encode()
    formats = ["%.9g"] * values.shape[1] + ["%d"] * 3
    return _lines("", np.hstack([values, _bytes(shape.colors)]), formats).encode()


def _lines(prefix: str, rows: NDArray, form: str | list[str]) -> str:
    forms = [form] * rows.shape[1] if isinstance(form, str) else form
    line = prefix + " ".join(forms) + "\n"
    return "".join([line % tuple(row) for row in rows.tolist()])


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
    binary = Binary()
    primitive = binary.primitive(shape)
    return binary.glb({"nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}]})


class Binary:
    """The binary part of a glTF file while it is put together, and the entries that describe it."""

    def __init__(self) -> None:
        self._blob, self._views, self._accessors = b"", [], []

    def add(self, values: NDArray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append numbers, integers as uint32 and all else as float32, and return their accessor.

        Args:
            values: A row per element.
            kind: SCALAR or VEC3.
            target: What a graphics card uses them for, as glTF numbers it.
            bounds: State the least and the largest of them, as glTF demands in places.
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
        self._blob += (
            values.tobytes()
        )  # every element size is a multiple of four bytes, so no padding is needed
        return len(self._accessors) - 1

    def primitive(self, shape: Arrays) -> dict:
        """Append a mesh and return its entry."""
        indices = self.add(shape.faces.astype("<u4"), "SCALAR", 34963)
        attributes = {"POSITION": self.add(shape.vertices, "VEC3", 34962, bounds=True)}
        if shape.colors is not None:
            attributes["COLOR_0"] = self.add(shape.colors, "VEC3", 34962)
        return {"attributes": attributes, "indices": indices, "material": 0}

    def glb(self, tree: dict) -> bytes:
        """The whole file, with the nodes, meshes and animations of `tree`."""
        whole = {
            "asset": {"version": "2.0", "generator": "bozzetto"},
            "scene": 0,
            "scenes": [{"nodes": list(range(len(tree["nodes"])))}],
            **tree,
            "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}],
            "buffers": [{"byteLength": len(self._blob)}],
            "bufferViews": self._views,
            "accessors": self._accessors,
        }
        text = json.dumps(whole, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
        chunks += struct.pack("<II", len(self._blob), 0x004E4942) + self._blob
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks

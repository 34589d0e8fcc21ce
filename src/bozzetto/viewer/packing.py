"""Meshes as short text that a page can hold: quantised, delta-coded, deflated, base64."""

import base64
import zlib
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..images import linear_to_srgb, srgb_to_linear
from ..shapes import Mesh

_STEPS = 65535


def pack(mesh: Mesh) -> dict[str, Any]:
    """A mesh as JSON values, about 8 bytes a vertex and face together; `viewer.js` reads the same layout.

    Vertices are rounded to 16 bits per axis (1/65535 of the longest side of the bounds), colours to 8-bit
    sRGB. Each column of numbers (x, y, z, red, green, blue; then the corners of all faces) is stored as
    differences to its predecessor, byte plane by byte plane, which deflates well.

    Returns:
        `vertices` and `faces` (counts), `colors` (whether there are any), `origin` and `step` (position =
        origin + step * integer), `data` (base64).

    Raises:
        InputError: The mesh is empty, not finite or has faces out of range.
    """
    mesh.check()
    vertices = mesh.vertices.detach().cpu().double().numpy()
    origin = vertices.min(axis=0)
    step = float((vertices.max(axis=0) - origin).max()) / _STEPS or 1.0
    columns = list(np.rint((vertices - origin) / step).astype("<u2").T)
    if mesh.colors is not None:
        srgb = linear_to_srgb(mesh.colors.detach().cpu().clamp(0, 1))
        columns += list((srgb * 255).round().numpy().astype("u1").T)
    columns.append(mesh.faces.cpu().numpy().astype("<u4").ravel())
    data = zlib.compress(b"".join(_differences(column) for column in columns), 9)
    return {
        "vertices": len(vertices),
        "faces": len(mesh.faces),
        "colors": mesh.colors is not None,
        "origin": origin.tolist(),
        "step": step,
        "data": base64.b64encode(data).decode(),
    }


def unpack(packed: dict[str, Any]) -> Mesh:
    """The mesh that `pack` was given, up to its rounding.

    Raises:
        InputError: The data are damaged.
    """
    try:
        data = zlib.decompress(base64.b64decode(packed["data"]))
        count, offset, columns = packed["vertices"], 0, []
        widths = [2, 2, 2] + [1, 1, 1] * packed["colors"]
        for kind, length in [(width, count) for width in widths] + [(4, 3 * packed["faces"])]:
            columns.append(_sums(data[offset : offset + kind * length], kind))
            offset += kind * length
    except (KeyError, ValueError, zlib.error) as error:
        raise InputError(f"the packed mesh is damaged ({error}); write the page again") from None
    xyz = np.stack(columns[:3], axis=1) * packed["step"] + np.array(packed["origin"])
    colors = None
    if packed["colors"]:
        colors = srgb_to_linear(torch.from_numpy(np.stack(columns[3:6], axis=1).astype(np.float32) / 255))
    faces = torch.from_numpy(columns[-1].astype(np.int64).reshape(-1, 3))
    return Mesh(torch.from_numpy(xyz).float(), faces, colors)


def _differences(column: np.ndarray) -> bytes:
    steps = np.diff(column, prepend=column.dtype.type(0))  # unsigned, so it wraps and stays reversible
    return steps.view("u1").reshape(-1, column.itemsize).T.tobytes()


def _sums(planes: bytes, width: int) -> np.ndarray:
    steps = np.frombuffer(planes, "u1").reshape(width, -1).T.copy().view(f"<u{width}").ravel()
    return np.cumsum(steps, dtype=steps.dtype)

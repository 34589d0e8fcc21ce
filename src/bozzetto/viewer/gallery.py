"""A page of pictures, interactive meshes and tables in one file that needs neither a server nor a network."""

import base64
import html
import io
import json
import os
import re
import zlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..files import write_text
from ..images import linear_to_srgb, srgb_to_linear
from ..shapes import Mesh

Vector = Sequence[float | int]

_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}


class Gallery:
    """Builder of a page of pictures, meshes and tables as one self-contained HTML file.

    Neighbouring pictures and meshes share a row. Every method returns the gallery, so calls can be chained:

        Gallery("A vase").text("Seen from above.").picture("top.png").mesh(vase).save("index.html")
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        """Begin an empty page.

        Args:
            title: Heading and name of the page.
            subtitle: A sentence below the heading.
        """
        self.title = title
        self.subtitle = subtitle
        self._blocks: list[str] = []
        self._row: list[str] = []

    def text(self, text: str, heading: str = "") -> "Gallery":
        """Add paragraphs of plain text (separated by empty lines), after an optional section heading."""
        self._end_row()
        if heading:
            self._blocks.append(f"<h2>{html.escape(heading)}</h2>")
        paragraphs = [p.strip() for p in text.split("\n\n") if p.strip()]
        self._blocks += [f"<p>{html.escape(p)}</p>" for p in paragraphs]
        return self

    def picture(
        self,
        picture: str | os.PathLike[str] | Float[Tensor, "H W C"] | npt.NDArray[Any],
        caption: str = "",
        wide: bool = False,
    ) -> "Gallery":
        """Add a picture; its bytes go into the page.

        Args:
            picture: A PNG, JPEG, WebP or GIF file (animations play), or sRGB values in [0, 1] with one,
                three or four channels.
            caption: Text below it, and its description for those who cannot see it.
            wide: Whether to use a separate row over the full width.

        Raises:
            InputError: The file cannot be read or is of another kind; the array has another shape.
        """
        kind, data = _picture_bytes(picture)
        source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        image = f'<img src="{source}" alt="{html.escape(caption)}" loading="lazy">'
        self._figure(image, caption, wide)
        return self

    def mesh(
        self,
        mesh: Mesh,
        caption: str = "",
        up: Vector = (0, 1, 0),
        front: Vector | None = None,
        link: str = "",
        wide: bool = False,
    ) -> "Gallery":
        """Add an interactive mesh, which can be rotated and zoomed.

        Args:
            mesh: The surface, with or without colours (linear).
            caption: Text below it; the number of faces is added.
            up: Direction of the mesh's frame that points upwards on the page.
            front: Direction from the mesh towards the viewer at first; None takes +Z, or -Y if Z points
                upwards.
            link: Meshes with the same link rotate together, for comparison.
            wide: Whether to use a separate row over the full width.

        Raises:
            InputError: The mesh is empty, not finite or has faces out of range; `front` is along `up`.
        """
        front = front or ((0, 0, 1) if abs(up[2]) < max(abs(up[0]), abs(up[1])) else (0, -1, 0))
        if np.linalg.norm(np.cross(up, front)) < 1e-6:
            raise InputError(f"a mesh cannot face its own up direction, got {up} and {front}")
        packed = packed_mesh(mesh)
        data = packed.pop("data")
        about = html.escape(json.dumps({**packed, "up": list(up), "front": list(front), "link": link}))
        label = html.escape(caption)
        view = (
            f'<div class="view" data-mesh="{about}" tabindex="0" role="img" aria-label="{label}">'
            f'<script type="text/plain">{data}</script></div>'
        )
        self._figure(view, f"{caption} ({len(mesh.faces):,} faces)".strip(), wide)
        return self

    def table(self, rows: dict[str, Any], caption: str = "") -> "Gallery":
        """Add a table.

        Args:
            rows: Name and value of every row; values that are dictionaries with the same keys give several
                columns. Floats are shown with four significant digits.
            caption: Text below it.
        """
        self._end_row()
        columns = next((list(v) for v in rows.values() if isinstance(v, dict)), None)
        head = (
            "" if columns is None else f"<tr><th></th>{''.join(f'<th>{_cell(c)}</th>' for c in columns)}</tr>"
        )
        lines = []
        for name, value in rows.items():
            cells = [value.get(c) for c in columns or []] if isinstance(value, dict) else [value]
            lines.append(f"<tr><th>{_cell(name)}</th>{''.join(f'<td>{_cell(c)}</td>' for c in cells)}</tr>")
        note = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        self._blocks.append(f'<figure class="table"><table>{head}{"".join(lines)}</table>{note}</figure>')
        return self

    def html(self) -> str:
        """The whole page."""
        self._end_row()
        parts = {
            "title": html.escape(self.title),
            "subtitle": html.escape(self.subtitle),
            "style": _asset("page.css"),
            "body": "\n".join(self._blocks),
            "script": _asset("viewer.js"),
        }
        return re.sub(r"{{(\w+)}}", lambda slot: parts[slot[1]], _asset("page.html"))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, or to `index.html` in a folder, and return its path.

        Raises:
            InputError: The folder cannot be written to.
        """
        path = Path(path)
        path = path if path.suffix in (".html", ".htm") else path / "index.html"
        write_text(path, self.html())
        return path

    def _figure(self, content: str, caption: str, wide: bool) -> None:
        note = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
        figure = f"<figure>{content}{note}</figure>"
        if wide:
            self._end_row()
            self._blocks.append(figure)
        else:
            self._row.append(figure)

    def _end_row(self) -> None:
        if self._row:
            self._blocks.append(f'<div class="row">{"".join(self._row)}</div>')
            self._row = []


def _asset(name: str) -> str:
    return resources.files(__name__.rpartition(".")[0]).joinpath(name).read_text(encoding="utf-8")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else html.escape(str(value))


def _picture_bytes(picture: str | os.PathLike[str] | Tensor | npt.NDArray[Any]) -> tuple[str, bytes]:
    if isinstance(picture, str | os.PathLike):
        path = Path(picture)
        if path.suffix.lower() not in _TYPES:
            raise InputError(f"a page cannot show {path.name}; give a file of {', '.join(_TYPES)}")
        try:
            return _TYPES[path.suffix.lower()], path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read the picture {path} ({error.strerror}); check the path") from None
    values = picture.detach().cpu().numpy() if isinstance(picture, torch.Tensor) else np.asarray(picture)
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4):
        raise InputError(f"a picture must have shape (H, W, 1, 3 or 4), got {tuple(values.shape)}")
    pixels = np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG", optimize=True)
    return "image/png", buffer.getvalue()


_STEPS = 65535


def packed_mesh(mesh: Mesh) -> dict[str, Any]:
    """A mesh as JSON values, about 8 bytes per vertex and face together; `viewer.js` reads the same layout.

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


def unpacked_mesh(packed: dict[str, Any]) -> Mesh:
    """The mesh that `packed_mesh` was given, up to its rounding.

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


def _differences(column: npt.NDArray[Any]) -> bytes:
    steps = np.diff(column, prepend=column.dtype.type(0))  # unsigned, so it wraps and stays reversible
    return steps.view("u1").reshape(-1, column.itemsize).T.tobytes()


def _sums(planes: bytes, width: int) -> npt.NDArray[Any]:
    steps = np.frombuffer(planes, "u1").reshape(width, -1).T.copy().view(f"<u{width}").ravel()
    return np.cumsum(steps, dtype=steps.dtype)

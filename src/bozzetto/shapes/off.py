"""Reading Object File Format (OFF) files, ASCII, as Geomview describes them."""

import re

import numpy as np

from .arrays import Arrays, Unsupported, unit_colors
from .polygons import Polygons, triangulated
from .text import decoded

_HEADER = re.compile(r"(ST)?(C)?(N)?(4)?(n)?OFF(.*)")


def read_off(data: bytes) -> Arrays:
    """Positions, faces, and the colours and normals that the header announces.

    The header is `[ST][C][N][4]OFF`, then the numbers of vertices, faces and perhaps edges. A vertex is x y z
    (and w, which divides them), a normal, a colour, texture coordinates, as far as announced. Colours of
    faces are left out, with a note.
    """
    if re.match(rb"\s*[A-Za-z0-9]*OFF\s+BINARY", data):
        raise Unsupported("it is binary OFF, which is not read; export it as ASCII OFF")
    text = decoded(data)
    if "#" in text:
        text = re.sub("#[^\n]*", "", text)
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    first = lines[0].split() if lines else [""]
    match = _HEADER.fullmatch(first[0])
    if match is None:
        raise Unsupported("the first line is not OFF; check the ending of its name")
    texture, color, normal, four, many, glued = match.groups()
    if many:
        raise Unsupported("it has coordinates of any number (nOFF), which are not read; export it as OFF")
    head = ([glued] if glued else []) + first[1:]
    at = 1
    if not head:
        head, at = "".join(lines[1:2]).split(), 2
    if len(head) < 2 or not all(re.fullmatch(r"\d+", word) for word in head):
        raise ValueError(f"the numbers of vertices and faces are missing, found {' '.join(head)[:40]!r}")
    vertex_count, face_count = int(head[0]), int(head[1])
    body = lines[at:]
    if len(body) < vertex_count + face_count:
        raise ValueError(f"{vertex_count} vertices and {face_count} faces announced, {len(body)} lines found")
    notes: list[str] = []
    if len(body) > vertex_count + face_count:
        notes.append(f"{len(body) - vertex_count - face_count} lines behind its last face were left out")
    shape = _vertices(body[:vertex_count], bool(four), bool(normal), bool(color), bool(texture), notes)
    shape.notes = notes
    rows = body[vertex_count : vertex_count + face_count]
    shape.faces = triangulated(shape.vertices, _polygons(rows, shape.colors is None, notes), notes)
    return shape


def _vertices(
    rows: list[str], four: bool, normal: bool, color: bool, texture: bool, notes: list[str]
) -> Arrays:
    if not rows:
        return Arrays(np.zeros((0, 3)))
    numbers: list[float] = []
    widths: set[int] = set()
    for row in rows:
        words = row.split()
        widths.add(len(words))
        numbers.extend(map(float, words))
    needed = 3 + four + 3 * normal + 3 * color + 2 * texture
    if min(widths) < needed:
        raise ValueError(f"a vertex has {min(widths)} numbers, its header announces {needed}")
    if len(widths) > 1:
        raise ValueError(f"vertices have {min(widths)} to {max(widths)} numbers")
    extra = min(widths) - needed
    alpha = 1 if color and extra == 1 else 0
    if extra > alpha:
        notes.append(
            f"{extra} numbers behind each of its vertices, which its header does not announce, were left out"
        )
    table = np.array(numbers).reshape(len(rows), -1)
    vertices, at = table[:, :3], 3
    if four:
        weight = table[:, 3:4]
        if (weight == 0).any():
            raise Unsupported("it has vertices at infinity (w = 0), which are not read")
        vertices, at = vertices / weight, 4
    normals = colors = None
    if normal:
        normals, at = table[:, at : at + 3], at + 3
    if color:
        colors = unit_colors(table[:, at : at + 3], notes, usual=255)
    return Arrays(vertices, normals=normals, colors=colors)


def _polygons(rows: list[str], plain: bool, notes: list[str]) -> Polygons:
    corners: list[int] = []
    lengths: list[int] = []
    colored = False
    for row in rows:
        words = row.split()
        length = int(words[0])
        if not 0 <= length < len(words):
            raise ValueError(f"a face has {len(words) - 1} corners but announces {length}")
        colored = colored or len(words) > length + 1
        corners.extend(map(int, words[1 : length + 1]))
        lengths.append(length)
    if colored and plain:
        notes.append("the colours of its faces were left out; colours are read of vertices")
    return Polygons(np.array(corners, np.int64), np.array(lengths, np.int64))

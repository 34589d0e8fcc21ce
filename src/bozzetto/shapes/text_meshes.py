"""Reading meshes in text: Wavefront OBJ, and the Object File Format (OFF) as Geomview describes it.

trimesh is not used for OBJ because it splits vertices at texture seams.
"""

import codecs
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays, Unsupported, unit_colors
from .polygons import Polygons, triangulated

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_HEAD = 4096


def decoded(data: bytes) -> str:
    """The text of a file, with the line ends of all systems converted to newlines.

    A byte order mark gives the encoding. Without one it is UTF-8, or UTF-16 if every other byte is zero; bytes
    that are not UTF-8 (names in an older encoding) are replaced.

    Raises:
        Unsupported: The bytes are not text.
    """
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    encoding = _MARKS[mark] if mark else _unmarked(data[:_HEAD])
    if encoding == "utf-8" and b"\0" in data:  # seen before a second copy is made
        raise _no_text()
    text = data[len(mark) :].decode(encoding, "replace")
    if "\0" in text:
        raise _no_text()
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _no_text() -> Unsupported:
    return Unsupported("it holds zero bytes and is no text; check the ending of its name")


def _unmarked(head: bytes) -> str:
    if b"\0" not in head:
        return "utf-8"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if max(even, odd) > 0.8 * half and min(even, odd) < 0.1 * half:
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8"


# Curves and surfaces that no triangle stands for.
_FREEFORM = {"curv", "curv2", "surf", "bzp", "bsp", "cdc", "cdp", "res"}
# What has no influence on positions, faces, normals and colours: texture, material, grouping and display, and
# the parameters of curves and surfaces.
_HARMLESS = set(
    "vt vp g o s mg usemtl mtllib usemap maplib bevel c_interp d_interp lod shadow_obj trace_obj ctech stech "
    "cstype deg bmat step parm trim hole scrv sp end con l p call csh".split()
)


def read_obj(data: bytes) -> Arrays:
    """Read positions, with colours after them if there are any, faces, and normals that are unique per
    vertex."""
    text = decoded(data)
    if "#" in text:
        text = re.sub("#[^\n]*", "", text)
    if "\\" in text:
        text = re.sub(r"\\[ \t]*\n", " ", text)
    body = _Body()
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if words:
            try:
                body.add(words)
            except ValueError as error:
                if isinstance(error, Unsupported):
                    raise
                raise ValueError(f"line {number}, {' '.join(words)[:60]!r}: {error}") from None
    return body.arrays()


class _Body:
    """The statements of a file in their order."""

    def __init__(self) -> None:
        self.numbers: list[float] = []  # of all vertices, one after the other
        self.widths: list[int] = []
        self.normals: list[float] = []
        self.corners: list[int] = []
        self.lengths: list[int] = []
        self.own_normals = True  # every vertex uses the normal of its own number
        self.other: dict[str, int] = {}

    def add(self, words: list[str]) -> None:
        key = words[0]
        if key == "v":
            self.numbers.extend(map(float, words[1:]))
            self.widths.append(len(words) - 1)
        elif key == "f" or key == "fo":
            self.face(words[1:])
        elif key == "vn":
            self.normals.extend((float(words[1]), float(words[2]), float(words[3])))
        else:
            self.other[key] = self.other.get(key, 0) + 1

    def face(self, words: list[str]) -> None:
        if self.own_normals:
            parts = [word.split("/") for word in words]
            self.own_normals = all(len(part) == 3 and part[0] == part[2] for part in parts)
            corners = [int(part[0]) for part in parts]
        else:
            corners = [int(word.split("/", 1)[0]) for word in words]
        if corners and min(corners) <= 0:
            if 0 in corners:
                raise ValueError("face index 0; OBJ counts from 1")
            count = len(self.widths) + 1
            corners = [c if c > 0 else count + c for c in corners]
            if min(corners) <= 0:
                raise ValueError("a face counts back beyond the first vertex")
        self.corners.extend(corners)
        self.lengths.append(len(corners))

    def arrays(self) -> Arrays:
        notes: list[str] = []
        self.judge_others(notes)
        vertices, colors = self.positions(notes)
        polygons = Polygons(np.array(self.corners, np.int64) - 1, np.array(self.lengths, np.int64))
        faces = triangulated(vertices, polygons, notes)
        normals = np.array(self.normals).reshape(-1, 3)
        own = len(normals) == len(vertices) > 0 and (self.own_normals or not self.lengths)
        return Arrays(vertices, faces, normals if own else None, colors, notes=notes)

    def judge_others(self, notes: list[str]) -> None:
        freeform = sorted(_FREEFORM & self.other.keys())
        if freeform:
            raise Unsupported(
                f"it holds free-form curves or surfaces ({', '.join(freeform)}), which are not read; "
                "export it as polygons"
            )
        unknown = [key for key in self.other if key not in _HARMLESS]
        numeric = next((key for key in unknown if _is_number(key)), None)
        if numeric is not None:
            raise ValueError(f"a line begins with {numeric[:30]!r} and not with a keyword")
        if unknown and not self.widths:
            raise Unsupported("it has no line of OBJ; check the ending of its name")
        if unknown:
            lines = sum(self.other[key] for key in unknown)
            words = ", ".join(key[:20] for key in unknown[:3])
            notes.append(f"{lines} lines that begin with {words} are not OBJ and were left out")
        for key, what in (("l", "lines"), ("p", "points")):
            if key in self.other and (key == "l" or self.lengths):
                notes.append(f"its {what} ({self.other[key]} elements) were left out")
        if "call" in self.other or "csh" in self.other:
            notes.append("its calls of other files or programs were ignored")

    def positions(self, notes: list[str]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        if not self.widths:
            return np.zeros((0, 3)), None
        widths = np.array(self.widths)
        kinds = np.unique(widths).tolist()
        if kinds[0] < 3:
            raise ValueError(f"a vertex has {kinds[0]} coordinates instead of three")
        if kinds[-1] > 7 or 5 in kinds:
            raise Unsupported(
                f"a vertex has {kinds[-1] if kinds[-1] > 7 else 5} numbers; 3 (x y z), "
                "6 (and a colour) or 7 (and alpha) are understood"
            )
        numbers = np.array(self.numbers)
        if len(kinds) == 1:
            table = numbers.reshape(-1, kinds[0])
        else:
            table = np.full((len(widths), kinds[-1]), np.nan)
            table[np.arange(kinds[-1]) < widths[:, None]] = numbers
        colored = widths >= 6
        weights = table[widths == 4, 3] if 4 in kinds else np.ones(1)
        if (weights != 1).any():
            raise Unsupported(
                "its vertices have a fourth number that is not 1, a weight, which programs understand in "
                "different ways; export it with x y z only"
            )
        if not colored.any():
            return table[:, :3], None
        own = table[colored, 3:6]
        if 7 in kinds and (table[widths == 7, 3] == 1).all() and (table[widths == 7, 6] != 1).any():
            raise Unsupported(
                "its vertices have seven numbers that may be x y z w r g b or x y z r g b a; "
                "export it with x y z r g b"
            )
        colors = np.ones((len(table), 3))
        colors[colored] = unit_colors(own, notes)
        plain = int((~colored).sum())
        if plain:
            notes.append(f"{plain} of its {len(table)} vertices have no colour and were made white")
        return np.ascontiguousarray(table[:, :3]), colors


def _is_number(word: str) -> bool:
    try:
        float(word.split("/")[0])
    except ValueError:
        return False
    return True


_HEADER = re.compile(r"(ST)?(C)?(N)?(4)?(n)?OFF(.*)")


def read_off(data: bytes) -> Arrays:
    """Positions, faces, and the colours and normals that the header announces.

    The header is `[ST][C][N][4]OFF`, then the numbers of vertices, faces and perhaps edges. A vertex is x y z
    (and w, which divides them), a normal, a colour, texture coordinates, as far as the header declares them.
    Colours of faces are omitted, with a note.
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

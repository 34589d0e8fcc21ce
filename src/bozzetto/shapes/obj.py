"""Reading Wavefront OBJ files.

Read here and not by trimesh, which splits vertices at texture seams.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays, Unsupported, unit_colors
from .polygons import Polygons, triangulated
from .text import decoded

# Curves and surfaces that no triangle stands for.
_FREEFORM = {"curv", "curv2", "surf", "bzp", "bsp", "cdc", "cdp", "res"}
# What has no influence on positions, faces, normals and colours: texture, material, grouping and display, and
# the parameters of curves and surfaces.
_HARMLESS = set(
    "vt vp g o s mg usemtl mtllib usemap maplib bevel c_interp d_interp lod shadow_obj trace_obj ctech stech "
    "cstype deg bmat step parm trim hole scrv sp end con l p call csh".split()
)


def read_obj(data: bytes) -> Arrays:
    """Positions, with colours behind them if there are any, faces, and normals that belong to one vertex."""
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
    """The statements of a file as they come."""

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

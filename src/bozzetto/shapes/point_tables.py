"""Reading clouds from text: a point per line, with optional names of columns in the first line.

Columns without names are identified by their number and values. A guess gives a note; an ambiguity is an error.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays, Unsupported, note_unread, unit_colors
from .text_meshes import decoded

_COMMENTS = ("#", "//")
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+(?:[eE][-+]?\d+)?")
_HELP = "name the columns in a first line such as: x y z nx ny nz red green blue"
# What columns are called, in lower case and without units.
_NAMES = {
    name: column
    for column, names in {
        "x": "x px x_coord",
        "y": "y py y_coord",
        "z": "z pz z_coord",
        "nx": "nx normal_x normalx",
        "ny": "ny normal_y normaly",
        "nz": "nz normal_z normalz",
        "red": "r red rf diffuse_red",
        "green": "g green gf diffuse_green",
        "blue": "b blue bf diffuse_blue",
    }.items()
    for name in names.split()
}
_UNIT = 0.02  # by which a normal's length differs from 1 when it is written with few digits
_LONGEST = 10.0  # up to which a vector with negative parts passes for a normal


def read_points(data: bytes) -> Arrays:
    """Points of an .xyz, .txt, .asc, .csv or .pts file.

    Columns are separated by blanks, commas or semicolons; a comma may also be the decimal point, where it
    cannot separate. The first line may contain the number of points, as in PTS, or the names of the columns.

    Raises:
        ValueError: Lines are not numbers, or have different lengths.
        Unsupported: The columns are ambiguous.
    """
    text = decoded(data)
    lines = [line for line in map(str.strip, text.split("\n")) if line]
    comments = [line for line in lines if line.startswith(_COMMENTS)]
    if comments or "#" in text:
        lines = [line for line in lines if not line.startswith(_COMMENTS)]
        lines = [line for line in (line.split("#", 1)[0].strip() for line in lines) if line]
    notes: list[str] = []
    lines, announced = _without_count(lines)
    lines, first = _without_header(lines)
    if first and announced is None:
        lines, announced = _without_count(lines)
    if not lines:
        return Arrays(np.zeros((0, 3)))
    split = _splitter(lines[:100])
    values = _values(lines, split)
    if announced is not None and announced != len(values):
        raise ValueError(f"{announced} points announced, {len(values)} found")
    columns = None
    for line in ([first] if first else []) + comments:
        columns = columns or _columns(line, values.shape[1])
    if first and not columns:
        notes.append(f"its first line {first[:40]!r} names no x, y and z and was left out")
    shape = _named(values, columns, notes) if columns else _unnamed(values, announced is not None, notes)
    shape.notes = notes
    return shape


def _without_count(lines: list[str]) -> tuple[list[str], int | None]:
    """The lines without a first line of only the number of points, and that number."""
    if len(lines) < 2 or not lines[0].isdigit() or lines[1].isdigit():
        return lines, None
    if any(re.match(r"[A-Z][a-z]?\s+[-+.\d]", line) for line in lines[1:3]):
        raise Unsupported("it describes a molecule, not a cloud of points")
    return lines[1:], int(lines[0])


def _without_header(lines: list[str]) -> tuple[list[str], str | None]:
    """The lines without a first line of words, and that line."""
    words = re.split(r"[\s,;]+", lines[0]) if lines else []
    if words and not any(_is_number(word) for word in words):
        return lines[1:], lines[0]
    return lines, None


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _splitter(lines: Sequence[str]) -> Callable[[str], list[str]]:
    """A function that splits a line into numbers with decimal points, inferred from the first lines."""
    if any(";" in line for line in lines):
        return lambda line: line.strip("; ").replace(",", ".").split(";")
    if not any("," in line for line in lines):
        return str.split
    rows = [line.split() for line in lines]
    whole = all(len(row) >= 3 and "." not in "".join(row) for row in rows)
    if whole and all("," not in word or _DECIMAL_COMMA.fullmatch(word) for row in rows for word in row):
        return lambda line: line.replace(",", ".").split()
    fields = [line.strip(", ").split(",") for line in lines]
    if any(re.fullmatch(r"\s*[-+]?0\d+\s*", word) for row in fields for word in row):
        raise Unsupported("commas seem to separate numbers and digits alike; export it with decimal points")
    return lambda line: line.strip(", ").split(",")


def _values(lines: list[str], split: Callable[[str], list[str]]) -> NDArray[Any]:
    width = len(split(lines[0]))
    numbers: list[float] = []
    for line in lines:
        words = split(line)
        if len(words) != width:
            raise ValueError(
                f"lines must hold {width} numbers as the first, but {line[:60]!r} holds {len(words)}"
            )
        try:
            numbers.extend(map(float, words))
        except ValueError:
            raise ValueError(f"the line {line[:60]!r} does not hold numbers only") from None
    return np.array(numbers).reshape(-1, width)


def _columns(line: str, count: int) -> dict[str, int] | None:
    """The columns by their meaning, if a line names all of them, including x, y and z.

    Columns of other names keep these.
    """
    line = line.lstrip("#/ ").strip().strip(",;")
    for separator in (";", ",", "\t", None):
        words = [re.sub(r"[\[(].*?[\])]", "", word).strip("\"' ").lower() for word in line.split(separator)]
        if len(words) == count:
            found: dict[str, int] = {}
            for index, word in enumerate(words):
                found.setdefault(_NAMES.get(word, word), index)
            return found if {"x", "y", "z"} <= found.keys() else None
    return None


def _named(values: NDArray[Any], columns: dict[str, int], notes: list[str]) -> Arrays:
    groups, unread = [], dict(columns)
    for names in (("x", "y", "z"), ("nx", "ny", "nz"), ("red", "green", "blue")):
        complete = all(name in columns for name in names)
        groups.append(values[:, [unread.pop(name) for name in names]] if complete else None)
    note_unread(list(unread), "columns", notes)
    vertices, normals, colors = groups
    colors = None if colors is None else unit_colors(colors, notes, usual=255)
    return Arrays(vertices, normals=normals, colors=colors)


def _unnamed(values: NDArray[Any], is_pts: bool, notes: list[str]) -> Arrays:
    """Identify columns by their number and values.

    Args:
        values: The numbers of the lines.
        is_pts: Whether the file begins with the number of points: then column 4 of 4 or 7 is intensity.
        notes: Receives sentences about guesses.
    """
    count = values.shape[1]
    readings = {
        3: [()],
        4: [()],
        6: [(3,)],
        7: [(4,)] if is_pts else [(3,), (4,)],
        9: [(3, 6)],
        10: [(3, 6), (4, 7)],
    }
    if count not in readings:
        raise Unsupported(f"its lines hold {count} numbers, and it is unknown what they are; {_HELP}")
    fitting = [reading for reading in readings[count] if _fits(values, reading)]
    if len(fitting) == 2 and len(np.unique(values[:, -1])) == 1:
        fitting = fitting[:1]  # the last column is the same everywhere: alpha
    if len(fitting) != 1:
        raise Unsupported(
            f"its lines hold {count} numbers, and it is unknown what those behind x y z are: normals have "
            f"length 1, colours lie between 0 and 255; {_HELP}"
        )
    normals = colors = None
    words = []
    for start in fitting[0]:
        columns = values[:, start : start + 3]
        where = f"its columns {start + 1} to {start + 3} were taken for"
        if _kind(columns) == "normals":
            normals = columns
            if columns.min() >= 0:
                words.append(f"{where} normals")
        else:
            colors = unit_colors(columns, notes, usual=255)
            if start != 6 or columns.max() <= 1:
                words.append(f"{where} colours from 0 to {255 if columns.max() > 1 else 1}")
    left = [c + 1 for c in range(3, count) if not any(s <= c < s + 3 for s in fitting[0])]
    if left:
        words.append(f"its column {left[0]} was left out")
    if words:
        notes.append(" and ".join(words))
    return Arrays(values[:, :3], normals=normals, colors=colors)


def _fits(values: NDArray[Any], starts: tuple[int, ...]) -> bool:
    kinds = [_kind(values[:, start : start + 3]) for start in starts]
    return None not in kinds and len(set(kinds)) == len(kinds)


def _kind(columns: NDArray[Any]) -> str | None:
    """Whether three columns are normals or colours; None if neither."""
    if not np.isfinite(columns).all():
        return None
    lengths = np.linalg.norm(columns, axis=1)
    if lengths.max() > 0 and ((np.abs(lengths - 1) < _UNIT) | (lengths == 0)).mean() > 0.95:
        return "normals"
    whole = bool((columns == np.floor(columns)).all())
    if columns.min() < 0:
        return "normals" if not whole and lengths.max() <= _LONGEST else None
    return "colors" if columns.max() <= 1 or (whole and columns.max() <= 65535) else None

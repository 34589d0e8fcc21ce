"""Reading Stanford PLY files.

trimesh is not used because it rejects rows of varying length, as in range scans and in files with both
triangles and quads, and does not detect missing rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays, Unsupported, note_unread, unit_colors
from .polygons import Polygons, triangulated

_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "float": "f4",
    "double": "f8",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "int64": "i8",
    "uint64": "u8",
    "float32": "f4",
    "float64": "f8",
}
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 1 << 20

# Names that programs give to the same thing, in lower case.
_POSITIONS = ("x y z",)
_NORMALS = ("nx ny nz", "normal_x normal_y normal_z", "normalx normaly normalz")
_COLORS = (
    "red green blue",
    "diffuse_red diffuse_green diffuse_blue",
    "r g b",
    "diffuse_r diffuse_g diffuse_b",
    "vertex_red vertex_green vertex_blue",
)
_CORNERS = ("vertex_indices", "vertex_index", "vertex_indexes", "vertexindices", "indices")
_STRIPS = ("tristrips", "tristrip")
_FACES = ("face", "faces", "polygon", "polygons", "triangle", "triangles")
_TEXTURE = {"s", "t", "u", "v", "texture_u", "texture_v", "texture_s", "texture_t", "alpha", "diffuse_alpha"}
# Elements without anything that a mesh or a cloud holds.
_HARMLESS = {"camera", "material", "range_grid", "multi_texture_vertex", "multi_texture_face", "viewpoint"}


@dataclass
class Lists:
    """A list per row: the concatenated values of all rows, and the number of values per row."""

    values: NDArray[Any]
    lengths: NDArray[Any]


@dataclass
class Element:
    """One table of the file, for instance the vertices.

    Attributes:
        name: Its name in the header.
        count: Number of rows.
        properties: Name, type of the values, and type of the count for lists (None for single values).
        columns: The values of each property.
    """

    name: str
    count: int
    properties: list[tuple[str, str, str | None]] = field(default_factory=list)
    columns: dict[str, NDArray[Any] | Lists] = field(default_factory=dict)

    def chosen(self, choices: tuple[str, ...]) -> list[str]:
        """The first choice whose names all exist, in any case, as spelled in the file."""
        single = {name.lower(): name for name, v in self.columns.items() if isinstance(v, np.ndarray)}
        for names in choices:
            if all(name in single for name in names.split()):
                return [single[name] for name in names.split()]
        return []

    def group(self, choices: tuple[str, ...]) -> NDArray[Any] | None:
        """The columns (rows, n) of the first choice whose names all exist."""
        names = self.chosen(choices)
        return np.stack([self.columns[name] for name in names], axis=1) if names else None  # type: ignore[arg-type]


def read_ply(data: bytes) -> Arrays:
    """Positions, normals and colours of the vertices, and faces or triangle strips."""
    notes: list[str] = []
    elements = _elements(data, notes)
    named = {element.name: element for element in elements}
    if len(named) < len(elements):
        raise Unsupported("two of its elements have the same name; write them into two files")
    vertex = named.get("vertex", Element("vertex", 0))
    if not vertex.properties:
        raise Unsupported(
            f"it has no vertices, only {', '.join(named) or 'nothing'}; export it as a mesh or a cloud"
        )
    vertices = vertex.group(_POSITIONS)
    if vertices is None:
        found = ", ".join(name for name, _, _ in vertex.properties)
        raise Unsupported(f"its vertices have no x, y and z, only {found}; name them so")
    colors = vertex.group(_COLORS)
    if colors is not None:
        colors = unit_colors(colors, notes)
    elif "f_dc_0" in vertex.columns:
        notes.append(
            "it holds Gaussian splats; their centres were read, and neither their colours nor their sizes"
        )
    read = {name for choices in (_POSITIONS, _NORMALS, _COLORS) for name in vertex.chosen(choices)}
    if "f_dc_0" not in vertex.columns:
        unread = [name for name in vertex.columns if name not in read and name.lower() not in _TEXTURE]
        note_unread(unread, "vertex properties", notes)
    faces = [np.zeros((0, 3), np.int64)]
    for element in elements:
        if element.name in _STRIPS:
            faces.append(_strips(element))
        elif element.name in _FACES and element.count:
            faces.append(triangulated(vertices, _polygons(element), notes))
            if colors is None and element.group(_COLORS) is not None:
                notes.append("the colours of its faces were left out; colours are read of vertices")
        elif element.name != "vertex" and element.name not in _HARMLESS and element.count:
            notes.append(f"its element {element.name} ({element.count} rows) was left out")
    return Arrays(vertices, np.concatenate(faces), vertex.group(_NORMALS), colors, notes=notes)


def _polygons(element: Element) -> Polygons:
    lists = {name.lower(): v for name, v in element.columns.items() if isinstance(v, Lists)}
    whole = [name for name, v in lists.items() if v.values.dtype.kind in "iu"]
    name = next((name for name in _CORNERS if name in lists), whole[0] if len(whole) == 1 else None)
    if name is None or name not in whole:
        raise Unsupported(
            f"its {element.name} has no list vertex_indices of integers, only "
            f"{', '.join(name for name, _, _ in element.properties)}; export it with vertex_indices"
        )
    return Polygons(lists[name].values.astype(np.int64), lists[name].lengths.astype(np.int64))


def _strips(element: Element) -> NDArray[Any]:
    """Triangles of strips, which end with -1; every second triangle is reversed.

    Triangles without area, which only join strips, are omitted.
    """
    polygons = _polygons(element)
    values = polygons.corners
    # A strip also ends where its row does.
    breaks = np.zeros(len(values) + 1, bool)
    breaks[np.cumsum(polygons.lengths)] = True
    windows = np.arange(max(len(values) - 2, 0))
    use = (values[windows] != -1) & (values[windows + 1] != -1) & (values[windows + 2] != -1)
    use &= ~breaks[windows + 1] & ~breaks[windows + 2]
    starts = np.zeros(len(values), np.int64)  # where the strip of each value began
    begins = breaks[:-1].copy()
    begins[1:] |= values[:-1] == -1
    begins[:1] = True
    np.maximum.accumulate(np.where(begins, np.arange(len(values)), 0), out=starts)
    odd = (windows - starts[windows]) % 2 == 1
    triangles = np.stack([values[windows], values[windows + 1], values[windows + 2]], axis=1)
    triangles[odd] = triangles[odd][:, [1, 0, 2]]
    triangles = triangles[use]
    a, b, c = triangles.T
    return triangles[(a != b) & (b != c) & (c != a)]


def _elements(data: bytes, notes: list[str]) -> list[Element]:
    """All elements of a PLY file, ASCII or binary, in their order.

    Raises:
        ValueError: The file is no PLY file, or ends too early.
    """
    start, order, elements = _header(data, notes)
    if not order:
        _read_text(data[start:], elements, notes)
        return elements
    view = memoryview(data)
    for element in elements:
        least = sum(np.dtype(counted or kind).itemsize for _, kind, counted in element.properties)
        if element.count * least > len(data) - start:
            raise ValueError(f"the data ends too early: {element.count} rows of {element.name} announced")
        end = _read_uniform(element, data, start, order)
        start = _read_ragged(element, view, start, order) if end is None else end
    if start < len(data):
        notes.append(f"{len(data) - start} bytes behind its last element were left out")
    return elements


def _header(data: bytes, notes: list[str]) -> tuple[int, str, list[Element]]:
    """The start of the data, its byte order (empty for text), and the elements."""
    at = len(data) - len(data.lstrip(b"\xef\xbb\xbf \t\r\n"))
    if data[at : at + 3] != b"ply" or data[at + 3 : at + 4].strip():
        raise Unsupported("the first line is not ply; check the ending of its name")
    rest = data[at + 3 : at + 3 + 80].lstrip(b" \t")
    ending = next((end for end in (b"\r\n", b"\n", b"\r") if rest.startswith(end)), b"\n")
    order, elements, strange = None, [], []
    while True:
        end = data.find(ending, at, at + _LONGEST_HEADER)
        line = data[at : len(data) if end < 0 else end].decode("ascii", "replace").strip()
        if end < 0 and line != "end_header":
            raise ValueError("the header does not end")
        at = len(data) if end < 0 else end + len(ending)
        match line.split():
            case ["end_header"]:
                break
            case ["ply"] | [] | ["comment", *_] | ["obj_info", *_]:
                pass
            case ["format", name, _] if name in _FORMATS:
                order = _FORMATS[name]
            case ["format", *words]:
                raise ValueError(f"the format {' '.join(words)[:40]!r} is unknown")
            case ["element", name, count]:
                elements.append(Element(name, _count(count)))
            case ["property", "list", count, kind, name] if elements:
                if _type(count)[0] == "f":
                    raise Unsupported(f"the lists of {name} have lengths that are no integers")
                elements[-1].properties.append((name, _type(kind), _type(count)))
            case ["property", kind, name] if elements:
                elements[-1].properties.append((name, _type(kind), None))
            case ["element" | "property", *_]:
                raise ValueError(f"the header has a line {line[:40]!r}")
            case _:
                strange.append(line)
    if strange and order:  # in text, rows that do not fit will show it
        raise ValueError(f"the header has a line {strange[0][:40]!r}")
    notes.extend(
        f"its header has a line {line[:40]!r}, which is not PLY and was left out" for line in strange
    )
    if order is None:
        raise ValueError("the header names no format")
    for element in elements:
        names = [name for name, _, _ in element.properties]
        if len(set(names)) < len(names):
            raise Unsupported(f"two properties of its {element.name} have the same name; name them apart")
    return at, order, elements


def _count(word: str) -> int:
    if not word.isdigit():
        raise ValueError(f"an element has {word[:20]} rows")
    return int(word)


def _type(word: str) -> str:
    if word not in _TYPES:
        raise ValueError(f"the type {word[:20]!r} of a property is unknown")
    return _TYPES[word]


def _read_text(data: bytes, elements: list[Element], notes: list[str]) -> None:
    """Read rows of words: one row per line, or, if the lines do not match, word by word."""
    lines = [line for line in data.splitlines() if line.strip()]
    try:
        spare = _read_rows(lines, elements)
    except ValueError as error:
        if not _read_words(data.split(), elements):
            raise error from None
        spare = 0
    if spare:
        notes.append(f"{spare} lines behind its last element were left out")


def _read_rows(lines: list[bytes], elements: list[Element]) -> int:
    """Read a row per line; return the number of remaining lines."""
    at = 0
    for element in elements:
        if not element.properties:
            continue
        rows = lines[at : at + element.count]
        at += len(rows)
        if len(rows) < element.count:
            raise ValueError(f"{element.count} rows of {element.name} announced, {len(rows)} found")
        _read_table(element, rows)
    return len(lines) - at


def _read_table(element: Element, rows: Sequence[bytes]) -> None:
    """Read the columns of rows of words."""
    counts: list[int] = []
    words: list[float] = []
    for row in rows:
        before = len(words)
        words.extend(map(float, row.split()))
        counts.append(len(words) - before)
    places, widths, numbers = np.zeros(len(rows), np.int64), np.array(counts, np.int64), np.array(words)
    starts = np.cumsum(widths) - widths
    for name, kind, counted in element.properties:
        lengths = np.ones(len(rows), np.int64)
        if counted:
            _check_room(places, widths, element)
            lengths = _whole(numbers[starts + places], counted, name).astype(np.int64)
            places = places + 1
        if (lengths < 0).any():
            raise ValueError(f"a list of {name} has a negative length")
        _check_room(places + lengths - 1, widths, element)
        picked = numbers[_ranges(starts + places, lengths)]
        values = _whole(picked, kind, name) if kind[0] in "iu" else picked
        element.columns[name] = Lists(values, lengths) if counted else values
        places = places + lengths
    if (places != widths).any():
        row = int((places != widths).argmax())
        raise ValueError(f"row {row} of {element.name} has {widths[row]} numbers, expected {places[row]}")


def _check_room(places: NDArray[Any], widths: NDArray[Any], element: Element) -> None:
    if (places >= widths).any():
        row = int((places >= widths).argmax())
        raise ValueError(f"row {row} of {element.name} has too few numbers, {widths[row]}")


def _ranges(starts: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """Concatenated ranges start, start + 1, ..., for every start and length."""
    if len(lengths) and (lengths == 1).all():
        return starts
    total = int(lengths.sum())
    firsts = np.cumsum(lengths) - lengths
    return np.repeat(starts - firsts, lengths) + np.arange(total)


def _read_words(words: list[bytes], elements: list[Element]) -> bool:
    """Read words regardless of lines, if their number is as declared. Slow; for files with broken rows."""
    at = 0
    for element in elements:
        if not element.properties:
            continue
        rows = []
        for _ in range(element.count):
            begin = at
            for _, _, counted in element.properties:
                if at >= len(words) or (counted and not words[at].isdigit()):
                    return False
                at += 1 + (int(words[at]) if counted else 0)
            rows.append(b" ".join(words[begin:at]))
        _read_table(element, rows)
    return at == len(words)


def _whole(values: NDArray[Any], kind: str, name: str) -> NDArray[Any]:
    """Numbers of text as integers, as the header declares."""
    limits = np.iinfo(kind)
    fits = (values == np.floor(values)) & (values >= limits.min) & (values <= limits.max)
    if not fits.all():
        raise ValueError(f"{name} is announced as {np.dtype(kind).name} but holds {values[~fits][0]:g}")
    return values.astype(kind)


def _read_uniform(element: Element, data: bytes, start: int, order: str) -> int | None:
    """Read rows whose lists all have the lengths of the first row; return the end, or None if they differ."""
    if not element.properties:
        return start
    layout, at = [], start
    for number, (_, kind, counted) in enumerate(element.properties):
        length = 1
        if counted:
            layout.append((f"count {number}", order + counted))
            if element.count:
                if at + np.dtype(counted).itemsize > len(data):
                    return None
                length = int(np.frombuffer(data, order + counted, 1, at)[0])
            if length < 0:
                raise ValueError("a list has a negative length")
            at += np.dtype(counted).itemsize
        if at + length * np.dtype(kind).itemsize > len(data):
            return None
        layout.append((f"value {number}", order + kind, (length,) if counted else ()))
        at += length * np.dtype(kind).itemsize
    rows = np.dtype(layout)
    if start + element.count * rows.itemsize > len(data):
        return None
    table = np.frombuffer(data, rows, element.count, start)
    for number, (name, _, counted) in enumerate(element.properties):
        values = table[f"value {number}"]
        if counted:
            lengths = table[f"count {number}"]
            if (lengths[:1] != lengths).any():
                return None
            element.columns[name] = Lists(values.reshape(-1), lengths.astype(np.int64))
        else:
            element.columns[name] = values
    return start + table.nbytes


def _read_ragged(element: Element, data: memoryview, at: int, order: str) -> int:
    """Read rows with lists of any lengths; return their end."""
    sizes = [(np.dtype(kind).itemsize, counted) for _, kind, counted in element.properties]
    ends = len(data)
    byte_order = "big" if order == ">" else "little"
    places: list[list[int]] = [[] for _ in sizes]
    lengths: list[list[int]] = [[] for _ in sizes]
    for _ in range(element.count):
        for number, (size, counted) in enumerate(sizes):
            length = 1
            if counted:
                width = int(counted[1:])
                length = int.from_bytes(data[at : at + width], byte_order, signed=counted[0] == "i")
                if length < 0:
                    raise ValueError("a list has a negative length")
                at += width
                lengths[number].append(length)
            places[number].append(at)
            at += length * size
            if at > ends:
                raise ValueError("the data ends too early")
    raw = np.frombuffer(data, np.uint8)
    for number, (name, kind, counted) in enumerate(element.properties):
        size = sizes[number][0]
        begins = np.array(places[number], np.int64)
        counts = np.array(lengths[number], np.int64) if counted else np.ones(len(begins), np.int64)
        values = raw[_ranges(begins, counts * size)] if size > 1 or counted else raw[begins]
        values = values.view(order + kind)
        element.columns[name] = Lists(values, counts) if counted else values
    return at

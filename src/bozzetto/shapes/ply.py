"""Reading Stanford PLY files.

Read here and not by trimesh, which refuses the rows of varying length that range scans and files with both
triangles and quads have, and does not notice missing rows.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

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
    "float32": "f4",
    "float64": "f8",
}
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass
class Element:
    """One table of the file, for instance the vertices.

    Attributes:
        count: Rows.
        properties: Name, type of the values, and type of the count for lists (None for single values).
        columns: What was read: an array per single value, a list of arrays per list.
    """

    count: int
    properties: list[tuple[str, str, str | None]] = field(default_factory=list)
    columns: dict[str, NDArray | list] = field(default_factory=dict)


def read_elements(file: BinaryIO, wanted: Collection[str]) -> dict[str, Element]:
    """The wanted elements of a PLY file, ASCII or binary, by name, as far as it has them.

    Raises:
        ValueError: The file is no PLY file, or ends too early.
    """
    order, elements = _header(file)
    # What follows the last wanted element, for instance the grid of a range scan, need not be read.
    last = max((i for i, name in enumerate(elements) if name in wanted), default=-1)
    elements = dict(list(elements.items())[: last + 1])
    data = file.read()
    if not order:
        words = iter(data.split())
        for element in elements.values():
            _read_text(element, words)
        return elements
    start = 0
    for element in elements.values():
        end = _read_uniform(element, data, start, order)
        start = _read_ragged(element, data, start, order) if end is None else end
    return elements


def _header(file: BinaryIO) -> tuple[str, dict[str, Element]]:
    if file.readline().strip() != b"ply":
        raise ValueError("the first line is not ply")
    order, elements, element = None, {}, None
    while (line := file.readline().decode("ascii", "replace")).strip() != "end_header":
        if not line:
            raise ValueError("the header does not end")
        match line.split():
            case ["format", name, _]:
                order = _FORMATS[name]
            case ["element", name, count]:
                element = elements[name] = Element(int(count))
            case ["property", "list", count, kind, name] if element:
                element.properties.append((name, _TYPES[kind], _TYPES[count]))
            case ["property", kind, name] if element:
                element.properties.append((name, _TYPES[kind], None))
    if order is None:
        raise ValueError("the header names no format")
    return order, elements


def _read_text(element: Element, words: Iterator[bytes]) -> None:
    rows: dict[str, list] = {name: [] for name, _, _ in element.properties}
    for row in range(element.count if element.properties else 0):
        for name, _, counted in element.properties:
            try:
                length = int(next(words)) if counted else 1
                values = [float(next(words)) for _ in range(length)]
            except StopIteration:
                raise ValueError(f"{element.count} rows announced, {row} found") from None
            rows[name].append(np.array(values) if counted else values[0])
    for name, kind, counted in element.properties:
        is_index = counted and kind[0] in "iu"
        lists = [values.astype(np.int64) for values in rows[name]] if is_index else rows[name]
        element.columns[name] = lists if counted else np.array(lists, kind)


def _read_uniform(element: Element, data: bytes, start: int, order: str) -> int | None:
    """Read rows whose lists all have the lengths of the first row; the end, or None if they have not."""
    layout, at = [], start
    for name, kind, counted in element.properties:
        length = 1
        if counted:
            layout.append((f"count of {name}", order + counted))
            length = int(_values(data, at, order + counted)[0]) if element.count else 0
            at += np.dtype(counted).itemsize
        layout.append((name, order + kind, (length,) if counted else ()))
        at += length * np.dtype(kind).itemsize
    rows = np.dtype(layout)
    if start + element.count * rows.itemsize > len(data):
        return None
    table = np.frombuffer(data, rows, element.count, start)
    for name, _, counted in element.properties:
        if counted and (table[f"count of {name}"][:1] != table[f"count of {name}"]).any():
            return None
    element.columns = {name: table[name] for name, _, _ in element.properties}
    return start + table.nbytes


def _read_ragged(element: Element, data: bytes, at: int, order: str) -> int:
    rows: dict[str, list] = {name: [] for name, _, _ in element.properties}
    for _ in range(element.count if element.properties else 0):
        for name, kind, counted in element.properties:
            length = 1
            if counted:
                length = int(_values(data, at, order + counted)[0])
                at += np.dtype(counted).itemsize
            values = _values(data, at, order + kind, length)
            rows[name].append(values if counted else values[0])
            at += values.nbytes
    for name, _, counted in element.properties:
        element.columns[name] = rows[name] if counted else np.array(rows[name])
    return at


def _values(data: bytes, at: int, kind: str, count: int = 1) -> NDArray:
    if count < 0 or at + count * np.dtype(kind).itemsize > len(data):
        raise ValueError("the data ends too early")
    return np.frombuffer(data, kind, count, at)

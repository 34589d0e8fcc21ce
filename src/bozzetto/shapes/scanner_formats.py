"""Reading formats of scanners: PCD (version 0.7, all three forms), and LAS and LAZ through the extra laspy."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays, Unsupported, note_unread, unit_colors

_KEYS = "VERSION FIELDS SIZE TYPE COUNT WIDTH HEIGHT VIEWPOINT POINTS DATA".split()
_TYPES = {
    **{f"F{size}": f"<f{size}" for size in (4, 8)},
    **{f"I{size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"U{size}": f"<u{size}" for size in (1, 2, 4, 8)},
}
_STILL = (0, 0, 0, 1, 0, 0, 0)


def read_pcd(data: bytes) -> Arrays:
    """Points, normals and colours. Points without a measurement (NaN) are left out, with a note."""
    header, start = _header(data)
    fields = _fields(header)
    count = (
        _number(header, "POINTS")
        if "POINTS" in header
        else _number(header, "WIDTH") * _number(header, "HEIGHT")
    )
    body = data[start:]
    form = header["DATA"][0].lower()
    notes: list[str] = []
    if form == "ascii":
        columns = _text(body, fields, count)
    elif form == "binary":
        columns = _binary(body, fields, count, notes)
    elif form == "binary_compressed":
        columns = _compressed(body, fields, count)
    else:
        raise ValueError(f"DATA is {form[:20]}")
    groups = {}
    for names in ("x y z", "normal_x normal_y normal_z", "r g b"):
        found = all(name in columns for name in names.split())
        groups[names] = np.stack([columns[name] for name in names.split()], axis=1) if found else None
    points, normals, colors = groups.values()
    if points is None:
        raise Unsupported(f"it has no fields x, y and z, only {', '.join(columns)}")
    packed = columns.get("rgb", columns.get("rgba"))
    if packed is not None:
        colors = _unpacked(packed)
    read = {"x", "y", "z", "rgb", "rgba", "_"}
    read |= set("normal_x normal_y normal_z".split()) if normals is not None else set()
    read |= set("r g b".split()) if colors is not None else set()
    note_unread([name for name in columns if name not in read], "fields", notes)
    measured = np.isfinite(points).all(axis=1)
    lost = count - int(measured.sum())
    if lost:
        notes.append(f"{lost} of its {count} points have no measurement (NaN) and were left out")
        points = points[measured]
        normals = None if normals is None else normals[measured]
        colors = None if colors is None else colors[measured]
    if "VIEWPOINT" in header and tuple(map(float, header["VIEWPOINT"])) != _STILL:
        notes.append("its viewpoint was left out; points were read in the frame of the sensor")
    return Arrays(
        points, normals=normals, colors=None if colors is None else unit_colors(colors, notes), notes=notes
    )


def _header(data: bytes) -> tuple[dict[str, list[str]], int]:
    """Words of the header by key, and the start of the data."""
    header: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in header:
        end = data.find(b"\n", at, at + (1 << 20))
        if end < 0:
            raise ValueError("the header does not end")
        words = data[at:end].decode("ascii", "replace").split()
        at = end + 1
        if words and not words[0].startswith("#"):
            key = "FIELDS" if words[0] == "COLUMNS" else words[0]
            if key not in _KEYS or len(words) < 2:
                raise ValueError(f"the header has a line {' '.join(words)[:40]!r}")
            header[key] = words[1:]
    return header, at


def _number(header: dict[str, list[str]], key: str) -> int:
    word = header.get(key, ["nothing"])[0]
    if not word.isdigit():
        raise ValueError(f"{key} is {word[:20]}")
    return int(word)


def _fields(header: dict[str, list[str]]) -> list[tuple[str, str, int]]:
    """Name, type and number of values of each field; those named _ are padding."""
    names, sizes, types = (header.get(key, []) for key in ("FIELDS", "SIZE", "TYPE"))
    counts = header.get("COUNT", ["1"] * len(names))
    if not len(names) == len(sizes) == len(types) == len(counts) or not names:
        raise ValueError("FIELDS, SIZE, TYPE and COUNT differ in number")
    fields = []
    for place, (name, size, kind, many) in enumerate(zip(names, sizes, types, counts, strict=True)):
        if kind + size not in _TYPES or not many.isdigit():
            raise ValueError(f"the field {name[:20]} has type {kind}, size {size} and count {many}"[:100])
        unique = f"{name} {place}" if name == "_" or name in names[:place] else name
        fields.append((unique, _TYPES[kind + size], int(many)))
    return fields


def _text(body: bytes, fields: list[tuple[str, str, int]], count: int) -> dict[str, NDArray[Any]]:
    width = sum(many for _, _, many in fields)
    words = body.split()
    if len(words) != width * count:
        raise ValueError(f"{count} points of {width} numbers announced, {len(words)} numbers found")
    table = np.fromiter(map(float, words), np.float64, len(words)).reshape(count, width)
    columns, at = {}, 0
    for name, kind, many in fields:
        values = table[:, at]
        # Packed colours are integers, or floats that stand for the same bits.
        columns[name] = values.astype(kind) if name in ("rgb", "rgba") else values
        at += many
    return columns


def _binary(
    body: bytes, fields: list[tuple[str, str, int]], count: int, notes: list[str]
) -> dict[str, NDArray[Any]]:
    row = np.dtype([(name, kind, (many,)) for name, kind, many in fields])
    if count * row.itemsize > len(body):
        raise ValueError(f"{count} points announced, {len(body) // row.itemsize} found")
    if count * row.itemsize < len(body):
        notes.append(f"{len(body) - count * row.itemsize} bytes behind its last point were left out")
    table = np.frombuffer(body, row, count)
    return {name: table[name][:, 0] for name, _, many in fields if many}


def _compressed(body: bytes, fields: list[tuple[str, str, int]], count: int) -> dict[str, NDArray[Any]]:
    packed, size = (int.from_bytes(body[at : at + 4], "little") for at in (0, 4))
    wanted = count * sum(np.dtype(kind).itemsize * many for _, kind, many in fields)
    if size != wanted:
        raise ValueError(f"{count} points are {wanted} bytes, {size} announced")
    if packed > len(body) - 8:
        raise ValueError(f"{packed} packed bytes announced, {len(body) - 8} found")
    data = _lzf(body[8 : 8 + packed], size)
    columns, at = {}, 0
    for name, kind, many in fields:
        values = np.frombuffer(data, kind, count * many, at)
        if many:
            columns[name] = values.reshape(count, many)[:, 0]
        at += values.nbytes
    return columns


def _lzf(data: bytes, size: int) -> bytearray:
    """Decompress LZF (M. Lehmann): runs of literals, and references to earlier output."""
    if size > 264 * len(data):  # no code stands for more
        raise ValueError(f"{len(data)} packed bytes cannot hold {size}")
    out = bytearray()
    at = 0
    while at < len(data):
        control = data[at]
        at += 1
        if control < 32:
            out += data[at : at + control + 1]
            at += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += data[at]
            at += 1
        back = ((control & 31) << 8 | data[at]) + 1
        at += 1
        length += 2
        begin = len(out) - back
        if begin < 0:
            raise ValueError("its packed data refer to what is not there")
        if back >= length:
            out += out[begin : begin + length]
        else:
            out += (out[begin:] * (length // back + 1))[:length]
        if len(out) > size:
            break
    if len(out) != size:
        raise ValueError(f"{size} bytes announced, {len(out)} unpacked")
    return out


def _unpacked(packed: NDArray[Any]) -> NDArray[Any]:
    """8-bit colours from integers 0xRRGGBB, or from floats with the same bits."""
    bits = np.ascontiguousarray(packed)
    bits = bits.view("<u4") if bits.dtype.kind == "f" and bits.dtype.itemsize == 4 else bits.astype(np.int64)
    return np.stack([(bits >> shift) & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)


_SMALLEST = 227  # bytes of the shortest header
_POINT = 20  # bytes of the shortest point
_SHRINK = 200  # times that LAZ packs points at most


def read_las(data: bytes) -> Arrays:
    """Coordinates in double precision, with the scale and offset of the header, and colours if there are any.

    Raises:
        Unsupported: laspy is not installed.
    """
    try:
        import laspy
    except ModuleNotFoundError:
        raise Unsupported("LAS needs another package; run: pip install 'bozzetto[las]'") from None
    if len(data) < _SMALLEST:
        raise ValueError(f"{len(data)} bytes are too few for LAS")
    with laspy.open(io.BytesIO(data)) as reader:
        header = reader.header
        count = header.point_count
        room = len(data) * (_SHRINK if header.are_points_compressed else 1)
        if count * _POINT > room:
            raise ValueError(f"{count} points announced, {len(data)} bytes found")
        points = reader.read()
    if len(points) != count:
        raise ValueError(f"{count} points announced, {len(points)} found")
    notes: list[str] = []
    colors = None
    names = set(points.point_format.dimension_names)
    if {"red", "green", "blue"} <= names:
        colors = np.stack([np.asarray(one) for one in (points.red, points.green, points.blue)], axis=1)
        if not colors.any():
            colors = None  # the format has room for colours, the scanner had none
    return Arrays(
        np.stack([np.asarray(axis, np.float64) for axis in (points.x, points.y, points.z)], axis=1),
        colors=None if colors is None else unit_colors(colors, notes),
        notes=notes,
    )

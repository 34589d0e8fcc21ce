"""Reading STL files, binary and ASCII.

trimesh is not used because it treats files with a header that begins with `solid`, or with a wrong count, as
text, and misses ASCII solids without an end.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Arrays, Unsupported
from .text_meshes import decoded

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_HEAD = 84  # 80 bytes of anything and the number of facets
# The words of a facet; numbers stand where there is none.
_PATTERN = (
    *("facet", "normal", "", "", "", "outer", "loop"),
    *("vertex", "", "", "") * 3,
    *("endloop", "endfacet"),
)
_COMPARED = 10_000  # facets of which normals and corners are compared
_VERTEX = re.compile(
    r"\bvertex\s+(\S+)\s+(\S+)\s+(\S+)(?=[ \t]*(?:\n|\Z)|\s+(?:vertex|end))", re.IGNORECASE
)  # no fourth number behind it
_FACET_LINE = re.compile(r"\bfacet\s+normal\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)
# Lines that name a solid; the name may be any words.
_NAME = re.compile(r"^[ \t]*(?:end)?solid\b(?![^\n]*\bfacet\s+normal\b)[^\n]*", re.IGNORECASE | re.MULTILINE)
_KEYWORD = re.compile(r"\b(outer\s*loop|end\s*loop|end\s*facet)\b", re.IGNORECASE)
_WORDS = {"solid", "facet", "outer", "outerloop", "vertex", "end", "endloop", "endfacet", "endsolid"}


def read_stl(data: bytes) -> Arrays:
    """Read the facets of all solids. The format has no shared vertices: there are three per face."""
    if _is_binary(data):
        return _binary(data)
    return _ascii(decoded(data))


def _is_binary(data: bytes) -> bool:
    """Whether a file is binary: its size matches its count, or it does not begin like text."""
    count = int.from_bytes(data[80:_HEAD], "little") if len(data) >= _HEAD else -1
    if len(data) == _HEAD + 50 * count:
        return True
    text = data.replace(b"\0", b"") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else data
    start = re.match(rb"\W*solid\b", text[:256], re.IGNORECASE)
    if start is None:
        return True
    # An exporter of binary files may have written `solid` into the header.
    return b"\0" in text[:1024] and not re.search(rb"facet\s+normal", text[:4096], re.IGNORECASE)


def _binary(data: bytes) -> Arrays:
    notes: list[str] = []
    if len(data) < _HEAD:
        raise ValueError(f"{len(data)} bytes are too few for an STL file")
    count = int.from_bytes(data[80:_HEAD], "little")
    room, rest = divmod(len(data) - _HEAD, _FACET.itemsize)
    if count in (0, 2**32 - 1) and room and rest == 0:
        notes.append(f"its header announces {count} facets; the {room} that are there were read")
        count = room
    if count > room:
        raise ValueError(f"{count} facets announced, {room} found")
    surplus = len(data) - _HEAD - count * _FACET.itemsize
    if surplus:
        notes.append(f"{surplus} bytes behind its last facet were left out")
    table = np.frombuffer(data, _FACET, count, _HEAD)
    if table["attribute"].any():
        notes.append("its facets carry attributes (colours, in some programs), which were left out")
    return _facets(table["corners"], table["normal"], notes)


def _ascii(text: str) -> Arrays:
    notes: list[str] = []
    if not re.match(r"\s*solid\b", text, re.IGNORECASE):
        raise Unsupported("it is neither binary STL nor text that begins with solid")
    if not re.search(r"\bendsolid\b", text[-4096:], re.IGNORECASE):
        notes.append("its text does not end with endsolid; it may have been cut off")
    text = _NAME.sub("", text)
    regular = _regular(text)
    if regular is not None:
        return _facets(*regular, notes)
    strangers = [
        line
        for line in text.split("\n")
        if (word := line.split(None, 1)[:1]) and word[0].lower() not in _WORDS
    ]
    if strangers:
        notes.append(
            f"{len(strangers)} lines such as {strangers[0].strip()[:30]!r} are not STL and were left out"
        )
    try:
        corners = np.array(_VERTEX.findall(text), np.float64)
    except ValueError as error:
        raise ValueError(f"a vertex is no number: {error}") from None
    keywords = ["".join(word.lower().split()) for word in _KEYWORD.findall(text)]
    loops, ends = keywords.count("outerloop"), keywords.count("endloop")
    normals = _FACET_LINE.findall(text)
    if loops != ends or keywords.count("endfacet") != loops or 3 * loops != len(corners):
        raise ValueError(f"{len(corners)} vertices in {loops} loops, of which {ends} end; three make a facet")
    if len(re.findall(r"\bvertex\b", text, re.IGNORECASE)) < len(corners):
        raise ValueError("a vertex has fewer than three coordinates")
    try:
        stated = np.array(normals, np.float64) if len(normals) == loops else np.zeros((0, 3))
    except ValueError:
        stated = np.zeros((0, 3))
    return _facets(corners.reshape(-1, 3, 3), stated, notes)


def _regular(text: str) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Corners (F, 3, 3) and stated normals (F, 3) of facets, if all of them conform to the format."""
    words = text.lower().split()
    if len(words) % len(_PATTERN) or not all(
        set(words[place :: len(_PATTERN)]) <= {word} for place, word in enumerate(_PATTERN) if word
    ):
        return None
    try:
        columns = [
            np.fromiter(map(float, words[place :: len(_PATTERN)]), np.float64)
            for place, word in enumerate(_PATTERN)
            if not word
        ]
    except ValueError:
        return None
    numbers = np.stack(columns, axis=1)
    return numbers[:, 3:].reshape(-1, 3, 3), numbers[:, :3]


def _facets(corners: NDArray[Any], stated: NDArray[Any], notes: list[str]) -> Arrays:
    """The arrays of facets, whose orientation is that of their corners; normals are only compared."""
    count = len(corners)
    if len(stated) == count and count:
        some = np.linspace(0, count - 1, min(count, _COMPARED)).astype(np.int64)
        a, b, c = (corners[some, k].astype(np.float64) for k in range(3))
        with np.errstate(invalid="ignore", over="ignore"):
            against = ((np.cross(b - a, c - a) * stated[some]).sum(axis=1) < 0).mean()
        if against > 0.5:
            notes.append("the normals of its facets point against the order of their corners, which was kept")
    return Arrays(corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3), notes=notes)

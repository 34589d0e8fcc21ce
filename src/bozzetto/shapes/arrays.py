"""The result of readers: NumPy arrays, and notes about parts of the file that were not read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import join_names


class Unsupported(ValueError):
    """The file may be valid, but its contents are not supported. The message says what, and what to do
    instead."""


@dataclass
class Arrays:
    """The contents of a file.

    Attributes:
        vertices: Positions (V, 3), in double precision where the file has it.
        faces: Triangles (F, 3); F is 0 for clouds.
        normals: A normal per vertex, of the length in the file, or None.
        colors: RGB per vertex in [0, 1], as encoded in the file, or None.
        linear: Whether the colours are in linear light instead of sRGB.
        notes: Omissions and assumptions that the user should know, as sentences for use after the name of the
            file and a colon.
    """

    vertices: NDArray[Any]
    faces: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 3), np.int64))
    normals: NDArray[Any] | None = None
    colors: NDArray[Any] | None = None
    linear: bool = False
    notes: list[str] = field(default_factory=list)


def note_unread(names: Sequence[str], what: str, notes: list[str]) -> None:
    """Add a note about columns of a table that are not positions, normals or colours.

    Args:
        names: Names of these columns; if empty, no note is added.
        what: The format's word for columns.
        notes: Receives the sentence.
    """
    if names:
        notes.append(f"of its {what} {join_names(names, 5)} {'was' if len(names) == 1 else 'were'} left out")


def joined_arrays(parts: Sequence[Arrays]) -> Arrays:
    """One shape of many. If only some have colours, the others become white; normals are kept if all have
    them."""
    if not parts:
        return Arrays(np.zeros((0, 3)))
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    colors, notes = None, []
    plain = [part for part in parts if part.colors is None and len(part.vertices)]
    if any(part.colors is not None for part in parts):
        colors = [np.ones((len(p.vertices), 3)) if p.colors is None else p.colors for p in parts]
        if plain:
            notes.append(f"{len(plain)} of its {len(parts)} parts have no colours and were made white")
    normals = [part.normals for part in parts if part.normals is not None]
    return Arrays(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, offsets, strict=False)]),
        np.concatenate(normals) if len(normals) == len(parts) else None,
        colors=None if colors is None else np.concatenate(colors),
        linear=parts[0].linear,
        notes=list(dict.fromkeys([note for part in parts for note in part.notes] + notes)),
    )


def unit_colors(values: NDArray[Any], notes: list[str], usual: int = 1) -> NDArray[Any]:
    """The first three columns as colours in [0, 1].

    The range of 8-bit integers is 255, that of 16-bit ones 65535. For other types, it follows from the values:
    up to 1, up to 255, or integers up to 65535. The last two are guesses and get a note. Values outside of all
    ranges, such as negative ones, are unchanged.

    Args:
        values: A row per vertex.
        notes: Receives a sentence about a guess.
        usual: Largest value of the usual range of the format, which gets no note.
    """
    colors = np.asarray(values)[:, :3]
    kind, colors = colors.dtype, colors.astype(np.float64)
    finite = colors[np.isfinite(colors)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    if kind == np.uint8 or (kind == np.uint16 and high > 255):
        return colors / np.iinfo(kind).max
    if low < 0 or high <= 1:
        return colors
    whole = bool((finite == np.floor(finite)).all())
    for top in (255, 65535):
        if high <= top and (whole or (top == 255 and high > 2)):
            if top != usual:
                notes.append(f"its colours reach {high:g} and were taken for numbers from 0 to {top}")
            return colors / top
    return colors

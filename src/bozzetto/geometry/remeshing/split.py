"""Splitting of long edges."""

import numpy as np

from .original import Original
from .surface import Features, Flags, Floats, Ints, WorkingMesh, lengths

ROUNDS = 40  # each halves the longest edge, so this is never reached


def split_long_edges(surface: WorkingMesh, longest: float, original: Original) -> WorkingMesh:
    """Halve edges longer than `longest` times the wanted length until there are none.

    All long edges are split at the same time: a face with one, two or three of them becomes two, three or
    four faces. Botsch & Kobbelt split one edge after the other; the result differs only in diagonals. An edge
    on a kept line is split where the line has its middle.
    """
    for _ in range(ROUNDS):
        long = surface.relative_length() > longest
        if not long.any():
            break
        if original.graded:
            long = _longest_sides(surface, long)
        surface = _split(surface, np.flatnonzero(long), original)
    return surface


def _longest_sides(surface: WorkingMesh, long: Flags) -> Flags:
    """(E,) the longest edge of every face with a long one, so that halving makes no needles.

    Rivara 1984, "Algorithms for refining triangular grids suitable for adaptive and multigrid techniques".
    Where one length is wanted everywhere, all long edges are about equally long and need no such care.

    Source: Rivara 1984, longest-edge refinement.
    """
    edges = surface.edges
    a, b = surface.vertices[edges.ends].transpose(1, 0, 2)
    sides = edges.of_half.reshape(-1, 3)
    longest = sides[np.arange(len(sides)), lengths(a - b)[sides].argmax(axis=1)]
    result = np.zeros(len(edges.keys), bool)
    result[longest[long[sides].any(axis=1)]] = True
    return result


def _split(surface: WorkingMesh, chosen: Ints, original: Original) -> WorkingMesh:
    ends = surface.edges.ends[chosen]
    middles = surface.vertices[ends].mean(axis=1)
    rows, at = surface.feature_of_edge[chosen], surface.features.at
    on_line = rows >= 0
    middles[on_line] = original.curves(at[rows[on_line]].mean(axis=1))
    vertices = np.concatenate([surface.vertices, middles])
    target = np.concatenate([surface.target, original.between(surface, ends, middles)])
    features = _halved(surface, rows[on_line], len(surface.vertices) + np.flatnonzero(on_line), len(vertices))
    middle_of_edge = np.full(len(surface.edges.keys), -1)
    middle_of_edge[chosen] = len(surface.vertices) + np.arange(len(chosen))
    middle = middle_of_edge[surface.edges.of_half].reshape(-1, 3)
    return WorkingMesh(vertices, _subdivide(vertices, surface.faces, middle), target, features)


def _halved(surface: WorkingMesh, rows: Ints, middle: Ints, count: int) -> Features:
    """The kept lines after splitting some of their edges at new vertices."""
    lines = surface.features
    stays = np.ones(len(lines.ends), bool)
    stays[rows] = False
    (a, b), (start, end) = lines.ends[rows].T, lines.at[rows].T
    half = (start + end) / 2
    first, second = np.stack([a, middle], axis=1), np.stack([middle, b], axis=1)
    ends = np.concatenate([lines.ends[stays], first, second])
    at = [lines.at[stays], np.stack([start, half], axis=1), np.stack([half, end], axis=1)]
    fixed = np.append(lines.fixed, np.zeros(count - len(lines.fixed), bool))
    return Features(ends, np.concatenate(at), fixed)


def _subdivide(vertices: Floats, faces: Ints, middle: Ints) -> Ints:
    """Replace faces by parts; middle (F, 3) is the vertex on the edge from corner k to k + 1, or -1."""
    marked = (middle >= 0).sum(axis=1)
    # Turn each face so that a single marked edge is the first, a single unmarked one the last.
    single = np.where(marked == 1, np.argmax(middle >= 0, axis=1), 0)
    turn = np.where(marked == 2, np.argmax(middle < 0, axis=1) + 1, single)
    order = (turn[:, None] + np.arange(3)) % 3
    faces, middle = np.take_along_axis(faces, order, 1), np.take_along_axis(middle, order, 1)

    a, b, c, p, _, _ = _columns(faces, middle, marked == 1)
    halves = [(a, p, c), (p, b, c)]
    a, b, c, p, q, r = _columns(faces, middle, marked == 3)
    quarters = [(a, p, r), (b, q, p), (c, r, q), (p, q, r)]
    a, b, c, p, q, _ = _columns(faces, middle, marked == 2)
    tip = [(p, b, q)]
    # The quad a, p, q, c is cut along its shorter diagonal.
    short = np.linalg.norm(vertices[a] - vertices[q], axis=1) < np.linalg.norm(
        vertices[p] - vertices[c], axis=1
    )
    quad = [(a, p, np.where(short, q, c)), (np.where(short, a, p), q, c)]
    parts = [np.stack(part, axis=1) for part in halves + quarters + tip + quad]
    return np.concatenate([faces[marked == 0], *parts])


def _columns(faces: Ints, middle: Ints, rows: Flags) -> tuple[Ints, ...]:
    return (*faces[rows].T, *middle[rows].T)

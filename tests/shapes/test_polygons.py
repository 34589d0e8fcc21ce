"""Polygons of every kind become triangles that cover them exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto.shapes.arrays import Unsupported
from bozzetto.shapes.polygons import Polygons, triangulated

ELL = [(0, 0), (4, 0), (4, 1), (1, 1), (1, 4), (0, 4)]
COMB = [(0, 0), (9, 0), (9, 5), (8, 5), (8, 1), (6, 1), (6, 5), (5, 5), (5, 1), (3, 1), (3, 5), (0, 5)]
ARROW = [(0, 0), (2, -1), (0, 3), (-2, -1)]
COLLINEAR = [(0, 0), (1, 0), (2, 0), (2, 2), (1, 2), (1, 1), (0, 1)]
KEYHOLE = [(0, 0), (6, 0), (6, 6), (0, 6), (0, 0), (2, 2), (2, 4), (4, 4), (4, 2), (2, 2)]


def placed(outline, turn: int = 0) -> np.ndarray:
    """An outline on a tilted plane away from the origin."""
    flat = np.roll(np.array(outline, float), -turn, axis=0)
    u, v = np.array([2.0, 1.0, 2.0]) / 3, np.array([1.0, 2.0, -2.0]) / 3
    return np.array([10.0, -7.0, 3.0]) + flat[:, :1] * u + flat[:, 1:] * v


def outline_area(points: np.ndarray) -> np.ndarray:
    """The area vector of a polygon (Newell)."""
    return np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0) / 2


def triangle_areas(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (points[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a) / 2


def assert_tiled(points: np.ndarray) -> None:
    notes = []
    faces = triangulated(points, Polygons.of([range(len(points))]), notes)
    whole, parts = outline_area(points), triangle_areas(points, faces)
    assert faces.shape == (len(points) - 2, 3)
    assert set(faces.ravel()) == set(range(len(points)))
    assert np.linalg.norm(parts, axis=1).sum() == pytest.approx(np.linalg.norm(whole), rel=1e-6)
    assert parts.sum(axis=0) == pytest.approx(whole, rel=1e-6, abs=1e-6)
    assert notes == []
    # Every edge of the outline belongs to one triangle, so closed meshes stay closed.
    edges = [tuple(face[[k, (k + 1) % 3]]) for face in faces for k in range(3)]
    assert all(edges.count((i, (i + 1) % len(points))) == 1 for i in range(len(points)))


@pytest.mark.parametrize(
    "outline", [ELL, COMB, ARROW, COLLINEAR, KEYHOLE], ids="ell comb arrow line hole".split()
)
def test_known_outlines_from_every_corner_and_side(outline):
    for turn in range(len(outline)):
        assert_tiled(placed(outline, turn))
        assert_tiled(placed(outline[::-1], turn))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0.2, 3.0), min_size=4, max_size=40), st.integers(0, 39))
def test_random_stars_seen_from_their_middle(radii, turn):
    angles = np.arange(len(radii)) * 2 * np.pi / len(radii)
    outline = np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert_tiled(placed(outline, turn % len(radii)))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=15), st.lists(st.integers(1, 5), min_size=2, max_size=15)
)
def test_random_steps_with_collinear_corners(tops, bottoms):
    """A strip between two staircases; neither is seen whole from any corner."""
    upper, lower = [], []
    for x, height in enumerate(tops):
        upper += [(x, height), (x + 1, height)]
    for x, depth in enumerate(bottoms):
        lower += [(x * len(tops) / len(bottoms), -depth), ((x + 1) * len(tops) / len(bottoms), -depth)]
    assert_tiled(placed(lower + upper[::-1]))


def test_convex_polygons_are_fans_and_faces_keep_their_order():
    circle = [(np.cos(t), np.sin(t)) for t in np.arange(6)]
    points = placed(circle)
    faces = triangulated(points, Polygons.of([[0, 1, 2], [0, 1, 2, 3, 4], [3, 4, 5], [2, 3, 4, 5]]), [])
    assert faces.tolist() == [
        [0, 1, 2],
        *([0, 1, 2], [0, 2, 3], [0, 3, 4]),
        [3, 4, 5],
        *([2, 3, 4], [2, 4, 5]),
    ]


def test_a_bent_convex_quad_stays_a_fan():
    points = np.array([[0, 0, 0], [1, 0, 0.2], [1, 1, 0], [0, 1, 0.2]])
    assert triangulated(points, Polygons.of([range(4)]), []).tolist() == [[0, 1, 2], [0, 2, 3]]


def test_odd_polygons_are_triangulated_or_left_out_with_a_word():
    notes = []
    points = placed([(0, 0), (1, 0), (1, 1), (0, 1)])
    faces = triangulated(points, Polygons.of([[0], [0, 1], [], [0, 1, 2]]), notes)
    assert faces.tolist() == [[0, 1, 2]]
    assert "3 faces with fewer than three corners were left out" in notes[0]
    crossed = []
    assert len(triangulated(points, Polygons.of([[0, 2, 1, 3]]), crossed)) == 2
    assert "1 face crosses itself" in crossed[0]
    for polygon in (
        [0, 0, 1, 1],
        [0, 1, 0, 1],
        [2, 2, 2, 2, 2],
        [0, 1, 1, 2, 3],
        [0, 1, 2, 99],
        [0, 1, 2, -5],
    ):
        assert len(triangulated(points, Polygons.of([polygon]), [])) == len(polygon) - 2
    bad = points.copy()
    bad[0] = np.nan
    assert len(triangulated(bad, Polygons.of([[0, 1, 2, 3]]), [])) == 2


def test_huge_polygons_are_cut_and_hopeless_ones_given_up(monkeypatch):
    n = 5_000
    angles = np.arange(n) * 2 * np.pi / n
    gear = (2.0 + np.arange(n) % 2)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert len(triangulated(placed(gear), Polygons.of([range(n)]), [])) == n - 2
    monkeypatch.setattr("bozzetto.shapes.polygons._WORK", 1000)
    scribble = np.random.default_rng(0).random((300, 2))
    with pytest.raises(Unsupported, match="too involved"):
        triangulated(placed(scribble), Polygons.of([range(300)]), [])

import numpy as np
import pytest

from bozzetto.datasets.synthetic.materials.cells import cells, courses, honeycomb, scattered, shape_distance
from bozzetto.datasets.synthetic.materials.noise import positions


def test_cells_are_nearest_across_the_borders():
    x, y = positions(40)
    centres = scattered(np.random.default_rng(0), 9)
    pieces = cells(x, y, centres)
    offset = (np.stack([x, y], -1)[:, :, None] - centres + 0.5) % 1 - 0.5
    distance = np.linalg.norm(offset, axis=-1)
    assert (pieces.index == distance.argmin(axis=-1)).all()
    assert np.allclose(pieces.centre, distance.min(axis=-1), atol=1e-6)
    assert (pieces.border >= -1e-6).all()
    assert pieces.border[pieces.index != np.roll(pieces.index, 1, 1)].max() < 0.05


def test_the_border_of_two_cells_is_halfway():
    x, y = positions(64)
    pieces = cells(x, y, np.array([[0.25, 0.5], [0.75, 0.5], [0.25, 0.49]]))
    middle = np.abs(x - 0.5) + 10 * (np.abs(y - 0.5) > 0.1)
    assert pieces.border[middle < 0.02].max() < 0.03


def test_courses_are_bricks():
    x, y = positions(96)
    pieces = courses(np.random.default_rng(0), x, y, 4, 3)
    assert len(np.unique(pieces.index)) == 12
    sizes = np.bincount(pieces.index.ravel())
    assert sizes.min() > 0.8 * sizes.mean()
    assert pieces.border.min() >= -1e-6 and pieces.border.max() == pytest.approx(0.125, abs=0.02)
    # Every other row is shifted by half a brick.
    assert pieces.index[0, 0] != pieces.index[0, 95] and pieces.index[30, 0] == pieces.index[30, 95]


def test_uneven_courses_fill_the_tile():
    x, y = positions(64)
    pieces = courses(np.random.default_rng(3), x, y, 5, 4, -1, 0.9)
    assert len(np.unique(pieces.index)) == 20


def test_a_honeycomb_has_six_equal_neighbours():
    centres = honeycomb(6)
    offset = (centres[:, None] - centres + 0.5) % 1 - 0.5
    offset[..., 1] *= 1.0
    distance = np.sort(np.linalg.norm(offset, axis=-1), axis=1)
    assert (distance[:, 6] < 1.35 * distance[:, 1]).all()


@pytest.mark.parametrize("kind", ["box", "disc", "cross", "ring", "lozenge"])
def test_shapes_are_negative_inside_only(kind):
    side = np.linspace(-1, 1, 41).astype(np.float32)
    u, v = np.meshgrid(side, side)
    distance = shape_distance(np.random.default_rng(0), u, v, (0.5, 0.4), kind)
    inside = distance < 0
    assert inside.any() and not inside[np.abs(u) > 0.55].any() and not inside[np.abs(v) > 0.55].any()
    assert inside[20, 20] == (kind != "ring")

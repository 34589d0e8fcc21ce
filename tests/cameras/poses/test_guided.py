"""Matches near epipolar lines, on points of which they are known."""

import numpy as np
import pytest

from bozzetto.cameras.poses.colmap_program.matching import match_near, near_line, near_place, unit_rows

K = np.array([[700.0, 0, 500], [0, 700.0, 375], [0, 0, 1]])


@pytest.fixture
def seen():
    """Places of 60 points in two pictures, and the fundamental matrix."""
    points = np.random.default_rng(0).uniform([-1, -1, 4], [1, 1, 6], (60, 3))
    c, s = np.cos(0.2), np.sin(0.2)
    turn, shift = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.array([-1.0, 0.1, 0.3])
    places = []
    for moved in (points, points @ turn.T + shift):
        rays = moved @ K.T
        places.append(rays[:, :2] / rays[:, 2:])
    x, y, z = shift
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turn
    back = np.linalg.inv(K)
    return places[0], places[1], back.T @ essential @ back


def test_points_are_near_their_own_lines_at_any_scale_of_the_matrix(seen):
    first, second, F = seen
    for scale in (1.0, 1e-6, -1e6):
        near = near_line(first, second, scale * F)
        assert near.diagonal().all() and near.mean() < 0.2
    lines = np.c_[first, np.ones(60)] @ F.T
    across = lines[:, :2] / np.linalg.norm(lines[:, :2], axis=1, keepdims=True)
    assert not near_line(first, second + 12 * across, F).diagonal().any()
    assert near_line(first, second + 3 * across, F).diagonal().all()


def test_points_are_near_where_a_homography_takes_them(seen):
    first = seen[0]
    H = np.array([[1.1, 0.02, 5], [-0.03, 0.9, 3], [1e-5, 2e-5, 1]])
    moved = np.c_[first, np.ones(60)] @ H.T
    moved = moved[:, :2] / moved[:, 2:]
    assert near_place(first, moved, H).diagonal().all()
    assert not near_place(first, moved + 5, H).diagonal().any()


def test_twins_are_told_apart_by_their_lines_only(seen):
    first, second, F = seen
    noise = np.random.default_rng(1)
    looks = noise.integers(0, 255, (60, 128))
    looks[30:] = looks[:30]  # each has a twin somewhere else
    descriptors = unit_rows(looks), unit_rows(looks + noise.integers(0, 3, looks.shape))
    assert len(match_near(*descriptors, np.True_)) == 0
    matches = match_near(*descriptors, near_line(first, second, F))
    assert len(matches) > 40 and (matches[:, 0] == matches[:, 1]).all()


def test_no_features_have_no_matches():
    nothing = np.zeros((0, 128), np.float32)
    assert match_near(nothing, nothing, np.True_).shape == (0, 2)

"""Cameras of pictures as the sensor took them, and of the same pictures upright."""

import numpy as np
import pytest

from bozzetto.cameras.poses.colmap_program.matching import best_pairs, blocks
from bozzetto.cameras.poses.model import Model, turned_model


def project(model: Model, row: int, point: np.ndarray) -> np.ndarray:
    focal, x, y = model.lenses[model.camera[row], :3]
    seen = model.poses[row, :3, :3] @ point + model.poses[row, :3, 3]
    return focal * seen[:2] / seen[2] + [x, y]


@pytest.mark.parametrize("turns", [0, 1, 2, -1])
def test_a_turned_camera_sees_what_the_turned_picture_shows(turns):
    angle = 0.3
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = [0.1, -0.2, 4.0]
    lens, size = np.array([[600.0, 310.0, 235.0, -0.05, 0.01]]), np.array([[640, 480]])
    model = Model(("a",), np.array([0]), pose[None], lens, size, np.zeros((1, 3)), np.ones((1, 1), bool))
    point = np.array([0.3, 0.2, 0.5])
    x, y = project(model, 0, point)
    picture = np.zeros((480, 640))
    picture[int(y), int(x)] = 1
    upright = turned_model(model, {"a": turns})
    row, column = np.argwhere(np.rot90(picture, turns))[0]
    found = project(upright, 0, point)
    assert np.abs(found - [column + 0.5, row + 0.5]).max() <= 0.5
    assert tuple(upright.sizes[0]) == np.rot90(picture, turns).shape[::-1]
    assert upright.lenses[0, 3:].tolist() == [-0.05, 0.01]
    assert np.allclose(upright.centers, model.centers)


def test_each_picture_keeps_its_best_pairs():
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert best_pairs(pairs, [9, 5, 1, 8, 0, 2], 1) == [(0, 1), (1, 2), (2, 3)]
    assert best_pairs(pairs, [9, 5, 1, 8, 0, 2], 3) == pairs


def test_blocks_hold_every_pair_once():
    pairs = [(a, b) for a in range(20) for b in range(a + 1, 20)]
    assert sorted(pair for block in blocks(pairs) for pair in block) == pairs
    assert all(len({i // 8 for i, _ in block}) == 1 for block in blocks(pairs))

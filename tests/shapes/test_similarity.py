"""Tests of shapes.similarity."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bozzetto.errors import InputError
from bozzetto.shapes import Similarity, normalisation
from bozzetto.shapes.similarity import (
    by_move,
    compose_poses,
    moved_pose,
    pose_difference,
    rotation_about,
    rotation_angle,
    rotation_between,
    turned_starts,
)

NUMBER = st.floats(-100, 100)


@settings(deadline=None, max_examples=50)
@given(
    scale=st.floats(0.01, 100),
    shift=arrays(np.float64, 3, elements=NUMBER),
    quaternion=arrays(np.float64, 4, elements=st.floats(0.1, 1)),
    points=arrays(np.float64, (4, 3), elements=NUMBER),
)
def test_inverse_undoes_and_matrix_agrees(scale, shift, quaternion, points):
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    rotation = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )
    points = torch.from_numpy(points)
    for turn in (rotation, None):
        there = Similarity(scale, torch.from_numpy(shift), turn)
        moved = there.apply(points)
        assert torch.allclose(there.inverse().apply(moved), points, atol=1e-9 / scale + 1e-9)
        homogeneous = torch.cat([points, torch.ones(4, 1, dtype=torch.float64)], dim=1)
        assert torch.allclose((homogeneous @ there.matrix.T)[:, :3], moved)
        identity = torch.eye(4, dtype=torch.float64)
        assert torch.allclose(there.matrix @ there.inverse().matrix, identity, atol=1e-9)


def test_normalisation_fits_sphere_and_box():
    points = torch.tensor([[0.0, 0, 0], [4, 2, 0], [4, 0, 0]])
    sphere, box = normalisation(points).apply(points), normalisation(points, to="box").apply(points)
    assert sphere.norm(dim=1).max() == pytest.approx(1)
    assert box.abs().amax(dim=0).tolist() == pytest.approx([1, 0.5, 0])
    assert sphere.dtype == torch.float32


def test_normalisation_needs_an_extent():
    for points in (torch.zeros(0, 3), torch.ones(5, 3), torch.full((2, 3), torch.nan)):
        with pytest.raises(InputError, match="cannot normalise"):
            normalisation(points)
    with pytest.raises(InputError, match="scale"):
        Similarity(0.0, torch.zeros(3, dtype=torch.float64))


POSE = Similarity(1.7, torch.tensor([0.1, -0.2, 0.3]).double(), rotation_about((1, 2, 3), 0.7))
POINTS = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
unit = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: math.dist(v, (0, 0, 0)) > 0.1)


def test_derivatives_of_a_move_are_those_of_differences():
    def value(step: torch.Tensor) -> torch.Tensor:
        return moved_pose(POSE, step).apply(POINTS).sin().sum(dim=1)

    there = POSE.apply(POINTS)
    found = by_move(there, there.cos())
    for axis in range(7):
        step = torch.zeros(7, dtype=torch.float64)
        step[axis] = 1e-6
        assert torch.allclose(found[:, axis], (value(step) - value(-step)) / 2e-6, atol=1e-6)


def test_the_step_between_poses_leads_from_one_to_the_other():
    step = torch.tensor([0.1, -0.2, 0.3, 0.5, -1.0, 0.7, 0.2]).double()
    assert torch.allclose(pose_difference(POSE, moved_pose(POSE, step)), step, atol=1e-6)
    assert torch.allclose(pose_difference(POSE, POSE), torch.zeros(7).double(), atol=1e-6)


def test_composition_is_one_map_after_the_other():
    other = Similarity(0.4, torch.tensor([1.0, 2.0, 3.0]).double())
    assert torch.allclose(compose_poses(POSE, other).apply(POINTS), POSE.apply(other.apply(POINTS)))
    assert torch.allclose(compose_poses(POSE, POSE.inverse()).apply(POINTS), POINTS)
    assert torch.equal(moved_pose(POSE, torch.zeros(7).double()).matrix, POSE.matrix)


@given(unit, unit)
def test_the_rotation_between_directions_takes_one_to_the_other(a, b):
    start, end = (torch.tensor(v).double() / math.dist(v, (0, 0, 0)) for v in (a, b))
    for target, wanted in ((b, end), (tuple(-x for x in a), -start), (a, start)):
        rotation = rotation_between(a, target)
        assert torch.allclose(rotation @ start, wanted, atol=1e-6)
        assert torch.allclose(rotation @ rotation.T, torch.eye(3).double(), atol=1e-9)


@pytest.mark.parametrize("up", ["x", "-x", "y", "-y", "z", "-z"])
def test_starts_stand_the_scan_upright_and_face_all_around(up):
    starts = turned_starts(up, 4)
    axis = torch.zeros(3).double()
    axis["xyz".index(up[-1])] = -1 if up[0] == "-" else 1
    for rotation in starts:
        assert torch.allclose(rotation @ axis, torch.tensor([0.0, 1, 0]).double(), atol=1e-9)
    poses = [Similarity(1.0, axis, rotation) for rotation in starts]
    angles = sorted(rotation_angle(poses[0], pose) for pose in poses)
    assert angles == pytest.approx([0, math.pi / 2, math.pi / 2, math.pi], abs=1e-6)

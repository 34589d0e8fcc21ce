"""Small changes of cameras: derivatives against differences, and the part that no picture shows."""

from dataclasses import replace

import pytest
import torch

from bozzetto.cameras import fibonacci_cameras
from bozzetto.inverse.camera_motion import (
    Motion,
    focal_groups,
    motion_between,
    motion_derivatives,
    rotation_vectors,
    rotations,
    unseen_part,
)
from bozzetto.inverse.data import cameras_in_frame
from bozzetto.shapes import Similarity

EPS = 1e-6


@pytest.fixture
def cameras():
    return fibonacci_cameras(5, distance=3.0, fov=0.7, size=64)


def no_motion(count: int, groups: int = 1) -> Motion:
    group = torch.zeros(count, dtype=torch.int64) if groups else torch.full((count,), -1)
    return Motion(torch.zeros(count, 6).double(), torch.zeros(groups).double(), group)


def test_rotation_vectors_and_matrices():
    vectors = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vectors *= 3.0 / vectors.norm(dim=1, keepdim=True).clamp(min=3.0)  # at most 3 < pi
    assert torch.allclose(rotation_vectors(rotations(vectors)), vectors, atol=1e-9)
    quarter = rotations(torch.tensor([[0.0, 0.0, torch.pi / 2]], dtype=torch.float64))[0]
    assert torch.allclose(quarter @ torch.tensor([1.0, 0, 0]).double(), torch.tensor([0.0, 1, 0]).double())
    assert torch.equal(rotation_vectors(torch.eye(3)[None].double()), torch.zeros(1, 3).double())


@pytest.mark.parametrize("orthographic", [False, True])
def test_derivatives_of_pixels_are_those_of_differences(cameras, orthographic):
    cameras = replace(cameras, orthographic=orthographic)
    points = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.4
    pixels, pose, zoom = motion_derivatives(cameras[[2]], points)
    assert torch.allclose(pixels, cameras.project(points)[2, :, :2])
    for unknown in range(7):
        seen = []
        for sign in (1, -1):
            motion = no_motion(5)
            target = motion.zoom if unknown == 6 else motion.poses[2]
            target[0 if unknown == 6 else unknown] = sign * EPS
            seen.append(motion.applied(cameras).project(points)[2, :, :2])
        expected = (seen[0] - seen[1]) / (2 * EPS)
        found = zoom if unknown == 6 else pose[..., unknown]
        assert torch.allclose(found, expected, atol=1e-5)


def test_between_undoes_applied(cameras):
    generator = torch.Generator().manual_seed(2)
    motion = Motion(
        0.1 * torch.randn(5, 6, dtype=torch.float64, generator=generator),
        torch.tensor([0.03], dtype=torch.float64),
        torch.zeros(5, dtype=torch.int64),
    )
    found = motion_between(cameras, motion.applied(cameras), motion.group)
    assert torch.allclose(found.poses, motion.poses, atol=1e-10)
    assert torch.allclose(found.zoom, motion.zoom)


def test_views_that_share_focal_lengths(cameras):
    K = cameras.K.clone()
    K[3, 0, 0] *= 1.01
    assert focal_groups(cameras).tolist() == [0] * 5
    assert focal_groups(replace(cameras, K=K)).tolist() == [0, 0, 0, -1, 0]


def test_what_moves_all_cameras_alike_is_found_and_taken_back(cameras):
    turn = rotations(torch.tensor([[0.01, -0.02, 0.015]], dtype=torch.float64))[0]
    world = Similarity(1.02, torch.tensor([0.02, 0.01, -0.03], dtype=torch.float64), turn)
    moved = cameras_in_frame(cameras, world)
    points = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 0.5
    assert torch.allclose(moved.project(world.apply(points))[..., :2], cameras.project(points)[..., :2])
    back = unseen_part(cameras, moved)
    restored = cameras_in_frame(moved, back)
    assert float((restored.T_cam_world - cameras.T_cam_world).abs().max()) < 2e-3
    assert float((moved.T_cam_world - cameras.T_cam_world).abs().max()) > 2e-2
    # What is done to cameras and object together shows in no picture.
    seen = restored.project(back.apply(world.apply(points)))
    assert torch.allclose(seen[..., :2], cameras.project(points)[..., :2])

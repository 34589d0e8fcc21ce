import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import orbit_cameras
from bozzetto.metrics import align_surface, camera_errors, similarity_between
from bozzetto.shapes import Similarity, icosphere


def turn(axis, angle):
    x, y, z = (torch.tensor(axis, dtype=torch.float64) / math.dist(axis, (0, 0, 0)) * angle).tolist()
    return torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64))


MOVE = Similarity(2.5, torch.tensor([1.0, -2.0, 0.3], dtype=torch.float64), turn((1, 2, -1), 2.0))


def test_a_similarity_is_recovered_from_points():
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = similarity_between(points, MOVE.apply(points))
    torch.testing.assert_close(found.matrix, MOVE.matrix, atol=1e-12, rtol=0)


def test_mirrored_points_get_a_rotation():
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = similarity_between(points, points * torch.tensor([1.0, 1.0, -1.0]))
    assert float(torch.linalg.det(found.rotation)) == pytest.approx(1)


def test_it_is_the_least_squares_solution():
    generator = torch.Generator().manual_seed(2)
    a, b = torch.randn(2, 30, 3, generator=generator, dtype=torch.float64)
    found = similarity_between(a, b)
    best = float((found.apply(a) - b).square().sum())
    for _ in range(50):
        axis = torch.randn(3, generator=generator).tolist()
        near = Similarity(
            found.scale * (1 + 1e-3 * float(torch.randn(1, generator=generator))),
            found.translation + 1e-3 * torch.randn(3, generator=generator),
            turn(axis, 1e-3) @ found.rotation,
        )
        assert float((near.apply(a) - b).square().sum()) >= best


@pytest.mark.parametrize("points", [torch.zeros(2, 3), torch.ones(5, 3)])
def test_points_that_tell_nothing_are_refused(points):
    with pytest.raises(InputError, match="align"):
        similarity_between(points, points)


def test_a_surface_finds_its_place():
    ball = icosphere(3)
    egg = ball.with_vertices(ball.vertices * torch.tensor([1.0, 0.7, 0.5]) + 0.15 * ball.vertices[:, :1] ** 2)
    points = MOVE.apply(egg.vertices)
    nearby = Similarity(1.06 * MOVE.scale, MOVE.translation + 0.05, turn((0, 1, 1), 0.1) @ MOVE.rotation)
    place = align_surface(egg, points, nearby)
    torch.testing.assert_close(place.matrix, MOVE.matrix, atol=1e-4, rtol=0)


def test_equal_cameras_in_another_world_have_no_error_and_turned_ones_their_angle():
    true = orbit_cameras(8, (0.1, 0.6), distance=3.0).T_cam_world
    inverse = MOVE.inverse()
    moved = true.clone()
    # Into the other world: x_cam up to scale = R R_move x + t'.
    moved[:, :3, :3] = true[:, :3, :3] @ inverse.rotation
    moved[:, :3, 3] = (true[:, :3, 3] + true[:, :3, :3] @ inverse.translation) / inverse.scale
    same = camera_errors(moved, true)
    assert float(same.rotation.max()) < 1e-6 and float(same.centre.max()) < 1e-9
    torch.testing.assert_close(same.to_truth.matrix, inverse.matrix, atol=1e-9, rtol=0)
    moved[2, :3] = torch.cat([turn((0, 0, 1), math.radians(3)), torch.zeros(3, 1)], dim=1) @ moved[2]
    moved[5, 0, 3] += 0.06 * float(moved[5, :3, 3].norm())
    off = camera_errors(moved, true)
    assert float(off.rotation[2]) == pytest.approx(3, abs=0.5)
    assert int(off.centre.argmax()) == 5 and 0.03 < float(off.centre[5]) < 0.07

"""Tests of datasets.synthetic.solids."""

import math

import pytest
import torch
from scipy.spatial import KDTree

from bozzetto.datasets.synthetic.solids import (
    Polygon,
    chair_boxes,
    chairs,
    extruded,
    lathe,
    machined_part,
    moved_solid,
    union_distance,
    union_points,
    united,
)


def test_points_lie_on_the_surface_and_cover_it_evenly():
    for index in range(12):
        boxes = chair_boxes(0, index)
        points = union_points(boxes, 500, torch.Generator().manual_seed(index))
        assert float(union_distance(boxes, points).abs().max()) < 1e-5


def test_area_of_two_overlapping_cubes():
    boxes = torch.tensor([[[0.0, 0, 0], [1, 1, 1]], [[0.5, 0.2, 0.2], [1.5, 0.8, 0.8]]])
    points = union_points(boxes, 20000, torch.Generator().manual_seed(0))
    # The second box shows half of its length: one end and four sides of 0.5 by 0.6; it hides 0.36 of the first.
    shown, rest = 0.36 + 4 * 0.3, 6 - 0.36
    share = float((points[:, 0] > 1 + 1e-6).float().mean())
    assert abs(share - shown / (shown + rest)) < 0.015


def test_distances_are_those_of_boxes():
    boxes = torch.tensor([[[-1.0, -1, -1], [1, 1, 1]], [[2.0, -1, -1], [3, 1, 1]]])
    points = torch.tensor([[0.0, 0, 0], [0, 3, 0], [1.5, 0, 0], [4, 2, 0], [0.9, 0, 0]])
    expected = torch.tensor([-1.0, 2.0, 0.5, 2**0.5, -0.1])
    torch.testing.assert_close(union_distance(boxes, points), expected)


def test_chairs_differ_are_repeatable_and_normalised():
    some = chairs(6, 300, seed=3)
    torch.testing.assert_close(chairs(3, 300, seed=3, first=2), some[2:5])
    assert float((some[0] - some[1]).abs().max()) > 0.05
    assert float(some.abs().max()) <= 1 + 1e-5
    lying = some[..., 1].amax(dim=1)
    assert (lying > 0.7).all()  # none is much wider than high


SQUARE = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(12))
def test_points_lie_on_the_surface_and_distances_are_those_to_it(seed):
    part = machined_part(seed)
    points = part.points(40000, draw(seed))
    assert float(part.distance(points).abs().max()) < 1e-5
    around = points[:300] + 0.2 * torch.randn(300, 3, generator=draw(seed + 100))
    distance = part.distance(around)
    nearest = torch.from_numpy(KDTree(points.numpy()).query(around.numpy())[0]).float()
    outside = distance > 0
    assert float((nearest - distance)[outside].min()) > -1e-5  # never more than to any of its points
    assert float((nearest - distance)[outside].max()) < 0.04  # and hardly less than to the nearest of many
    assert 0.5 < float(points.abs().max()) < 3


def test_a_plate_is_a_box():
    plate = extruded(Polygon([SQUARE]), 0.5)
    box = torch.tensor([[[-1.0, -1, -0.25], [1, 1, 0.25]]])
    points = 3 * torch.rand(500, 3, generator=draw()) - 1.5
    torch.testing.assert_close(plate.distance(points), union_distance(box, points), atol=1e-5, rtol=1e-5)
    assert plate.area == pytest.approx(2 * 4 + 4 * 2 * 0.5)
    on_rim = plate.points(20000, draw())[:, 2].abs() < 0.2499
    assert float(on_rim.float().mean()) == pytest.approx(4 * 2 * 0.5 / plate.area, abs=0.012)


def test_a_hole_is_outside():
    hole = 0.5 * SQUARE.flip(0)
    region = Polygon([SQUARE, hole])
    where = torch.tensor([[0.0, 0.0], [0.75, 0.0], [2.0, 0.0], [0.3, 0.1]])
    torch.testing.assert_close(region.distance(where), torch.tensor([0.5, -0.25, 1.0, 0.2]))
    assert region.area() == pytest.approx(4 - 1)


def test_a_turned_line_is_a_cylinder():
    cylinder = lathe(torch.tensor([[0.5, -1.0], [0.5, 1.0]]))
    assert cylinder.area == pytest.approx(math.pi * (2 * 0.25 + 2 * 0.5 * 2), rel=1e-5)
    points = 2 * torch.rand(400, 3, generator=draw()) - 1
    radial, axial = points[:, :2].norm(dim=1) - 0.5, points[:, 2].abs() - 1
    expected = torch.maximum(radial, axial)  # exact within, and beside the mantle
    found, known = cylinder.distance(points), (axial < 0)
    torch.testing.assert_close(found[known], expected[known], atol=1e-5, rtol=1e-4)
    caps = cylinder.points(20000, draw())
    caps = caps[caps[:, 2].abs() > 0.99999]
    assert len(caps) / 20000 == pytest.approx(2 * 0.25 * math.pi / cylinder.area, abs=0.01)
    assert float(caps[:, :2].norm(dim=1).square().mean()) == pytest.approx(
        0.125, rel=0.03
    )  # even over the disc


def test_unions_hide_what_is_inside():
    ball = lathe(torch.tensor([[0.5, -0.5], [0.5, 0.5]]))
    other = moved_solid(ball, torch.eye(3)[[1, 2, 0]], torch.tensor([0.3, 0.0, 0.0]))
    both = united([ball, other])
    points = both.points(3000, draw())
    assert len(points) == 3000
    assert float(torch.minimum(ball.distance(points), other.distance(points)).min()) > -1e-5

import math

import pytest
import torch
from scipy.spatial import KDTree

from bozzetto.datasets.synthetic.machined_parts import (
    Polygon,
    extruded,
    lathe,
    machined_part,
    moved_solid,
    united,
)
from bozzetto.datasets.synthetic.solids import union_distance

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

import torch

from bozzetto.geometry import is_watertight, self_intersections
from bozzetto.sdf.prepare_shape import stretched
from bozzetto.shapes import icosphere


def asymmetry(mesh, flip):
    """How far the mirrored vertices are from the vertices."""
    places = mesh.vertices.double()
    return float(torch.cdist(places * flip, places).min(dim=1).values.max())


def test_a_variant_is_another_shape_that_still_closes_and_does_not_fold():
    ball = icosphere(3)
    generator = torch.Generator().manual_seed(0)
    first, second = (stretched(ball, generator, 0.3) for _ in range(2))
    assert (first.vertices - second.vertices).norm(dim=1).max() > 0.05
    for mesh in (first, second):
        assert is_watertight(mesh.faces) and not self_intersections(mesh).any()


def test_mirror_planes_stay_and_round_stays_round():
    ball = icosphere(3)
    mesh = stretched(ball, torch.Generator().manual_seed(1), 0.3, sideways=0.0)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    assert asymmetry(mesh, flip) < 1e-5
    radius = mesh.vertices[:, [0, 2]].norm(dim=1)
    level = (ball.vertices[:, 1] * 1e4).round()
    for height in level.unique()[::7]:
        ring = radius[level == height]
        assert float(ring.max() - ring.min()) < 1e-3


def test_without_strength_nothing_changes():
    ball = icosphere(2)
    same = stretched(ball, torch.Generator().manual_seed(2), 0.0, sideways=0.0)
    torch.testing.assert_close(same.vertices, ball.vertices, atol=1e-5, rtol=0)


def test_heights_move_along_the_axis_asked_for():
    ball = icosphere(3)
    low, high = ball.bounds
    mesh = stretched(ball, torch.Generator().manual_seed(3), 0.2, upright=2, sideways=0.0)
    assert asymmetry(mesh, torch.tensor([1.0, -1.0, 1.0])) < 1e-5
    assert not torch.allclose(mesh.bounds[:, 2], torch.stack([low, high])[:, 2], atol=1e-3)

"""Tests of sdf.completed_surface."""

import pytest
import torch

from bozzetto.cameras import orbit_cameras
from bozzetto.sdf import Observations, observe_depth
from bozzetto.sdf.completed_surface import RayBundle, ResidualField, cut, project, ray_bundles, unknown_parts
from bozzetto.shapes import icosphere

RADIUS = 0.5


def ball(points):
    return points.norm(dim=1) - RADIUS


@pytest.fixture(scope="module")
def view():
    """A depth map of a ball of radius 0.5 around the origin, seen from x = 4."""
    camera = orbit_cameras([0.0], 0.0, distance=4.0, up=(0, 1, 0), fov=0.5, size=96)
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    pixels = torch.stack([columns, rows], dim=-1).double().reshape(1, -1, 2) + 0.5
    origin, ray = camera.rays_through(pixels)
    along = -(origin[0] * ray[0]).sum(dim=1)
    gap = along.square() - origin[0].square().sum(dim=1) + RADIUS**2
    hit = origin[0] + (along - gap.clamp_min(0).sqrt())[:, None] * ray[0]
    depth = torch.where(gap > 0, 4 - hit[:, 0], torch.inf)
    return observe_depth(depth.reshape(96, 96).float(), camera)


def test_rays_pass_in_front_and_beside_but_not_behind_or_outside_the_picture(view):
    (bundle,) = ray_bundles(view)
    front, beside, inside, behind = [0.6, 0, 0], [0, 0.7, 0], [0.45, 0, 0], [-0.9, 0, 0]
    points = torch.tensor([front, beside, inside, behind, [0, 3.0, 0], [0.51, 0, 0]])
    passes = bundle.passes(points.double().numpy(), 0.02)
    assert passes.tolist() == [True, True, False, False, False, False]


def test_a_shape_that_was_right_is_not_cut(view):
    assert cut(ball, view) is None


def test_what_fills_empty_space_is_cut_and_nothing_else(view):
    def with_lump(points):
        lump = (points - torch.tensor([0.0, 0.6, 0.0])).norm(dim=1) - 0.2
        return torch.minimum(ball(points), lump)

    hollow = cut(with_lump, view)
    points = 1.6 * torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0)) - 0.8
    left = torch.maximum(with_lump(points), hollow(points)) < 0
    assert not (left & (ball(points) > 0.05) & (points[:, 0] > 0)).any()
    assert left[ball(points) < -0.02].all()


def test_what_nobody_saw_stays(view):
    def with_tail(points):
        tail = (points - torch.tensor([-0.6, 0.0, 0.0])).norm(dim=1) - 0.2
        return torch.minimum(ball(points), tail)

    assert cut(with_tail, view) is None


def test_without_rays_or_with_rays_from_everywhere_nothing_is_known(view):
    bare = Observations(view.points, view.noise)
    assert ray_bundles(bare) == [] and cut(ball, bare) is None
    scattered = Observations(view.points, view.noise, None, view.points + 1.0, view.points)
    assert ray_bundles(scattered) == []


def test_a_bundle_of_one_ray_knows_next_to_nothing():
    bundle = RayBundle(torch.zeros(3), torch.tensor([[1.0, 0, 0]]))
    assert not bundle.passes(torch.tensor([[0.5, 0.1, 0.0]]).double().numpy(), 0.01).any()


def test_strays_that_lie_together_are_a_part():
    generator = torch.Generator().manual_seed(0)
    body = torch.rand(900, 3, generator=generator) * torch.tensor([1.0, 1.0, 0.0])
    handle = torch.rand(60, 3, generator=generator) * torch.tensor([0.2, 0.2, 0.0]) + torch.tensor(
        [1.2, 0, 0]
    )
    alone = torch.tensor([[3.0, 0, 0], [0, 4.0, 0], [0, 0, 5.0]])
    stray = torch.arange(963) >= 900
    found = unknown_parts(torch.cat([body, handle, alone]), stray)
    assert not found[:900].any() and found[900:960].double().mean() > 0.9 and not found[960:].any()
    assert not unknown_parts(body, torch.zeros(900, dtype=torch.bool)).any()


POINTS = icosphere(3, 0.8).vertices


def test_a_field_passes_through_its_data_and_fades():
    top = POINTS[POINTS[:, 2] > 0.2]
    wrong = 0.02 * torch.sin(5 * top[:, 0])
    field = ResidualField(top, wrong, noise=1e-4)
    assert float((field(top) - wrong).abs().max()) < 2e-3
    assert not field(torch.tensor([[0.0, 0.0, -0.5]])).any()
    between = torch.nn.functional.normalize(top + 0.02, dim=1) * 0.8
    between = between[between[:, 2] > 0.4]
    assert float((field(between) - 0.02 * torch.sin(5 * between[:, 0])).abs().max()) < 4e-3


def test_noise_is_not_followed():
    noise = 0.01 * torch.randn(len(POINTS), generator=torch.Generator().manual_seed(0))
    field = ResidualField(POINTS, noise, noise=0.01)
    assert float(field(POINTS).square().mean().sqrt()) < 0.006


def test_projection_reaches_the_corrected_surface(balls):
    code = torch.tensor([0.0, 0.0, 0.0, 0.78])
    field = ResidualField(POINTS, torch.full((len(POINTS),), 0.02), noise=1e-4)
    found = project(balls.decoder, code, icosphere(2, 0.77).vertices, field)
    assert float((found.norm(dim=1) - 0.8).abs().max()) < 2e-3
    assert float((project(balls.decoder, code, found).norm(dim=1) - 0.78).abs().max()) < 1e-5

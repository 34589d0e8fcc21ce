"""Volume rendering of a grid of signed distances: its gradient, and the topology that it finds."""

import math
from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.cameras import Cameras, Capture, fibonacci_cameras, visual_hull
from bozzetto.geometry import connected_components, euler_number, implicit, is_watertight
from bozzetto.geometry.launch import fill_struct, launch
from bozzetto.inverse import (
    ReconstructConfig,
    Stage,
    Volume,
    VolumeConfig,
    VolumeFit,
    VolumeLevel,
    capture_light,
    fit_volume,
    reconstruct_capture,
    volume_kernels,
)
from bozzetto.inverse.coarse_to_fine import initial_surface
from bozzetto.inverse.volume import hull_or_volume
from bozzetto.metrics import surface_distance
from bozzetto.rendering import render
from bozzetto.shapes import Mesh, icosphere, join, torus

CPU = torch.device("cpu")
SMALL = VolumeConfig((VolumeLevel(16, 80, 1024, (2.0, 1.0)), VolumeLevel(40, 160, 2048, (1.6, 0.6))))


def photographed(mesh: Mesh, views: int = 16, size: int = 80, cameras: Cameras | None = None) -> Capture:
    cameras = cameras or fibonacci_cameras(views, distance=3.5, fov=math.radians(36), size=size)
    with torch.no_grad():
        pictures = render(mesh, cameras, capture_light())
    names = tuple(f"{view:03}.png" for view in range(len(cameras)))
    masks = pictures[..., 3].clamp(0, 1)
    return Capture(names, cameras, pictures[..., :3].clone(), masks, torch.ones_like(masks) > 0)


def nodes(shape: tuple[int, int, int]) -> torch.Tensor:
    axes = [torch.arange(n, dtype=torch.float32) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def learned(distances, colors, origins, directions, targets, beta: float, step: float = 0.5):
    """Losses and gradients of the kernel with weights 1 and .5, offsets 0."""
    rays = len(origins)
    losses, gradient = torch.zeros(rays, 2), torch.zeros(1, *distances.shape, 4)
    field = fill_struct(volume_kernels.Field, distances=distances, colors=colors, beta=beta)
    arguments = [0, origins, directions, torch.zeros(rays), targets, field, step, 1.0, 0.5, 0, gradient]
    launch(volume_kernels.learn_rays, rays, [*arguments, losses], CPU)
    return losses, gradient[0]


def trilinear(values: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Independent of the kernels: grid_sample in double precision."""
    size = torch.tensor(values.shape[:3], dtype=torch.float64) - 1
    places = (2 * points / size - 1).flip(-1)[None, :, None, None]
    channels = values.reshape(*values.shape[:3], -1).permute(3, 0, 1, 2)[None]
    return torch.nn.functional.grid_sample(channels, places, align_corners=True)[0, :, :, 0, 0].T


def by_autograd(distances, colors, origins, directions, targets, beta: float, step: float = 0.5):
    """The same losses by differentiable code, for fields without empty space that a ray may jump."""
    distances, colors = (x.double().requires_grad_() for x in (distances, colors))
    losses = []
    for origin, direction, target in zip(
        origins.double(), directions.double(), targets.double(), strict=True
    ):
        through, before, color = torch.tensor(1.0).double(), torch.tensor(1.0).double(), 0.0
        high = torch.tensor(distances.shape).double() - 1 - 1e-3
        sides = torch.stack([(1e-3 - origin) / direction, (high - origin) / direction])
        t, far = float(sides.amin(dim=0).max().clamp(min=0)), float(sides.amax(dim=0).min())
        while t < far and through > volume_kernels.OPAQUE:
            point = (origin + t * direction)[None]
            d = trilinear(distances, point)[0, 0]
            now = torch.where(d > 0, 1 - 0.5 * torch.exp(-d.abs() / beta), 0.5 * torch.exp(-d.abs() / beta))
            left = through * torch.minimum(now / before, torch.tensor(1.0).double())
            color = color + (through - left) * trilinear(colors, point)[0]
            through, before, t = left, now, t + step
        soft = volume_kernels.SOFT
        losses.append(((color - target[:3]).square() + soft**2).sqrt().sum() - 3 * soft)
        mask = target[3]
        losses.append(-0.5 * (mask * (1 - through).log() + (1 - mask) * through.log()))
    total = torch.stack(losses).sum()
    total.backward()
    return total.detach(), distances.grad, colors.grad


def test_losses_and_gradients_are_those_of_automatic_differentiation():
    torch.manual_seed(0)
    shape = (11, 9, 10)
    middle = torch.tensor([5.0, 4.0, 4.5])
    # Two balls, so that some rays leave one surface and meet another.
    balls = [
        (nodes(shape) - middle - shift).norm(dim=-1) - 1.6
        for shift in torch.tensor([[2.0, 0, 0], [-2, 0, 0]])
    ]
    distances = (torch.minimum(*balls) + 0.1 * torch.randn(shape)).contiguous()
    colors = torch.rand(*shape, 3)
    origins = middle + 9 * torch.nn.functional.normalize(torch.randn(24, 3), dim=1)
    aims = middle + torch.randn(24, 3) * torch.tensor([2.5, 1.0, 1.0])
    directions = torch.nn.functional.normalize(aims - origins, dim=1)
    targets = torch.rand(24, 4)
    beta = 1.5  # the whole grid lies within the reach of the density
    losses, gradient = learned(distances, colors, origins, directions, targets, beta)
    total, by_distance, by_color = by_autograd(distances, colors, origins, directions, targets, beta)
    assert float(losses[:, 0].sum() + 0.5 * losses[:, 1].sum()) == pytest.approx(float(total), rel=2e-3)
    for found, expected in ((gradient[..., 3], by_distance), (gradient[..., :3], by_color)):
        assert float((found - expected).norm() / expected.norm()) < 5e-3


@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_a_ray_that_touches_a_ball_is_half_covered(beta: float):
    shape, radius = (41, 41, 41), 12.0
    distances = (nodes(shape) - 20).norm(dim=-1) - radius
    colors = torch.ones(*shape, 3)
    heights = torch.tensor([radius - 6, radius, radius + 6])
    origins = torch.stack([torch.full((3,), -20.0), 20 + heights, torch.full((3,), 20.0)], dim=1)
    directions = torch.tensor([1.0, 0.0, 0.0]).expand(3, 3).contiguous()
    targets = torch.zeros(3, 4)
    losses, _ = learned(distances.contiguous(), colors, origins, directions, targets, beta, step=0.1)
    coverage = 1 - torch.exp(-losses[:, 1])  # of an empty mask, the loss is - log(1 - coverage)
    assert coverage[0] > 0.99
    assert coverage[1] == pytest.approx(0.5, abs=0.03)
    assert coverage[2] < 0.01


def test_a_finer_grid_holds_the_same_linear_field():
    bounds = torch.tensor([[-1.0, -0.5, -0.7], [1.0, 0.5, 0.7]], dtype=torch.float64)
    volume = Volume.ellipsoid(bounds, 16, torch.rand(3))
    linear = nodes(tuple(volume.distances.shape)) @ torch.tensor([0.3, -0.2, 0.5])
    volume.distances = linear.contiguous()
    fine = volume.refined(bounds, 40)
    places = fine.low.float() + fine.cell * nodes(tuple(fine.distances.shape))
    expected = ((places - volume.low.float()) / volume.cell) @ torch.tensor([0.3, -0.2, 0.5])
    expected = expected * volume.cell / fine.cell  # distances are in cells
    inner = (slice(4, -4),) * 3
    assert torch.allclose(fine.distances[inner], expected[inner], atol=1e-4)


def test_far_distances_become_those_to_the_surface():
    shape = (31, 33, 35)
    exact = (nodes(shape) - 16).norm(dim=-1) - 9.3
    volume = Volume(torch.zeros(3).double(), 1.0, (exact * 1.0).contiguous(), torch.zeros(*shape, 3))
    far = exact.abs() > 3
    volume.distances[far] *= 4.0
    volume.renew_distances(3.0)
    assert float((volume.distances - exact).abs().max()) < 0.75
    assert torch.equal(volume.distances[~far], exact[~far])


def test_a_torus_and_a_ball_inside_its_hole_are_found():
    ring = implicit.union(implicit.torus(0.72, 0.2), implicit.sphere(0.28))
    mesh = implicit.zero_set(ring, (-1.1,) * 3, (1.1,) * 3, 0.04)
    surface = fit_volume(photographed(mesh), SMALL).surface()
    assert is_watertight(surface.faces)
    assert int(connected_components(surface.faces, len(surface.vertices)).max()) == 1
    assert euler_number(surface.faces) == 2  # 0 of the torus, 2 of the ball
    assert surface_distance(surface.with_vertices(surface.world_vertices.float()), mesh).mean < 0.02


def test_places_of_the_world_do_not_matter_and_seeds_repeat():
    mesh, few = icosphere(3, 0.6), replace(SMALL, levels=(VolumeLevel(16, 30, 256, (2.0, 1.0)),))
    here = photographed(mesh, views=5, size=32)
    shift = (4000.0, -2000.0, 1000.0)
    there = replace(here, cameras=here.cameras.relative_to((-shift[0], -shift[1], -shift[2])))
    first, again, far = (fit_volume(capture, few) for capture in (here, here, there))
    assert torch.equal(first.distances, again.distances)
    assert not torch.equal(first.distances, fit_volume(here, few, seed=1).distances)
    moved = far.surface().world_vertices.double().mean(dim=0) - torch.tensor(shift)
    assert torch.allclose(moved, first.surface().world_vertices.double().mean(dim=0), atol=0.02)


def test_orthographic_pictures_are_fitted():
    cameras = fibonacci_cameras(6, distance=4.0, fov=math.radians(36), size=40)
    K = cameras.K.clone()
    K[:, :2, :2] /= 4.0
    flat = replace(cameras, K=K, orthographic=True)
    surface = fit_volume(photographed(icosphere(3, 0.7), cameras=flat), SMALL).surface()
    radii = surface.world_vertices.norm(dim=1)
    assert float((radii - 0.7).abs().mean()) < 0.03


def test_specks_and_closed_cavities_go():
    shape = (40, 40, 40)
    around = nodes(shape)
    ball = (around - 18).norm(dim=-1) - 10
    cavity = 3 - (around - 18).norm(dim=-1)
    speck = (around - 35).norm(dim=-1) - 1.2
    distances = torch.minimum(torch.maximum(ball, cavity), speck)
    volume = Volume(torch.zeros(3).double(), 0.1, distances.contiguous(), torch.zeros(*shape, 3))
    surface = volume.surface()
    assert euler_number(surface.faces) == 2
    assert float((surface.world_vertices.float() - 1.8).norm(dim=1).mean()) == pytest.approx(1.0, abs=0.05)


def test_what_cannot_be_fitted_is_said():
    with pytest.raises(InputError, match="no masks"):
        fit_volume(replace(photographed(icosphere(2), views=4, size=24), masks=None), SMALL)
    empty = Volume(torch.zeros(3).double(), 1.0, torch.ones(12, 12, 12), torch.zeros(12, 12, 12, 3))
    with pytest.raises(InputError, match="doctor"):
        empty.surface()


def ball_and_pea() -> Mesh:
    """Two pieces, of which a hull has the larger."""
    pea = icosphere(2, 0.3)
    return join([icosphere(3, 0.6), pea.with_vertices(pea.vertices + torch.tensor([0.0, 0.0, 1.1]))])


def test_two_solids_disagree_where_they_do_not_overlap():
    volume = Volume.ellipsoid(torch.tensor([[-1.0] * 3, [1.0] * 3]).double(), 40, torch.zeros(3))
    assert volume.disagreement(icosphere(4, 1.0)) == 0
    # Of a ball of radius .8 the rest, but for a shell of one cell (.05) at either side.
    assert volume.disagreement(icosphere(4, 0.8)) == pytest.approx((0.95**3 - 0.85**3) / 0.8**3, rel=0.1)
    assert volume.disagreement(icosphere(4, 1.3)) == pytest.approx((1.25**3 - 1.05**3) / 1.3**3, rel=0.1)


def test_a_volume_is_taken_where_it_differs_from_the_hull():
    for mesh, pieces in ((icosphere(3, 0.9), 1), (ball_and_pea(), 2)):
        capture = photographed(mesh, size=64)
        hull = visual_hull(capture.cameras, capture.masks, capture.known, resolution=48)
        first = hull_or_volume(hull, capture, SMALL)
        assert (first is hull) == (pieces == 1)
        config = ReconstructConfig(init="auto", volume=SMALL, hull_resolution=48)
        kinds = [
            initial_surface(capture, replace(config, refine_cameras=refine))[1] for refine in (False, True)
        ]
        assert kinds == ["hull" if pieces == 1 else "volume", "hull"]
        assert connected_components(first.faces, len(first.vertices)).max() + 1 == pieces


def test_without_a_volume_that_explains_the_photographs_the_hull_stays():
    capture = photographed(icosphere(2), views=4, size=24)
    nothing = replace(capture, masks=torch.zeros_like(capture.masks))
    assert hull_or_volume(icosphere(2), nothing, SMALL).faces.shape == icosphere(2).faces.shape


def test_levels_with_cells_below_a_pixel_are_left_out():
    fit = VolumeFit(photographed(icosphere(2), views=12, size=24), SMALL)
    assert [level.resolution for level in fit.config.levels] == [16]


def test_a_reconstruction_keeps_the_hole_of_its_volume():
    stages = (Stage(scale=1.0, edge_pixels=2.0, steps=30, smoothness=5.0),)
    config = ReconstructConfig(init="volume", volume=SMALL, stages=stages)
    mesh = torus(0.7, 0.25, 48, 24)
    found = reconstruct_capture(photographed(mesh, views=12), config)
    assert euler_number(found.start.faces) == euler_number(found.mesh.faces) == 0
    assert surface_distance(found.mesh.with_vertices(found.mesh.world_vertices.float()), mesh).mean < 0.02

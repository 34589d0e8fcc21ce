import math

import pytest
import torch

from bozzetto.errors import InputError, InputWarning
from bozzetto.geometry import boundary_edges, euler_number, is_consistently_wound, is_manifold, is_watertight
from bozzetto.points import surface
from bozzetto.score import CloudField, cast_rays
from bozzetto.shapes import Mesh, PointCloud, sample_surface, torus

from .conftest import BAD_CLOUDS


def sphere(count: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=draw), dim=1)


def ring(count: int) -> torch.Tensor:
    return sample_surface(torus(0.7, 0.25, 192, 96), count, torch.Generator().manual_seed(1))[0]


def ring_distance(x: torch.Tensor) -> torch.Tensor:
    return torch.hypot(torch.hypot(x[:, 0], x[:, 1]) - 0.7, x[:, 2]) - 0.25


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.corners().double().unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("with_normals", [True, False])
def test_a_sphere_is_one_closed_sheet(with_normals):
    points = sphere(1500) * 50 + 300
    mesh = surface(PointCloud(points, (points - 300) if with_normals else None), noise=0)
    assert is_watertight(mesh.faces) and is_consistently_wound(mesh.faces)
    assert euler_number(mesh.faces) == 2
    assert volume(Mesh(mesh.vertices - 300, mesh.faces)) == pytest.approx(4 / 3 * math.pi * 50**3, rel=0.02)
    assert ((mesh.vertices - 300).norm(dim=1) - 50).abs().max() < 0.03 * 50


def test_a_ring_is_one_closed_sheet():
    mesh = surface(PointCloud(ring(2500)), noise=0)
    assert is_watertight(mesh.faces) and is_manifold(mesh.faces, len(mesh.vertices))
    assert euler_number(mesh.faces) == 0
    assert ring_distance(mesh.vertices).abs().max() < 0.03


def test_noise_is_removed_first():
    noisy = ring(1500) + 0.02 * torch.randn(1500, 3, generator=torch.Generator().manual_seed(0))
    mesh = surface(PointCloud(noisy))
    assert euler_number(mesh.faces) == 0
    assert float(ring_distance(mesh.vertices).square().mean().sqrt()) < 0.01


def test_a_hemisphere_stays_open_unless_closed():
    points = sphere(3000)
    half = PointCloud(points[points[:, 2] > 0], points[points[:, 2] > 0])
    mesh = surface(half, noise=0)
    assert len(boundary_edges(mesh.faces)) > 20
    assert float(mesh.vertices[:, 2].min()) > -0.12
    off = (mesh.vertices.norm(dim=1) - 1).abs()
    assert off[mesh.vertices[:, 2] > 0].max() < 0.02  # beyond the rim nothing was observed
    assert is_watertight(surface(half, boundary="closed", noise=0).faces)


@pytest.mark.parametrize(("points", "words"), BAD_CLOUDS)
def test_bad_clouds_are_refused(points, words):
    with pytest.raises(InputError, match=words):
        surface(PointCloud(points))
    with pytest.raises(InputError, match="resolution"):
        surface(PointCloud(sphere(50)), resolution=2)


def test_the_jacobian_is_that_of_the_field():
    field = CloudField(ring(1000), 0.1)
    x = ring(20) * 1.05
    step = 1e-2
    for axis, e in enumerate(torch.eye(3)):
        difference = (field.denoised(x + step * e) - field.denoised(x - step * e)) / (2 * step)
        torch.testing.assert_close(field.jacobian(x)[:, :, axis], difference, atol=0.05, rtol=0.05)


def test_rays_hit_a_ring_and_nothing_between():
    field = CloudField(ring(20_000), 0.03)
    line = torch.linspace(-1.1, 1.1, 24)
    x, y = torch.meshgrid(line, line, indexing="ij")
    origins = torch.stack([x.flatten(), y.flatten(), torch.full((576,), 2.0)], dim=1)
    down = torch.tensor([0.0, 0, -1]).expand(576, 3)
    hits = cast_rays(field, origins, down, 4.0)
    across = torch.hypot(origins[:, 0], origins[:, 1]) - 0.7
    meets, clear = across.abs() < 0.22, across.abs() > 0.27  # rays in between graze the ring
    assert hits.hit[meets].float().mean() > 0.99
    assert not hits.hit[clear].any()
    assert ring_distance(hits.points[hits.hit]).abs().max() < 0.03
    truth = (0.25**2 - across**2).clamp(min=0).sqrt()
    seen = hits.hit & meets
    assert ((2 - hits.depth[seen] - truth[seen]).abs() < 0.05).float().mean() > 0.98
    assert (hits.normals[seen, 2] > 0).all() and torch.isinf(hits.depth[~hits.hit]).all()


def test_strays_repeated_points_and_bad_normals_change_nothing():
    points = sphere(200)
    wanted = surface(PointCloud(points), 24, noise=0).vertices
    worse = {
        "far away": PointCloud(torch.cat([points, torch.tensor([[1e3, 0.0, 0.0]])])),
        "in the same place as others": PointCloud(points.repeat(2, 1)),
        "are zero at 200": PointCloud(points, torch.zeros_like(points)),
    }
    for words, cloud in worse.items():
        with pytest.warns(InputWarning, match=words):
            assert torch.equal(surface(cloud, 24, noise=0).vertices, wanted)


def test_points_on_a_line_are_refused():
    with pytest.raises(InputError, match="on a line"):
        surface(PointCloud(torch.linspace(0, 1, 50)[:, None] * torch.ones(1, 3)))


def scan_lines(count: int, ratio: float) -> torch.Tensor:
    """Points of a sphere on circles of latitude, `ratio` times denser along than across."""
    polar = (torch.arange(count) + 0.5)[:, None] / count * math.pi
    around = torch.arange(round(2 * count * ratio))[None] / round(2 * count * ratio) * math.tau
    rows = [polar.sin() * around.cos(), polar.sin() * around.sin(), polar.cos().expand(-1, around.shape[1])]
    return torch.stack(rows, dim=-1).view(-1, 3)


@pytest.mark.parametrize("ratio", [3, 10])
def test_scan_lines_make_one_sheet(ratio):
    mesh = surface(PointCloud(scan_lines(20, ratio)))
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 2
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi, rel=0.02)


def test_a_sphere_of_two_densities_is_one_sheet():
    points = sphere(3_000)
    rare = torch.rand(3_000, generator=torch.Generator().manual_seed(1)) < 0.08
    mesh = surface(PointCloud(points[(points[:, 0] > 0) | rare]), boundary="closed")
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 2
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi, rel=0.02)


def test_layers_of_misaligned_scans_are_one_sheet():
    draw = torch.Generator().manual_seed(2)
    whole = ring(7_000)
    scans = []
    for _ in range(8):
        facing = torch.randn(3, generator=draw)
        seen = whole[(whole @ facing > -0.2) & (torch.rand(7_000, generator=draw) < 0.3)]
        scans.append(seen + 0.004 * torch.randn(3, generator=draw))
    mesh = surface(PointCloud(torch.cat(scans)), 64)
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 0
    assert volume(mesh) == pytest.approx(2 * math.pi**2 * 0.7 * 0.25**2, rel=0.02)


@pytest.mark.parametrize("given", [False, True])
def test_outliers_leave_no_crumbs(given):
    points = sphere(2000)
    draw = torch.Generator().manual_seed(5)
    stray = 2.4 * torch.rand(20, 3, generator=draw) - 1.2
    normals = torch.cat([points, sphere(20, 6)]) if given else None
    with pytest.warns(InputWarning, match="alone"):
        mesh = surface(PointCloud(torch.cat([points, stray]), normals), boundary="closed")
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 2
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi, rel=0.02)


def test_pieces_and_handles_are_said():
    points = sphere(1500)
    two = PointCloud(torch.cat([points, points + 4]), torch.cat([points, points]))
    with pytest.warns(InputWarning, match="2 separate pieces"):
        surface(two, 64, noise=0)
    foam = torch.rand(1000, 3, generator=torch.Generator().manual_seed(7))
    with pytest.warns(InputWarning, match="handles"):
        surface(PointCloud(foam), 64, "closed", noise=0)


def test_few_points_are_taken_as_exact_and_that_is_said():
    with pytest.warns(InputWarning, match="do not tell noise from shape"):
        mesh = surface(PointCloud(sphere(150), sphere(150)))
    assert is_watertight(mesh.faces) and euler_number(mesh.faces) == 2


def test_faces_are_not_many_more_than_points():
    points = torch.cat([sphere(2000), 0.05 * sphere(500, 1) + torch.tensor([2.0, 0, 0])])
    normals = torch.cat([sphere(2000), sphere(500, 1)])
    with pytest.warns(InputWarning, match="2 separate pieces"):
        mesh = surface(PointCloud(points, normals), noise=0)
    assert len(mesh.faces) < 10 * len(points)

import math

import torch

from bozzetto.geometry import implicit
from bozzetto.points import surface
from bozzetto.points.neighbourhoods import spacing_of
from bozzetto.points.orient import outward_normals, thin_walls
from bozzetto.points.unsupported_surface import angle_defects, crumbly_points, without_unsupported_pieces
from bozzetto.shapes import Mesh, PointCloud, icosphere, sample_surface, torus


def plate(count: int, thickness: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on the two large sides of a plate 2 by 1.2, and outward normals."""
    draw = torch.Generator().manual_seed(0)
    side = torch.where(torch.rand(count, generator=draw) < 0.5, -1.0, 1.0)
    points = torch.rand(count, 3, generator=draw) * torch.tensor([2, 1.2, 0])
    points[:, 2] = side * thickness / 2
    return points, side[:, None] * torch.tensor([0.0, 0, 1])


def test_the_sides_of_a_wall_thinner_than_its_spacing_are_told_apart():
    points, normals = plate(2000, 0.03)  # points are .049 apart
    walls = thin_walls(points)
    assert walls.found.float().mean() > 0.8
    assert ((walls.normals * normals).sum(dim=1)[walls.found] > 0.9).float().mean() > 0.99
    inner = (points[:, 0] - 1).abs().lt(0.85) & (points[:, 1] - 0.6).abs().lt(0.45)  # rims have no points
    assert ((outward_normals(points) * normals).sum(dim=1)[inner] > 0.7).float().mean() > 0.97


def test_no_wall_is_found_on_one_sheet_with_or_without_noise():
    draw = torch.Generator().manual_seed(1)
    sphere = torch.nn.functional.normalize(torch.randn(2000, 3, generator=draw), dim=1)
    for noise in (0, 0.02):
        points = sphere + noise * torch.randn(2000, 3, generator=draw)
        assert thin_walls(points).found.float().mean() < 0.01


def test_given_normals_keep_the_sides_of_a_noisy_wall_apart():
    points, normals = plate(6000, 0.08)
    noisy = points + 0.015 * torch.randn(6000, 3, generator=torch.Generator().manual_seed(2))
    mesh = surface(PointCloud(noisy, normals), boundary="closed", noise=0.015)
    inner = (
        (mesh.vertices[:, :2] > 0.1).all(dim=1) & (mesh.vertices[:, 0] < 1.9) & (mesh.vertices[:, 1] < 1.1)
    )
    height = mesh.vertices[inner, 2].abs()
    assert abs(float(height.mean()) - 0.04) < 0.004


def test_curvature_tells_handles_from_bumps():
    ring = torus(0.7, 0.25, 96, 48)
    assert abs(float(angle_defects(ring).sum())) < 1e-2
    ball = icosphere(3)
    assert abs(float(angle_defects(ball).sum()) - 4 * math.pi) < 1e-2
    points = sample_surface(ring, 2000, torch.Generator().manual_seed(3))[0]
    assert not crumbly_points(ring, points, spacing_of(points)).any()


def test_handles_are_too_many_for_few_points_only():
    # Schwarz's surface P within a ball: two handles in each of some thirty cells.
    def foam(x: torch.Tensor) -> torch.Tensor:
        return torch.maximum(torch.cos(6 * x).sum(dim=1), x.norm(dim=1) - 1.9)

    mesh = implicit.zero_set(foam, (-2.0,) * 3, (2.0,) * 3, 0.12)
    shares = []
    for count in (800, 20_000):
        points = sample_surface(mesh, count, torch.Generator().manual_seed(3))[0]
        shares.append(float(crumbly_points(mesh, points, spacing_of(points)).float().mean()))
    assert shares[0] > 0.3 and shares[1] < 0.01


def test_skins_that_span_what_was_not_seen_are_left_out():
    ball, skin = icosphere(3), icosphere(3)
    both = Mesh(
        torch.cat([ball.vertices, 0.2 * skin.vertices + 3]),
        torch.cat([ball.faces, skin.faces + len(ball.vertices)]),
    )
    draw = torch.Generator().manual_seed(4)
    points = torch.cat([sample_surface(ball, 2000, draw)[0], 0.2 * sample_surface(skin, 20, draw)[0] + 3])
    assert len(without_unsupported_pieces(both, points).faces) == len(both.faces)
    assert len(without_unsupported_pieces(both, points, skins=False).faces) == len(ball.faces)

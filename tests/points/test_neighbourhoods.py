import torch
from torch.nn.functional import normalize

from bozzetto.geometry import face_normals
from bozzetto.points import orient_normals
from bozzetto.points.neighbourhoods import outside_votes
from bozzetto.shapes import sample_surface, torus


def box(sides, middle, count, seed):
    """Random points of a box, and their outward normals."""
    draw = torch.Generator().manual_seed(seed)
    half = torch.tensor(sides) / 2
    area = torch.stack([half[1] * half[2], half[0] * half[2], half[0] * half[1]])
    axis = torch.multinomial(area, count, replacement=True, generator=draw)
    side = torch.randint(2, (count,), generator=draw) * 2.0 - 1
    points = (2 * torch.rand(count, 3, generator=draw) - 1) * half
    points[torch.arange(count), axis] = side * half[axis]
    normals = torch.zeros(count, 3)
    normals[torch.arange(count), axis] = side
    return points + torch.tensor(middle), normals


def test_the_side_that_space_reaches_is_in_front():
    points, normals = box((0.8, 0.5, 0.3), (5.0, 0.0, -2.0), 2000, 0)
    assert (outside_votes(points, normals) == 1).float().mean() > 0.95
    assert torch.equal(outside_votes(points, -normals), -outside_votes(points, normals))


def test_sheets_and_closed_cavities_have_no_votes():
    draw = torch.Generator().manual_seed(0)
    sheet = torch.cat([torch.rand(2000, 2, generator=draw), torch.zeros(2000, 1)], dim=1)
    up = torch.tensor([0.0, 0.0, 1.0]).expand(2000, 3)
    assert (outside_votes(sheet, up) == 0).all()
    spheres = normalize(torch.randn(6000, 3, generator=draw), dim=1)
    radius = torch.where(torch.arange(6000) < 4500, 1.0, 0.5)[:, None]
    votes = outside_votes(radius * spheres, spheres)
    assert (votes[:4500] == 1).float().mean() > 0.98 and (votes[4500:] == 0).all()


def test_a_leg_is_not_left_inside_out():
    """Two boxes that touch along sharp edges, and a ring, with signs that are all random."""
    seat, leg = box((1.0, 0.2, 1.0), (0.0, 0.1, 0.0), 3000, 1), box((0.2, 0.8, 0.2), (0.0, -0.4, 0.0), 900, 2)
    chair, truth = (torch.cat(parts) for parts in zip(seat, leg, strict=True))
    seen = (chair[:, 1].abs() > 1e-6) | (chair[:, [0, 2]].abs().amax(dim=1) > 0.1)  # not where they touch
    mesh = torus(0.7, 0.25, 96, 48)
    points, face = sample_surface(mesh, 3000, torch.Generator().manual_seed(3))[:2]
    for places, normals in (
        (chair[seen], truth[seen]),
        (points, face_normals(mesh.vertices, mesh.faces)[face]),
    ):
        signs = torch.randint(2, (len(places), 1), generator=torch.Generator().manual_seed(4)) * 2.0 - 1
        found = orient_normals(places, signs * normals)
        assert ((found * normals).sum(dim=1) < 0).float().mean() < 0.01

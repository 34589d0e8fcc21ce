import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.geometry import (
    boundary_edges,
    euler_number,
    is_consistently_wound,
    is_manifold,
    is_watertight,
    simplify,
)
from bozzetto.geometry.simplify import separate
from bozzetto.metrics import surface_distance
from bozzetto.shapes import box, grid, icosphere, join, torus


def is_solid(mesh):
    sound = is_manifold(mesh.faces, len(mesh.vertices)) and is_consistently_wound(mesh.faces)
    return sound and is_watertight(mesh.faces)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_sphere_stays_a_closed_sphere_near_itself(scale):
    sphere = icosphere(5).with_vertices(icosphere(5).vertices * scale)
    simple = simplify(sphere, 1000)
    assert 900 < len(simple.faces) <= 1020
    assert is_solid(simple) and euler_number(simple.faces) == 2
    # An inscribed polyhedron of n equal triangles lies 1 - cos(e / sqrt 3) ~ 0.004 inside at its middles.
    assert surface_distance(simple, sphere, samples=5000).hausdorff < 0.02 * scale


def test_flat_parts_get_large_triangles_and_corners_stay():
    cube = box((1.0, 1.0, 1.0))
    fine = cube
    for _ in range(4):
        fine = halved(fine)
    simple = simplify(fine, 100)
    assert len(simple.faces) <= 100 and is_solid(simple)
    distance = torch.cdist(cube.vertices, simple.vertices).amin(dim=1)
    assert float(distance.max()) < 1e-3


def halved(mesh):
    """Every face cut into four."""
    from bozzetto.geometry import merge_vertices

    a, b, c = mesh.corners().unbind(dim=1)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    corners = torch.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], dim=1).reshape(-1, 3)
    return merge_vertices(Mesh(corners, torch.arange(len(corners)).reshape(-1, 3)))[0]


def test_colours_and_the_frame_come_along():
    ball = icosphere(4)
    mesh = Mesh(ball.vertices + 7, ball.faces, (ball.vertices + 1) / 2, offset=(1e6, 0.0, 0.0))
    simple = simplify(mesh, 400)
    assert simple.offset == mesh.offset
    assert torch.allclose(simple.colors, (simple.vertices - 7 + 1) / 2, atol=0.02)


def test_an_open_surface_keeps_its_border():
    sheet = grid(40, 40)
    simple = simplify(sheet, 200)
    low, high = sheet.bounds
    assert torch.allclose(simple.bounds, torch.stack([low, high]), atol=1e-3)
    assert len(boundary_edges(simple.faces)) > 0
    assert is_manifold(simple.faces, len(simple.vertices))


def test_thin_handles_may_vanish_but_the_surface_stays_closed():
    """Rings thinner than the triangles: the package alone leaves edges with four faces."""
    rings = [torus(1.0, 0.01, 96, 6)] + [
        torus(0.3, 0.005, 64, 4).with_vertices(torus(0.3, 0.005, 64, 4).vertices + torch.tensor([0.0, 0, z]))
        for z in (0.5, 1.0, 1.5)
    ]
    simple = simplify(join(rings), 300)
    assert len(simple.faces) <= 320 and is_solid(simple)


def test_a_mesh_with_few_faces_is_returned_as_it_is():
    ball = icosphere(1)
    assert simplify(ball, 1000) is ball


@pytest.mark.parametrize("faces", [3, 0, -5])
def test_too_few_faces_are_refused(faces):
    with pytest.raises(InputError, match="at least 4"):
        simplify(icosphere(1), faces)


def tetrahedron(a, b, c, d):
    return [(a, c, b), (a, b, d), (b, c, d), (c, a, d)]


POINTS = torch.tensor([[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0.0]])


def test_tetrahedra_that_share_an_edge_are_cut_apart():
    faces = torch.tensor(tetrahedron(0, 1, 2, 3) + tetrahedron(0, 1, 4, 5))
    for mesh in (Mesh(POINTS, faces), Mesh(POINTS, faces.flip(0))):
        assert not is_manifold(mesh.faces, 6)
        apart = separate(mesh)
        assert is_solid(apart) and len(apart.vertices) == 8 and len(apart.faces) == 8
        assert euler_number(apart.faces) == 4


def test_tetrahedra_that_share_a_vertex_are_cut_apart():
    points = torch.cat([POINTS[:4], POINTS[1:4] - 3])
    faces = torch.tensor(tetrahedron(0, 1, 2, 3) + tetrahedron(0, 4, 5, 6))
    apart = separate(Mesh(points, faces))
    assert is_solid(apart) and len(apart.vertices) == 8


def test_walls_without_thickness_cancel():
    ball = icosphere(1)
    wall = torch.tensor([[0, 1, 2], [0, 2, 1]]) + len(ball.vertices)
    mesh = Mesh(torch.cat([ball.vertices, POINTS[:3] * 5]), torch.cat([ball.faces, wall]))
    apart = separate(mesh)
    assert is_solid(apart) and len(apart.faces) == len(ball.faces)


def test_a_sound_mesh_is_left_alone():
    ring = torus(1.0, 0.3, 12, 8)
    same = separate(ring)
    assert torch.equal(same.vertices, ring.vertices) and torch.equal(same.faces, ring.faces)


def test_sheets_that_touch_along_one_edge_of_one_surface_are_cut_there():
    """A closed chain of tetrahedra, two of which share an edge whose ends hang together elsewhere too."""
    ring = torus(1.0, 0.3, 8, 6)
    # Let two far edges of the ring coincide: the surface then touches itself along one edge.
    edge, other = ring.faces[0, :2], ring.faces[20, :2].flip(0)
    faces = ring.faces.clone()
    for old, new in zip(other.tolist(), edge.tolist(), strict=True):
        faces[faces == old] = new
    mesh = Mesh(ring.vertices, faces)
    assert not is_manifold(mesh.faces, len(mesh.vertices))
    assert is_solid(separate(mesh))

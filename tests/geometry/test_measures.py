import pytest
import torch

from bozzetto.geometry import edge_lengths, face_areas, unique_edges, vertex_areas
from bozzetto.geometry.measures import mesh_faults
from bozzetto.shapes import Mesh, box, grid, icosphere, join, torus


def test_box():
    mesh = box((1.0, 2.0, 3.0))
    areas = face_areas(mesh.vertices, mesh.faces)
    assert float(areas.sum()) == pytest.approx(22.0)
    assert sorted(set(areas.tolist())) == [1.0, 1.5, 3.0]
    lengths = edge_lengths(mesh.vertices, unique_edges(mesh.faces))
    assert len(lengths) == 18
    squares = sorted({round(x * x) for x in lengths.tolist()})
    assert squares == [1, 4, 5, 9, 10, 13]  # sides and the diagonals of the three rectangles


def test_area_and_length_grow_with_scale():
    mesh = icosphere(1)
    edges = unique_edges(mesh.faces)
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    vertices = mesh.vertices.double() * scale
    area, length = face_areas(vertices, mesh.faces).sum(), edge_lengths(vertices, edges).sum()
    (by_area,) = torch.autograd.grad(area, scale, retain_graph=True)
    (by_length,) = torch.autograd.grad(length, scale)
    torch.testing.assert_close(by_area, area.detach())  # 2 area / scale
    torch.testing.assert_close(by_length, length.detach() / 2)


def test_areas_of_vertices():
    solid = box((1.0, 2.0, 3.0))
    assert float(vertex_areas(solid.vertices, solid.faces).sum()) == pytest.approx(22.0)
    sphere = icosphere(2)
    areas = vertex_areas(sphere.vertices, sphere.faces)
    around = face_areas(sphere.vertices, sphere.faces)[(sphere.faces == 0).any(dim=1)]
    assert len(around) == 5 and float(areas[0]) == pytest.approx(float(around.sum()) / 3)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    vertices = torch.rand(5, 3, dtype=torch.float64, generator=generator).requires_grad_()
    faces = torch.tensor([[0, 1, 2], [1, 3, 2], [4, 0, 2]])
    torch.autograd.gradcheck(lambda v: face_areas(v, faces), vertices)
    torch.autograd.gradcheck(lambda v: edge_lengths(v, unique_edges(faces)), vertices)


def test_zero_area_has_zero_gradient():
    vertices = torch.ones(3, 3, requires_grad=True)
    face_areas(vertices, torch.tensor([[0, 1, 2]])).sum().backward()
    edge_lengths(vertices, torch.tensor([[0, 1]])).sum().backward()
    assert vertices.grad is not None
    assert torch.equal(vertices.grad, torch.zeros(3, 3))


@pytest.mark.parametrize("mesh", [box(), icosphere(2), torus()])
def test_sound_solids_have_none(mesh):
    unwelded = Mesh(mesh.corners().reshape(-1, 3), torch.arange(3 * len(mesh.faces)).reshape(-1, 3))
    shifted = Mesh(mesh.vertices + 5, mesh.faces)
    for same in (mesh, unwelded, shifted, join([mesh, Mesh(mesh.vertices + 5, mesh.faces)])):
        assert mesh_faults(same, solid=True) == []


def test_inside_out_is_told_wherever_the_mesh_lies():
    ball = icosphere(2)
    for shift in (0.0, 7.0):
        (fault,) = mesh_faults(Mesh(ball.vertices + shift, ball.faces.flip(1)))
        assert "inside out" in fault


def test_holes_matter_to_solids_only():
    sheet, ball = grid(3, 3), icosphere(1)
    assert mesh_faults(sheet) == [] and "is open (12 edges" in mesh_faults(sheet, solid=True)[0]
    assert "is open (3 edges" in mesh_faults(Mesh(ball.vertices, ball.faces[1:]), solid=True)[0]


def test_repeated_and_turned_faces():
    ball = icosphere(1)
    doubled = Mesh(ball.vertices, torch.cat([ball.faces, ball.faces[:7].roll(1, dims=1)]))
    assert "has 7 of its 87 faces more than once" in mesh_faults(doubled)[0]
    turned = Mesh(ball.vertices, torch.cat([ball.faces[:5].flip(1), ball.faces[5:]]))
    assert "look to different sides" in mesh_faults(turned)[0]

import math

import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.metrics import flipped_faces, mesh_report
from bozzetto.shapes import box, grid, icosahedron, icosphere, join, torus


def test_flipped_faces_counts_and_weighs_those_turned_over():
    sphere = icosphere(3)
    faces = sphere.faces.clone()
    faces[::10] = faces[::10].flip(1)
    result = flipped_faces(Mesh(sphere.vertices * 1.1, faces), icosphere(4))
    assert result.count == len(faces[::10])
    assert result.area_ratio == pytest.approx(0.1, abs=0.01)
    assert flipped_faces(sphere, icosphere(4)).count == 0
    assert flipped_faces(Mesh(sphere.vertices, sphere.faces.flip(1)), sphere).area_ratio == pytest.approx(1)


def test_report_of_a_box():
    report = mesh_report(box((1.0, 2.0, 4.0)))
    assert (report.vertices, report.faces, report.components, report.euler_number) == (8, 12, 1, 2)
    assert report.watertight and report.manifold and report.consistently_wound
    assert (report.boundary_edges, report.self_intersecting_faces, report.degenerate_faces) == (0, 0, 0)
    assert report.edge_length_min == 1 and report.edge_length_max == pytest.approx(math.sqrt(20))
    assert report.area == pytest.approx(28) and report.volume == pytest.approx(8)
    assert report.min_angle == pytest.approx(math.degrees(math.atan(1 / 4)))


def test_report_of_equilateral_triangles():
    report = mesh_report(icosahedron())
    assert report.min_angle == pytest.approx(60, abs=1e-4) == report.mean_min_angle
    assert report.edge_length_std < 1e-6
    assert report.edge_length_mean == pytest.approx(1 / math.sin(2 * math.pi / 5))


def test_report_of_several_open_and_crossing_pieces():
    mesh = join([torus(), grid(2, 2, 6.0), icosphere(1).with_vertices(icosphere(1).vertices + 9)])
    mesh = Mesh(torch.cat([mesh.vertices, torch.zeros(1, 3)]), mesh.faces)  # a vertex without faces
    report = mesh_report(mesh)
    assert report.vertices == len(mesh.vertices) - 1
    assert report.components == 3 and report.euler_number == 0 + 1 + 2
    assert report.boundary_edges == 8
    assert not report.watertight and report.manifold and report.volume is None
    assert report.self_intersecting_faces > 8


def test_report_finds_faces_without_area():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 1e-9, 0], [0.3, 0.3, 1]])
    report = mesh_report(Mesh(vertices, torch.tensor([[0, 1, 2], [0, 3, 1], [4, 4, 2]])))
    assert report.degenerate_faces == 2
    assert report.min_angle < 1e-4


def test_inside_out_has_negative_volume_and_the_position_does_not_matter():
    sphere = icosphere(4)
    turned = Mesh(sphere.vertices + 100, sphere.faces.flip(1))
    volume = mesh_report(turned).volume
    assert volume is not None and volume == pytest.approx(-4 / 3 * math.pi, rel=5e-3)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="range"):
        mesh_report(Mesh(torch.zeros(2, 3), torch.tensor([[0, 1, 2]])))

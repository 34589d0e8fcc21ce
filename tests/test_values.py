import torch

from bozzetto.shapes import HeightField, Mesh, PointCloud, box


def test_a_mesh_prints_in_a_line():
    mesh = box((1.0, 2.0, 3.0))
    assert repr(mesh) == "Mesh(V=8, F=12, cpu)"
    assert repr(Mesh(mesh.vertices, mesh.faces, mesh.vertices.abs())) == "Mesh(V=8, F=12, colors, cpu)"


def test_plain_values_are_shown_where_they_are_not_the_default():
    height = HeightField(torch.rand(4, 5), 10.0, 2.0)
    assert repr(height) == "HeightField(H=4, W=5, width_mm=10, depth_mm=2, cpu)"


def test_values_are_equal_to_themselves_only_and_can_be_keys():
    cloud, same = (PointCloud(torch.zeros(3, 3)) for _ in range(2))
    assert cloud == cloud and cloud != same
    assert {cloud: 1, same: 2}[cloud] == 1

import torch

from bozzetto.rendering.fragments import Topology, topology_of
from bozzetto.shapes import grid, icosphere, join


def test_closed_surface():
    topology = Topology(icosphere(1).faces)
    assert not topology.has_boundary and len(topology.component) == 0
    assert (topology.neighbours >= 0).all()


def test_neighbours_across_edges_of_opposite_winding_are_marked():
    faces = torch.tensor([[0, 1, 2], [1, 3, 2], [2, 3, 4]])
    assert Topology(faces).neighbours.tolist() == [[-1, 1, -1], [-1, 2, 0], [1, -1, -1]]
    faces[1] = faces[1].flip(0)  # (2, 3, 1)
    topology = Topology(faces)
    assert topology.neighbours.tolist() == [[-1, -2 - 1, -1], [-2 - 2, -1, -2 - 0], [-2 - 1, -1, -1]]
    assert topology.has_boundary


def test_components():
    two = join([icosphere(0), grid(1, 1)])
    assert Topology(two.faces).component.tolist() == [0] * 20 + [1] * 2


def test_connectivity_is_worked_out_once_until_the_faces_change():
    faces = icosphere(1).faces
    topology = topology_of(faces)
    assert topology_of(faces) is topology
    assert topology_of(faces.clone()) is not topology
    faces[0] = faces[0].flip(0)
    assert topology_of(faces) is not topology


def test_no_faces():
    topology = Topology(torch.zeros(0, 3, dtype=torch.int64))
    assert not topology.has_boundary and len(topology.component) == 0

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError, Mesh
from bozzetto.geometry import (
    boundary_edges,
    connected_components,
    drop_unused_vertices,
    euler_number,
    face_neighbours,
    in_spatial_order,
    is_consistently_wound,
    is_manifold,
    is_watertight,
    merge_vertices,
    split_vertices,
    unique_edges,
)
from bozzetto.geometry.topology import disagreeing_edges, has_no_boundary, is_double_sided, orientation_parity
from bozzetto.shapes import box, icosphere, join, torus

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]
SQUARE = torch.tensor([[0, 1, 2], [0, 2, 3]])  # two faces along the diagonal 0-2
FIN = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])  # three faces at the edge 0-1
BOW = torch.tensor([[0, 1, 2], [0, 3, 4]])  # two faces that touch in vertex 0
NOTHING = torch.zeros(0, 3, dtype=torch.int64)

triangles = st.lists(st.tuples(*[st.integers(0, 7)] * 3), max_size=14).map(
    lambda rows: torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
)


def sides(face):
    """Undirected edges of a face in order, none of a collapsed face."""
    a, b, c = face
    return [frozenset(e) for e in ((a, b), (b, c), (c, a))] if len({a, b, c}) == 3 else []


def faces_at(faces):
    """Face and corner at every undirected edge, by the slow and obvious way."""
    table = {}
    for f, face in enumerate(faces.tolist()):
        for k, edge in enumerate(sides(face)):
            table.setdefault(edge, []).append((f, k))
    return table


@pytest.mark.parametrize("device", DEVICES)
def test_square(device):
    faces = SQUARE.to(device)
    assert unique_edges(faces).tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [2, 3]]
    assert face_neighbours(faces).tolist() == [[-1, -1, 1], [0, -1, -1]]
    assert face_neighbours(faces).dtype == torch.int32
    assert sorted(boundary_edges(faces).tolist()) == [[0, 1], [1, 2], [2, 3], [3, 0]]
    assert not is_watertight(faces)
    assert is_manifold(faces, 4)
    assert euler_number(faces) == 1


@pytest.mark.parametrize(
    "mesh, number", [(icosphere(2), 2), (box(), 2), (torus(), 0), (join([box(), torus()]), 2)]
)
def test_closed_surfaces(mesh, number):
    assert is_watertight(mesh.faces)
    assert is_manifold(mesh.faces, len(mesh.vertices))
    assert is_consistently_wound(mesh.faces)
    assert euler_number(mesh.faces) == number
    assert len(boundary_edges(mesh.faces)) == 0
    neighbours = face_neighbours(mesh.faces).long()
    assert neighbours.min() >= 0
    assert (neighbours[neighbours] == torch.arange(len(neighbours))[:, None, None]).any(dim=2).all()


def test_three_faces_at_an_edge():
    assert (face_neighbours(FIN) == -1).all()
    assert not is_manifold(FIN, 5)
    assert not is_watertight(FIN)


def test_surfaces_that_touch_in_a_vertex():
    assert split_vertices(BOW, 5).tolist() == [True, False, False, False, False]
    assert not is_manifold(BOW, 5)
    assert is_manifold(BOW + torch.tensor([[0, 0, 0], [5, 0, 0]]), 6)
    two = join([box(), box()]).faces.clone()
    two[two == 8] = 0
    assert is_watertight(two)
    assert not is_manifold(two, 16)


def test_one_turned_face_breaks_the_winding_only():
    faces = icosphere(1).faces.clone()
    neighbours = face_neighbours(faces)
    faces[7] = faces[7].flip(0)
    assert not is_consistently_wound(faces)
    assert is_watertight(faces)
    assert is_manifold(faces, 42)
    assert sorted(face_neighbours(faces)[7].tolist()) == sorted(neighbours[7].tolist())


def test_collapsed_faces_are_passed_over():
    sphere = icosphere(1)
    faces = torch.cat([sphere.faces, torch.tensor([[0, 0, 5], [3, 3, 3]])])
    neighbours = face_neighbours(faces)
    torch.testing.assert_close(neighbours[:-2], face_neighbours(sphere.faces))
    assert (neighbours[-2:] == -1).all()
    assert is_watertight(faces)
    assert is_manifold(faces, 42)
    assert euler_number(faces) == 2


@settings(deadline=None, max_examples=60)
@given(triangles)
def test_any_faces_agree_with_counting(faces):
    table = faces_at(faces)
    expected = torch.full((len(faces), 3), -1, dtype=torch.int32)
    for owners in table.values():
        if len(owners) == 2:
            (f, i), (g, j) = owners
            expected[f, i], expected[g, j] = g, f
    assert torch.equal(face_neighbours(faces), expected)
    assert is_watertight(faces) == (len(table) > 0 and all(len(o) == 2 for o in table.values()))
    alone = {edge for edge, owners in table.items() if len(owners) == 1}
    assert {frozenset(e) for e in boundary_edges(faces).tolist()} == alone
    pairs = {frozenset((a, b)) for face in faces.tolist() for a in face for b in face if a != b}
    assert {frozenset(e) for e in unique_edges(faces).tolist()} == pairs


@settings(deadline=None, max_examples=60)
@given(triangles)
def test_fans_agree_with_growing_them(faces):
    table, rows = faces_at(faces), faces.tolist()
    for vertex, split in enumerate(split_vertices(faces, 8).tolist()):
        here = {f for f, face in enumerate(rows) if vertex in face and len(set(face)) == 3}
        grown = set(list(here)[:1])
        while True:
            across = {
                g
                for edge, owners in table.items()
                if vertex in edge and len(owners) == 2 and grown & {f for f, _ in owners}
                for g, _ in owners
            }
            if across <= grown:
                break
            grown |= across
        assert split == (grown != here)


def test_components_are_numbered_by_their_first_vertex():
    faces = torch.tensor([[5, 6, 7], [1, 3, 2], [3, 2, 0]])
    assert connected_components(faces, 9).tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 3]
    assert connected_components(NOTHING, 3).tolist() == [0, 1, 2]


def test_merging_sews_a_soup():
    sphere = icosphere(2)
    corners = sphere.corners().reshape(-1, 3)
    colors = corners.clamp(0, 1)
    soup = Mesh(corners, torch.arange(len(corners)).reshape(-1, 3), colors)
    merged, index = merge_vertices(soup)
    assert len(merged.vertices) == len(sphere.vertices)
    assert is_watertight(merged.faces)
    assert torch.equal(merged.corners(), sphere.corners())
    assert torch.equal(merged.vertices[index], soup.vertices)
    assert merged.colors is not None
    assert torch.equal(merged.colors[index], colors)
    again, same = merge_vertices(merged)
    assert torch.equal(again.faces, merged.faces)
    assert torch.equal(same, torch.arange(len(merged.vertices)))


def test_merging_drops_what_it_collapses_and_knows_one_zero():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-0.0, 0, -0.0], [1, 1e-4, 0]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 3, 2], [3, 4, 2]]))
    merged, index = merge_vertices(mesh)
    assert index.tolist() == [0, 1, 2, 0, 3]
    assert merged.faces.tolist() == [[0, 1, 2], [0, 3, 2]]
    assert merge_vertices(mesh, tolerance=1e-2)[1].tolist() == [0, 1, 2, 0, 1]


def test_dropping_unused_vertices():
    mesh = Mesh(torch.rand(6, 3), torch.tensor([[4, 1, 5]]), torch.rand(6, 3))
    small, index = drop_unused_vertices(mesh)
    assert index.tolist() == [-1, 0, -1, -1, 1, 2]
    assert torch.equal(small.corners(), mesh.corners())
    assert small.colors is not None and mesh.colors is not None
    assert torch.equal(small.colors, mesh.colors[[1, 4, 5]])


def test_no_faces():
    assert unique_edges(NOTHING).shape == (0, 2)
    assert face_neighbours(NOTHING).shape == (0, 3)
    assert boundary_edges(NOTHING).shape == (0, 2)
    assert not is_watertight(NOTHING)
    assert is_manifold(NOTHING, 0)
    assert euler_number(NOTHING) == 0
    merged, _ = merge_vertices(Mesh(torch.zeros(0, 3), NOTHING))
    assert merged.vertices.shape == (0, 3)


@pytest.mark.parametrize("function", [connected_components, is_manifold])
def test_faces_out_of_range_are_named(function):
    with pytest.raises(InputError, match="0 to 3 of a mesh with 3"):
        function(SQUARE, 3)


@pytest.mark.parametrize("device", DEVICES)
def test_a_boundary_is_any_edge_that_is_not_run_along_in_both_directions(device):
    for mesh in (icosphere(2), torus(), join([box(), icosphere(1)])):
        faces = mesh.faces.to(device)
        assert has_no_boundary(faces) and disagreeing_edges(faces) == 0 and not is_double_sided(faces)
        assert not has_no_boundary(faces[1:])
        turned = torch.cat([faces[:1].flip(1), faces[1:]])
        assert not has_no_boundary(turned) and disagreeing_edges(turned) == 3
        both = torch.cat([faces, faces.flip(1).roll(1, dims=1)])
        assert has_no_boundary(both) and is_double_sided(both)
        assert not is_double_sided(both[1:]) and not is_double_sided(torch.cat([faces, faces]))
    assert has_no_boundary(NOTHING) and not has_no_boundary(FIN)


def test_the_parity_of_a_face_is_that_of_its_corners():
    for turn in (0, 1, 2):
        assert int(orientation_parity(torch.tensor([[2, 5, 9]]).roll(turn, dims=1))) == 1
        assert int(orientation_parity(torch.tensor([[9, 5, 2]]).roll(turn, dims=1))) == -1


def test_spatial_order_changes_only_the_numbers_of_vertices_and_faces():
    mesh = icosphere(4)
    mixed = torch.randperm(len(mesh.vertices), generator=torch.Generator().manual_seed(0))
    place = torch.argsort(mixed)
    mesh = Mesh(mesh.vertices[mixed], place[mesh.faces], mesh.vertices[mixed].abs(), (1.0, 2.0, 3.0))
    ordered = in_spatial_order(mesh)
    assert torch.equal(ordered.colors, ordered.vertices.abs()) and ordered.offset == mesh.offset

    def corners(of: Mesh) -> set:
        return {tuple(map(tuple, face)) for face in of.vertices[of.faces].tolist()}

    assert corners(ordered) == corners(mesh)
    gap = [(m.faces - m.faces.roll(1, dims=1)).abs().float().mean() for m in (ordered, mesh)]
    assert gap[0] < gap[1] / 5
    assert in_spatial_order(Mesh(torch.ones(3, 3), torch.tensor([[0, 1, 2]]))).faces.tolist() == [[0, 1, 2]]

"""Tests of geometry.isosurface."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from bozzetto import InputError, Mesh
from bozzetto.geometry import (
    euler_number,
    face_areas,
    intersecting_faces,
    is_consistently_wound,
    is_manifold,
    is_watertight,
    isosurface,
)
from bozzetto.geometry.isosurface import NO_EDGE, CellTriangles, cell_triangles
from bozzetto.geometry.isosurface import _table as cell_triangles_table
from bozzetto.geometry.sparse_marching_cubes import sparse_isosurface


def grid(counts, low, high):
    axes = [torch.linspace(a, b, n) for a, b, n in zip(low, high, counts, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def volume(mesh):
    a, b, c = mesh.corners().double().unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def open_edges(mesh):
    """Directed edges without their opposite."""
    pairs = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    edges = {tuple(e) for e in pairs.tolist()}
    return sum((b, a) not in edges for a, b in edges)


def test_ellipsoid_lies_where_the_function_vanishes_and_faces_point_outwards():
    low, high = (-1.0, 1.0, 9.0), (1.0, 4.0, 11.0)
    points = grid((40, 50, 44), low, high)
    centre, radii = torch.tensor([0.0, 2.5, 10.0]), torch.tensor([0.8, 1.2, 0.7])
    mesh = isosurface(((points - centre) / radii).norm(dim=-1) - 1, low, high)
    residual = ((mesh.vertices - centre) / radii).norm(dim=1) - 1
    assert residual.abs().max() < 2e-3
    assert volume(mesh) == pytest.approx(4 / 3 * math.pi * radii.prod().item(), rel=0.01)
    assert open_edges(mesh) == 0


def test_linear_function_is_reproduced_exactly_at_any_level():
    low, high = (0.0, 0.0, 0.0), (1.0, 2.0, 3.0)
    values = grid((5, 6, 7), low, high)[..., 2]
    mesh = isosurface(values, torch.tensor(low), torch.tensor(high), level=1.3)
    torch.testing.assert_close(mesh.vertices[:, 2], torch.full((len(mesh.vertices),), 1.3))
    normal = torch.linalg.cross(*(mesh.corners()[:, i] - mesh.corners()[:, 0] for i in (1, 2)))
    assert (normal[:, 2] >= 0).all()  # towards larger values


def test_close_puts_a_lid_on_the_border():
    low, high = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    values = grid((30, 30, 30), low, high).norm(dim=-1) - 0.75
    assert open_edges(isosurface(values, low, high)) > 0
    closed = isosurface(values, low, high, close=True)
    assert open_edges(closed) == 0
    assert volume(closed) == pytest.approx(math.pi / 6 * 0.75**3, rel=0.01)
    assert closed.bounds[0].tolist() == [0, 0, 0]


def test_close_makes_a_box_of_a_full_grid():
    mesh = isosurface(-torch.ones(4, 5, 6), (0.0, 0.0, 0.0), (1.0, 2.0, 3.0), close=True)
    assert volume(mesh) == pytest.approx(6, rel=1e-3)
    assert open_edges(mesh) == 0


def assert_sound(mesh, step):
    """Closed, manifold, every face with an area, none through another."""
    assert is_watertight(mesh.faces) and is_consistently_wound(mesh.faces)
    assert is_manifold(mesh.faces, len(mesh.vertices))
    least, middle, _ = sorted(step)
    assert face_areas(mesh.vertices.double(), mesh.faces).min() > 4e-7 * least * middle
    assert len(intersecting_faces(mesh)) == 0


def assert_same_surface(mesh, expected, within):
    """The same faces, with vertices near to each other."""
    assert torch.equal(mesh.faces, expected.faces)
    assert (mesh.vertices - expected.vertices).norm(dim=1).max() < within


def small_fields(values):
    shapes = st.tuples(*[st.integers(2, 6)] * 3)
    return arrays.arrays("float32", shapes, elements=values).map(torch.from_numpy)


STEPS = st.tuples(*[st.sampled_from([0.03, 0.1, 1.0, 2.5])] * 3)
INTEGERS = st.integers(-2, 2)
NEARLY_ZERO = st.sampled_from([0.0, 1e-12, -1e-12, 1e-30, 1.0, -1.0, 0.5, 1e6])


@settings(max_examples=100, deadline=None)
@given(
    values=small_fields(INTEGERS) | small_fields(NEARLY_ZERO), step=STEPS, corner=st.sampled_from([0.0, -7.0])
)
def test_any_values_give_a_sound_mesh_also_where_they_are_the_level(values, step, corner):
    """Vertices, edges, faces, whole cells and plateaus at the level, also on the border of the grid."""
    low = torch.full((3,), corner)
    high = low + torch.tensor(step) * (torch.tensor(values.shape) - 1)
    if not (values <= 0).any():
        with pytest.raises(InputError, match="no surface"):
            isosurface(values, low, high, close=True)
        return
    mesh = isosurface(values, low, high, close=True)
    assert_sound(mesh, step)
    assert (mesh.vertices >= low).all() and (mesh.vertices <= high).all()
    padded = torch.nn.functional.pad(values, (1,) * 6, value=2.0)
    assert_sound(isosurface(padded, low - torch.tensor(step), high + torch.tensor(step)), step)


@settings(max_examples=60, deadline=None)
@given(values=small_fields(INTEGERS))
def test_level_values_give_the_surface_of_values_a_little_below(values):
    values = torch.nn.functional.pad(values, (1,) * 6, value=2.0)
    last = torch.tensor(values.shape) - 1.0
    if not (values <= 0).any():
        return
    mesh = isosurface(values, torch.zeros(3), last)
    below = isosurface(torch.where(values == 0, -1e-4, values), torch.zeros(3), last)
    assert_same_surface(mesh, below, 2e-3)


@settings(max_examples=40, deadline=None)
@given(values=small_fields(INTEGERS))
def test_the_sparse_extraction_gives_the_same(values):
    values = torch.nn.functional.pad(values, (1,) * 6, value=2.0)
    last = torch.tensor(values.shape) - 1.0
    if not (values <= 0).any():
        return

    def function(points):
        return values[tuple(points.round().long().T)]

    found = sparse_isosurface(function, list(values.shape), torch.zeros(3), last, lipschitz=1e3)
    assert_same_surface(found.mesh, isosurface(values, torch.zeros(3), last), 1e-6)
    assert_sound(found.mesh, (1.0, 1.0, 1.0))


def test_tunnels_of_neighbouring_cells_become_one():
    tiny = 1e-12
    columns = [[-tiny, 0.37, 0.6 * tiny, -1.7], [0.0, 0.2 * tiny, 0.3, -0.9], [-tiny, 0.9, 2 * tiny, -0.9]]
    values = torch.nn.functional.pad(torch.tensor(columns).view(3, 2, 2), (1,) * 6, value=4.8)
    mesh = isosurface(values, (0.0, 0.0, 0.0), (4.0, 3.0, 3.0))
    assert_sound(mesh, (1.0, 1.0, 1.0))
    assert euler_number(mesh.faces) == 0  # a ring around one tunnel through both cells


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_box_whose_faces_lie_on_the_grid(dtype):
    axis = torch.linspace(-1.5, 1.5, 64, dtype=dtype)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    half = axis[[-3, -4, -5]]
    step = 3 / 63
    values = (points.abs() - half).amax(dim=-1)
    mesh = isosurface(values, (-1.5,) * 3, (1.5,) * 3)
    assert_sound(mesh, (step,) * 3)
    x, y, z = (2 * half.double()).tolist()
    assert volume(mesh) == pytest.approx(x * y * z, rel=2e-4)
    area = float(face_areas(mesh.vertices.double(), mesh.faces).sum())
    assert area == pytest.approx(2 * (x * y + y * z + z * x), rel=1e-3)
    q = mesh.vertices.abs() - half.float()
    outside = q.clamp_min(0).norm(dim=1) + q.amax(dim=1).clamp_max(0)
    assert outside.abs().max() < 1.1e-3 * step


def test_far_from_the_origin_the_margin_follows_the_rounding_of_coordinates():
    values = grid((20, 20, 20), (-9.5,) * 3, (9.5,) * 3).abs().amax(dim=-1) - 3.5
    mesh = isosurface(values, (2000.0,) * 3, (2000.19,) * 3)  # steps of 0.01, 80 roundings
    assert is_watertight(mesh.faces) and len(intersecting_faces(mesh)) == 0
    assert face_areas(mesh.vertices.double(), mesh.faces).min() > 0


@pytest.mark.parametrize(
    ("values", "high", "message"),
    [
        (torch.ones(3, 3, 3), 1.0, "no surface at level 0"),
        (torch.full((3, 3, 3), torch.nan), 1.0, "NaN"),
        (torch.ones(3, 1, 3), 1.0, "two samples"),
        (torch.ones(3, 3, 3), -1.0, "below the high corner"),
    ],
)
def test_bad_input_is_named(values, high, message):
    with pytest.raises(InputError, match=message):
        isosurface(values, (0.0, 0.0, 0.0), (high, high, high))


def random_cells(seed):
    """A noisy grid, full of ambiguous cells, with a border of outside; its crossed cells and their corners."""
    inner = torch.randn(18, 18, 18, generator=torch.Generator().manual_seed(seed))
    values = torch.nn.functional.pad(inner, (1,) * 6, value=2.0)
    corners = values.unfold(0, 2, 1).unfold(1, 2, 1).unfold(2, 2, 1)
    mixed = (corners > 0).flatten(3).any(-1) & (corners <= 0).flatten(3).any(-1)
    return values, mixed.nonzero(), corners[mixed]


MARGIN = torch.full((3,), 1e-5, dtype=torch.float64)


def places(parts, margin=MARGIN):
    return parts.places(torch.arange(len(parts.cells)), margin)


def scikit_image(values):
    """Corners of the triangles that scikit-image finds in a whole grid, and the number of vertices."""
    vertices, faces, _, _ = marching_cubes(values.numpy(), 0.0, gradient_direction="descent")
    return torch.from_numpy(vertices[faces].astype(np.float64)), len(vertices)


def welded(cells, parts, count):
    """Names of vertices by edge of the grid, and faces over them."""
    edges = parts.edges
    lower = torch.stack([edges // 3 % 2, edges // 6 % 2, edges // 12 % 2], dim=-1)
    x, y, z = (cells[parts.cells] + lower).unbind(-1)
    key = ((x * count + y) * count + z) * 3 + edges % 3
    key = torch.where(edges == NO_EDGE, 3 * count**3 + parts.cells, key)
    names, welded = key.unique(return_inverse=True)
    return names, welded[parts.faces]


def test_cells_apart_give_the_triangles_of_the_whole_grid():
    for seed in range(3):
        values, cells, corners = random_cells(seed)
        parts = cell_triangles(corners)
        expected, count = scikit_image(values)
        names, faces = welded(cells, parts, 20)
        assert (parts.edges == NO_EDGE).any()  # the grid has cells that need a vertex inside
        assert is_watertight(faces)
        assert len(names) == pytest.approx(count, abs=2)  # cells with two values below the least may differ
        assert len(faces) == pytest.approx(len(expected), abs=4)
        # Vertices inside of cells lie elsewhere: there the triangles are others.
        plain = (parts.edges[parts.faces] != NO_EDGE).all(dim=1)
        ours = (cells[parts.cells] + places(parts))[parts.faces[plain]].mean(dim=1)
        away = cKDTree(expected.mean(dim=1)).query(ours)[0]
        assert np.sort(away)[-8] < 1e-4


def test_edges_are_told_apart_where_all_vertices_fall_into_one_point():
    corners = torch.ones(1, 2, 2, 2)
    corners[0, 0, 1, 0] = 0.0
    parts = cell_triangles(corners)
    assert parts.faces.shape == (1, 3) and parts.cells.tolist() == [0, 0, 0]
    base = 3 * 2  # offset y = 1
    assert sorted(parts.edges.tolist()) == [1, base + 0, base + 2]  # along y it ends here, x and z start here
    node, margin = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64)
    away = (places(parts, margin) - node).abs()
    torch.testing.assert_close(away[parts.edges.argsort()], torch.diag(margin)[[1, 0, 2]])


def test_triangles_of_a_cell_do_not_intersect_wherever_their_vertices_lie_on_the_edges():
    """Values choose triangles, others place them: on each edge near one end, near the other, or between."""
    generator = torch.Generator().manual_seed(4)
    signs = 2.0 * (torch.arange(1, 255)[:, None] >> torch.arange(8) & 1) - 1
    choice = (signs * torch.rand(40, 254, 8, generator=generator)).view(-1, 2, 2, 2)
    parts = cell_triangles(choice)
    sizes = torch.tensor([1e-6, 1.0, 1e6])[torch.randint(3, (len(choice), 8), generator=generator)]
    placed = CellTriangles(
        choice.sign() * sizes.view(-1, 2, 2, 2), parts.cells, parts.edges, parts.faces, parts.walls
    )
    number = parts.cells
    apart = 2.0 * torch.stack([number // 900, number // 30 % 30, number % 30], dim=1)
    mesh = Mesh((places(placed, torch.full((3,), 1e-3, dtype=torch.float64)) + apart).float(), parts.faces)
    assert len(intersecting_faces(mesh)) == 0
    a, b, c = mesh.corners().double().unbind(dim=1)
    assert float(torch.linalg.cross(b - a, c - a).norm(dim=1).min()) > 1e-6


def test_signs_of_values_count_however_small_they_are():
    inner = torch.randn(8, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    sizes = 10.0 ** (
        30 * torch.rand(8, 8, 8, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    )
    values = torch.nn.functional.pad(inner / sizes / 1e20, (1,) * 6, value=1e20)
    corners = values.unfold(0, 2, 1).unfold(1, 2, 1).unfold(2, 2, 1)
    mixed = (corners > 0).flatten(3).any(-1) & (corners <= 0).flatten(3).any(-1)
    assert is_watertight(welded(mixed.nonzero(), cell_triangles(corners[mixed]), 10)[1])


def test_equal_products_on_a_face_are_decided_alike_in_both_of_its_cells():
    """Sizes of 1 everywhere: each ambiguous face is a tie."""
    for seed in range(20):
        inner = 2.0 * torch.randint(2, (6, 6, 6), generator=torch.Generator().manual_seed(seed)) - 1
        values = torch.nn.functional.pad(inner, (1,) * 6, value=1.0)
        corners = values.unfold(0, 2, 1).unfold(1, 2, 1).unfold(2, 2, 1)
        mixed = (corners > 0).flatten(3).any(-1) & (corners <= 0).flatten(3).any(-1)
        assert is_watertight(welded(mixed.nonzero(), cell_triangles(corners[mixed]), 8)[1])


def test_more_cells_than_are_handed_over_at_once():
    corners = torch.randn(33_000, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    corners[:, 0, 0, 0], corners[:, 1, 1, 1] = -1.0, 1.0
    parts = cell_triangles(corners)
    assert torch.equal(parts.cells.unique(), torch.arange(33_000))
    owners = parts.cells[parts.faces]
    assert (owners == owners[:, :1]).all()
    for k in (0, 32_767, 32_768, 32_999):
        alone, here = cell_triangles(corners[k : k + 1]), parts.cells == k
        assert torch.equal(parts.edges[here], alone.edges)
        torch.testing.assert_close(places(parts)[here], places(alone), atol=1e-4, rtol=0)
        faces = parts.faces[owners[:, 0] == k]
        assert torch.equal(faces - here.nonzero()[0], alone.faces)


def test_most_triangles_follow_from_signs_and_sizes_do_not_matter():
    """Cells of the patterns that are looked up, with other values: as marching cubes of each alone."""
    table = cell_triangles_table()
    assert 100 < int((~table.ambiguous).sum()) < 256
    signs = 2.0 * (torch.arange(256)[:, None] >> torch.arange(8) & 1) - 1
    rows = (~table.ambiguous & (signs.sum(dim=1).abs() < 8)).nonzero()[:, 0]
    sizes = 0.05 + torch.rand(len(rows), 8, generator=torch.Generator().manual_seed(2))
    corners = (signs[rows] * sizes).view(-1, 2, 2, 2)
    parts = cell_triangles(corners)
    for k in range(len(rows)):
        alone, _ = scikit_image(corners[k])
        faces = parts.faces[parts.cells[parts.faces[:, 0]] == k]
        ours, theirs = places(parts)[faces].flatten(1), alone.flatten(1)
        assert ours.shape == theirs.shape
        turned = torch.stack([theirs.view(-1, 3, 3).roll(n, dims=1).flatten(1) for n in range(3)])
        assert (ours[:, None, None] - turned[None]).abs().amax(-1).amin((1, 2)).max() < 1e-5

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from bozzetto import Mesh
from bozzetto.geometry import intersecting_faces, is_watertight
from bozzetto.geometry.cell_triangles import NO_EDGE, CellTriangles, cell_triangles
from bozzetto.geometry.cell_triangles import _table as cell_triangles_table


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

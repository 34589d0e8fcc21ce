from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from bozzetto import InputError
from bozzetto.geometry import connected_components, implicit, is_watertight, isosurface
from bozzetto.geometry.sparse_marching_cubes import sparse_isosurface
from bozzetto.geometry.sparse_marching_cubes.grid import SampledFunction

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
LOW, HIGH = (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)


def sheet(points):
    """A slanted slab thinner than the spacing of the grids here, so in many pieces."""
    return implicit.rotate(implicit.rounded_box((1.1, 0.02, 0.9), 0.0), (1, 0.3, 0.5), 27)(points)


SHAPES = {
    "sphere": implicit.sphere(0.7),
    "torus": implicit.torus(0.6, 0.17),
    "boxes": implicit.union(
        implicit.rounded_box((0.7, 0.5, 0.6), 0.0, (0.2, 0.1, 0.0)),
        implicit.rounded_box((0.4, 1.1, 0.3), 0.0, (-0.2, 0.1, 0.1)),
    ),
    "sheet": sheet,
    "two": implicit.union(implicit.sphere(0.3, (-0.5, 0, 0)), implicit.sphere(0.25, (0.5, 0.2, 0))),
    "speck": implicit.union(implicit.sphere(0.3, (-0.6, 0, 0)), implicit.sphere(0.02, (0.9, 0.91, -0.87))),
}


def dense(function, counts, low=LOW, high=HIGH):
    """Values on the whole grid, and the cells with a sign change."""
    samples = SampledFunction(
        function,
        counts,
        torch.tensor(low, dtype=torch.float64),
        torch.tensor(high, dtype=torch.float64),
        1 << 18,
        torch.device("cpu"),
    )
    nodes = torch.cartesian_prod(*[torch.arange(n) for n in counts])
    values = function(samples.place(nodes)).view(counts)
    corners = values.unfold(0, 2, 1).unfold(1, 2, 1).unfold(2, 2, 1).flatten(3)
    return values, ((corners > 0).any(-1) & (corners <= 0).any(-1)).nonzero()


def assert_same_mesh(mesh, expected, spacing):
    """The same triangles between the same points; where f is 0 at a node, vertices share a point."""
    assert len(mesh.vertices) == len(expected.vertices)
    tree = cKDTree(expected.vertices.numpy())
    distance, nearest = tree.query(mesh.vertices.numpy())
    assert distance.max() < 1e-3 * spacing
    pairs = torch.from_numpy(tree.query_pairs(1e-2 * spacing, output_type="ndarray"))
    points = connected_components(pairs.repeat(1, 2)[:, :3], len(expected.vertices))
    assert triangles(mesh.faces, points[torch.from_numpy(nearest)]) == triangles(expected.faces, points)


def triangles(faces, names):
    """How often each triple of names occurs, turned so that the smallest comes first."""
    named = names[faces]
    turns = torch.stack([named, named.roll(1, dims=1), named.roll(2, dims=1)], dim=1)
    return Counter(min(map(tuple, three)) for three in turns.tolist())


@pytest.mark.parametrize("resolution", [50, 65])
@pytest.mark.parametrize("name", SHAPES)
def test_same_mesh_as_the_dense_grid(name, resolution):
    values, cells = dense(SHAPES[name], [resolution] * 3)
    found = sparse_isosurface(SHAPES[name], resolution, LOW, HIGH, lipschitz=1.0, coarse=8)
    assert torch.equal(found.cells, cells)
    assert_same_mesh(found.mesh, isosurface(values, LOW, HIGH), 2 / (resolution - 1))
    assert is_watertight(found.mesh.faces)
    assert "continuation" not in found.evaluations


@pytest.mark.parametrize("name", SHAPES)
def test_a_measured_bound_misses_nothing(name):
    found = sparse_isosurface(SHAPES[name], 65, LOW, HIGH)
    assert torch.equal(found.cells, dense(SHAPES[name], [65] * 3)[1])
    assert found.bounded and 1.0 < found.lipschitz < 2.5  # the margin, and edges


def test_costs_a_fraction_and_counts_what_it_costs():
    calls = []

    def counted(points):
        calls.append(points)
        return SHAPES["torus"](points)

    found = sparse_isosurface(counted, 129, LOW, HIGH, lipschitz=1.0)
    points = torch.cat(calls)
    assert found.total == len(points) < 0.06 * 129**3
    assert len(points.unique(dim=0)) == len(points)  # no node twice


def test_boxes_of_unequal_sides_and_counts():
    low, high, counts = (-1.0, -0.5, 3.0), (1.5, 0.5, 4.0), [61, 20, 34]
    function = implicit.translate(implicit.rounded_box((1.9, 0.7, 0.5), 0.1), (0.2, 0.0, 3.5))
    values, cells = dense(function, counts, low, high)
    found = sparse_isosurface(function, counts, low, high, lipschitz=1.0, coarse=4)
    assert torch.equal(found.cells, cells)
    assert_same_mesh(found.mesh, isosurface(values, low, high), 0.03)


def test_surface_may_leave_the_box():
    function = implicit.plane((0.3, 1.0, 0.2), 0.1)
    values, cells = dense(function, [40] * 3)
    found = sparse_isosurface(function, 40, LOW, HIGH, coarse=8)
    assert torch.equal(found.cells, cells)
    assert_same_mesh(found.mesh, isosurface(values, LOW, HIGH), 2 / 39)


def test_nodes_exactly_on_the_surface():
    """Zero values put several vertices into one point; they stay apart as in the dense mesh."""
    function = implicit.plane((1.0, 1.0, 0.0))
    values, cells = dense(function, [33] * 3)
    assert (values == 0).any()
    found = sparse_isosurface(function, 33, LOW, HIGH, coarse=8)
    assert torch.equal(found.cells, cells)
    assert_same_mesh(found.mesh, isosurface(values, LOW, HIGH), 2 / 32)


@pytest.mark.parametrize("name", ["sphere", "torus", "boxes"])
def test_continuation_repairs_a_bound_that_is_too_small(name):
    found = sparse_isosurface(SHAPES[name], 65, LOW, HIGH, lipschitz=0.45, coarse=8)
    assert torch.equal(found.cells, dense(SHAPES[name], [65] * 3)[1])
    assert found.evaluations["continuation"] > 0


def test_values_beyond_the_trusted_size_are_not_used():
    """A clamped field with noise beyond the clamp: the distance between values there means nothing."""
    delta = 0.1

    def noisy(points):
        value = SHAPES["torus"](points)
        noise = 3 * (torch.sin(points * 977).sum(dim=-1) + 4)
        return torch.where(value.abs() < delta, value, value.sign() * delta * noise)

    cells = dense(noisy, [65] * 3)[1]
    found = sparse_isosurface(noisy, 65, LOW, HIGH, trusted=delta)
    assert torch.equal(found.cells, cells)
    assert found.lipschitz < 1.5
    # Taken at their word, the large values would let the pruning pass over most of the surface.
    assert found.evaluations["4" if "4" in found.evaluations else "2"] == 32**3


def test_a_measured_bound_is_raised_where_the_surface_is_steeper():
    def steep(points):
        """Slope 1, but 30 in a small part of the surface."""
        near = (points - torch.tensor([0.7, 0.0, 0.0])).norm(dim=-1) < 0.05
        return SHAPES["sphere"](points) * torch.where(near, 30.0, 1.0)

    found = sparse_isosurface(steep, 65, LOW, HIGH)
    assert found.lipschitz > 25 and found.bounded
    assert not sparse_isosurface(steep, 65, LOW, HIGH, lipschitz=1.0).bounded
    assert torch.equal(found.cells, dense(steep, [65] * 3)[1])


@settings(max_examples=25, deadline=None)
@given(
    centres=st.lists(st.tuples(*[st.floats(-0.7, 0.7)] * 3), min_size=1, max_size=5),
    radius=st.floats(0.01, 0.4),
    ripple=st.floats(0, 0.4),
    resolution=st.integers(2, 40),
)
def test_random_blobs(centres, radius, ripple, resolution):
    balls = implicit.union(*[implicit.sphere(radius, c) for c in centres])

    def blob(points):
        return balls(points) + ripple / 12 * (points * 12).sin().prod(dim=-1)

    values, cells = dense(blob, [resolution] * 3)
    if len(cells) == 0:
        with pytest.raises(InputError, match="no surface"):
            sparse_isosurface(blob, resolution, LOW, HIGH, lipschitz=1 + 2 * ripple, coarse=4)
        return
    found = sparse_isosurface(blob, resolution, LOW, HIGH, lipschitz=1 + 2 * ripple, coarse=4)
    assert torch.equal(found.cells, cells)
    expected = isosurface(values, LOW, HIGH)
    assert found.mesh.faces.shape == expected.faces.shape
    assert found.mesh.vertices.shape == expected.vertices.shape


@pytest.mark.parametrize("device", DEVICES)
def test_every_device(device):
    found = sparse_isosurface(SHAPES["torus"], 65, LOW, HIGH, device=device)
    assert found.mesh.vertices.device.type == device
    expected = sparse_isosurface(SHAPES["torus"], 65, LOW, HIGH).mesh
    assert_same_mesh(found.mesh.to("cpu"), expected, 2 / 64)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (lambda p: p.norm(dim=-1) + 1, {}, "no surface at level 0.* run from 1"),
        (lambda p: p[:, 0] * torch.nan, {}, "NaN or infinite"),
        (lambda p: p, {}, "shape"),
        (SHAPES["sphere"], {"resolution": 1}, "two nodes"),
        (SHAPES["sphere"], {"resolution": (4, 4)}, "three axes"),
        (SHAPES["sphere"], {"high": LOW}, "below the high corner"),
        (SHAPES["sphere"], {"lipschitz": -1.0}, "Lipschitz bound must be positive"),
        (SHAPES["sphere"], {"trusted": 0.0}, "trusted size of values must be positive"),
    ],
)
def test_bad_input_is_named(function, options, message):
    with pytest.raises(InputError, match=message):
        sparse_isosurface(function, **{"resolution": 20, "low": LOW, "high": HIGH, **options})

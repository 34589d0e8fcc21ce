import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError, Mesh
from bozzetto.geometry import (
    boundary_edges,
    closest_points,
    euler_number,
    is_consistently_wound,
    is_manifold,
    is_watertight,
    remesh,
    self_intersections,
    transfer,
    unique_edges,
)
from bozzetto.shapes import box, grid, icosphere, join, torus

from .shape_measures import area, area_vectors, lengths, perturbed, volume

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def quality(mesh):
    """1 for an equilateral triangle, 0 for one without area."""
    c = mesh.corners().double()
    return 4 * 3**0.5 * area_vectors(mesh).norm(dim=1) / (c - c.roll(1, 1)).square().sum(dim=(1, 2))


CLOSED = {
    "sphere": icosphere(2),
    "torus": torus(segments=24, sides=12),
    "box": box((1.0, 2.0, 0.5)),
    "two": join([icosphere(2), box(5.0)]),
}


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(CLOSED)),
    amount=st.sampled_from([0.0, 0.1, 0.3]),
    factor=st.floats(0.3, 3.0),
    project=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_closed_meshes_stay_closed_manifold_and_of_the_same_genus(name, amount, factor, project, seed):
    mesh = perturbed(CLOSED[name], amount, seed)
    result = remesh(
        mesh, factor * float(lengths(mesh).mean()), iterations=3, project=project, seed=seed
    ).check()
    assert is_watertight(result.faces)
    assert is_consistently_wound(result.faces)
    assert is_manifold(result.faces, len(result.vertices))
    assert euler_number(result.faces) == euler_number(mesh.faces)
    assert area_vectors(result).norm(dim=1).min() > 0
    if project:
        assert closest_points(mesh, result.vertices)[0].max() < 0.25 * lengths(mesh).max()


@settings(max_examples=15, deadline=None)
@given(amount=st.sampled_from([0.0, 0.2]), factor=st.floats(0.4, 3.0), seed=st.integers(0, 10_000))
def test_open_sheets_keep_their_boundary(amount, factor, seed):
    mesh = grid(9, 12, (3.0, 2.0))
    inner = torch.ones(len(mesh.vertices), dtype=torch.bool)
    inner[boundary_edges(mesh.faces).flatten()] = False
    noisy = perturbed(mesh, amount, seed).vertices
    mesh = mesh.with_vertices(torch.where(inner[:, None], noisy, mesh.vertices))
    result = remesh(mesh, factor * 0.24, iterations=3, seed=seed).check()
    assert is_manifold(result.faces, len(result.vertices))
    assert euler_number(result.faces) == 1
    ends = result.vertices[boundary_edges(result.faces)]
    middles = ends.mean(dim=1)
    on_rectangle = ((middles[:, 0].abs() - 1.5).abs() < 1e-5) | ((middles[:, 1].abs() - 1).abs() < 1e-5)
    assert on_rectangle.all() and middles[:, 2].abs().max() < 1e-6
    assert float((ends[:, 0] - ends[:, 1]).norm(dim=1).sum()) == pytest.approx(10, rel=1e-5)


def test_a_hole_keeps_its_shape():
    mesh = torus(segments=48, sides=24)
    mesh = Mesh(mesh.vertices, mesh.faces[mesh.vertices[mesh.faces][:, :, 0].amin(dim=1) > 0])  # cut in half
    before, after = mesh, remesh(mesh, 0.08)
    assert euler_number(after.faces) == euler_number(before.faces) == 0
    curve = before.vertices[boundary_edges(before.faces)]
    points = after.vertices[boundary_edges(after.faces)].mean(dim=1)
    steps = torch.linspace(0, 1, 50)[:, None, None]
    samples = (curve[:, 0] * steps + curve[:, 1] * (1 - steps)).reshape(-1, 3)
    assert torch.cdist(points, samples).min(dim=1).values.max() < 0.01


@pytest.mark.parametrize("device", DEVICES)
def test_sphere_becomes_even_and_stays_a_sphere(device):
    sphere = icosphere(4)
    result = remesh(sphere.to(device), 0.11, tolerance=None).to("cpu")
    assert lengths(result).mean() == pytest.approx(0.11, rel=0.06)
    assert lengths(result).max() < 1.6 * 0.11 and lengths(result).min() > 0.5 * 0.11
    assert quality(result).min() > 0.5 and quality(result).mean() > 0.93
    assert volume(result) == pytest.approx(4 / 3 * math.pi, rel=0.01)
    assert not self_intersections(result).any()


def test_the_default_length_comes_from_the_shape_not_from_its_triangles():
    # Edges of 0.7 to 1.4 times the length of 4,000 equilateral triangles count as right.
    for subdivisions in (1, 3, 5):
        sphere = icosphere(subdivisions)
        wanted = math.sqrt(area(sphere) / (math.sqrt(3) / 4 * 4000))
        assert 0.8 < float(lengths(remesh(sphere, tolerance=None)).mean()) / wanted < 1.2


def test_slivers_become_good_triangles():
    mesh = torus(segments=200, sides=6)  # edges of ratio 13 to 1
    result = remesh(mesh, 0.15, iterations=8, crease_angle=None, tolerance=None)
    assert quality(mesh).mean() < 0.3
    assert quality(result).mean() > 0.88 and quality(result).quantile(0.01) > 0.5
    assert area(result) == pytest.approx(area(mesh), rel=0.05)


def test_lengths_follow_a_sizing_field():
    sphere = icosphere(3)
    field = 0.12 + 0.08 * sphere.vertices[:, 2]  # 0.04 at the south pole, 0.2 at the north pole
    result = remesh(sphere, field, tolerance=None)
    ends = result.vertices[unique_edges(result.faces)]
    wanted = 0.12 + 0.08 * ends.mean(dim=1)[:, 2]
    ratio = (ends[:, 0] - ends[:, 1]).norm(dim=1) / wanted
    assert ratio.mean() == pytest.approx(1, abs=0.1)
    assert ratio.quantile(0.02) > 0.6 and ratio.quantile(0.98) < 1.4
    assert is_watertight(result.faces) and euler_number(result.faces) == 2


def test_units_do_not_matter():
    mesh = perturbed(icosphere(2), 0.2, 0)
    small = remesh(mesh.with_vertices(mesh.vertices * 2.0**-10))
    large = remesh(mesh.with_vertices(mesh.vertices * 2.0**10))
    torch.testing.assert_close(small.vertices * 2.0**20, large.vertices)
    torch.testing.assert_close(small.faces, large.faces)


def test_the_same_seed_gives_the_same_mesh():
    mesh = perturbed(torus(), 0.2, 0)
    first, second = remesh(mesh, seed=4), remesh(mesh, seed=4)
    assert torch.equal(first.vertices, second.vertices) and torch.equal(first.faces, second.faces)


def test_colours_and_other_attributes_travel_along():
    sphere = icosphere(3)
    colored = Mesh(sphere.vertices, sphere.faces, sphere.vertices / 2 + 0.5)
    result = remesh(colored, 0.08)
    assert result.colors is not None
    torch.testing.assert_close(result.colors, result.vertices / 2 + 0.5, atol=1e-5, rtol=0)
    heights = sphere.vertices[:, 2:].clone().requires_grad_()
    carried = transfer(sphere, heights, result.vertices)
    torch.testing.assert_close(carried, result.vertices[:, 2:], atol=1e-5, rtol=0)
    carried.sum().backward()
    assert heights.grad is not None and float(heights.grad.sum()) == pytest.approx(len(carried), rel=1e-4)


def test_unused_vertices_and_collapsed_faces_are_dropped():
    sphere = icosphere(1)
    vertices = torch.cat([sphere.vertices, torch.full((1, 3), 9.0)])
    faces = torch.cat([sphere.faces, torch.tensor([[0, 0, 1]])])
    result = remesh(Mesh(vertices, faces))
    assert result.bounds.abs().max() <= 1.001 and is_watertight(result.faces)


def test_smallest_meshes_survive_any_length():
    tetrahedron = Mesh(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]),
    )
    triangle = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]))
    for length in (0.2, 1.0, 50.0):
        assert euler_number(remesh(tetrahedron, length).faces) == 2
        assert euler_number(remesh(triangle, length).faces) == 1


SPHERE = icosphere(1)


@pytest.mark.parametrize(
    ("mesh", "options", "message"),
    [
        (Mesh(SPHERE.vertices, torch.cat([SPHERE.faces, SPHERE.faces[:1]])), {}, "not manifold"),
        (Mesh(SPHERE.vertices, torch.cat([SPHERE.faces[:1].flip(1), SPHERE.faces[1:]])), {}, "wound"),
        (SPHERE, {"edge_length": 0.0}, "positive"),
        (SPHERE, {"edge_length": float("nan")}, "positive"),
        (SPHERE, {"edge_length": torch.ones(3)}, "one per vertex"),
        (SPHERE, {"edge_length": 1e-5}, "longer edges"),
        (SPHERE, {"split_above": 1.2, "collapse_below": 0.9}, "twice"),
        (Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), {}, "empty"),
        (SPHERE.with_vertices(SPHERE.vertices / 0), {}, "NaN"),
    ],
)
def test_bad_input_is_named(mesh, options, message):
    with pytest.raises(InputError, match=message):
        remesh(mesh, **options)

"""Remeshing keeps what has corners and creases: volume, area, lines and points, at any edge length."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError, Mesh
from bozzetto.geometry import (
    boundary_edges,
    euler_number,
    is_manifold,
    is_watertight,
    remesh,
    self_intersections,
    unique_edges,
)
from bozzetto.shapes import box, grid, icosphere, torus

from .shape_measures import area, least_angles, volume

BOUND = 1e-3


def fan(sides, top, height):
    """A regular prism (top 1), frustum or cone (top 0), its ends fans around their middles."""
    turn = torch.arange(sides, dtype=torch.float64) * (2 * math.pi / sides)
    ring = torch.stack([turn.cos(), turn.sin(), 0 * turn], dim=1)
    tip = torch.tensor([[0, 0, height]], dtype=torch.float64)
    i = torch.arange(sides)
    j = (i + 1) % sides
    bottom = torch.stack([j, i, torch.full_like(i, 2 * sides if top else sides)], dim=1)
    if not top:
        vertices = torch.cat([ring, 0 * tip, tip])
        return Mesh(
            vertices.float(), torch.cat([bottom, torch.stack([i, j, torch.full_like(i, sides + 1)], dim=1)])
        )
    vertices = torch.cat([ring, ring * top + tip * torch.tensor([0, 0, 1]), 0 * tip, tip])
    up = torch.stack([i + sides, j + sides, torch.full_like(i, 2 * sides + 1)], dim=1)
    walls = [torch.stack([i, j, j + sides], dim=1), torch.stack([i, j + sides, i + sides], dim=1)]
    return Mesh(vertices.float(), torch.cat([bottom, up, *walls]))


def same_shape(before, after):
    assert is_watertight(after.faces) and is_manifold(after.faces, len(after.vertices))
    assert euler_number(after.faces) == euler_number(before.faces)
    assert not self_intersections(after).any()
    assert volume(after) == pytest.approx(volume(before), rel=BOUND)
    assert area(after) == pytest.approx(area(before), rel=BOUND)


def has_corners(mesh, corners):
    assert (corners[:, None] == mesh.vertices).all(dim=2).any(dim=1).all()


@settings(max_examples=8, deadline=None)
@given(
    size=st.tuples(*[st.floats(0.2, 3.0)] * 3),
    share=st.sampled_from([None, 0.05, 0.1, 0.3, 0.5, 2.0]),
    seed=st.integers(0, 100),
)
def test_boxes_keep_corners_edges_volume_and_area(size, share, seed):
    mesh = box(size)
    after = remesh(mesh, share and share * max(size), seed=seed)
    same_shape(mesh, after)
    has_corners(after, mesh.vertices)
    # Every point of the box's edges is on an edge: flat faces and straight lines lose nothing at all.
    assert volume(after) == pytest.approx(volume(mesh), rel=1e-6)
    assert area(after) == pytest.approx(area(mesh), rel=1e-6)


@pytest.mark.parametrize("share", [None, 0.05, 0.5])
@pytest.mark.parametrize("sides", [3, 8, 16, 24, 90])
def test_prisms_of_any_number_of_sides_keep_volume_and_area(sides, share):
    mesh = fan(sides, 1.0, 1.2)
    after = remesh(mesh, share and 2 * share)
    same_shape(mesh, after)
    if sides < 20:
        has_corners(after, mesh.vertices[: 2 * sides])


@pytest.mark.parametrize("share", [None, 0.05, 0.5])
@pytest.mark.parametrize(("sides", "top"), [(4, 0.0), (16, 0.0), (90, 0.0), (32, 0.5)])
def test_cones_keep_volume_and_area(sides, top, share):
    mesh = fan(sides, top, 1.5)
    after = remesh(mesh, share and 2 * share)
    same_shape(mesh, after)
    if not top:
        has_corners(after, torch.tensor([[0.0, 0.0, 1.5]]))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_facets_are_kept_rather_than_cut_into_small_triangles(share):
    # Without the edges between its facets, a prism would need some 10,000 triangles.
    mesh = fan(28, 1.0, 1.5)
    after = remesh(mesh, 2 * share)
    same_shape(mesh, after)
    has_corners(after, mesh.vertices[:56])
    assert len(after.faces) < 3000


def test_thin_walls_get_good_triangles():
    plate = box((2.0, 2.0, 0.05))
    after = remesh(plate, 1.0)
    same_shape(plate, after)
    assert least_angles(after).quantile(0.01) > 25
    assert least_angles(remesh(plate, 1.0, tolerance=None)).quantile(0.01) < 5


def test_finely_triangulated_cylinders_keep_their_rims():
    mesh = remesh(fan(96, 1.0, 1.0), 0.08)
    after = remesh(mesh, 0.4)
    same_shape(mesh, after)
    radius = after.vertices[:, :2].norm(dim=1)
    rim = after.vertices[(after.vertices[:, 2].abs() < 1e-6) & (radius > 0.99)]
    turn = torch.atan2(rim[:, 1], rim[:, 0]).sort().values
    assert len(rim) > 20 and (turn[1:] - turn[:-1]).max() < 0.3


def test_spheres_get_shorter_edges_than_asked_as_far_as_the_tolerance_needs():
    sphere = icosphere(5)
    faces = []
    for tolerance in (5e-2, 5e-3):
        after = remesh(sphere, 1.0, tolerance=tolerance)
        assert volume(after) == pytest.approx(volume(sphere), rel=tolerance)
        assert area(after) == pytest.approx(area(sphere), rel=tolerance)
        assert least_angles(after).min() > 20
        faces.append(len(after.faces))
    # The gap is proportional to the square of the length: a tenth of it takes ten times as many faces.
    assert faces[1] / faces[0] == pytest.approx(10, rel=0.3)
    assert len(remesh(sphere, 1.0, tolerance=None).faces) < 100


def test_open_sheets_keep_a_fold_and_their_corners():
    flat = grid(8, 8, (2.0, 2.0))
    folded = flat.with_vertices(flat.vertices + flat.vertices[:, :1].abs() * torch.tensor([0.0, 0.0, 1.0]))
    after = remesh(folded, 0.3)
    assert area(after) == pytest.approx(area(folded), rel=1e-6)
    ends = after.vertices[boundary_edges(after.faces)]
    assert float((ends[:, 0] - ends[:, 1]).norm(dim=1).sum()) == pytest.approx(4 + 4 * 2**0.5, rel=1e-5)
    middle = after.vertices[unique_edges(after.faces)]
    along = middle[(middle[:, :, 0].abs() < 1e-6).all(dim=1)]
    assert float((along[:, 0] - along[:, 1]).norm(dim=1).sum()) == pytest.approx(2, rel=1e-5)


def test_a_sliver_on_a_flat_side_is_no_crease():
    mesh = box(1.0)
    a, b, c = mesh.faces[0].tolist()
    middle = (mesh.vertices[a] + mesh.vertices[b]) / 2
    inside = middle + 1e-7 * (
        mesh.vertices[c] - middle
    )  # beside the edge a b, so that a b inside has no area
    faces = torch.cat([mesh.faces[1:], torch.tensor([[a, b, 8], [b, c, 8], [c, a, 8]])])
    mesh = Mesh(torch.cat([mesh.vertices, inside[None]]), faces)
    after = remesh(mesh, 0.2)
    same_shape(mesh, after)
    assert least_angles(after).min() > 5


def test_noise_is_no_crease():
    noise = torch.randn(icosphere(4).vertices.shape, generator=torch.Generator().manual_seed(0))
    sphere = icosphere(4)
    rough = sphere.with_vertices(sphere.vertices + 0.007 * noise)  # bends edges by 14 degrees, some by 40
    with_creases, without = (remesh(rough, 0.15, crease_angle=a, tolerance=None) for a in (0.61, None))
    assert len(with_creases.faces) == pytest.approx(len(without.faces), rel=0.02)


def test_units_do_not_matter_with_creases():
    small, large = (remesh(box((2.0**k, 2.0 ** (k + 1), 2.0**k))) for k in (-10, 10))
    torch.testing.assert_close(small.vertices * 2.0**20, large.vertices)
    torch.testing.assert_close(small.faces, large.faces)


def test_without_creases_and_tolerance_corners_are_lost():
    mesh = torus(segments=24, sides=4)
    after = remesh(mesh, 0.3, crease_angle=None, tolerance=None)
    assert abs(volume(after) / volume(mesh) - 1) > 0.01
    same_shape(mesh, remesh(mesh, 0.3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crease_angle": 0.0}, "crease_angle"),
        ({"crease_angle": 35.0}, "crease_angle"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(InputError, match=message):
        remesh(icosphere(1), **options)

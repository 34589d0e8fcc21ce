from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.geometry import (
    CrossingSearch,
    boundary_edges,
    intersecting_faces,
    self_intersections,
    untangle,
    without_crossings,
)
from bozzetto.shapes import box, grid, icosphere, join, torus

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def soup(*triangles):
    """A mesh of triangles given by their corners."""
    vertices = torch.tensor(triangles, dtype=torch.float32).reshape(-1, 3)
    return Mesh(vertices, torch.arange(len(vertices)).reshape(-1, 3))


FLAT = [(0, 0, 0), (4, 0, 0), (0, 4, 0)]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([(1, 1, -1), (1, 1, 1), (5, 5, 1)], True),  # pierces
        ([(1, 1, 1), (2, 1, 1), (1, 2, 2)], False),  # above
        ([(1, 1, 0), (1, 1, 2), (2, 1, 2)], False),  # stands on a point
        ([(-1, 0, -1), (5, 0, -1), (2, 0, 3)], True),  # passes exactly through an edge
        ([(1, 1, 0), (1, 2, 0), (9, 9, 0)], True),  # coplanar, overlapping
        ([(5, 5, 0), (5, 6, 0), (9, 9, 0)], False),  # coplanar, apart
        ([(4, 0, 0), (0, 4, 0), (4, 4, 0)], False),  # coplanar neighbour over a seam
        ([(4, 0, 0), (0, 4, 0), (1, 1, 0)], True),  # coplanar, folded back over a seam
        ([(4, 0, 0), (0, 4, 0), (1, 1, 1)], False),  # folded back, but not flat
        ([(0, 0, 0), (1, 1, 1), (1, 1, -1)], True),  # common corner, passes through
        ([(0, 0, 0), (-1, -1, 1), (-1, -1, -1)], False),  # common corner, leads away
        ([(0, 0, 0), (1, 2, 0), (2, 1, 0)], True),  # common corner, coplanar, inside
        ([(0, 0, 0), (-1, 2, 0), (-2, -1, 0)], False),  # common corner, coplanar, beside
        ([(0, 0, 0), (0, 4, 0), (4, 0, 0)], True),  # the same triangle turned over
        ([(1, 1, -1), (1, 1, 0), (1, 1, 1)], False),  # without area
    ],
)
@pytest.mark.parametrize("device", DEVICES)
def test_two_triangles(other, expected, device):
    for first, second in [(FLAT, other), (other, FLAT), (FLAT[1:] + FLAT[:1], other[2:] + other[:2])]:
        flags = self_intersections(soup(first, second).to(device))
        assert flags.tolist() == [expected, expected]


def minus(p, q):
    return [a - b for a, b in zip(p, q, strict=True)]


def dot(p, q):
    return sum(a * b for a, b in zip(p, q, strict=True))


def cross(p, q):
    return [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]]


def clip(polygon, distance):
    """The part of a convex polygon where an affine function is not negative, in exact arithmetic."""
    kept = []
    for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        d_p, d_q = distance(p), distance(q)
        if d_p >= 0:
            kept.append(p)
        if d_p * d_q < 0:
            kept.append([a + (b - a) * Fraction(d_p, d_p - d_q) for a, b in zip(p, q, strict=True)])
    return kept


def exactly_intersect(a, b):
    """Clip a to the plane of b, then to its edges: a segment (or an area, if coplanar) must remain."""
    a, b = ([[Fraction(float(x)) for x in p] for p in t] for t in (a, b))
    normal = cross(minus(b[1], b[0]), minus(b[2], b[0]))
    own = cross(minus(a[1], a[0]), minus(a[2], a[0]))
    if not any(normal) or not any(own):
        return False
    polygon = clip(a, lambda p: dot(normal, minus(p, b[0])))
    polygon = clip(polygon, lambda p: -dot(normal, minus(p, b[0])))
    for start, end in zip(b, b[1:] + b[:1], strict=True):
        inward = cross(normal, minus(end, start))
        polygon = clip(polygon, lambda p, s=start, n=inward: dot(n, minus(p, s)))
    if not any(cross(own, normal)):
        area = [cross(minus(p, polygon[0]), minus(q, polygon[0])) for p, q in combinations(polygon, 2)]
        return any(map(any, area))
    return len({tuple(p) for p in polygon}) > 1


@pytest.mark.parametrize("extent", [3, 6, 40])
def test_agrees_with_exact_arithmetic_on_integer_triangles(extent):
    triangles = np.random.default_rng(extent).integers(0, extent, (60, 3, 3))
    found = {tuple(p) for p in intersecting_faces(soup(*triangles.tolist())).tolist()}
    for i, j in combinations(range(len(triangles)), 2):
        common = {tuple(p) for p in triangles[i]} & {tuple(p) for p in triangles[j]}
        if len(common) < 2:
            assert ((i, j) in found) == exactly_intersect(triangles[i], triangles[j]), (i, j)
    assert len(found) > 20


SLIVERS = [
    [
        [(-3.000053e-05, -1.2417635e-09, 0), (-3.000053e-05, 0.1, 0.03), (-5.3218435e-10, 9.999876e-05, 0)],
        [(-5.3218435e-10, -1.2417635e-09, -3e-05), (-5.3218435e-10, 9.999876e-05, 0), (0.029969998, 0.1, 0)],
    ],
    [
        [(1.3986, 2.8, 0.52500004), (1.3986, 5.6, 0.7875), (1.4, 5.6, 0.7872375)],
        [(1.4, 2.8028, 0.52500004), (1.4, 5.6, 0.7872375), (2.7986, 5.6, 0.52500004)],
    ],
]


@pytest.mark.parametrize("pair", SLIVERS)
def test_slivers_nearly_in_one_plane_touch_only_in_their_common_corner(pair):
    """Offsets of 1e-13 of the size are genuine where coordinates are small or normals sharp."""
    first, second = np.float32(pair).tolist()
    assert not exactly_intersect(first, second)
    assert not self_intersections(soup(first, second)).any()


@pytest.mark.parametrize(
    "mesh", [icosphere(3), torus(), box(), grid(6, 5)], ids=["sphere", "torus", "box", "grid"]
)
def test_clean_meshes_have_none_wherever_they_are(mesh):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3)))[0]
    for vertices in (mesh.vertices, mesh.vertices @ turn, mesh.vertices * 1e-4, mesh.vertices @ turn + 100):
        assert not self_intersections(mesh.with_vertices(vertices)).any()


def test_overlapping_spheres_intersect_in_a_band_around_their_common_circle():
    sphere = icosphere(4)
    mesh = join([sphere, sphere.with_vertices(sphere.vertices + torch.tensor([1.0, 0.01, 0.02]))])
    flags = self_intersections(mesh)
    centres = mesh.corners().mean(dim=1)[flags]
    edge = (mesh.corners()[:, 0] - mesh.corners()[:, 1]).norm(dim=1).max()
    assert (centres[:, 0] - 0.5).abs().max() < edge + 0.03
    # A triangle strip along a circle of radius sqrt(3)/2 on both spheres.
    assert flags.sum() == pytest.approx(2 * 3**0.5 * torch.pi / edge.item() * 2, rel=0.5)
    pairs = intersecting_faces(mesh)
    assert (pairs[:, 0] < len(sphere.faces)).all() and (pairs[:, 1] >= len(sphere.faces)).all()


def test_pushing_a_vertex_through_the_far_side_is_found():
    sphere = icosphere(2)
    vertices = sphere.vertices.clone()
    vertices[0] = -1.5 * vertices[0]
    assert self_intersections(sphere.with_vertices(vertices)).sum() >= 6


def test_bad_input_is_named():
    with pytest.raises(InputError, match="NaN"):
        self_intersections(soup([(0, 0, 0), (1, 0, 0), (0, float("nan"), 0)]))


def ordered(pairs):
    return torch.unique(pairs.sort(dim=1).values, dim=0)


def test_a_search_follows_moving_vertices():
    ball, draw = icosphere(3), torch.Generator().manual_seed(0)
    search = CrossingSearch(ball.vertices, ball.faces)
    vertices = ball.vertices
    for _ in range(3):
        chosen = torch.rand(len(vertices), generator=draw) < 0.2
        vertices = vertices + chosen[:, None] * 0.1 * torch.randn(vertices.shape, generator=draw)
        wanted = intersecting_faces(ball.with_vertices(vertices))
        moved = torch.nonzero(chosen[ball.faces].any(dim=1))[:, 0]
        found = ordered(search.pairs(vertices, moved))
        assert torch.equal(found, wanted[torch.isin(wanted, moved).any(dim=1)])
        assert torch.equal(ordered(search.pairs(vertices)), wanted)
    assert len(wanted) > 50


def test_vertices_move_as_far_as_no_faces_cross():
    ball = icosphere(4)
    start = ball.vertices
    pushed = start.clone()
    pole = start[:, 2] > 0.9
    pushed[pole, 2] -= 2.2  # through the other side
    pushed[~pole, 0] *= 1.5
    search = CrossingSearch(start, ball.faces)
    assert len(search.pairs(pushed)) > 20
    found, back = without_crossings(start, pushed, search)
    assert len(intersecting_faces(ball.with_vertices(found))) == 0
    arrived = (found == pushed).all(dim=1)
    assert 0 < int((~arrived).sum()) <= back < len(start) / 2
    share = (found - start)[~arrived].norm(dim=1) / (pushed - start)[~arrived].norm(dim=1).clamp(min=1e-9)
    assert share.max() < 1 and (share > 0.05).any()


def test_a_move_without_crossings_is_made():
    ball = icosphere(2)
    end = 3 * ball.vertices + 1
    found, back = without_crossings(ball.vertices, end, CrossingSearch(ball.vertices, ball.faces))
    assert back == 0 and torch.equal(found, end)


def test_folds_are_smoothed_and_the_rest_stays():
    ball = icosphere(4)
    vertices = ball.vertices.clone()
    apex = int(vertices[:, 2].argmax())
    vertices[apex] += torch.tensor([0.3, 0, -0.02])  # far beyond its neighbours
    folded = ball.with_vertices(vertices)
    assert len(intersecting_faces(folded)) > 5
    parted = untangle(folded)
    assert len(intersecting_faces(parted)) == 0
    near = (vertices - ball.vertices[apex]).norm(dim=1) < 0.6
    assert torch.equal(parted.vertices[~near], vertices[~near])
    assert (parted.vertices[near].norm(dim=1) > 0.95).all()


def test_what_passed_through_each_other_stays_and_folds_beside_it_do_not():
    first = icosphere(4)
    crossing = join([first, Mesh(first.vertices + torch.tensor([1.2, 0, 0]), first.faces)])
    assert untangle(crossing) is crossing
    vertices = crossing.vertices.clone()
    vertices[int(vertices[:, 0].argmin())] += torch.tensor([0.02, 0.3, 0.0])
    tangled = crossing.with_vertices(vertices)
    counts = [len(intersecting_faces(mesh)) for mesh in (crossing, untangle(tangled), tangled)]
    assert counts[0] == counts[1] < counts[2]


def test_boundaries_stay():
    sheet = grid(12, 12)
    vertices = sheet.vertices.clone()
    vertices[:, 2] += 0.01 * torch.randn(len(vertices), generator=torch.Generator().manual_seed(0))
    middle = int((vertices - vertices.mean(dim=0)).norm(dim=1).argmin())
    vertices[middle, 0] += 0.3
    folded = sheet.with_vertices(vertices)
    border = boundary_edges(sheet.faces).unique()
    parted = untangle(folded)
    assert len(intersecting_faces(parted)) == 0 < len(intersecting_faces(folded))
    assert torch.equal(parted.vertices[border], vertices[border])


def test_seams_are_no_boundaries_and_stay_closed():
    ball = icosphere(4)
    vertices = ball.vertices.clone()
    apex = int(vertices[:, 2].argmax())
    vertices[apex] += torch.tensor([0.3, 0, -0.02])
    apart = Mesh(vertices[ball.faces].reshape(-1, 3), torch.arange(3 * len(ball.faces)).view(-1, 3))
    whole = untangle(ball.with_vertices(vertices))
    assert len(intersecting_faces(apart)) > 5
    parted = untangle(apart)
    assert len(intersecting_faces(parted)) == 0
    torch.testing.assert_close(parted.vertices, whole.vertices[ball.faces].reshape(-1, 3))
    unharmed = Mesh(ball.corners().reshape(-1, 3), apart.faces)
    assert untangle(unharmed) is unharmed

"""Signed distances against analytic shapes."""

import math

import pytest
import torch
from scipy.spatial import KDTree

from bozzetto import InputError, Mesh
from bozzetto.errors import InputWarning
from bozzetto.geometry import distance_and_winding, signed_distance, solid_distance
from bozzetto.geometry.signed_distance import turn
from bozzetto.shapes import box, grid, icosphere, join, torus


def test_sphere_is_negative_inside_and_exact_to_its_facets() -> None:
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    distance = signed_distance(icosphere(4), points)
    torch.testing.assert_close(distance, points.norm(dim=1) - 1, atol=2e-3, rtol=0)


def test_box_distance_is_exact_and_keeps_precision_far_from_the_origin() -> None:
    mesh = box(2.0)
    points = torch.tensor([[2.0, 0, 0], [2, 2, 0], [0.5, 0, 0], [0, 0, 0]])
    expected = torch.tensor([1.0, 2**0.5, -0.5, -1.0])
    torch.testing.assert_close(signed_distance(mesh, points), expected)
    shift = torch.tensor([1000.0, -500.0, 250.0])
    moved = mesh.with_vertices(mesh.vertices + shift)
    torch.testing.assert_close(signed_distance(moved, points + shift), expected, atol=1e-4, rtol=1e-4)


def _winding_by_hand(mesh: Mesh, points: torch.Tensor) -> torch.Tensor:
    """Sum of the solid angles of all faces over 4 pi (van Oosterom and Strackee 1983), in double precision."""
    a, b, c = (mesh.corners().double()[None] - points.double()[:, None, None]).unbind(dim=2)
    la, lb, lc = (v.norm(dim=-1) for v in (a, b, c))
    below = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return torch.atan2((a * torch.linalg.cross(b, c)).sum(-1), below).sum(dim=1) / (2 * torch.pi)


def test_winding_numbers_of_closed_open_and_inverted_meshes() -> None:
    points = 1.5 * torch.randn(400, 3, generator=torch.Generator().manual_seed(1))
    sphere = icosphere(3)
    bowl = Mesh(sphere.vertices, sphere.faces[sphere.corners()[..., 2].mean(dim=1) < 0.2])
    for mesh in (sphere, bowl, Mesh(bowl.vertices, bowl.faces.flip(1)), _two_balls()):
        distance, winding = distance_and_winding(mesh, points, accuracy=20.0)
        torch.testing.assert_close(winding, _winding_by_hand(mesh, points).float(), atol=1e-3, rtol=0)
        if mesh is sphere:
            torch.testing.assert_close(distance, signed_distance(mesh, points).abs())
        rough = distance_and_winding(mesh, points)[1]
        torch.testing.assert_close(rough, winding, atol=0.03, rtol=0)


def _two_balls() -> Mesh:
    ball = icosphere(3)
    return join([ball, ball.with_vertices(ball.vertices + torch.tensor([1.0, 0, 0]))])


def _box(middle: tuple, half: tuple) -> Mesh:
    mesh = box([2 * side for side in half])
    return mesh.with_vertices(mesh.vertices + torch.tensor(middle, dtype=torch.float32))


def _in_box(points: torch.Tensor, middle: tuple, half: tuple) -> torch.Tensor:
    """Signed distance to a box, exact."""
    q = (points - torch.tensor(middle)).abs() - torch.tensor(half)
    return q.clamp_min(0).norm(dim=1) + q.amax(dim=1).clamp_max(0)


def _in_boxes(points: torch.Tensor, boxes: list) -> torch.Tensor:
    return torch.stack([_in_box(points, *one) for one in boxes]).amin(dim=0)


def _union_of_boxes(points: torch.Tensor, boxes: list, side: int = 81) -> torch.Tensor:
    """Signed distance to a union, from points of its surface: those with outside on one side of the face."""
    u = torch.linspace(-1, 1, side)
    squares, surface = torch.cartesian_prod(u, u), []
    for middle, half in boxes:
        for axis in range(3):
            for end in (-1.0, 1.0):
                unit = torch.cat([squares[:, :axis], torch.full((side**2, 1), end), squares[:, axis:]], dim=1)
                place = torch.tensor(middle) + unit * torch.tensor(half)
                above = place + 1e-3 * end * torch.eye(3)[axis]
                surface.append(place[_in_boxes(above, boxes) > 0])
    distance = torch.from_numpy(KDTree(torch.cat(surface)).query(points)[0]).float()
    return torch.where(_in_boxes(points, boxes) < 0, -distance, distance)


UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
BOXES = {
    "crossed": [((0.0, 0.0, 0.0), (1.0, 0.4, 0.4)), ((0.0, 0.0, 0.0), (0.4, 1.0, 0.4))],
    "corner": [UNIT, ((0.7, 0.6, 0.5), (0.8, 0.9, 1.0))],
    "nested": [UNIT, ((0.1, 0.2, 0.0), (0.3, 0.3, 0.3))],
    "side to side": [((-0.5, 0.0, 0.0), (0.5, 1.0, 1.0)), ((0.5, 0.1, 0.2), (0.5, 0.4, 0.4))],
    "flush": [UNIT, ((0.5, 0.0, 0.0), (1.0, 1.0, 0.5))],
    "twice the same": [UNIT, UNIT],
    "three": [UNIT, ((0.7, 0.6, 0.5), (0.8, 0.9, 1.0)), ((-0.6, 0.3, 0.2), (0.7, 0.7, 1.2))],
}


@pytest.mark.parametrize("name", BOXES)
def test_distance_of_overlapping_boxes_is_to_the_outer_surface(name: str) -> None:
    boxes = BOXES[name]
    points = 4 * torch.rand(2000, 3, generator=torch.Generator().manual_seed(3)) - 2
    found = signed_distance(join([_box(*one) for one in boxes]), points)
    expected = _union_of_boxes(points, boxes)
    spacing = 2 * 1.2 / 80
    assert torch.equal(found < 0, expected < 0)
    assert (found.abs() - expected.abs()).max() < 1e-5  # points of the surface are never too near
    assert (found - expected).abs().max() < spacing / 2**0.5
    outside = torch.stack([_in_box(points, *one) for one in boxes]).amin(dim=0).clamp_min(0)
    torch.testing.assert_close(found.clamp_min(0), outside, atol=1e-5, rtol=0)


def test_distance_of_two_balls_is_that_of_their_union() -> None:
    """Inside, the nearest place is on one of the balls or on the circle in which they meet."""
    points = 1.5 * torch.randn(1000, 3, generator=torch.Generator().manual_seed(5))
    mesh = _two_balls()
    x, r = (points[:, 0] - 0.5).abs(), points[:, 1:].norm(dim=1)
    to_middle = torch.stack([x - 0.5, r], dim=1)
    size = to_middle.norm(dim=1)
    circle = torch.stack([x, r - math.sqrt(0.75)], dim=1).norm(dim=1)
    on_ball = 0.5 + to_middle[:, 0] / size >= 0
    expected = torch.where(on_ball, size - 1, torch.where(size < 1, -circle, circle))
    torch.testing.assert_close(signed_distance(mesh, points), expected, atol=0.01, rtol=0)


def test_a_mesh_that_passes_through_itself_counts_as_one_solid() -> None:
    """A long box bent into a crossing: its two arms overlap, in one piece without seams."""
    arms = [((0.0, 0.0, 0.0), (1.0, 0.2, 0.2)), ((0.0, 0.0, 0.1), (0.2, 1.0, 0.2))]
    mesh = join([_box(*one) for one in arms])
    far = torch.tensor([[0, 1, 2]]) + torch.tensor([[0, 0, 8]])  # a flap with no thickness joins them
    joined = Mesh(mesh.vertices, torch.cat([mesh.faces, far, far.flip(1)]))
    points = 2 * torch.rand(1500, 3, generator=torch.Generator().manual_seed(6)) - 1
    inside = _in_boxes(points, arms) < 0
    expected = _union_of_boxes(points[inside], arms)
    torch.testing.assert_close(signed_distance(joined, points)[inside], expected, atol=0.03, rtol=0)


def test_a_sheet_without_thickness_keeps_its_distance_and_encloses_nothing() -> None:
    sheet = grid(4, 4)
    both = Mesh(sheet.vertices, torch.cat([sheet.faces, sheet.faces.flip(1)]))
    points = torch.randn(300, 3, generator=torch.Generator().manual_seed(7))
    distance = signed_distance(both, points)
    torch.testing.assert_close(distance, distance_and_winding(sheet, points)[0])


def test_a_double_sided_shape_is_the_solid_of_one_side() -> None:
    points = 0.8 * torch.randn(500, 3, generator=torch.Generator().manual_seed(8))
    for mesh in (icosphere(3), torus()):
        order = torch.randperm(2 * len(mesh.faces), generator=torch.Generator().manual_seed(9))
        faces = torch.cat([mesh.faces, mesh.faces.flip(1)])[order]
        soup = mesh.vertices[faces].reshape(-1, 3)
        for both in (Mesh(mesh.vertices, faces), Mesh(soup, torch.arange(len(soup)).view(-1, 3))):
            with pytest.warns(InputWarning, match="every face of the mesh has another in the same place"):
                found = signed_distance(both, points)
            torch.testing.assert_close(found, signed_distance(mesh, points))


@pytest.mark.parametrize("count", [1, 20, 200])
def test_flipped_faces_change_no_sign_and_are_named(count: int) -> None:
    ball = icosphere(4)
    flip = torch.zeros(len(ball.faces), dtype=torch.bool)
    flip[torch.randperm(len(flip), generator=torch.Generator().manual_seed(count))[:count]] = True
    # Just in front of and behind the flipped faces.
    points = torch.cat([ball.corners()[flip].mean(dim=1) * (1 + step) for step in (-0.01, 0.01)])
    with pytest.warns(InputWarning, match=f"^{count} of the 5120 faces of the mesh are turned inward"):
        found = signed_distance(turn(ball, flip), points)
    torch.testing.assert_close(found, signed_distance(ball, points))


def test_what_is_inside_out_is_turned_and_cavities_stay() -> None:
    points = 0.7 * torch.randn(400, 3, generator=torch.Generator().manual_seed(10))
    ball, small = icosphere(3), icosphere(2, 0.5)
    hollow = join([ball, Mesh(small.vertices, small.faces.flip(1))])
    radius = points.norm(dim=1)
    expected = torch.maximum(radius - 1, 0.5 - radius)
    torch.testing.assert_close(signed_distance(hollow, points), expected, atol=0.02, rtol=0)
    with pytest.warns(InputWarning, match="^1600 of the 1600 faces"):
        found = signed_distance(Mesh(hollow.vertices, hollow.faces.flip(1)), points)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)


def test_a_piece_turned_inward_that_overlaps_another_is_turned_wherever_one_asks() -> None:
    ball = icosphere(3)
    mesh = join([ball, Mesh(ball.vertices + torch.tensor([1.0, 0, 0]), ball.faces.flip(1))])
    common = torch.tensor([[0.5, 0.0, 0.0]])
    assert solid_distance(mesh, common).turned == len(ball.faces)
    assert float(solid_distance(mesh, common).distance) == pytest.approx(-(0.75**0.5), abs=0.02)


def test_doubtful_signs_of_an_open_mesh_are_named() -> None:
    ball = icosphere(3)
    bowl = Mesh(ball.vertices, ball.faces[ball.corners()[..., 2].mean(dim=1) < 0.0])
    points = torch.tensor([[0.0, 0.0, z] for z in (-0.9, -0.02, 0.0, 0.02, 3.0)])
    with pytest.warns(InputWarning, match="^3 of 5 points have a doubtful sign"):
        found = signed_distance(bowl, points)
    assert found[0] < 0 < found[4]


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        signed_distance(icosphere(1), torch.full((1, 3), torch.nan))
    with pytest.raises(InputError, match="no area"):
        distance_and_winding(Mesh(torch.eye(3), torch.tensor([[0, 1, 1]])), torch.zeros(1, 3))
    with pytest.raises(InputError, match="empty"):
        signed_distance(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), torch.zeros(1, 3))

"""Tests of rendering.rasterization."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError, Mesh
from bozzetto.rendering import rasterize, reference, visible_triangles
from bozzetto.rendering.rasterization import Topology, topology_of
from bozzetto.shapes import box, grid, icosphere, join

from .scenes import DEVICES, agreement, bumpy, cameras, crossing_boxes, facing_camera


def triangle_image(vertices, faces=((0, 1, 2),), camera=None):
    vertices = torch.tensor(vertices, dtype=torch.float32)
    return rasterize(vertices, torch.tensor(faces), camera or facing_camera()).triangle[0]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("orthographic", [False, True])
@pytest.mark.parametrize("mesh", [bumpy(), crossing_boxes()], ids=["bumpy", "boxes"])
def test_agrees_with_the_reference_away_from_edges(mesh, orthographic, device):
    views = cameras(2, orthographic=orthographic)
    fragments = rasterize(mesh.vertices.to(device), mesh.faces.to(device), views.to(device))
    for i in range(len(views)):
        seen = reference.rasterize(mesh.vertices, mesh.faces, views[[i]])
        triangle = fragments.triangle[i].cpu()
        inner = seen.margin > 1e-3
        assert inner.float().mean() > 0.8
        assert (triangle == seen.triangle)[inner].all()
        rows = (fragments.view == i).cpu()
        same = (triangle == seen.triangle)[seen.triangle >= 0]
        mine = (triangle == seen.triangle)[triangle >= 0]
        barycentric, depth = fragments.barycentric.cpu()[rows][mine], fragments.depth.cpu()[rows][mine]
        torch.testing.assert_close(barycentric, seen.barycentric[same].float(), atol=2e-4, rtol=0)
        torch.testing.assert_close(depth, seen.depth[same].float(), atol=2e-5, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("orthographic", [False, True])
def test_gradients_agree_with_the_reference(orthographic, device):
    mesh, views = bumpy(1), cameras(1, size=40, orthographic=orthographic)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(len(mesh.faces), 4, generator=generator)

    vertices = mesh.vertices.clone().to(device).requires_grad_()
    fragments = rasterize(vertices, mesh.faces.to(device), views.to(device))
    w = weights.to(device)[fragments.face]
    ((fragments.barycentric * w[:, :3]).sum() + (fragments.depth * w[:, 3]).sum()).backward()

    exact = mesh.vertices.detach().double().requires_grad_()
    seen = reference.rasterize(exact, mesh.faces, views)
    w = weights[seen.triangle[seen.triangle >= 0]].double()
    ((seen.barycentric * w[:, :3]).sum() + (seen.depth * w[:, 3]).sum()).backward()
    cosine, ratio = agreement(vertices.grad.cpu(), exact.grad)
    assert cosine > 0.9999 and abs(ratio - 1) < 1e-3


def test_depth_and_barycentrics_of_a_sphere_are_analytic():
    sphere, camera = icosphere(5, radius=0.5), facing_camera(64, 64, focal=100.0)
    vertices = sphere.vertices + torch.tensor([0.0, 0.0, 2.0])
    fragments = rasterize(vertices, sphere.faces, camera)
    ray = torch.cat([(fragments.centers - 32) / 100, torch.ones(len(fragments), 1)], dim=1)
    # |t ray - (0, 0, 2)| = 0.5, the nearer solution, away from the outline
    a, b, c = ray.square().sum(dim=1), -2 * 2.0 * ray[:, 2], torch.tensor(4 - 0.25)
    root = b * b - 4 * a * c
    inner = root > 0.2
    expected = (-b - root.clamp(min=0).sqrt()) / (2 * a)
    torch.testing.assert_close(fragments.depth[inner], expected[inner], atol=5e-4, rtol=0)
    points = (fragments.barycentric[:, :, None] * vertices[sphere.faces[fragments.face]]).sum(dim=1)
    torch.testing.assert_close(points, ray * fragments.depth[:, None], atol=2e-6, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_every_pixel_of_a_triangulated_sheet_is_drawn_exactly_once(seed):
    """Vertices snapped to the half-pixel lattice put many centres exactly on edges and corners."""
    generator = torch.Generator().manual_seed(seed)
    sheet = grid(4, 5)
    x, y = sheet.vertices[:, 0] * 12 + 8, sheet.vertices[:, 1] * 10 + 7
    move = torch.randint(-1, 2, (len(x), 2), generator=generator) * 0.5
    move[(sheet.vertices.abs() > 0.499).any(dim=1)] = 0
    plane = torch.stack([x + move[:, 0], y + move[:, 1], torch.ones_like(x)], dim=1)
    camera = facing_camera(16, 14, focal=1.0, orthographic=True)
    plane[:, :2] -= torch.tensor([8.0, 7.0])
    shuffled = sheet.faces[torch.randperm(len(sheet.faces), generator=generator)]
    drawn = torch.zeros(14, 16)
    for face in shuffled:
        drawn += (rasterize(plane, face[None], camera).triangle[0] >= 0).float()
    expected = torch.zeros(14, 16)
    expected[2:12, 2:14] = 1
    assert torch.equal(drawn, expected)


def test_pixel_centres_are_at_half_integers():
    # A square over the pixels [2, 4) x [1, 3), a little smaller than their centres' square and a little larger.
    for inset, expected in ((0.45, 4), (0.55, 0)):
        low, high = torch.tensor([2.0 + inset, 1.0 + inset]), torch.tensor([4.0 - inset, 3.0 - inset])
        corners = [(low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1])]
        points = [((u - 4.0) / 10, (v - 3.0) / 10, 1.0) for u, v in corners]
        covered = triangle_image(points, ((0, 1, 2), (0, 2, 3))) >= 0
        assert covered.sum() == expected
        assert not expected or covered[1:3, 2:4].all()


def test_the_nearer_triangle_wins_and_equal_depth_goes_to_the_smaller_index():
    near = [(-2.0, -2.0, 1.0), (2.0, -2.0, 1.0), (0.0, 3.0, 1.0)]
    far = [(x * 3, y * 3, 2.0) for x, y, _ in near]
    faces = ((3, 4, 5), (0, 1, 2))
    assert (triangle_image(near + far, faces) == 1).all()
    assert (triangle_image(near + near, faces) == 0).all()


def test_both_sides_are_drawn_and_flagged():
    near = torch.tensor([(-2.0, -2.0, 1.0), (2.0, -2.0, 1.0), (0.0, 3.0, 1.0)])
    fragments = rasterize(near, torch.tensor([[0, 1, 2], [0, 2, 1]]), facing_camera())
    assert (fragments.flags[0] & 1).tolist() == [0, 1]  # x right, y down: the first turns clockwise
    assert len(fragments) == 48


@pytest.mark.parametrize("device", DEVICES)
def test_a_floor_that_reaches_behind_the_camera(device):
    """One triangle from far ahead to far behind: every pixel below the horizon, at its analytic depth."""
    floor = torch.tensor([(-24.0, 1.0, 90.0), (24.0, 1.0, 90.0), (0.0, 1.0, -90.0)], device=device)
    camera = facing_camera(40, 30, focal=30.0)
    fragments = rasterize(floor, torch.tensor([[0, 1, 2]], device=device), camera)
    y = fragments.centers[:, 1].cpu() - 15
    torch.testing.assert_close(fragments.depth.cpu(), 30 / y, rtol=1e-4, atol=0)
    expected = torch.zeros(30, 40, dtype=torch.bool)
    expected[16:] = True
    expected[15] = (torch.arange(40) + 0.5 - 20).abs() < 10  # at depth 60 the floor is 40 wide: 20 pixels
    assert torch.equal(fragments.triangle[0].cpu() >= 0, expected)


def test_near_cuts_and_what_is_behind_is_not_seen():
    from dataclasses import replace

    floor = [(-50.0, 1.0, 90.0), (50.0, 1.0, 90.0), (0.0, 1.0, -90.0)]
    camera = replace(facing_camera(40, 30, focal=30.0), near=3.0)
    covered = (triangle_image(floor, camera=camera) >= 0).any(dim=1)
    assert covered.nonzero().flatten().tolist() == list(range(15, 25))  # rows up to y = 30 / 3
    assert (triangle_image([(x, y, -z) for x, y, z in [(-9, -9, 5), (9, -9, 5), (0, 9, 5)]]) == -1).all()


def test_degenerate_and_broken_triangles_are_not_drawn():
    nan, inf = math.nan, math.inf
    points = [
        (0.0, 0.0, 1.0),
        (0.2, 0.1, 1.0),
        (0.4, 0.2, 1.0),
        (nan, 0.0, 1.0),
        (inf, 0.0, 1.0),
        (0.0, 0.0, 0.0),
    ]
    faces = ((0, 1, 2), (0, 0, 1), (0, 1, 3), (3, 3, 3), (4, 4, 4), (5, 5, 5))
    image = triangle_image(points, faces)
    assert (image == -1).all()


def test_nothing_in_view_gives_empty_fragments_and_zero_gradients():
    vertices = (icosphere(1).vertices + torch.tensor([50.0, 0.0, 5.0])).requires_grad_()
    fragments = rasterize(vertices, icosphere(1).faces, facing_camera())
    assert len(fragments) == 0 and fragments.barycentric.shape == (0, 3)
    fragments.barycentric.sum().backward()
    assert torch.equal(vertices.grad, torch.zeros_like(vertices))


def test_a_batch_sees_what_single_views_see():
    mesh, views = bumpy(2), cameras(5)
    batch = rasterize(mesh.vertices, mesh.faces, views)
    assert torch.equal(visible_triangles(mesh.vertices, mesh.faces, views), batch.triangle)
    start = 0
    for i in range(5):
        single = rasterize(mesh.vertices, mesh.faces, views[[i]])
        rows = slice(start, start + len(single))
        assert torch.equal(single.triangle[0], batch.triangle[i])
        assert torch.equal(single.barycentric, batch.barycentric[rows])
        assert torch.equal(single.pixel + i * 48 * 40, batch.pixel[rows]) and (batch.view[rows] == i).all()
        start += len(single)
    assert start == len(batch)
    assert torch.equal(batch.pixel, (batch.triangle.flatten() >= 0).nonzero()[:, 0])
    assert torch.equal(batch.face, batch.triangle[batch.triangle >= 0].long())


def test_the_number_of_threads_does_not_change_the_result():
    mesh, views = bumpy(3), cameras(3)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            vertices = mesh.vertices.clone().requires_grad_()
            fragments = rasterize(vertices, mesh.faces, views)
            (fragments.barycentric[:, 0] * fragments.depth).sum().backward()
            results.append((fragments.triangle, vertices.grad))
    finally:
        torch.set_num_threads(threads)
    for triangle, gradient in results[1:]:
        assert torch.equal(triangle, results[0][0])
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-4, atol=1e-4)


def test_too_many_pixels_are_refused():
    from dataclasses import replace

    camera = replace(facing_camera(), width=50_000, height=50_000)
    with pytest.raises(InputError, match="fewer"):
        rasterize(box().vertices, box().faces, camera)


def test_far_from_the_origin_shapes_keep_their_outline():
    """The pixel centre is subtracted before anything is multiplied, so large images stay exact."""
    mesh = join([icosphere(2)])
    camera = facing_camera(4096, 8, focal=3000.0)
    shifted = mesh.vertices * 0.001 + torch.tensor([0.68, 0.0, 1.0])
    fragments = rasterize(shifted, mesh.faces, camera)
    seen = reference.rasterize(
        shifted,
        mesh.faces,
        facing_camera(8, 8, focal=3000.0).__class__(
            camera.T_cam_world, camera.K - torch.tensor([[[0, 0, 4084.0], [0, 0, 0], [0, 0, 0]]]), 8, 8
        ),
    )
    difference = (fragments.triangle[0, :, 4084:4092] != seen.triangle) & (seen.margin > 0.02)
    assert (seen.triangle >= 0).sum() > 20 and not difference.any()


def test_integer_types_of_faces_do_not_matter():
    mesh = bumpy()
    a = rasterize(mesh.vertices, mesh.faces, cameras())
    b = rasterize(mesh.vertices, mesh.faces.int(), cameras())
    assert torch.equal(a.triangle, b.triangle)
    assert isinstance(mesh, Mesh)


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

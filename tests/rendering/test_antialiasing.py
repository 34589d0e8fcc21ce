import math

import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.geometry import vertex_normals
from bozzetto.rendering import antialias, compose, interpolate, rasterize, reference, shade
from bozzetto.rendering.antialiasing import find_crossings
from bozzetto.shapes import grid, icosphere, join, torus

from .scenes import DEVICES, agreement, bumpy, cameras, crossing_boxes, facing_camera, smooth_moves, turned


def two_balls(subdivisions: int = 3) -> Mesh:
    """A small ball before a large one."""
    far, near = icosphere(subdivisions, 0.9), icosphere(subdivisions, 0.45)
    return join([far, Mesh(near.vertices + torch.tensor([0.9, 0.6, 0.8]), near.faces)])


def vertex_pattern(mesh: Mesh) -> torch.Tensor:
    return 0.5 + 0.5 * torch.sin(mesh.vertices * torch.tensor([2.0, 3.0, 2.5]))


def merging_balls() -> Mesh:
    """Two balls that pass through each other, in triangles of a few pixels."""
    ball = icosphere(3, 0.5)
    return join([icosphere(3, 0.9), Mesh(ball.vertices + torch.tensor([0.35, 0.2, 0.7]), ball.faces)])


SHAPES = {
    "sphere": icosphere(3),
    "torus": turned(torus(0.8, 0.3, 40, 20), (0.9, 0.3, 0.0), (0.0, 0.0, 0.0)),
    "balls": two_balls(),
    "boxes": crossing_boxes(),
    "merging": merging_balls(),
}
LIGHT = torch.tensor([3.0, 0.4, 0.9, -0.5, 0.2, 0.1, 0.3, -0.2, 0.4])[:, None] * torch.tensor([1.0, 0.8, 0.6])


@pytest.mark.parametrize("device", DEVICES)
def test_a_fully_covered_image_does_not_change(device):
    """A bumpy wall that fills the picture: no outlines, so colours stay exactly what they are."""
    wall = grid(30, 30, 4.0)
    z = 3.0 + 0.1 * torch.sin(5 * wall.vertices[:, 0]) * torch.cos(4 * wall.vertices[:, 1])
    vertices = torch.stack([wall.vertices[:, 0], wall.vertices[:, 1], z], dim=1).to(device)
    fragments = rasterize(vertices, wall.faces.to(device), facing_camera(40, 30, focal=40.0))
    assert len(fragments) == 40 * 30
    colors = torch.rand(len(fragments), 3, generator=torch.Generator().manual_seed(0)).to(device)
    image = antialias(fragments, colors, background=0.3)
    assert torch.equal(image.view(-1, 3), colors)


def test_an_edge_covers_exactly_its_share_of_every_pixel():
    """A half-plane with a vertical edge at u = 4.3: the pixel that contains it is covered by 0.3."""
    for edge in (4.1, 4.3, 4.5, 4.9, 5.2):
        u = (edge - 4.0) / 10
        vertices = torch.tensor([(-2.0, -2.0, 1.0), (u, -2.0, 1.0), (u, 2.0, 1.0), (-2.0, 2.0, 1.0)])
        fragments = rasterize(vertices, torch.tensor([[0, 1, 2], [0, 2, 3]]), facing_camera())
        image = antialias(fragments, torch.ones(len(fragments), 1))[0, :, :, 0]
        expected = (edge - torch.arange(8.0)).clamp(0, 1)
        torch.testing.assert_close(image, expected.expand(6, 8), atol=1e-5, rtol=0)
        upright = vertices[:, [1, 0, 2]].contiguous()
        fragments = rasterize(upright, torch.tensor([[0, 2, 1], [0, 3, 2]]), facing_camera(6, 8))
        image = antialias(fragments, torch.ones(len(fragments), 1))[0, :, :, 0]
        torch.testing.assert_close(image.T, expected.expand(6, 8), atol=1e-5, rtol=0)


def test_area_of_a_disc_is_exact_at_any_triangle_size():
    """Coverage adds up to the projected area, also where triangles are much smaller than pixels."""
    for subdivisions in (2, 4, 6):
        ball = icosphere(subdivisions, 0.5)
        vertices = ball.vertices + torch.tensor([0.013, 0.007, 3.0])
        views = facing_camera(64, 64, focal=40.0, orthographic=True)
        big = facing_camera(640, 640, focal=400.0, orthographic=True)
        fragments = rasterize(vertices, ball.faces, views)
        area = antialias(fragments, torch.ones(len(fragments), 1)).sum()
        exact = len(rasterize(vertices, ball.faces, big)) / 100
        assert abs(float(area) / exact - 1) < 2e-3


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("orthographic", [False, True])
@pytest.mark.parametrize("mesh", [bumpy(), two_balls(2)], ids=["bumpy", "balls"])
def test_agrees_with_the_reference(mesh, orthographic, device):
    views = cameras(1, size=30, orthographic=orthographic)
    fragments = rasterize(mesh.vertices.to(device), mesh.faces.to(device), views)
    colors = torch.rand(len(fragments), 3, generator=torch.Generator().manual_seed(0))
    image = antialias(fragments, colors.to(device), background=0.5)[0].cpu()
    seen = reference.rasterize(mesh.vertices, mesh.faces, views)
    flips = int((seen.triangle != fragments.triangle[0].cpu()).sum())
    assert flips == 0  # these scenes have no centre on an edge
    plain = torch.full((22, 30, 3), 0.5, dtype=torch.float64)
    plain[seen.triangle >= 0] = colors.double()
    expected = reference.antialias(mesh.vertices, mesh.faces, views, plain, seen)
    assert (expected - plain).abs().max() > 0.1
    # Where two edges cross between the same centres at the same place, rounding decides which one counts.
    different = ((image - expected).abs() > 2e-3).any(dim=-1)
    assert different.float().mean() < 0.005


def directional(mesh, views, coloring, weights, moves, background=0.2, step=0.0):
    """Derivatives of sum(weights * image) along moves: by gradient, and by central differences if step > 0."""

    def loss(vertices):
        fragments = rasterize(vertices, mesh.faces, views)
        image = antialias(fragments, coloring(vertices, fragments), background)
        return (image.double() * weights).sum()

    if step == 0:
        vertices = mesh.vertices.clone().requires_grad_()
        loss(vertices).backward()
        return torch.einsum("kvc,vc->k", moves.double(), vertices.grad.double())
    with torch.no_grad():
        up, down = ([loss(mesh.vertices + s * step * m) for m in moves] for s in (1, -1))
    return (torch.stack(up) - torch.stack(down)) / (2 * step)


def smooth_weights(views, channels, seed=0):
    coarse = torch.randn(len(views), channels, 5, 5, generator=torch.Generator().manual_seed(seed))
    size = (views.height, views.width)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").permute(0, 2, 3, 1).double()


def check_differences(mesh, coloring, channels, orthographic=False, seed=0, tolerance=0.05):
    views = cameras(2, size=128, orthographic=orthographic)
    moves, weights = smooth_moves(mesh.vertices, 12, seed), smooth_weights(views, channels, seed)
    by_gradient = directional(mesh, views, coloring, weights, moves)
    by_differences = directional(mesh, views, coloring, weights, moves, step=0.006)  # a quarter of a pixel
    cosine, ratio = agreement(by_gradient, by_differences)
    assert cosine > 0.99 and abs(ratio - 1) < tolerance, (cosine, ratio)


@pytest.mark.parametrize("orthographic", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_silhouette_gradients_agree_with_differences(name, orthographic):
    check_differences(SHAPES[name], lambda v, f: v.new_ones(len(f), 1), 1, orthographic)


@pytest.mark.parametrize("name", SHAPES)
def test_shading_gradients_agree_with_differences(name):
    mesh = SHAPES[name]

    def coloring(vertices, fragments):
        return shade(interpolate(fragments, vertex_normals(vertices, mesh.faces)), LIGHT)

    check_differences(mesh, coloring, 3)


@pytest.mark.parametrize("name", ["balls", "boxes", "merging"])
def test_gradients_of_occluding_contours_and_intersections_agree_with_differences(name):
    """Each part has one colour, so only contours and the lines of intersection have gradients."""
    mesh = SHAPES[name]
    first = len(mesh.vertices) // 2

    def coloring(vertices, fragments):
        of_first = fragments.faces[fragments.face, 0] < first
        return torch.where(
            of_first[:, None], vertices.new_tensor([0.9, 0.2]), vertices.new_tensor([0.1, 0.7])
        )

    check_differences(mesh, coloring, 2)


def test_coverage_is_a_channel_of_ones():
    mesh, views = bumpy(), cameras()
    fragments = rasterize(mesh.vertices, mesh.faces, views)
    colors = torch.rand(len(fragments), 2)
    expected = antialias(fragments, torch.cat([colors, torch.ones(len(colors), 1)], dim=1))
    torch.testing.assert_close(antialias(fragments, colors, coverage=True), expected)


def test_edge_gain_scales_gradients_of_outlines_only():
    mesh, views = icosphere(2), cameras()
    gradients = []
    for gain in (1.0, 3.0):
        vertices = mesh.vertices.clone().requires_grad_()
        fragments = rasterize(vertices, mesh.faces, views)
        colors = torch.rand(len(fragments), 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
        image = antialias(fragments, colors, edge_gain=gain)
        image.square().sum().backward()
        gradients.append((image.detach(), colors.grad, vertices.grad))
    (image, for_colors, for_vertices), stronger = gradients
    assert torch.equal(image, stronger[0]) and torch.equal(for_colors, stronger[1])
    torch.testing.assert_close(3 * for_vertices, stronger[2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_backgrounds(channels):
    """A number, a colour and images give the same picture, and images get their gradient."""
    mesh, views = bumpy(), cameras()
    fragments = rasterize(mesh.vertices, mesh.faces, views)
    colors = torch.rand(len(fragments), channels)
    images = torch.full((2, 40, 48, channels), 0.25, requires_grad=True)
    one = antialias(fragments, colors, 0.25)
    assert torch.equal(one, antialias(fragments, colors, torch.full((channels,), 0.25)))
    dense = antialias(fragments, colors, images)
    assert torch.equal(one, dense)
    dense.sum().backward()
    outside = find_crossings(fragments).outside
    untouched = fragments.triangle.flatten() < 0
    untouched[outside] = False
    gradient = images.grad.view(-1, channels)
    assert (gradient[untouched] == 1).all() and (gradient[outside] > 0.4).all()


def test_a_picture_is_its_images():
    mesh, views = bumpy(), cameras()
    fragments = rasterize(mesh.vertices, mesh.faces, views)
    picture = compose(fragments, torch.rand(len(fragments), 2), 0.5)
    assert picture.images().shape == (2, 40, 48, 2) == picture.shape
    assert len(picture.pixel.unique()) == len(picture.pixel)
    assert torch.equal(picture.images().view(-1, 2)[picture.pixel], picture.values)


def test_crossings_belong_to_neighbouring_pixels_one_per_pair():
    mesh, views = bumpy(), cameras()
    fragments = rasterize(mesh.vertices, mesh.faces, views)
    crossings = find_crossings(fragments)
    p, q = crossings.ends[:, 0].long(), crossings.ends[:, 1].long()
    step = (q - p).abs()
    assert ((step == 1) | (step == 48)).all()
    assert (p // 48 == q // 48)[step == 1].all() and (p // (48 * 40) == q // (48 * 40)).all()
    assert len(torch.stack([torch.minimum(p, q), step], dim=1).unique(dim=0)) == len(p)
    assert (crossings.distance >= 0).all() and (crossings.distance <= 1).all()
    rows = crossings.rows.long()
    covered = torch.cat([fragments.pixel, crossings.outside])
    assert torch.equal(covered[rows[:, 0]], p) and torch.equal(covered[rows[:, 1]], q)
    beyond = rows[:, 2] >= 0
    assert torch.equal(fragments.pixel[rows[beyond, 2]], (2 * p - q)[beyond])


def test_surfaces_with_a_boundary_and_with_mixed_winding_have_outlines():
    """An open sheet, and one whose halves wind differently: the same outline, none inside."""
    sheet = grid(6, 6, 1.0)
    mixed = sheet.faces.clone()
    mixed[::2] = mixed[::2].flip(1)
    vertices = sheet.vertices + torch.tensor([0.01, 0.02, 2.0])
    images = []
    for faces in (sheet.faces, sheet.faces.flip(1), mixed):
        fragments = rasterize(vertices, faces, facing_camera(32, 32, focal=40.0))
        colors = torch.rand(len(fragments), 3, generator=torch.Generator().manual_seed(0))
        images.append(antialias(fragments, colors))
    assert torch.equal(images[0], images[1]) and torch.equal(images[0], images[2])
    inside = images[0][0, 8:24, 8:24]
    assert (fragments.triangle[0, 7:25, 7:25] >= 0).all()
    plain = torch.zeros(32 * 32, 3).index_put((fragments.pixel,), colors).view(32, 32, 3)
    assert torch.equal(inside, plain[8:24, 8:24])


def test_an_outline_behind_something_else_is_not_seen():
    """A ball behind a wall: its outline must leave no trace in the wall's colours."""
    wall, ball = grid(2, 2, 6.0), icosphere(3, 0.5)
    mesh = join(
        [
            Mesh(wall.vertices + torch.tensor([0, 0, 2.0]), wall.faces),
            Mesh(ball.vertices + torch.tensor([0, 0, 4.0]), ball.faces),
        ]
    )
    fragments = rasterize(mesh.vertices, mesh.faces, facing_camera(30, 30, focal=30.0))
    colors = torch.rand(len(fragments), 3)
    assert torch.equal(antialias(fragments, colors).view(-1, 3), colors)


def test_nothing_in_view_gives_the_background():
    mesh = icosphere(1)
    fragments = rasterize(mesh.vertices + 100, mesh.faces, cameras())
    assert torch.equal(antialias(fragments, torch.zeros(0, 2), 0.4), torch.full((2, 40, 48, 2), 0.4))


def test_room_for_crossings_grows():
    """More outline than the first guess holds: many separate triangles."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.rand(4000, 1, 3, generator=generator) * torch.tensor([2.0, 2.0, 1.0]) - torch.tensor(
        [1.0, 1.0, -2.0]
    )
    corners = centers + 0.06 * torch.randn(4000, 3, 3, generator=generator)
    faces = torch.arange(12_000).view(4000, 3)
    fragments = rasterize(corners.view(-1, 3), faces, facing_camera(24, 24, focal=16.0))
    crossings = find_crossings(fragments)
    assert len(crossings) > 200 and (crossings.distance <= 1).all()


def test_what_does_not_fit_is_refused():
    mesh = bumpy()
    fragments = rasterize(mesh.vertices, mesh.faces, cameras())
    with pytest.raises(InputError, match="per covered pixel"):
        antialias(fragments, torch.zeros(len(fragments) + 1, 3))
    with pytest.raises(Exception, match="background"):
        antialias(fragments, torch.zeros(len(fragments), 3), torch.zeros(2))


def test_gradients_of_single_vertices_agree_with_differences():
    """Every coordinate of a coarse sphere: also directions that are not smooth."""
    mesh, views = icosphere(1, 0.9), cameras(1, size=128)
    moves = torch.eye(3 * len(mesh.vertices)).view(-1, len(mesh.vertices), 3)
    weights = smooth_weights(views, 1, seed=3)
    ones = lambda v, f: v.new_ones(len(f), 1)  # noqa: E731
    by_gradient = directional(mesh, views, ones, weights, moves)
    by_differences = directional(mesh, views, ones, weights, moves, step=0.01)
    cosine, ratio = agreement(by_gradient, by_differences)
    assert cosine > 0.995 and abs(ratio - 1) < 0.03
    assert math.isfinite(ratio)

import sys
from importlib.util import find_spec

import pytest
import torch

from bozzetto import Capture, InputError, Mesh
from bozzetto.cameras import Cameras, fibonacci_cameras
from bozzetto.geometry import SurfaceIndex, vertex_normals
from bozzetto.inverse import bake_texture, color_vertices
from bozzetto.inverse.texturing.atlas import fill_gutter
from bozzetto.inverse.texturing.bake import spread_colors
from bozzetto.inverse.texturing.observation import (
    Observation,
    PointObservations,
    solve_exposures,
    usual_colors,
)
from bozzetto.rendering import interpolate, rasterize, sample_texture
from bozzetto.shapes import box, icosphere, join

needs_atlas = pytest.mark.skipif(not find_spec("xatlas"), reason="xatlas is optional")


def pattern(points):
    """A smooth colour of every place."""
    return 0.45 + 0.3 * torch.sin(4 * points + torch.tensor([0.0, 1, 2]))


def photographs(mesh, cameras, color, samples=2):
    """A capture of a surface that shines in its own colours, a function of the position."""
    images, masks = [], []
    for i in range(len(cameras)):
        camera = cameras[[i]].resized(cameras.width * samples, cameras.height * samples)
        fragments = rasterize(mesh.vertices, mesh.faces, camera.relative_to(mesh.offset))
        picture = torch.zeros(camera.height * camera.width, 4)
        colors = color(interpolate(fragments, mesh.vertices))
        picture[fragments.pixel] = torch.cat([colors, torch.ones_like(colors[:, :1])], dim=1)
        picture = picture.view(cameras.height, samples, cameras.width, samples, 4).mean(dim=(1, 3))
        images.append(picture[..., :3])
        masks.append(picture[..., 3])
    known = torch.ones(len(cameras), cameras.height, cameras.width, dtype=torch.bool)
    names = tuple(f"{i}.png" for i in range(len(cameras)))
    return Capture(names, cameras, torch.stack(images), torch.stack(masks), known)


def ring(count=10, size=96, distance=4.0):
    place = {"target": torch.zeros(3), "up": (0.0, 1.0, 0.0), "fov": 0.7, "size": (size, size)}
    return fibonacci_cameras(count, distance=distance, **place)


def surface_colors(model, count=4000):
    """Points spread over the surface, and the colours that the texture has there."""
    generator = torch.Generator().manual_seed(0)
    face = torch.randint(len(model.mesh.faces), (count,), generator=generator)
    weights = torch.rand(count, 3, generator=generator)
    weights = weights / weights.sum(dim=1, keepdim=True)
    points = torch.einsum("pk,pkc->pc", weights, model.mesh.corners()[face])
    uv = torch.einsum("pk,pkc->pc", weights, model.uv[model.uv_faces][face])
    return points, sample_texture(model.image, uv, wrap="clamp")


@needs_atlas
@pytest.mark.parametrize("offset", [(0.0, 0.0, 0.0), (4e6, -1e5, 0.0)])
def test_the_texture_has_the_colours_of_the_photographs(offset):
    ball = icosphere(3)
    mesh = Mesh(ball.vertices, ball.faces, offset=offset)
    cameras = ring().relative_to(tuple(-v for v in offset))
    model = bake_texture(mesh, photographs(mesh, cameras, pattern), size=256)
    points, colors = surface_colors(model)
    error = (colors - pattern(points)).abs().amax(dim=1)
    assert float(error.median()) < 0.01 and float(error.quantile(0.99)) < 0.04
    at_vertices = (model.mesh.colors - pattern(ball.vertices)).abs().amax(dim=1)
    assert float(at_vertices.median()) < 0.02


def test_vertices_get_the_colours_without_an_atlas():
    ball = icosphere(3)
    colored = color_vertices(ball, photographs(ball, ring(), pattern))
    assert torch.equal(colored.vertices, ball.vertices) and torch.equal(colored.faces, ball.faces)
    assert float((colored.colors - pattern(ball.vertices)).abs().amax(dim=1).median()) < 0.02


@needs_atlas
def test_different_exposures_leave_no_seams():
    ball = icosphere(3)
    capture = photographs(ball, ring(), pattern)
    factors = torch.exp(0.4 * torch.randn(10, 3, generator=torch.Generator().manual_seed(1)))
    factors = factors / factors.log().mean(dim=0).exp()
    changed = Capture(
        capture.names, capture.cameras, capture.images * factors[:, None, None], capture.masks, capture.known
    )
    for given in (None, factors):
        points, colors = surface_colors(bake_texture(ball, changed, exposures=given, size=256))
        error = (colors - pattern(points)).abs().amax(dim=1)
        assert float(error.median()) < 0.02 and float(error.quantile(0.98)) < 0.08


@needs_atlas
def test_what_hides_the_surface_does_not_colour_it():
    """A red plate before a grey ball: no red on the ball, although many cameras see the plate before it."""
    ball, plate = icosphere(3), box((1.2, 1.2, 0.1))
    scene = join([ball, Mesh(plate.vertices + torch.tensor([0.0, 0, 1.6]), plate.faces)])

    def color(points):
        red = (points[:, 2:] > 1.3).float()
        return 0.7 * (1 - red) + red * torch.tensor([0.8, 0.02, 0.02])

    model = bake_texture(scene, photographs(scene, ring(16, 128, 5.0), color), size=256)
    points, colors = surface_colors(model)
    on_ball = points.norm(dim=1) < 1.1
    assert float((colors[on_ball] - 0.7).abs().max()) < 0.08


@needs_atlas
def test_what_nobody_sees_looks_like_its_surroundings():
    ball = icosphere(3)
    cameras = ring(16)[[i for i in range(16) if float(ring(16).centers[i, 1]) > 0.5]]
    model = bake_texture(ball, photographs(ball, cameras, lambda p: 0.5 + 0.2 * p), size=256)
    points, colors = surface_colors(model)
    hidden = points[:, 1] < -0.8
    assert bool(hidden.any())
    assert float(colors.min()) > 0.25 and float(colors.max()) < 0.75
    assert float((colors[hidden].amax(dim=1) - colors[hidden].amin(dim=1)).max()) < 0.35


@needs_atlas
def test_a_normal_map_brings_back_the_relief():
    ball = icosphere(5)
    bumps = 1 + 0.03 * torch.sin(9 * ball.vertices).prod(dim=1, keepdim=True)
    fine = Mesh(ball.vertices * bumps, ball.faces)
    coarse = icosphere(2)
    capture = photographs(coarse, ring(4, 32), pattern)
    model = bake_texture(coarse, capture, size=512, fine=fine)
    assert model.normal_map is not None and model.tangents is not None
    assert torch.allclose(model.normal_map.norm(dim=2), torch.ones(512, 512), atol=1e-4)
    assert float(model.normal_map[..., 2].min()) > 0
    fragments = rasterize(coarse.vertices, coarse.faces, ring(3, 200))
    n = interpolate(fragments, model.normals)
    t = interpolate(fragments, model.tangents[model.uv_faces])
    b = torch.linalg.cross(n, t[:, :3]) * t[:, 3:].sign()
    m = sample_texture(model.normal_map, interpolate(fragments, model.uv[model.uv_faces]), wrap="clamp")
    shown = torch.nn.functional.normalize(m[:, :1] * t[:, :3] + m[:, 1:2] * b + m[:, 2:] * n, dim=1)
    found = SurfaceIndex(fine).closest(interpolate(fragments, coarse.vertices))
    around = vertex_normals(fine.vertices, fine.faces)[fine.faces[found.face]]
    true = torch.nn.functional.normalize(torch.einsum("pk,pkc->pc", found.weights, around), dim=1)
    plain = (torch.nn.functional.normalize(n, dim=1) * true).sum(dim=1).clamp(-1, 1).acos()
    mapped = (shown * true).sum(dim=1).clamp(-1, 1).acos()
    assert float(mapped.median()) < 0.1 * float(plain.median())


@needs_atlas
def test_the_size_follows_the_photographs():
    ball = icosphere(2)
    small, large = (bake_texture(ball, photographs(ball, ring(4, n), pattern)) for n in (64, 256))
    assert small.image.shape[0] == 256 and large.image.shape[0] == 512


def test_exposures_are_found_from_overlaps_and_outliers_do_not_matter():
    generator = torch.Generator().manual_seed(0)
    points, views = 400, 7
    color = 0.1 + 0.5 * torch.rand(points, 1, 3, generator=generator)
    factors = torch.exp(0.3 * torch.randn(views, 3, generator=generator))
    factors = factors / factors.log().mean(dim=0).exp()
    colors = (color * factors).clamp_max(2.0)
    gloss = torch.rand(points, views, generator=generator) < 0.05
    colors[gloss] = 0.97
    seen = torch.rand(points, views, generator=generator) < 0.4
    samples = PointObservations(colors * seen[..., None], seen.float())
    found = solve_exposures(samples)
    assert torch.allclose(found.log().mean(dim=0), torch.zeros(3), atol=1e-5)
    assert float((found / factors).log().abs().max()) < 0.03
    usual, agreement = usual_colors(PointObservations(colors * seen[..., None] / factors, seen.float()))
    often = seen.sum(dim=1) >= 4
    assert float((usual - color[:, 0])[often].abs().median()) < 0.005
    assert float(agreement[gloss & seen].median()) < 0.2 < 0.9 < float(agreement[seen & ~gloss].median())


def test_views_without_overlap_keep_their_exposure():
    samples = PointObservations(torch.rand(10, 2, 3) * 0.5 + 0.1, torch.eye(2).repeat(5, 1))
    assert torch.allclose(solve_exposures(samples), torch.ones(2, 3), atol=1e-6)


def test_unknown_colours_lie_between_the_known_ones():
    ball = icosphere(3)
    confidence = (ball.vertices[:, 1].abs() > 0.6).float()
    colors = torch.where(
        ball.vertices[:, 1:2] > 0, torch.tensor([0.6, 0.5, 0.2]), torch.tensor([0.2, 0.4, 0.6])
    )
    filled = spread_colors(ball, colors * confidence[:, None], confidence)
    assert torch.all(filled >= torch.tensor([0.2, 0.4, 0.2]) - 0.01)
    assert torch.all(filled <= torch.tensor([0.6, 0.5, 0.6]) + 0.01)
    equator = filled[ball.vertices[:, 1].abs() < 0.05]
    assert torch.allclose(equator.mean(dim=0), torch.tensor([0.4, 0.45, 0.4]), atol=0.02)
    nothing = spread_colors(ball, colors, torch.zeros(len(colors)))
    assert torch.equal(nothing, torch.full_like(colors, 0.5))


def test_trust_ends_at_outlines_and_behind_other_parts():
    front = box((1.0, 1.0, 0.2))
    back = Mesh(box(1.0).vertices * 2 + torch.tensor([0.0, 0, -3]), box(1.0).faces)
    scene = join([front, back])
    pose = torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))[None].clone()
    pose[0, 2, 3] = 6
    camera = Cameras(pose, ring(1, 120).K, 120, 120)
    capture = photographs(scene, camera, pattern)
    seen = Observation.of(scene, capture, 0)
    # The middle of the front; the back's face behind it, which is hidden; a point just beside the front's edge.
    points = torch.tensor([[0.0, 0, 0.1], [0.1, 0, -2.0], [0.49, 0, 0.1], [0.0, 0, 9.0]])
    sight = seen.sight(points, torch.tensor([[0.0, 0, 1]]).expand(4, 3))
    _, trust = seen.look_up(sight.place[:, :2] / sight.place[:, 2:], sight.depth)
    assert trust[0] > 0.9 and trust[1] == 0 and trust[2] < 0.2
    assert sight.quality[3] == 0  # behind the camera
    # Focal length over distance, squared: pixels per area of a surface that faces the camera.
    focal = float(camera.K[0, 0, 0])
    assert float(sight.quality[0]) == pytest.approx((focal / 5.9) ** 2, rel=1e-4)


def test_the_gutter_holds_no_foreign_colour():
    image = torch.zeros(40, 40, 3)
    covered = torch.zeros(40, 40, dtype=torch.bool)
    image[5:12, 4:20], image[20:30, 25:37] = torch.tensor([0.2, 0.4, 0.6]), torch.tensor([0.3, 0.5, 0.7])
    covered[5:12, 4:20] = covered[20:30, 25:37] = True
    filled = fill_gutter(image, covered)
    assert torch.equal(filled[covered], image[covered])
    for channel, low in enumerate((0.2, 0.4, 0.6)):
        assert low - 1e-6 <= float(filled[..., channel].min())
        assert float(filled[..., channel].max()) <= low + 0.1 + 1e-6
    assert torch.allclose(filled[3:5, 6:18], torch.tensor([0.2, 0.4, 0.6]), atol=1e-6)


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "xatlas", None)
    ball = icosphere(1)
    with pytest.raises(InputError, match=r"pip install 'bozzetto\[texture\]'"):
        bake_texture(ball, photographs(ball, ring(2, 16), pattern), size=64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 8}, "16 to 16384"),
        ({"exposures": torch.ones(3)}, "for 2 views"),
        ({"exposures": torch.tensor([1.0, 0.0])}, "positive"),
    ],
)
@needs_atlas
def test_bad_options_are_refused(options, words):
    ball = icosphere(1)
    with pytest.raises(InputError, match=words):
        bake_texture(ball, photographs(ball, ring(2, 16), pattern), **{"size": 64, **options})


def test_a_broken_mesh_is_refused():
    ball = icosphere(1)
    with pytest.raises(InputError, match="out of range"):
        bake_texture(Mesh(ball.vertices[:3], ball.faces), photographs(ball, ring(2, 16), pattern), size=64)

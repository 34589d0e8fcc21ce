import pytest
import torch

from bozzetto import Capture, InputError, Mesh
from bozzetto.cameras import fibonacci_cameras
from bozzetto.inverse import bake_texture
from bozzetto.inverse.texturing.gutter import fill_gutter
from bozzetto.render import interpolate, rasterize, sample_texture
from bozzetto.shapes import icosphere


def pattern(points):
    """A smooth colour of every place."""
    return 0.45 + 0.3 * torch.sin(4 * points + torch.tensor([0.0, 1, 2]))


def photographs(mesh, cameras, color, samples=2):
    """A capture of a surface that shines in its own colours, a function of the position."""
    images, masks = [], []
    for i in range(len(cameras)):
        camera = cameras[[i]].resized(cameras.width * samples, cameras.height * samples)
        fragments = rasterize(mesh.vertices, mesh.faces, camera)
        picture = torch.zeros(camera.height * camera.width, 4)
        colors = color(interpolate(fragments, mesh.vertices))
        picture[fragments.pixel] = torch.cat([colors, torch.ones_like(colors[:, :1])], dim=1)
        picture = picture.view(cameras.height, samples, cameras.width, samples, 4).mean(dim=(1, 3))
        images.append(picture[..., :3])
        masks.append(picture[..., 3])
    known = torch.ones(len(cameras), cameras.height, cameras.width, dtype=torch.bool)
    names = tuple(f"{i}.png" for i in range(len(cameras)))
    return Capture(names, cameras, torch.stack(images), torch.stack(masks), known)


def ring(count=12, size=128):
    return fibonacci_cameras(
        count, target=torch.zeros(3), up=(0.0, 1.0, 0.0), fov=0.7, size=(size, size), distance=4.0
    )


def surface_colors(model, count=4000):
    """Points spread over the surface, and the colours that the texture has there."""
    generator = torch.Generator().manual_seed(0)
    face = torch.randint(len(model.mesh.faces), (count,), generator=generator)
    weights = torch.rand(count, 3, generator=generator)
    weights = weights / weights.sum(dim=1, keepdim=True)
    points = torch.einsum("pk,pkc->pc", weights, model.mesh.corners()[face])
    uv = torch.einsum("pk,pkc->pc", weights, model.uv[model.uv_faces][face])
    return points, sample_texture(model.image, uv, wrap="clamp")


def test_the_texture_has_the_colours_of_the_photographs():
    pytest.importorskip("xatlas")
    ball = icosphere(3)
    model = bake_texture(ball, photographs(ball, ring(), pattern), size=256)
    points, colors = surface_colors(model)
    error = (colors - pattern(points)).abs().amax(dim=1)
    assert float(error.median()) < 0.01 and float(error.quantile(0.99)) < 0.05


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
    import sys

    monkeypatch.setitem(sys.modules, "xatlas", None)
    ball = icosphere(1)
    with pytest.raises(InputError, match=r"pip install 'bozzetto\[texture\]'"):
        bake_texture(ball, photographs(ball, ring(2, 16), pattern), size=64)


def test_a_broken_mesh_is_refused():
    pytest.importorskip("xatlas")
    ball = icosphere(1)
    with pytest.raises(InputError, match="out of range"):
        bake_texture(Mesh(ball.vertices[:3], ball.faces), photographs(ball, ring(2, 16), pattern), size=64)

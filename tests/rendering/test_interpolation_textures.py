import pytest
import torch

from bozzetto import InputError
from bozzetto.rendering import interpolate, mip_level, pixel_derivatives, rasterize, sample_texture
from bozzetto.rendering.interpolation import mip_levels
from bozzetto.shapes import grid

from .scenes import DEVICES, bumpy, cameras, facing_camera

GENERATOR = torch.Generator().manual_seed(0)
TEXTURE = torch.rand(12, 20, 3, generator=GENERATOR)


def places(count=300, low=-0.7, high=1.8):
    return low + (high - low) * torch.rand(count, 2, generator=torch.Generator().manual_seed(1))


def by_hand(texture, uv, clamp):
    """torch's own bilinear lookup; for repetition of a texture tiled 5 x 5."""
    if not clamp:
        texture, uv = texture.tile(5, 5, 1), (uv + 2) / 5
    image, points = texture.permute(2, 0, 1)[None], (2 * uv - 1)[None, None]
    rows = torch.nn.functional.grid_sample(image, points, padding_mode="border", align_corners=False)
    return rows[0, :, 0].T


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("wrap", ["repeat", "clamp"])
def test_bilinear_agrees_with_torch_in_values_and_gradients(device, wrap):
    weights = torch.randn(300, 3, generator=torch.Generator().manual_seed(2)).to(device)
    results = []
    for mine in (True, False):
        texture = TEXTURE.clone().to(device).requires_grad_()
        uv = places().to(device).requires_grad_()
        rows = sample_texture(texture, uv, wrap=wrap) if mine else by_hand(texture, uv, wrap == "clamp")
        (rows * weights).sum().backward()
        results.append((rows.detach(), texture.grad, uv.grad))
    (rows, for_texture, for_uv), expected = results
    torch.testing.assert_close(rows, expected[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(for_texture, expected[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(for_uv, expected[2], atol=1e-2, rtol=1e-3)


def test_texel_centres_give_texels():
    y, x = torch.meshgrid(torch.arange(12), torch.arange(20), indexing="ij")
    uv = torch.stack([(x + 0.5) / 20, (y + 0.5) / 12], dim=-1).view(-1, 2)
    torch.testing.assert_close(sample_texture(TEXTURE, uv), TEXTURE.view(-1, 3), atol=1e-5, rtol=0)


def test_mip_levels_keep_the_mean_and_end_in_one_texel():
    levels = mip_levels(TEXTURE[:8, :16])
    assert [tuple(level.shape[:2]) for level in levels] == [(8, 16), (4, 8), (2, 4), (1, 2), (1, 1)]
    for level in levels:
        torch.testing.assert_close(level.mean(dim=(0, 1)), levels[0].mean(dim=(0, 1)))


def test_levels_are_blended():
    uv = places(50)
    coarse = mip_levels(TEXTURE)[1]
    exact = [sample_texture(TEXTURE, uv), sample_texture(coarse, uv)]
    torch.testing.assert_close(sample_texture(TEXTURE, uv, torch.zeros(50)), exact[0])
    torch.testing.assert_close(sample_texture(TEXTURE, uv, torch.ones(50)), exact[1])
    between = sample_texture(TEXTURE, uv, torch.full((50,), 0.25))
    torch.testing.assert_close(between, 0.75 * exact[0] + 0.25 * exact[1])
    last = sample_texture(TEXTURE, uv, torch.full((50,), 99.0))
    torch.testing.assert_close(last, mip_levels(TEXTURE)[-1][0].expand(50, 3))


def test_trilinear_gradients_agree_with_differences():
    texture = TEXTURE[:4, :4].double()
    uv, level = places(6, 0.1, 0.9), torch.tensor([0.0, 0.3, 1.0, 1.5, 0.7, 2.0])
    weights = torch.randn(6, 3, generator=torch.Generator().manual_seed(3))

    def loss(texels, at):
        return (sample_texture(texels.float(), at, level) * weights).sum()

    t, p = texture.float().requires_grad_(), uv.clone().requires_grad_()
    loss(t, p).backward()
    for i in range(4):
        step = torch.zeros(4, 4, 3)
        step[i, (2 * i) % 4, i % 3] = 0.5
        expected = loss(texture + step, uv) - loss(texture - step, uv)
        torch.testing.assert_close(t.grad[i, (2 * i) % 4, i % 3], expected, atol=1e-4, rtol=1e-3)
    for k in range(2):
        step = torch.zeros(6, 2)
        step[:, k] = 1e-3
        expected = (loss(texture, uv + step) - loss(texture, uv - step)) / 2e-3
        torch.testing.assert_close(p.grad[:, k].sum(), expected, atol=2e-2, rtol=1e-2)


@pytest.mark.parametrize("orthographic", [False, True])
def test_pixel_derivatives_agree_with_the_neighbouring_pixel(orthographic):
    """Plane surfaces: what the derivatives predict half a pixel on both sides is what is there."""
    sheet, views = grid(1, 1, 1.6), cameras(2, orthographic=orthographic)
    attribute = torch.randn(4, 2, generator=GENERATOR)
    attribute[3] = attribute[1] + attribute[2] - attribute[0]  # the same plane on both triangles
    fragments = rasterize(sheet.vertices, sheet.faces, views)
    values, slopes = interpolate(fragments, attribute), pixel_derivatives(fragments, attribute)
    right = (fragments.pixel[1:] == fragments.pixel[:-1] + 1).nonzero()[:, 0]
    predicted = (slopes[right, :, 0] + slopes[right + 1, :, 0]) / 2
    actual = values[right + 1] - values[right]
    torch.testing.assert_close(predicted, actual, rtol=0.03, atol=1e-4)
    row = {int(p): i for i, p in enumerate(fragments.pixel)}
    below = [(i, row[int(p) + 48]) for i, p in enumerate(fragments.pixel) if int(p) + 48 in row]
    a, b = torch.tensor(below).T
    torch.testing.assert_close(
        (slopes[a, :, 1] + slopes[b, :, 1]) / 2, values[b] - values[a], rtol=0.03, atol=1e-4
    )


def test_pixel_derivatives_of_corner_attributes():
    mesh = bumpy()
    fragments = rasterize(mesh.vertices, mesh.faces, cameras())
    attribute = torch.randn(len(mesh.vertices), 2)
    per_corner = pixel_derivatives(fragments, attribute[mesh.faces])
    torch.testing.assert_close(per_corner, pixel_derivatives(fragments, attribute))


def test_mip_level_of_a_sheet_that_faces_the_camera():
    """One texel per pixel is level 0, four texels per pixel length level 2."""
    sheet = grid(1, 1, 1.0)
    vertices = sheet.vertices + torch.tensor([0.0, 0.0, 1.0])
    uv = sheet.vertices[:, :2] + 0.5
    fragments = rasterize(vertices, sheet.faces, facing_camera(32, 32, focal=16.0))
    slopes = pixel_derivatives(fragments, uv)
    for size, expected in ((16, 0.0), (64, 2.0)):
        level = mip_level(slopes, torch.zeros(size, size, 3))
        torch.testing.assert_close(level, torch.full_like(level, expected), atol=1e-3, rtol=0)


def test_bad_textures_are_refused():
    with pytest.raises(InputError, match="texture"):
        sample_texture(torch.zeros(0, 4, 3), places(2))
    with pytest.raises(Exception, match="clamp"):
        sample_texture(TEXTURE, places(2), wrap="mirror")  # type: ignore[arg-type]

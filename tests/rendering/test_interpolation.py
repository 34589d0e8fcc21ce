import pytest
import torch

from bozzetto import InputError
from bozzetto.rendering import interpolate, rasterize
from bozzetto.shapes import icosphere

from .scenes import DEVICES, bumpy, cameras


def by_hand(fragments, attribute):
    corners = fragments.faces[fragments.face].long()
    values = attribute[fragments.face] if attribute.ndim == 3 else attribute[corners]
    return (fragments.barycentric[..., None] * values).sum(dim=1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("per_corner", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_values_and_gradients_agree_with_plain_torch(device, per_corner, channels):
    mesh = bumpy().to(device)
    shape = (len(mesh.faces), 3, channels) if per_corner else (len(mesh.vertices), channels)
    generator = torch.Generator().manual_seed(0)
    attribute = torch.randn(shape, generator=generator).to(device)
    fragments = rasterize(mesh.vertices, mesh.faces, cameras())
    weights = torch.randn(len(fragments), channels, generator=generator).to(device)
    results = []
    for function in (interpolate, by_hand):
        values, vertices = attribute.clone().requires_grad_(), mesh.vertices.clone().requires_grad_()
        rows = function(rasterize(vertices, mesh.faces, cameras()), values)
        (rows * weights).sum().backward()
        results.append((rows.detach(), values.grad, vertices.grad))
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-3)


def test_positions_interpolate_to_points_on_the_rays():
    """Perspective-correct: the interpolated position projects to the pixel centre."""
    mesh, views = icosphere(1), cameras(2)
    fragments = rasterize(mesh.vertices, mesh.faces, views)
    points = interpolate(fragments, mesh.vertices)
    projected = views.project(points)[fragments.view, torch.arange(len(points))]
    torch.testing.assert_close(projected[:, :2].float(), fragments.centers, atol=1e-3, rtol=0)
    torch.testing.assert_close(projected[:, 2].float(), fragments.depth, atol=1e-5, rtol=0)


def test_a_constant_stays_constant_and_sends_nothing_to_the_vertices():
    mesh = bumpy()
    vertices = mesh.vertices.clone().requires_grad_()
    fragments = rasterize(vertices, mesh.faces, cameras())
    rows = interpolate(fragments, torch.full((len(vertices), 2), 0.7))
    torch.testing.assert_close(rows, torch.full_like(rows, 0.7))
    rows.sum().backward()
    assert vertices.grad.abs().max() < 1e-2  # barycentric slopes are of order 100 here


@pytest.mark.parametrize("channels", [2, 3])
def test_fixed_attributes_still_move_the_vertices(channels):
    mesh, views = bumpy(), cameras()
    gradients = []
    for wanted in (False, True):
        vertices = mesh.vertices.clone().requires_grad_()
        attribute = mesh.vertices[:, :channels].clone().requires_grad_(wanted)
        interpolate(rasterize(vertices, mesh.faces, views), attribute).square().sum().backward()
        gradients.append(vertices.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().sum() > 0


def test_an_attribute_of_the_wrong_length_is_refused():
    mesh = bumpy()
    fragments = rasterize(mesh.vertices, mesh.faces, cameras())
    with pytest.raises(InputError, match="per vertex"):
        interpolate(fragments, torch.zeros(len(mesh.vertices) + 1, 3))
    with pytest.raises(InputError, match="per corner"):
        interpolate(fragments, torch.zeros(len(mesh.faces) - 1, 3, 2))


def test_no_fragments_no_rows():
    mesh = icosphere(1)
    fragments = rasterize(mesh.vertices + 100, mesh.faces, cameras())
    attribute = torch.randn(len(mesh.vertices), 3, requires_grad=True)
    rows = interpolate(fragments, attribute)
    assert rows.shape == (0, 3)
    rows.sum().backward()
    assert torch.equal(attribute.grad, torch.zeros_like(attribute))

import pytest
import torch

from bozzetto.inverse import Light, VertexField, ambient_light
from bozzetto.rendering import irradiance
from bozzetto.shapes import icosphere


@pytest.mark.parametrize("smoothness", [0.0, 1.0, 19.0])
def test_a_field_begins_with_its_values(smoothness):
    sphere = icosphere(2)
    field = VertexField(sphere.vertices, sphere.faces, smoothness)
    torch.testing.assert_close(field(), sphere.vertices, atol=1e-5, rtol=0)
    assert [name for name, _ in field.named_parameters()] == ["latent"]


def test_a_step_in_the_latent_is_smooth():
    sphere = icosphere(2)
    field = VertexField(sphere.vertices, sphere.faces, 19.0)
    with torch.no_grad():
        field.latent[0] += 1.0
    moved = (field() - sphere.vertices)[:, 0].detach()
    assert moved.min() > 0 and 0 < moved[0] < 0.2
    assert float(moved.sum()) == pytest.approx(
        1.0, abs=1e-3
    )  # constants are kept: the sum is that of the latent


def test_a_field_does_not_hold_on_to_its_start():
    values = torch.zeros(12, 3)
    field = VertexField(values, icosphere(0).faces, 0.0)
    with torch.no_grad():
        field.latent += 1
    assert float(values.abs().max()) == 0


def test_exposures_have_geometric_mean_one():
    light = Light(ambient_light(), 4)
    assert torch.equal(light.exposure(torch.arange(4)), torch.ones(4))
    with torch.no_grad():
        light.log_exposure += torch.tensor([0.5, 1.0, -0.2, 3.0])
    factors = light.exposure(torch.arange(4)).detach()
    assert float(factors.log().mean()) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(factors[1] / factors[0], torch.tensor(0.5).exp())
    torch.testing.assert_close(light.exposure(torch.tensor([2])).detach(), factors[2:3])


def test_ambient_light_shows_a_white_surface_white():
    normals = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(irradiance(normals, ambient_light()) / torch.pi, torch.ones(20, 3))

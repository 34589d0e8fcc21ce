import math

import pytest
import torch

from bozzetto.rendering import environment_coefficients, irradiance, reference, shade, spherical_harmonics

from .scenes import DEVICES


def directions(count, seed=0):
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return points / points.norm(dim=1, keepdim=True)


def sphere_quadrature(height=128, width=256):
    """Directions and solid angles of a latitude-longitude grid, with y up as in environment maps."""
    polar = (torch.arange(height).double() + 0.5) * math.pi / height
    azimuth = (torch.arange(width).double() + 0.5) * 2 * math.pi / width
    ring, phi = polar.sin()[:, None], azimuth[None]
    x, y, z = torch.broadcast_tensors(ring * phi.sin(), polar.cos()[:, None], -ring * phi.cos())
    area = (ring * 2 * math.pi**2 / (height * width)).expand(height, width)
    return torch.stack([x, y, z], dim=-1), area


def test_spherical_harmonics_are_orthonormal():
    points, area = sphere_quadrature()
    basis = spherical_harmonics(points).reshape(-1, 9)
    gram = basis.T @ (basis * area.reshape(-1, 1))
    torch.testing.assert_close(gram, torch.eye(9, dtype=torch.float64), atol=2e-4, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_irradiance_agrees_with_the_reference_in_values_and_gradients(device):
    generator = torch.Generator().manual_seed(1)
    normals = 3 * torch.randn(500, 3, generator=generator)
    light = torch.randn(9, 3, generator=generator)
    weights = torch.randn(500, 3, generator=generator)
    results = []
    for function, kind in ((irradiance, torch.float32), (reference.irradiance, torch.float64)):
        n = normals.to(device, kind, copy=True).requires_grad_()
        c = light.to(device, kind, copy=True).requires_grad_()
        values = function(n, c)
        (values * weights.to(device, kind)).sum().backward()
        results.append([t.detach().float() for t in (values, n.grad, c.grad)])
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


def test_irradiance_is_the_cosine_integral_of_the_radiance():
    """For radiance without higher harmonics the quadratic form is the integral over the hemisphere itself."""
    points, area = sphere_quadrature(256, 512)
    light = torch.randn(9, 3, generator=torch.Generator().manual_seed(2)).double()
    radiance = spherical_harmonics(points) @ light
    normals = directions(5).double()
    cosine = torch.einsum("hwi,ni->nhw", points, normals).clamp(min=0)
    expected = torch.einsum("nhw,hw,hwc->nc", cosine, area, radiance)
    torch.testing.assert_close(
        irradiance(normals.float(), light.float()), expected.float(), atol=2e-3, rtol=0
    )


def test_uniform_light_shades_white_as_bright_as_the_light():
    light = torch.zeros(9, 3)
    light[0] = math.sqrt(4 * math.pi)  # radiance 1 from everywhere
    albedo = torch.rand(20, 3)
    torch.testing.assert_close(shade(directions(20), light), torch.ones(20, 3))
    torch.testing.assert_close(shade(directions(20), light, albedo), albedo)


def test_the_length_of_normals_does_not_matter_and_zero_is_harmless():
    light = torch.randn(9, 3)
    n = directions(10)
    torch.testing.assert_close(irradiance(7 * n, light), irradiance(n, light), rtol=1e-4, atol=1e-4)
    zero = torch.zeros(1, 3, requires_grad=True)
    irradiance(zero, light).sum().backward()
    assert torch.equal(zero.grad, torch.zeros(1, 3))


def test_projecting_an_environment_of_harmonics_gives_its_coefficients_back():
    points, _ = sphere_quadrature(64, 128)
    light = torch.randn(9, 3, generator=torch.Generator().manual_seed(3))
    environment = (spherical_harmonics(points) @ light.double()).float()
    torch.testing.assert_close(environment_coefficients(environment), light, atol=5e-3, rtol=0)


def test_a_bright_top_of_the_environment_lights_what_faces_up():
    environment = torch.zeros(32, 64, 3)
    environment[:8] = 1.0
    light = environment_coefficients(environment)
    up, down = irradiance(torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]), light)
    assert (up > 5 * down.abs()).all()


def test_no_normals_no_irradiance():
    light = torch.randn(9, 3, requires_grad=True)
    irradiance(torch.zeros(0, 3), light).sum().backward()
    assert torch.equal(light.grad, torch.zeros(9, 3))

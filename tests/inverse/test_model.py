"""Tests of inverse.model."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bozzetto import InputError
from bozzetto.geometry import grid_laplacian, laplacian
from bozzetto.inverse import (
    Light,
    Preconditioner,
    VertexField,
    alpha_from_smoothness,
    ambient_light,
    smoothness_from_alpha,
)
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


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def normal_numbers(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(
    "alpha, smoothness", [(0.0, 0.0), (0.5, 1.0), (0.95, 19.0), (0.98, 49.0), (0.999, 999.0)]
)
def test_alpha_and_lambda(alpha, smoothness):
    assert smoothness_from_alpha(alpha) == pytest.approx(smoothness)
    assert alpha_from_smoothness(smoothness) == pytest.approx(alpha)


@given(st.floats(0, 0.999))
def test_alpha_round_trip(alpha):
    assert alpha_from_smoothness(smoothness_from_alpha(alpha)) == pytest.approx(alpha, abs=1e-12)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cotangent", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_mesh_round_trip(device, cotangent, channels):
    sphere = icosphere(3).to(device)
    weights = sphere.vertices if cotangent else None
    preconditioner = Preconditioner.from_mesh(sphere.faces, len(sphere.vertices), 19.0, weights)
    x = normal_numbers(len(sphere.vertices), channels).to(device)
    u = preconditioner.to_latent(x)
    assert (u - x).abs().max() > 1
    torch.testing.assert_close(preconditioner.from_latent(u), x, atol=1e-4, rtol=0)


def test_latent_is_the_formula():
    sphere = icosphere(1)
    x = normal_numbers(42, 3)
    dense = torch.eye(42) + 7 * laplacian(sphere.faces, 42).to_dense()
    preconditioner = Preconditioner.from_mesh(sphere.faces, 42, 7.0)
    torch.testing.assert_close(preconditioner.to_latent(x), dense @ x)
    torch.testing.assert_close(preconditioner.from_latent(x), torch.linalg.solve(dense, x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("height, width", [(6, 9), (5, 8), (8, 8), (1, 5), (4, 1), (2, 2), (1, 1)])
def test_grid_is_the_sparse_system(device, periodic, height, width):
    spectral = Preconditioner.from_grid(height, width, 3.0, periodic, device)
    sparse = Preconditioner.from_matrix(grid_laplacian(height, width, periodic, device), 3.0)
    image = normal_numbers(height, width, 3).to(device)
    flat = image.reshape(-1, 3)
    torch.testing.assert_close(spectral.to_latent(image).reshape(-1, 3), sparse.to_latent(flat))
    latent = sparse.from_latent(flat)
    torch.testing.assert_close(spectral.from_latent(image).reshape(-1, 3), latent, atol=2e-6, rtol=0)


@pytest.mark.parametrize("periodic", [False, True])
def test_gradients_on_a_grid(periodic):
    preconditioner = Preconditioner.from_grid(4, 5, 2.0, periodic)
    image = normal_numbers(4, 5, 2, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(preconditioner.from_latent, image)
    torch.autograd.gradcheck(preconditioner.to_latent, image)


def test_gradients_on_a_mesh():
    sphere = icosphere(0)
    matrix = laplacian(sphere.faces, 12).double()
    preconditioner = Preconditioner.from_matrix(matrix, 2.0)
    x = normal_numbers(12, 2, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(preconditioner.from_latent, x)
    torch.autograd.gradcheck(preconditioner.to_latent, x)


def test_zero_smoothness_changes_nothing():
    image = normal_numbers(6, 7, 1)
    preconditioner = Preconditioner.from_grid(6, 7, 0.0)
    assert torch.equal(preconditioner.to_latent(image), image)
    torch.testing.assert_close(preconditioner.from_latent(image), image)


def test_loose_vertices_and_constants_stay():
    faces = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])  # non-manifold; vertex 5 belongs to nothing
    preconditioner = Preconditioner.from_mesh(faces, 6, 50.0)
    constant = torch.full((6, 2), 3.0)
    torch.testing.assert_close(preconditioner.from_latent(constant), constant)
    impulse = torch.zeros(6, 1)
    impulse[5] = 1
    torch.testing.assert_close(preconditioner.from_latent(impulse), impulse)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="if you mean lambda"):
        smoothness_from_alpha(19.0)
    with pytest.raises(InputError, match="-1"):
        Preconditioner.from_grid(4, 4, -1.0)
    with pytest.raises(InputError, match="nan"):
        Preconditioner.from_mesh(icosphere(0).faces, 12, float("nan"))
    with pytest.raises(InputError, match=r"\(4, 5, C\), got \(5, 4, 3\)"):
        Preconditioner.from_grid(4, 5, 1.0).from_latent(torch.zeros(5, 4, 3))


@pytest.mark.parametrize("smoothness", [(0.0, 0.0), (2.0, 0.0), (0.0, 0.5), (2.0, 0.5)])
def test_fields_that_are_evaluated_together_are_those_of_each_alone(smoothness):
    ball = icosphere(2)
    fields = [VertexField(ball.vertices, ball.faces, each) for each in smoothness]
    together = VertexField.evaluated(fields)
    sum((i + 2) * x.square().sum() for i, x in enumerate(together)).backward()
    for i, (field, x) in enumerate(zip(fields, together, strict=True)):
        gradient, field.latent.grad = field.latent.grad, None
        ((i + 2) * field().square().sum()).backward()
        torch.testing.assert_close(x, field())
        torch.testing.assert_close(gradient, field.latent.grad)

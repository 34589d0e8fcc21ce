import pytest
import torch

from bozzetto import InputError
from bozzetto.geometry import is_watertight, isosurface
from bozzetto.sdf import DecoderConfig, Evaluator, build_decoder, extract_mesh, extract_surface

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
CONFIGS = {
    "grid": DecoderConfig(code_size=5, hidden=24, layers=3, grid=4, features=6, octaves=2),
    "concatenate": DecoderConfig("concatenate", code_size=5, hidden=24, layers=5, skip=3, dropout=0.2),
    "without skip": DecoderConfig("concatenate", code_size=5, hidden=16, layers=2),
}


def decoder_and_code(name, device="cpu"):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        decoder = build_decoder(CONFIGS[name])
        for parameter in decoder.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape)
        return decoder.eval().to(device), torch.randn(5).to(device)


def cube(count, device="cpu"):
    return (2.4 * torch.rand(count, 3, generator=torch.Generator().manual_seed(4)) - 1.2).to(device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("count", [0, 1, 500, 25_000])
def test_equals_the_decoder(name, count, device):
    decoder, code = decoder_and_code(name, device)
    points = cube(count, device)
    values = Evaluator(decoder, code)(points)
    assert not values.requires_grad
    torch.testing.assert_close(values, decoder(code[None], points[None])[0], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_threads_share_the_points_and_leave_the_setting(name):
    decoder, code = decoder_and_code(name)
    evaluator, points = Evaluator(decoder, code), cube(60_000)
    alone = evaluator(points)
    torch.set_num_threads(3)
    try:
        torch.testing.assert_close(evaluator(points), alone, atol=1e-6, rtol=1e-5)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("name", CONFIGS)
def test_half_precision_is_near(name):
    decoder, code = decoder_and_code(name)
    points = cube(1000)
    exact, near = Evaluator(decoder, code)(points), Evaluator(decoder, code, "bfloat16")(points)
    assert near.dtype == torch.float32
    assert 0 < (near - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.parametrize("name", CONFIGS)
def test_keeps_the_weights_it_was_made_with(name):
    decoder, code = decoder_and_code(name)
    evaluator, points = Evaluator(decoder, code), cube(100)
    before = evaluator(points)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(1.5)
    assert torch.equal(evaluator(points), before)


def test_dropout_is_off():
    decoder, code = decoder_and_code("concatenate")
    points = cube(100)
    expected = decoder(code[None], points[None])[0]
    torch.testing.assert_close(Evaluator(decoder.train(), code)(points), expected, atol=2e-6, rtol=1e-5)


def test_decoders_of_other_kinds_are_called_as_they_are(balls):
    code = torch.tensor([0.1, 0.0, 0.2, 0.5])
    points = cube(700)
    assert torch.equal(Evaluator(balls.decoder, code)(points), balls.decoder(code[None], points[None])[0])


LOW, HIGH = (-1.0,) * 3, (1.0,) * 3


def dense_values(prior, code, resolution):
    axis = (torch.arange(resolution, dtype=torch.float64) * (2 / (resolution - 1)) - 1).float()
    return Evaluator(prior.decoder, code)(torch.cartesian_prod(axis, axis, axis)).view([resolution] * 3)


@pytest.mark.parametrize("shape", [0, 7])
def test_a_trained_shape_is_the_mesh_of_the_dense_grid(figures, shape):
    code = figures.codes[shape]
    values = dense_values(figures, code, 81)
    corners = values.unfold(0, 2, 1).unfold(1, 2, 1).unfold(2, 2, 1).flatten(3)
    found = extract_surface(figures, code, 81)
    assert torch.equal(found.cells, ((corners > 0).any(-1) & (corners <= 0).any(-1)).nonzero())
    expected = isosurface(values, LOW, HIGH)
    assert found.mesh.faces.shape == expected.faces.shape
    assert found.mesh.vertices.shape == expected.vertices.shape
    assert is_watertight(found.mesh.faces)
    assert found.total < 0.25 * 81**3


def test_a_ball_has_its_place_and_size(balls):
    code = torch.tensor([0.2, -0.1, 0.05, 0.6])
    mesh = extract_mesh(balls, code, 65)
    distance = (mesh.vertices - code[:3]).norm(dim=1)
    torch.testing.assert_close(distance, torch.full_like(distance, 0.6), atol=1e-3, rtol=0)
    a, b, c = mesh.corners().unbind(dim=1)
    outwards = (torch.linalg.cross(b - a, c - a) * (a - code[:3])).sum(dim=1)
    assert (outwards > 0).all()


def test_a_code_without_surface_is_named(balls):
    with pytest.raises(InputError, match="this code gives no surface.*give a code of this prior"):
        extract_mesh(balls, torch.tensor([0.0, 0.0, 0.0, -0.5]), 33)


def test_a_code_of_another_prior_is_named(balls):
    with pytest.raises(InputError, match="4 numbers"):
        extract_mesh(balls, torch.zeros(7), 33)


def test_a_resolution_without_cells_is_named(balls):
    with pytest.raises(InputError, match="two nodes"):
        extract_mesh(balls, torch.tensor([0.0, 0.0, 0.0, 0.5]), 1)

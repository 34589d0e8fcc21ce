import pytest
import torch

from bozzetto.score import ModelConfig, build_model
from bozzetto.score.config import REFERENCE_MODEL
from bozzetto.score.model import splat

CONFIGS = [
    ModelConfig(dimensions=2, code_size=64, hidden=32, levels=2),
    ModelConfig(code_size=64, hidden=32),
    ModelConfig(architecture="residual", code_size=64, hidden=32, blocks=2),
    ModelConfig(architecture="residual", code_size=64, hidden=32, blocks=2, condition="batch norm"),
]
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def alive(config):
    """A model whose last layers are not zero, so that its output depends on everything."""
    torch.manual_seed(0)
    model = build_model(config).eval()
    for parameter in model.parameters():
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("device", DEVICES)
def test_codes_do_not_depend_on_the_order_of_points(config, device):
    model = alive(config).to(device)
    points = torch.rand(3, 200, config.dimensions, device=device) * 2 - 1
    codes = model.encode(points)
    assert codes.shape == (3, 64)
    torch.testing.assert_close(model.encode(points.flip(1)), codes, atol=1e-4, rtol=1e-4)
    assert float((codes[0] - codes[1]).abs().max()) > 1e-4


@pytest.mark.parametrize("config", CONFIGS)
def test_shapes_levels_and_points_do_not_mix(config):
    model = alive(config)
    d = config.dimensions
    codes, x = torch.randn(2, 64), torch.randn(2, 3, 5, d)
    sigma = torch.tensor([[0.05, 0.3, 1.0], [0.02, 0.6, 0.9]])
    whole = model.denoise(model.prepare(codes), x, sigma)
    assert whole.shape == x.shape
    for b, g, n in ((0, 0, 0), (1, 2, 4), (1, 0, 3)):
        part = model.denoise(
            model.prepare(codes[b : b + 1]), x[b : b + 1, g : g + 1, n : n + 1], sigma[b : b + 1, g : g + 1]
        )
        torch.testing.assert_close(part[0, 0, 0], whole[b, g, n], atol=1e-5, rtol=1e-4)
    other = model.denoise(model.prepare(codes.flip(0)), x, sigma)
    assert float((other - whole).abs().max()) > 1e-5


@pytest.mark.parametrize("config", CONFIGS[:2])
def test_no_points_are_no_points(config):
    model = build_model(config).eval()
    prepared = model.prepare(torch.randn(1, 64))
    none = torch.zeros(1, 1, 0, config.dimensions)
    assert model.denoise(prepared, none, torch.ones(1, 1)).shape == none.shape


def test_the_default_begins_as_the_best_guess_of_a_gaussian():
    config = CONFIGS[1]
    model = build_model(config)
    x, sigma = torch.randn(1, 1, 50, 3), torch.tensor([[0.7]])
    found = model.denoise(model.prepare(torch.randn(1, 64)), x, sigma)
    torch.testing.assert_close(found, x * 0.5**2 / (0.5**2 + 0.7**2))
    torch.testing.assert_close(model.weight(sigma), (sigma**2 + 0.25) / (sigma * 0.5) ** 2)


def test_the_score_is_the_way_to_the_clean_point():
    model = alive(CONFIGS[1])
    codes, x, sigma = torch.randn(2, 64), torch.randn(2, 4, 3), torch.tensor([0.1, 0.5])
    clean = model.denoise(model.prepare(codes), x[:, None], sigma[:, None])[:, 0]
    torch.testing.assert_close(model.score(codes, x, sigma), (clean - x) / sigma[:, None, None] ** 2)


def test_the_reference_has_the_published_size():
    model = build_model(REFERENCE_MODEL)
    decoder = sum(p.numel() for p in model.decoder.parameters())
    assert decoder == pytest.approx(4.04e6, rel=0.01)
    first = [m for m in model.encoder.modules() if isinstance(m, torch.nn.Conv1d)]
    assert [m.out_channels for m in first] == [128, 128, 256, 512]


def test_splatting_keeps_places_and_forgets_numbers():
    points = torch.tensor([[[0.31, -0.2], [0.31, -0.2], [-0.9, 0.7]]])
    grid = splat(points, 16)
    assert grid.shape == (1, 4, 16, 16)
    row, column = divmod(int(grid[0, 0].argmax()), 16)  # rows are the second coordinate
    place = torch.tensor([column, row]) / 7.5 * 1.25 - 1.25
    assert float((place - points[0, 0]).abs().max()) < 1.25 / 7.5
    many = splat(points.repeat(1, 100, 1), 16)
    torch.testing.assert_close(many[:, 1], grid[:, 1], atol=1e-5, rtol=1e-4)
    assert float((many[0, 0] > 0.9).sum()) == 8  # four nodes around each of two places
    moved = splat(points + 1e-3, 16)
    assert float((moved - grid)[0, 2:].abs().max()) > 1e-4

import torch

from bozzetto.sdf.correction import ResidualField, project
from bozzetto.shapes import icosphere

POINTS = icosphere(3, 0.8).vertices


def test_a_field_passes_through_its_data_and_fades():
    top = POINTS[POINTS[:, 2] > 0.2]
    wrong = 0.02 * torch.sin(5 * top[:, 0])
    field = ResidualField(top, wrong, noise=1e-4)
    assert float((field(top) - wrong).abs().max()) < 2e-3
    assert not field(torch.tensor([[0.0, 0.0, -0.5]])).any()
    between = torch.nn.functional.normalize(top + 0.02, dim=1) * 0.8
    between = between[between[:, 2] > 0.4]
    assert float((field(between) - 0.02 * torch.sin(5 * between[:, 0])).abs().max()) < 4e-3


def test_noise_is_not_followed():
    noise = 0.01 * torch.randn(len(POINTS), generator=torch.Generator().manual_seed(0))
    field = ResidualField(POINTS, noise, noise=0.01)
    assert float(field(POINTS).square().mean().sqrt()) < 0.006


def test_projection_reaches_the_corrected_surface(balls):
    code = torch.tensor([0.0, 0.0, 0.0, 0.78])
    field = ResidualField(POINTS, torch.full((len(POINTS),), 0.02), noise=1e-4)
    found = project(balls.decoder, code, icosphere(2, 0.77).vertices, field)
    assert float((found.norm(dim=1) - 0.8).abs().max()) < 2e-3
    assert float((project(balls.decoder, code, found).norm(dim=1) - 0.78).abs().max()) < 1e-5

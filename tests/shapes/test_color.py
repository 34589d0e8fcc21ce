import torch

from bozzetto.shapes import linear_to_srgb, srgb_to_linear


def test_round_trip_and_fixed_points():
    values = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert torch.allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-7)
    assert srgb_to_linear(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]


def test_known_value():
    """Half of full scale in sRGB is 21.4 % of the light (IEC 61966-2-1)."""
    assert abs(float(srgb_to_linear(torch.tensor(0.5))) - 0.2140411) < 1e-6


def test_gradient_at_black_is_finite():
    x = torch.zeros(3, requires_grad=True)
    linear_to_srgb(x).sum().backward()
    assert torch.allclose(x.grad, torch.full((3,), 12.92))

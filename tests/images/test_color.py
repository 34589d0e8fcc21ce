import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bozzetto.errors import InputWarning
from bozzetto.images import linear_to_srgb, srgb_to_linear
from bozzetto.images.color import clipped_colors


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


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_colors_in_the_unit_range_stay(values):
    assert clipped_colors(np.array([values]), "colours").tolist() == [values]


@pytest.mark.parametrize("wrong", [-0.5, 1.4, 1e6])
def test_other_colors_are_told_and_clipped(wrong):
    with pytest.warns(InputWarning, match="the colours of a.obj run from .* 1 of 2 are clipped"):
        found = clipped_colors(np.array([[0.0, 0.5, wrong], [0.0, 0.5, 1.0]]), "the colours of a.obj")
    assert found[0].tolist() == [0.0, 0.5, min(max(wrong, 0.0), 1.0)]


def test_unknown_colors_become_white():
    with pytest.warns(InputWarning, match="NaN or infinite at 2 of 3 places"):
        found = clipped_colors(np.array([[np.nan, 0, 0], [1, 0, np.inf], [0, 1, 0]]), "colours")
    assert found.tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 0]]

import pytest
import torch

from bozzetto.sdf.evidence import Gauge
from bozzetto.sdf.pose import RADIUS


@pytest.mark.parametrize("code", [[0.0, 0.0, 0.0, RADIUS], [0.2, 0.0, -0.1, 0.6], [0.0, 0.3, 0.0, 0.4]])
def test_middle_and_reach_of_a_ball(balls, code):
    code = torch.tensor(code)
    offset, by_code = Gauge(balls.decoder, spread=1.0, side=48)(code)
    assert torch.allclose(offset[:3].float(), code[:3], atol=0.01)
    reach = float(code[:3].norm() + code[3])
    assert float(offset[3]) == pytest.approx(reach - RADIUS, abs=0.02)
    assert torch.allclose(by_code[:3, :3].float(), torch.eye(3), atol=0.1)
    assert float(by_code[3, 3]) == pytest.approx(1, abs=1e-5)


def test_shapes_of_a_prior_are_where_normalisation_puts_them(figures):
    offsets = torch.stack([Gauge(figures.decoder, 1.0)(code)[0] for code in figures.codes])
    assert float(offsets.abs().mean()) < 0.02


def test_the_derivative_is_that_of_differences(figures):
    gauge, code = Gauge(figures.decoder, spread=0.1), figures.codes[0]
    _, by_code = gauge(code)
    for axis in range(4):
        step = torch.zeros(4)
        step[axis] = 1e-3
        difference = (gauge(code + step)[0] - gauge(code - step)[0]) / 2e-3
        assert torch.allclose(by_code[:, axis], difference, atol=0.1 * float(by_code.abs().max()))


def test_a_code_without_a_surface_says_nothing(balls):
    offset, by_code = Gauge(balls.decoder)(torch.tensor([0.0, 0.0, 0.0, -3.0]))
    assert not offset.any() and not by_code.any()

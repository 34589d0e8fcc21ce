from dataclasses import replace

import pytest
import torch

from bozzetto.errors import InputError, InputWarning
from bozzetto.score import fit_limits, load_cloud_prior, points_of, save_cloud_prior
from bozzetto.score.family import FitLimits, require_member
from bozzetto.score.sample import invented_codes, least_likeness, recognised
from bozzetto.weights import find


@pytest.fixture(scope="module")
def bodies():
    return load_cloud_prior(find("cloud-bodies"))


def test_members_pass_and_strangers_do_not(bodies):
    limits = fit_limits(bodies)
    assert 0.01 < limits.whole < 0.05 < limits.part < 0.4
    known = replace(bodies, limits=(limits.whole, limits.part))
    assert fit_limits(known) == FitLimits(limits.whole, limits.part)
    member = points_of(bodies, bodies.codes[7:8], 1500, seed=9)[0] * 40 + 3
    assert require_member(known, member)["misfit"] < limits.whole
    ball = torch.nn.functional.normalize(
        torch.randn(1500, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    with pytest.raises(InputError, match="makes another shape of the ball.* --any-shape"):
        require_member(known, ball, "the ball")
    with pytest.warns(InputWarning, match="no member of the model's family"):
        assert require_member(known, ball, any_shape=True)["misfit"] > limits.part


def test_limits_are_kept_in_the_file(bodies, tmp_path):
    save_cloud_prior(replace(bodies, limits=(0.1, 0.2)), tmp_path / "model.safetensors")
    assert load_cloud_prior(tmp_path / "model.safetensors").limits == (0.1, 0.2)


def test_inventions_are_recognised_by_the_model(bodies):
    raw, codes = bodies.sample_codes(16, 0), invented_codes(bodies, 16, 0)
    least = least_likeness(bodies)
    assert int((recognised(bodies, raw) <= least).sum()) >= 2  # some need a second draw
    assert bool((recognised(bodies, codes) > least).all())
    torch.testing.assert_close(invented_codes(bodies, 3, 0), codes[:3], atol=1e-4, rtol=1e-4)

import math
from dataclasses import replace

import pytest
import torch

from bozzetto.errors import InputError, InputWarning
from bozzetto.sdf import (
    CompleteConfig,
    Observations,
    ShapePrior,
    complete,
    family_width,
    load_prior,
    save_prior,
)
from bozzetto.sdf.solver import LEAST_FAMILY_WIDTH, misfit, require_member, with_width

QUICK = CompleteConfig(turns=1, resolution=24, surface=300, space=300)

pytestmark = pytest.mark.usefixtures("coarse_completion")


def balls_of(balls: ShapePrior, radii: list[float], names: tuple[str, ...] = ()) -> ShapePrior:
    codes = torch.tensor([[0.0, 0.0, 0.0, radius] for radius in radii])
    return ShapePrior(balls.decoder, codes, names)


def test_the_width_is_the_largest_distance_to_the_nearest_other(balls):
    assert family_width(balls_of(balls, [0.5, 0.55, 0.58, 0.7])) == pytest.approx(0.12, abs=0.003)
    assert family_width(balls_of(balls, [0.5, 0.501])) == LEAST_FAMILY_WIDTH
    assert family_width(balls_of(balls, [0.5])) == LEAST_FAMILY_WIDTH


def test_variants_of_a_shape_are_none_of_its_others(balls):
    names = ("a", "a~1", "b", "b~1")
    assert family_width(balls_of(balls, [0.5, 0.501, 0.6, 0.601], names)) == pytest.approx(0.1, abs=0.003)


def test_the_width_is_kept_in_the_file(figures, tmp_path):
    unknown = replace(figures, width=None)
    known = with_width(unknown)
    assert known.width == family_width(unknown) > LEAST_FAMILY_WIDTH
    save_prior(known, tmp_path / "prior.safetensors")
    assert load_prior(tmp_path / "prior.safetensors").width == known.width == known.to("cpu").width
    save_prior(unknown, tmp_path / "older.safetensors")
    assert load_prior(tmp_path / "older.safetensors").width is None


@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_noise_alone_is_no_misfit(sigma):
    noise = sigma * torch.randn(20_001, generator=torch.Generator().manual_seed(0))
    assert misfit(noise, sigma) < 0.2 * sigma
    assert misfit(noise, 0.0) == pytest.approx(0.6745 * sigma, rel=0.05)
    far = torch.cat([noise, torch.full((15_000,), 9.0)])  # less than half belongs to something else
    assert misfit(far, sigma) < 2 * sigma
    assert math.isclose(misfit(torch.full((5,), 0.5), 0.0), 0.5)


def test_members_pass_strangers_do_not():
    require_member(0.01, 0.01)
    with pytest.raises(InputError, match=r"F is no member .* 12.0 % of its radius .* 1.0 % .* turn it, give"):
        require_member(0.12, 0.01, advice="turn it, ", what="F")
    with pytest.warns(InputWarning, match="no member of the prior's family"):
        require_member(0.12, 0.01, any_shape=True)


def test_parts_of_members_are_completed_and_a_stranger_is_not(figures, half_of):
    points, normals = half_of(figures, torch.tensor([0.25, 0.1, -0.2, 0.2]), 700)
    for noise in (0.01,):
        moved = points + noise * torch.randn(points.shape, generator=torch.Generator().manual_seed(0))
        result = complete(Observations(moved, noise, normals), figures, QUICK)
        assert result.metrics["misfit"] < 0.5 * result.metrics["family_width"]
    box = 2 * torch.rand(700, 3, generator=torch.Generator().manual_seed(0)) - 1
    with pytest.raises(InputError, match="the noise is no member"):
        complete(Observations(box, 0.01), figures, QUICK, name="the noise")

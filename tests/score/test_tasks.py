import pytest
import torch

from bozzetto import InputError
from bozzetto.score import autoencode, between, encode, interpolate, sample
from bozzetto.score.autoencode import misfit

from .conftest import ellipses


def test_sampling_is_repeatable_and_takes_any_number_of_points(tiny):
    made = sample(tiny, 3, 150, seed=4)
    assert made.shape == (3, 150, 2) and bool(torch.isfinite(made).all())
    torch.testing.assert_close(sample(tiny, 3, 150, seed=4), made)
    torch.testing.assert_close(tiny.sample_codes(2, 4), tiny.sample_codes(3, 4)[:2])
    assert float((sample(tiny, 3, 150, seed=5) - made).abs().max()) > 0.05
    assert sample(tiny, 1, 200_000, seed=4, evaluations=2).shape == (1, 200_000, 2)
    spread = [float(tiny.sample_codes(32, 0, truncation).var(dim=0).mean()) for truncation in (0.2, 1.0)]
    assert spread[0] < spread[1]
    for words in ({"shapes": 0}, {"shapes": 1, "points": 0}, {"shapes": 1, "truncation": 1.5}):
        with pytest.raises(InputError):
            sample(tiny, **words)


def test_autoencoding_stays_in_the_frame_of_the_cloud(tiny):
    cloud = ellipses(8, 400, seed=9)[2]
    near = autoencode(tiny, cloud, 300)
    far = autoencode(tiny, cloud * 50 + torch.tensor([1000.0, -300.0]), 300)
    torch.testing.assert_close((far - torch.tensor([1000.0, -300.0])) / 50, near, atol=2e-3, rtol=0)
    distance = torch.cdist(near, cloud).amin(dim=1)
    assert float(distance.mean()) < 0.1


def test_a_code_explains_its_own_cloud_best(tiny, rings):
    cost = torch.stack(
        [misfit(tiny.model, tiny.codes, cloud.expand(8, -1, -1)) for cloud in rings.points[:, :200]]
    )
    assert (cost.argmin(dim=1) == torch.arange(8)).sum() >= 6


def test_interpolation_begins_and_ends_at_the_shapes(tiny):
    a, b = tiny.codes[0], tiny.codes[6]
    codes = between(a, b, 5)
    torch.testing.assert_close(codes[0], a)
    torch.testing.assert_close(codes[-1], b, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(codes.norm(dim=1), a.norm().expand(5), atol=0.1, rtol=0)
    clouds = interpolate(tiny, a, b, 5, 200)
    torch.testing.assert_close(clouds[0], interpolate(tiny, a, b, 2, 200)[0])
    steps = (clouds[1:] - clouds[:-1]).norm(dim=2).mean(dim=1)
    assert float(steps.max()) < float((clouds[-1] - clouds[0]).norm(dim=1).mean()) + 0.05
    with pytest.raises(InputError, match="2 or more"):
        between(a, b, 1)


def test_clouds_of_other_dimensions_are_refused(tiny):
    with pytest.raises(InputError, match="scan has points with 3 coordinates.*model is for 2"):
        encode(tiny, torch.rand(20, 3), "scan")
    with pytest.raises(InputError, match="at least two"):
        autoencode(tiny, torch.zeros(1, 2))

from dataclasses import replace

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.sdf import CodeDistribution, Decoder, DecoderConfig, build_decoder, fit_code
from bozzetto.sdf.fit_code import balanced, published_fit_loss


def samples_of(prior, code, count=3000, seed=0):
    points = 2 * torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) - 1
    return points, prior.decoder(code[None], points[None])[0]


def probable(prior, seed):
    return CodeDistribution.of(prior.codes).sample(1, torch.Generator().manual_seed(seed))[0].float()


def test_the_jacobian_of_a_grid_decoder_is_that_of_automatic_differentiation():
    torch.manual_seed(0)
    decoder = build_decoder(DecoderConfig(code_size=5, grid=4, features=3, hidden=8, layers=2)).double()
    torch.nn.init.normal_(decoder.last.weight)
    code = torch.randn(5, dtype=torch.float64)
    points = 2.4 * torch.rand(100, 3, dtype=torch.float64) - 1.2
    for found, true in zip(
        decoder.value_and_jacobian(code, points),
        Decoder.value_and_jacobian(decoder, code, points),
        strict=True,
    ):
        assert torch.allclose(found, true, atol=1e-10)


@pytest.mark.parametrize("regulariser", ["codes", "isotropic"])
def test_second_order_finds_the_code_that_made_the_distances(figures, regulariser):
    code = probable(figures, 3)
    fit = fit_code(figures, *samples_of(figures, code), regulariser=regulariser)
    assert torch.allclose(fit.code, code, atol=0.01)
    assert fit.losses[-1] < fit.losses[0] and fit.iterations == len(fit.losses) - 1 <= 15


def test_second_order_reaches_the_loss_of_adam(figures):
    code = probable(figures, 4)
    points, distances = samples_of(figures, code)
    distances = distances + 0.01 * torch.randn(len(points), generator=torch.Generator().manual_seed(1))
    adam = fit_code(figures, points, distances, "adam", iterations=300)
    second = fit_code(figures, points, distances, regulariser="isotropic")
    losses = [float(published_fit_loss(figures, fit.code, points, distances)) for fit in (second, adam)]
    assert losses[0] <= losses[1] * 1.002
    assert adam.iterations == 300 and adam.covariance is None
    assert second.losses[-1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("heavy_tails", [False, True])
def test_the_covariance_says_how_far_the_code_is_off(figures, heavy_tails):
    generator, distances_off = torch.Generator().manual_seed(7), []
    for trial in range(30):
        code = probable(figures, 100 + trial)
        points, distances = samples_of(figures, code, 3000, seed=trial)
        near = (distances.abs() < 0.05).nonzero()[:200, 0]  # far from the clamp, which would bias
        noise = torch.randn(len(near), generator=generator)
        if heavy_tails:
            noise = noise / torch.rand(len(near), generator=generator).clamp_min(0.05)
        fit = fit_code(figures, points[near], distances[near] + 0.005 * noise, iterations=30)
        off = (fit.code - code).double()
        distances_off.append(float(off @ torch.linalg.solve(fit.covariance, off)))
    # The mean of a chi-squared variable of 4 degrees is 4; of 30 of them it lies within 3 standard errors.
    assert 2.4 < torch.tensor(distances_off).mean() < 5.6


def test_an_analytic_decoder_is_fitted_too(balls):
    fit = fit_code(balls, *samples_of(balls, balls.codes[0]))
    assert torch.allclose(fit.code, balls.codes[0], atol=1e-3)


def test_samples_are_half_inside_as_far_as_there_are_any():
    distances = torch.cat([-torch.ones(30), torch.ones(300)])
    few = distances[balanced(distances, 40, torch.Generator().manual_seed(0))]
    assert int((few < 0).sum()) == 20 and len(few) == 40
    many = balanced(distances, 200, torch.Generator().manual_seed(0))
    assert int((distances[many] < 0).sum()) == 30 and len(many.unique()) == 200
    assert len(balanced(distances, 1000, torch.Generator())) == 330


@pytest.mark.parametrize(
    ("points", "distances", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0), "needs points"),
        (torch.full((5, 3), torch.nan), torch.zeros(5), "5 samples have NaN"),
        (torch.zeros(5, 3), torch.tensor([0.0, 0, 0, torch.inf, 0]), "1 samples have NaN"),
    ],
)
def test_bad_samples_are_refused(figures, points, distances, message):
    with pytest.raises(InputError, match=message):
        fit_code(figures, points, distances)


def test_adam_takes_the_released_steps(figures):
    """Steps of Adam are as long as the step size where gradients keep their signs: 5e-3, then a tenth."""
    points, distances = samples_of(figures, probable(figures, 5))
    start = 0.01 * torch.randn(4, generator=torch.Generator().manual_seed(0))
    fit = fit_code(figures, points, distances, "adam", iterations=2)
    assert ((fit.code - start).abs() <= 5.5e-3 + 1e-6).all()
    assert ((fit.code - start).abs() >= 4.5e-3 - 1e-6).all()


def test_the_published_penalty_is_a_ten_thousandth_of_the_mean_square(balls):
    code, points = torch.tensor([0.3, 0.0, 0.0, 0.4]), torch.tensor([[0.0, 0.0, 0.9], [0.0, 0.9, 0.9]])
    # All distances are beyond the clamp, on the right side: nothing else remains.
    loss = published_fit_loss(balls, code, points, torch.full((2,), 0.7))
    assert float(loss) == pytest.approx(1e-4 * (0.09 + 0.16) / 4, rel=1e-5)


@pytest.mark.parametrize("method", ["second_order", "adam"])
def test_codes_are_fitted_with_the_clamp_of_the_prior(balls, method):
    """Samples farther than 0.1 but nearer than 0.3: they say nothing with one clamp and all with the other."""
    truth = torch.tensor([0.05, -0.05, 0.1, 0.55])
    points = 2 * torch.rand(4000, 3, generator=torch.Generator().manual_seed(1)) - 1
    distances = balls.decoder(truth[None], points[None])[0]
    told = (distances.abs() > 0.15) & (distances.abs() < 0.3)
    points, distances = points[told], distances[told]
    found = [fit_code(replace(balls, clamp=clamp), points, distances, method).code for clamp in (0.1, 0.4)]
    errors = [float((code - truth).abs().max()) for code in found]
    assert errors[1] < 0.01 and errors[0] > 2 * errors[1]


def test_the_published_loss_takes_the_clamp_of_the_prior(balls):
    code, points = torch.tensor([0.0, 0.0, 0.0, 0.5]), torch.tensor([[0.0, 0.0, 0.75]])
    losses = [
        float(published_fit_loss(replace(balls, clamp=clamp), code, points, torch.zeros(1)))
        for clamp in (0.1, 0.2, 1.0)
    ]
    assert losses == pytest.approx([0.1 + 6.25e-6, 0.2 + 6.25e-6, 0.25 + 6.25e-6], abs=1e-7)

import math

import pytest
import torch

from bozzetto import InputError
from bozzetto.score import ModelConfig, ScoreModel, annealed_langevin, denoised, draw_points
from bozzetto.score.solvers import moments, noise_levels, square_root, start_noise


class Oracle(ScoreModel):
    """The exact field of known clouds; codes are their numbers."""

    def __init__(self, clouds: torch.Tensor) -> None:
        super().__init__(ModelConfig(dimensions=clouds.shape[2], low=0.02))
        self.clouds = clouds

    def encode(self, points):
        raise NotImplementedError

    def prepare(self, codes):
        return (self.clouds[codes[:, 0].long()],)

    def denoise(self, prepared, x, sigma):
        return denoised(prepared[0][:, None], x, sigma[..., None].expand(x.shape[:-1]))

    def weight(self, sigma):
        return sigma


def circles(count: int = 512) -> torch.Tensor:
    angle = torch.arange(count) * 2 * torch.pi / count
    ring = torch.stack([angle.cos(), angle.sin()], dim=1)
    return torch.stack([ring, 0.3 * ring])


def test_exact_fields_lead_onto_the_shape():
    model, codes = Oracle(circles()), torch.tensor([[0.0], [1.0]])
    made = draw_points(model, codes, 256)
    torch.testing.assert_close(made[0].norm(dim=1), torch.ones(256), atol=0.02, rtol=0)
    torch.testing.assert_close(made[1].norm(dim=1), torch.full((256,), 0.3), atol=0.02, rtol=0)
    share = torch.histc(torch.atan2(made[0, :, 1], made[0, :, 0]), 8, -math.pi, math.pi) / 256
    assert float(share.min()) > 0.07 and float(share.max()) < 0.19


def test_langevin_dynamics_lead_onto_the_shape_from_any_prior():
    model, codes = Oracle(circles()), torch.tensor([[0.0], [1.0]])
    draw = torch.Generator().manual_seed(0)
    cube = torch.rand(2, 256, 2, generator=draw) * 3 - 1.5
    for start in (cube, torch.randn(2, 256, 2, generator=draw), torch.zeros(2, 256, 2)):
        walked = annealed_langevin(model, codes, start, draw)
        torch.testing.assert_close(walked[0].norm(dim=1), torch.ones(256), atol=0.02, rtol=0)


def test_langevin_dynamics_add_the_published_noise():
    """Whatever the field, noise of sqrt(2) sigma is added, ten times on each of ten levels."""
    seen = []

    class Origin(Oracle):
        def denoise(self, prepared, x, sigma):
            seen.append((float(sigma), x.square().mean().sqrt()))
            return torch.zeros_like(x)

    model = Origin(circles())
    start = torch.zeros(1, 20_000, 2)
    annealed_langevin(model, torch.zeros(1, 1), start, torch.Generator().manual_seed(0), high=1.0)
    levels = torch.logspace(0, math.log10(0.02), 10).repeat_interleave(10)
    torch.testing.assert_close(torch.tensor([level for level, _ in seen]), levels, rtol=1e-4, atol=0)
    # The error of such a deviation is 1 / sqrt(2 * 40,000) = 0.35 %; five of them are allowed.
    spread = torch.stack([deviation for _, deviation in seen])
    torch.testing.assert_close(spread, math.sqrt(2) * levels, rtol=0.018, atol=0)


def test_even_noise_covers_a_shape_more_evenly():
    model, codes = Oracle(circles()), torch.zeros(4, 1)

    def unevenness(stratified):
        made = draw_points(model, codes, 512, stratified=stratified)
        angle = torch.atan2(made[..., 1], made[..., 0])
        counts = torch.stack([torch.histc(row, 16, -math.pi, math.pi) for row in angle])
        return float(counts.std())

    assert unevenness(True) < 0.6 * unevenness(False)


def test_more_evaluations_come_nearer_to_the_exact_solution():
    # Data that are normal: D(x) = x / (1 + sigma^2), solved in closed form.
    class Gaussian(Oracle):
        def denoise(self, prepared, x, sigma):
            return x / (1 + sigma[..., None, None] ** 2)

    model = Gaussian(torch.zeros(1, 1, 2))
    first = start_noise(1, 100, 2, 0) * math.sqrt(2)  # variance 1, blurred by 1
    low = model.config.low
    exact = first / math.sqrt(2) * math.sqrt(1 + low**2) / (1 + low**2)
    errors = [
        float((draw_points(model, torch.zeros(1, 1), 100, evaluations=n) - exact).abs().max())
        for n in (5, 10, 40)
    ]
    assert errors[1] < 0.8 * errors[0] and errors[2] < 0.4 * errors[1]


def test_fields_tell_the_moments_of_their_shapes():
    cloud = torch.randn(1, 400, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.6, 0.3, 0.1])
    cloud = cloud + torch.tensor([0.2, -0.1, 0.3])
    model = Oracle(cloud)
    mean, covariance = moments(model, model.prepare(torch.zeros(1, 1)), 1, 1.0)
    torch.testing.assert_close(mean, cloud.mean(dim=1), atol=0.02, rtol=0)
    torch.testing.assert_close(covariance[0], cloud[0].T.cov(correction=0), atol=0.02, rtol=0)
    root = square_root(covariance)
    torch.testing.assert_close(root @ root, covariance)


def test_noise_is_normal_and_repeatable():
    for stratified in (True, False):
        noise = start_noise(3, 4096, 3, 5, stratified)
        assert abs(float(noise.mean())) < 0.02 and abs(float(noise.std()) - 1) < 0.02
        torch.testing.assert_close(start_noise(3, 4096, 3, 5, stratified), noise)
        assert float((noise[0] - noise[1]).abs().mean()) > 0.5
        assert float((start_noise(1, 4096, 3, 6, stratified)[0] - noise[0]).abs().mean()) > 0.5
    levels = noise_levels(2.0, 0.01, 6)
    assert levels[0] == pytest.approx(2) and levels[-1] == pytest.approx(0.01)
    assert sorted(levels, reverse=True) == levels


def test_nothing_to_draw_is_refused():
    for words in ({"count": 0}, {"count": 5, "evaluations": 0}):
        with pytest.raises(InputError, match="at least one"):
            draw_points(Oracle(circles()), torch.zeros(1, 1), **words)

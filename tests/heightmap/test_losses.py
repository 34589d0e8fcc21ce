import pytest
import torch

from bozzetto.heightmap.losses import (
    PerceptualDistance,
    gradient_difference,
    normal_difference,
    published_loss,
    similarity,
    structure_loss,
)
from bozzetto.heightmap.model import Estimate


@pytest.fixture
def truth():
    x = torch.linspace(0, 6 * torch.pi, 48)
    height = torch.stack([x.sin() + (2 * x)[:, None].cos(), (x[:, None] * 0.7 + x).sin()])
    height = height - height.mean(dim=(1, 2), keepdim=True)
    return height / height.square().mean(dim=(1, 2), keepdim=True).sqrt()


def loss(height, truth, painted=False):
    seen = Estimate(height, None, torch.zeros_like(height), torch.zeros(len(height)))
    return structure_loss(seen, truth, torch.full((len(height),), painted))


def test_the_truth_costs_nothing(truth):
    total, figures = loss(truth, truth)
    assert figures["r"] == pytest.approx(1, abs=1e-4)
    for name in ("correlation", "difference", "gradient", "normal", "similarity"):
        assert figures[name] == pytest.approx(0, abs=1e-3)
    worse, _ = loss(truth + 0.3 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)), truth)
    assert worse > total


def test_an_offset_costs_nothing(truth):
    assert loss(truth + 5, truth)[0] == pytest.approx(float(loss(truth, truth)[0]), abs=1e-3)


def test_the_sign_of_painted_pairs_does_not_matter(truth):
    upside_down, figures = loss(-truth, truth, painted=True)
    assert upside_down == pytest.approx(float(loss(truth, truth, painted=True)[0]), abs=1e-3)
    assert figures["sign"] == 0
    assert loss(-truth, truth)[0] > upside_down + 1


def test_blurring_costs_gradients(truth):
    blurred = torch.nn.functional.avg_pool2d(truth[:, None], 9, 1, 4, count_include_pad=False)[:, 0]
    assert gradient_difference(blurred, truth) > 5 * gradient_difference(truth + 1e-3, truth) + 0.05
    assert normal_difference(blurred, truth) > 0.002
    assert similarity(blurred, truth) < 0.99


def test_the_error_it_expects_is_the_error_it_makes(truth):
    """The confidence term is least where the logarithm of the error is right."""
    height = truth + 0.5
    height[:, :24] += 1
    errors = []
    for size in (0.05, 0.5, 5.0):
        seen = Estimate(height, None, torch.full_like(height, size).log(), torch.zeros(2))
        errors.append(structure_loss(seen, truth, torch.zeros(2, dtype=torch.bool))[1]["confidence"])
    assert errors[1] == min(errors)


def test_every_term_counts_with_its_weight(truth):
    height = 0.3 * truth.roll(2, 1)
    total, terms = structure_loss(Estimate(height), truth, torch.zeros(2, dtype=torch.bool))
    weights = {"correlation": 1.0, "difference": 0.5, "gradient": 0.5, "normal": 0.3, "similarity": 0.7}
    assert all(terms[name] > 0.01 for name in weights)
    expected = sum(weight * terms[name] for name, weight in weights.items())
    assert float(total) == pytest.approx(expected, rel=1e-5)
    with_doubt, terms = loss(height, truth)
    expected += 0.05 * (terms["confidence"] + terms["sign"])
    assert float(with_doubt) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_that_of_differences(truth):
    height, step = (0.3 * truth.roll(2, 1)).double(), 1e-5
    way = torch.randn(height.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat = torch.zeros(2, dtype=torch.bool)

    def value(shift):
        return structure_loss(Estimate(height + shift * way), truth.double(), flat)[0]

    variable = height.clone().requires_grad_()
    structure_loss(Estimate(variable), truth.double(), flat)[0].backward()
    difference = float(value(step) - value(-step)) / (2 * step)
    assert float((variable.grad * way).sum()) == pytest.approx(difference, rel=1e-3)


def test_the_published_loss_is_zero_at_the_stretched_truth(truth):
    distance = PerceptualDistance()
    assert ("random filters" in distance.kind) == (distance.network is None)
    low, high = truth.amin(dim=(1, 2), keepdim=True), truth.amax(dim=(1, 2), keepdim=True)
    best = 2 * (truth - low) / (high - low) - 1
    assert published_loss(Estimate(best), truth, distance)[0] == pytest.approx(0, abs=1e-5)
    assert published_loss(Estimate(best.roll(3, 1)), truth, distance)[0] > 0.1
    assert not [p for p in distance.parameters() if p.requires_grad]


def test_both_halves_of_the_published_loss_count_alike(truth):
    low, high = truth.amin(dim=(1, 2), keepdim=True), truth.amax(dim=(1, 2), keepdim=True)
    best = 2 * (truth - low) / (high - low) - 1
    compared = []

    class Seven(torch.nn.Module):
        def forward(self, first, second):
            compared.append((first, second))
            return torch.tensor(7.0)

    total, terms = published_loss(Estimate(best + 0.25), truth, Seven())
    assert float(total) == pytest.approx(7.25, abs=1e-5)
    assert terms == pytest.approx({"difference": 0.25, "perceptual": 7.0}, abs=1e-5)
    torch.testing.assert_close(compared[0][0][:, 0], best + 0.25)
    torch.testing.assert_close(compared[0][1][:, 0], best)

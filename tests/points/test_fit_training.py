"""The recipe of the denoiser: what is minimised, on what, and that the shipped weights come from it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.points.denoiser import (
    DenoiserRecipe,
    FitChoice,
    load_denoiser,
    recipe_of,
    save_denoiser,
    shipped_denoiser,
)
from bozzetto.points.denoising import one_pass
from bozzetto.points.fit_training import (
    FAMILIES,
    Distance,
    distance_loss,
    noisy_cloud,
    quantile_loss,
    train_denoiser,
    training_shape,
)
from bozzetto.points.local_fits import estimated_level

LOG = Path(__file__).parents[2] / "benchmarks" / "results" / "train_denoiser.jsonl"
SMALL = DenoiserRecipe(
    passes=1, shapes=6, places=4, rows=100, sizes=(800, 1500), levels=(0.01, 0.03), steps=150,
    level_shapes=8, level_clouds=3, level_sizes=(500, 2000), level_levels=(0.005, 0.03), level_steps=150,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    lines: list[dict] = []
    return train_denoiser(SMALL, lines.append), lines


def rms(values: torch.Tensor) -> float:
    return float(values.square().mean().sqrt())


def test_a_short_training_learns(trained):
    """Losses fall, and the noise of a shape that was not seen is estimated."""
    denoiser, lines = trained
    for name in ("pass 1", "level"):
        losses = [line["loss"] for line in lines if line["network"] == name]
        assert len(losses) == 2 and losses[-1] < losses[0]
    points = chair(0.02)[0]
    assert estimated_level(denoiser.level, points) == pytest.approx(0.02, rel=0.3)


def chair(noise: float) -> tuple[torch.Tensor, Distance]:
    """One that was never learned from."""
    clean, distance = training_shape(10**6 + 3, 3000, "chair")
    draw = torch.Generator().manual_seed(0)
    return clean + noise * torch.randn(clean.shape, generator=draw), distance


def test_shipped_networks_are_better_than_untrained_ones():
    """Of a chair with edges and thin parts, where equal shares of all fits are poor."""
    torch.manual_seed(0)
    untrained = FitChoice().requires_grad_(False)
    points, distance = chair(0.01)
    left = {}
    for name, passes in {"shipped": shipped_denoiser().passes, "untrained": (untrained, untrained)}.items():
        moved = points
        for network in passes:
            moved = one_pass(network, moved, 0.01)[0]
        left[name] = rms(distance(moved))
    assert left["shipped"] < 0.8 * left["untrained"] and left["shipped"] < 0.65 * rms(distance(points))


@pytest.mark.skipif(
    tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 13),
    reason="earlier versions of PyTorch draw other numbers",
)
def test_losses_of_a_short_training_are_those_of_the_recipe(trained):
    """Rates, losses, shapes and features all show here: whoever changes one of them writes new numbers."""
    known = {("pass 1", 100): 6.3555, ("pass 1", 150): 6.3398, ("level", 100): 0.04302}
    found = {(line["network"], line["step"]): line["loss"] for line in trained[1]}
    for key, loss in known.items():
        assert found[key] == pytest.approx(loss, abs=0.002)


def test_equal_seeds_give_equal_bytes(tmp_path):
    short = replace(SMALL, level_shapes=2, shapes=2, steps=10, level_steps=10)
    first, again, other = (train_denoiser(replace(short, seed=seed)) for seed in (0, 0, 1))
    for name, denoiser in {"a": first, "b": again, "c": other}.items():
        save_denoiser(denoiser, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    loaded = load_denoiser(tmp_path / "a")
    assert recipe_of(loaded) == short
    for one, two in zip(loaded.passes, first.passes, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    state = first.level.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.level.state_dict().items())


@pytest.mark.parametrize("name", ["passes", "shapes", "steps", "level_shapes", "level_clouds", "level_steps"])
def test_a_recipe_of_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"{name}.*got 0"):
        train_denoiser(replace(SMALL, **{name: 0}))


def test_the_loss_is_a_square_near_zero_and_a_distance_far_away():
    assert float(distance_loss(torch.tensor([0.0]), 3.0)) == 3
    assert float(distance_loss(torch.tensor([4.0, -4.0]), 3.0)) == 5
    small, twice = (float(distance_loss(torch.tensor([x]).double(), 3.0)) - 3 for x in (0.01, 0.02))
    assert twice / small == pytest.approx(4, rel=1e-3)


def test_the_estimate_is_a_quantile():
    values = torch.linspace(0, 1, 1001)
    losses = [float(quantile_loss(values - level, 0.4)) for level in (0.3, 0.39, 0.4, 0.41, 0.5)]
    assert min(losses) == losses[2]


def test_the_shipped_weights_come_from_the_recipe():
    """Whoever changes the recipe trains again; the log beside the benchmarks is that of the weights."""
    denoiser = shipped_denoiser()
    assert recipe_of(denoiser) == DenoiserRecipe()
    assert len(denoiser.passes) == DenoiserRecipe().passes
    assert "train_denoiser" in denoiser.metadata["command"]
    if LOG.exists():  # not so in an installed package
        lines = [json.loads(line) for line in LOG.read_text().splitlines()]
        last = {line["network"]: line for line in lines}
        assert {name: line["loss"] for name, line in last.items()} == denoiser.metadata["last"]
        recipe = DenoiserRecipe()
        assert last["pass 1"]["step"] == recipe.steps and last["level"]["step"] == recipe.level_steps


@pytest.mark.parametrize("family", FAMILIES)
def test_training_shapes_are_exact_and_fill_the_unit_sphere(family):
    points, distance = training_shape(5, 1500, family)
    assert points.shape == (1500, 3)
    assert float(points.norm(dim=1).max()) == pytest.approx(1, abs=0.05)
    assert float(distance(points).abs().quantile(0.99)) < 1e-3
    again = training_shape(5, 1500, family)[0]
    assert torch.equal(points, again)


def test_noise_of_training_clouds_is_what_is_asked_for():
    clean = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 2.0, 0.0])
    for seed in range(4):
        cloud, before = noisy_cloud(clean, 0.02, 3000, torch.Generator().manual_seed(seed))
        assert len(before) == 3000 and torch.equal(before[:, 2], torch.zeros(3000))
        assert float((cloud[:3000] - before).std()) == pytest.approx(0.02, rel=0.06)

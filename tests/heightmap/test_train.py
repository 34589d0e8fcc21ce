from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.heightmap import NetworkConfig, TrainConfig
from bozzetto.heightmap.data import Crops, procedural_pairs
from bozzetto.heightmap.train import Training

CONFIG = TrainConfig(side=32, crops_per_step=2, steps=6, precision="float32", quarters=0.4)


@pytest.fixture(scope="module")
def crops():
    return Crops([], procedural_pairs(6, seed=0, side=32, workers=1), (0, 0, 1.0), side=32)


@pytest.fixture
def config(tiny):
    return replace(CONFIG, network=tiny)


def run(training, steps):
    return [training.step()["loss"] for _ in range(steps)]


def test_a_continued_training_ends_the_same(crops, config):
    whole = Training(crops, config)
    expected = run(whole, 6)
    assert whole.progress == 1
    first = Training(crops, config)
    losses = run(first, 3)
    second = Training(crops, config)
    second.restore(*first.state())
    assert losses + run(second, 3) == pytest.approx(expected, rel=1e-6)
    for name, value in whole.ema.module.state_dict().items():
        assert torch.allclose(value, second.ema.module.state_dict()[name], atol=1e-7), name


def test_it_learns(crops, config, monkeypatch):
    batch = crops.draw(0, 2)
    monkeypatch.setattr(crops, "draw", lambda *arguments: batch)
    training = Training(crops, replace(config, steps=30, quarters=0.0, lr=5e-3))
    losses = run(training, 30)
    assert losses[-1] < 0.8 * losses[0]
    predictor = training.result({"a": 1})
    assert predictor.metadata == {"a": 1} and not predictor.network.training


def test_learning_rates_rise_and_fall(crops, config):
    sizes = {}
    for schedule in ("cosine", "flat"):
        training = Training(crops, replace(config, schedule=schedule, steps=1000))
        found = []
        for done in (0, 100, 990):
            training.steps_done = done
            found.append(config.lr * training.lr_factor())
        sizes[schedule] = found
    assert sizes["cosine"][0] < 0.1 * sizes["cosine"][1] and sizes["cosine"][2] < 0.05 * sizes["cosine"][1]
    assert sizes["flat"][2] == config.lr


def test_it_starts_from_another(crops, config):
    first = Training(crops, config)
    run(first, 2)
    second = Training(crops, config, start=first.result())
    for name, value in first.ema.module.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value)


def test_the_reference_trains_with_its_own_loss(crops):
    network = NetworkConfig(architecture="unet", encoder="b0", pretrained=False)
    config = replace(CONFIG, network=network, loss="perceptual", steps=1, quarters=0.0)
    training = Training(crops, config)
    assert set(training.step()) == {"loss", "difference", "perceptual"}
    assert any("LPIPS" in note for note in training.notes)


def test_materials_are_held_out_and_a_loss_of_ones_own_is_minimised(crops, config):
    def squared(estimate, truth):
        error = (estimate.height - truth).square().mean()
        return error, {"squared": float(error.detach())}

    training = Training(crops, replace(config, steps=2), loss_fn=squared, validation=0.34)
    sizes = [sum(map(len, part._groups)) for part in (training.crops, training.held_out)]
    assert sizes == [4, 2]
    *_, metrics = training.steps()
    assert metrics["squared"] == metrics["loss"] and metrics["validation_loss"] == training.validate()
    with pytest.raises(InputError, match="too few materials"):
        crops.split(0.01)

from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.score import (
    Training,
    annealed_langevin,
    load_cloud_prior,
    points_of,
    save_cloud_prior,
)
from bozzetto.score.config import REFERENCE

from .conftest import TINY


def chamfer(a, b):
    d = torch.cdist(a, b)
    return d.amin(dim=2).square().mean(dim=1) + d.amin(dim=1).square().mean(dim=1)


def test_training_learns_the_shapes(tiny, rings):
    made = points_of(tiny, tiny.codes, 300)
    right = chamfer(made, rings.points[:, :300])
    wrong = chamfer(made, rings.points.roll(3, dims=0)[:, :300])
    assert float(right.max()) < 0.02
    assert float(right.max()) < 0.5 * float(wrong.min())


def test_models_are_saved_and_loaded(tiny, tmp_path):
    save_cloud_prior(tiny, tmp_path / "model.safetensors")
    again = load_cloud_prior(tmp_path / "model.safetensors")
    torch.testing.assert_close(points_of(again, again.codes[:2], 50), points_of(tiny, tiny.codes[:2], 50))
    torch.testing.assert_close(again.sample_codes(3, 1), tiny.sample_codes(3, 1))
    assert again.names == tiny.names and again.model.config == tiny.model.config
    with pytest.raises(InputError, match="no model"):
        load_cloud_prior(tmp_path / "nothing.safetensors")
    with pytest.raises(InputError, match="damaged"):
        (tmp_path / "broken.safetensors").write_bytes(b"broken")
        load_cloud_prior(tmp_path / "broken.safetensors")


def test_a_resumed_training_ends_the_same(rings):
    config = replace(TINY, model=replace(TINY.model, code_noise=0.1))
    whole = Training(rings, config)
    for _ in range(14):
        whole.step()
    first = Training(rings, config)
    for _ in range(6):
        first.step()
    tensors, meta = first.state()
    second = Training(rings, config)
    second.restore({name: value.clone() for name, value in tensors.items()}, meta)
    for _ in range(8):
        second.step()
    for name, value in whole.state()[0].items():
        torch.testing.assert_close(second.state()[0][name], value, msg=name)


def test_the_reference_learns_and_samples_as_published(rings):
    model = replace(REFERENCE.model, dimensions=2, code_size=8, hidden=32, blocks=2, low=0.05)
    config = replace(REFERENCE, model=model, epochs=160, shapes_per_step=8, points=64, inputs=(128, 128))
    config = replace(config, precision="float32")
    training = Training(rings, config)
    losses = [metrics["loss"] for metrics in training.steps()]
    prior = training.result()
    assert sum(losses[-40:]) < 0.7 * sum(losses[:40])
    start = torch.rand(8, 200, 2, generator=torch.Generator().manual_seed(0)) * 3 - 1.5
    made = annealed_langevin(prior.model, prior.codes, start, torch.Generator().manual_seed(1))
    assert float(chamfer(made, rings.points[:, :200]).median()) < 0.5 * float(
        chamfer(start, rings.points[:, :200]).median()
    )
    with pytest.raises(InputError, match="distribution of codes"):
        prior.sample_codes(1)


def test_divergence_is_reported(rings):
    training = Training(rings, TINY)
    with torch.no_grad():
        next(training.model.model.parameters()).fill_(torch.nan)
    with pytest.raises(InputError, match="diverged"):
        training.step()


def test_shapes_are_held_out_and_a_loss_of_ones_own_is_minimised(rings):
    def loss_fn(model, codes, noisy, sigma, clean):
        return (model.denoise(model.prepare(codes), noisy, sigma) - clean).abs().mean()

    training = Training(rings, replace(TINY, epochs=60, ema_decay=0.0), loss_fn=loss_fn, validation=0.25)
    assert len(training.held_out) == 2 and len(training.table) == 6
    assert set(training.held_out.names) | set(training.table.names) == set(rings.names)
    before = training.validate()
    assert before == training.validate()  # the same points every time
    found = [metrics["validation_loss"] for metrics in training.steps() if "validation_loss" in metrics]
    assert len(found) == 20 and found[-1] < 0.95 * before
    assert training.result().names == training.table.names

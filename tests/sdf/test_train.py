from dataclasses import replace

import pytest
import torch

from bozzetto import InputError
from bozzetto.runs import Callback
from bozzetto.sdf import DecoderConfig, SdfSamples, TrainConfig, Training, load_prior, save_prior, train_prior
from bozzetto.sdf.config import REFERENCE
from bozzetto.sdf.data import sample_table
from bozzetto.sdf.losses import clamped_l1, code_penalty
from bozzetto.sdf.model import GridDecoder

TINY = TrainConfig(
    decoder=DecoderConfig("grid", code_size=4, hidden=16, layers=2, grid=4, features=4, octaves=1),
    epochs=250,
    far_weight=0.2,
    shapes_per_step=2,
    samples_per_shape=256,
    precision="float32",
)


@pytest.fixture(scope="module")
def spheres():
    """Three spheres whose signed distance is known."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for radius in (0.4, 0.55, 0.7):
        points = torch.rand(4000, 3, generator=generator) * 2 - 1
        samples.append(SdfSamples(points, points.norm(dim=1) - radius))
    return sample_table(samples, ("small", "middle", "large"))


def test_the_table_draws_half_of_the_samples_from_each_side(spheres):
    points, distances = spheres.draw(torch.tensor([2, 0]), 64, torch.Generator().manual_seed(1))
    assert (distances[:, :32] >= 0).all() and (distances[:, 32:] < 0).all()
    torch.testing.assert_close(distances, points.norm(dim=2) - torch.tensor([[0.7], [0.4]]))


def test_shapes_without_inside_are_refused_by_name():
    points = torch.rand(10, 3)
    with pytest.raises(InputError, match="flat has no samples inside"):
        sample_table([SdfSamples(points, torch.ones(10))], ["flat"])
    with pytest.raises(InputError, match="no shapes"):
        sample_table([], [])


def test_loss_counts_what_is_beyond_the_clamp_as_the_clamp():
    predicted, true = torch.tensor([0.05, 0.5, -0.5]), torch.tensor([0.02, 0.3, 0.3])
    torch.testing.assert_close(clamped_l1(predicted, true, 0.1), torch.tensor([0.03, 0.0, 0.2]))
    torch.testing.assert_close(clamped_l1(predicted, true, 0.1, 0.5), torch.tensor([0.045, 0.1, 0.6]))
    torch.testing.assert_close(clamped_l1(predicted, true, 0.0), torch.tensor([0.03, 0.2, 0.8]))
    torch.testing.assert_close(code_penalty(torch.tensor([[3.0, 4.0], [0.0, 1.0]])), torch.tensor(3.0))


class Losses(Callback):
    """Remembers them."""

    def __init__(self):
        self.values = []

    def on_step(self, training, metrics):
        self.values.append(metrics["loss"])


def test_training_learns_the_shapes(spheres, tmp_path):
    losses = Losses()
    prior = train_prior(spheres, TINY, callbacks=[losses])
    losses = losses.values
    assert losses[-1] < 0.3 * losses[0]
    points = torch.tensor([[[0.4, 0.0, 0.0], [0.0, 0.55, 0.0], [0.0, 0.0, -0.7]]]).expand(3, -1, -1)
    found = prior.decoder(prior.codes, points)
    torch.testing.assert_close(found.diagonal(), torch.zeros(3), atol=0.05, rtol=0)
    save_prior(prior, tmp_path / "prior.safetensors")
    again = load_prior(tmp_path / "prior.safetensors")
    torch.testing.assert_close(again.decoder(again.codes, points), found)
    assert again.names == prior.names


def test_a_resumed_training_ends_the_same(spheres):
    whole = Training(spheres, replace(TINY, ema_decay=0.9))
    for _ in range(20):
        whole.step()
    first = Training(spheres, replace(TINY, ema_decay=0.9))
    for _ in range(9):
        first.step()
    tensors, meta = first.state()
    second = Training(spheres, replace(TINY, ema_decay=0.9))
    second.restore({name: value.clone() for name, value in tensors.items()}, meta)
    for _ in range(11):
        second.step()
    ends = whole.result(), second.result()
    torch.testing.assert_close(ends[1].codes, ends[0].codes, rtol=0, atol=0)
    for a, b in zip(ends[0].decoder.parameters(), ends[1].decoder.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=0, atol=0)


@pytest.mark.parametrize("shapes", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_no_seed_or_batch_size_collapses(spheres, seed, shapes):
    training = Training(spheres, replace(TINY, seed=seed, shapes_per_step=shapes))
    found = [training.step()["inside_found"] for _ in range(120)]
    assert min(found) > 0 and sum(found[-20:]) / 20 > 0.75


def test_a_collapse_stops_the_training(spheres):
    training = Training(spheres, TINY)
    with torch.no_grad():
        training.model.decoder.last.bias.fill_(2.0)  # outside everywhere
    assert training.step()["inside_found"] == 0.0
    training.steps_done = 200
    with pytest.raises(InputError, match="collapsed: after 201 steps"):
        training.step()


def test_published_learning_rates_halve_four_times(spheres):
    training = Training(spheres, replace(REFERENCE, decoder=TINY.decoder, epochs=8, precision="float32"))
    sizes = []
    for epoch in range(8):
        training.steps_done = epoch
        sizes.append(training.scheduler.base_lrs[0] * training.lr_factor())
    assert sizes == pytest.approx([5e-4] * 2 + [2.5e-4] * 2 + [1.25e-4] * 2 + [6.25e-5] * 2)


def test_the_reference_is_deepsdf_as_released():
    # specs.json of the released experiments: facebookresearch/DeepSDF, examples/*/specs.json.
    decoder = REFERENCE.decoder
    assert (decoder.architecture, decoder.code_size, decoder.layers, decoder.hidden) == (
        "concatenate", 256, 8, 512,
    )  # fmt: skip
    assert (decoder.skip, decoder.dropout) == (4, 0.2)
    assert (REFERENCE.epochs, REFERENCE.shapes_per_step, REFERENCE.samples_per_shape) == (2001, 64, 16384)
    assert (REFERENCE.lr, REFERENCE.code_lr, REFERENCE.schedule) == (5e-4, 1e-3, "halving")
    assert (REFERENCE.clamp, REFERENCE.far_weight, REFERENCE.prior_weight) == (0.1, 0.0, 1e-4)
    assert (REFERENCE.code_std, REFERENCE.max_code_norm, REFERENCE.ema_decay) == (1 / 256**0.5, 1.0, 0.0)


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.0), (25, 0.25), (100, 1.0), (400, 1.0)])
def test_the_penalty_of_codes_grows_for_a_hundred_epochs(spheres, epoch, share):
    training = Training(spheres, replace(TINY, shapes_per_step=3, prior_weight=2.0))
    training.steps_done = epoch  # all shapes in every step
    loss, figures = training.loss()
    penalty = float(training.model.codes.weight.norm(dim=1).mean().detach())
    assert float(loss.detach()) - figures["loss"] == pytest.approx(2 * share * penalty, abs=1e-6)


def test_codes_stay_within_their_ball(spheres):
    lengths = []
    for longest in (0.2, float("inf")):
        training = Training(spheres, replace(TINY, max_code_norm=longest, code_lr=0.1))
        for _ in range(5):
            training.step()
        lengths.append(training.model.codes.weight.norm(dim=1).max())
    assert lengths[0] <= 0.2 + 1e-6 < lengths[1]


def test_the_clamp_goes_with_the_prior(spheres, tmp_path):
    for clamp, known in ((0.1, 0.1), (0.03, 0.03), (0.0, float("inf"))):
        prior = Training(spheres, replace(TINY, clamp=clamp)).result()
        save_prior(prior, tmp_path / "prior.safetensors")
        assert load_prior(tmp_path / "prior.safetensors").clamp == prior.clamp == known


def test_mixed_precision_does_not_move_points():
    # The decoder begins as this sphere, so that the loss is what rounding does to the points.
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    table = sample_table([SdfSamples(points, points.norm(dim=1) - GridDecoder.RADIUS)], ["ball"])
    config = replace(TINY, precision="bfloat16", clamp=0.0)
    assert Training(table, config).step()["loss"] < 1e-6
    moved = sample_table([SdfSamples(points + 0.001, points.norm(dim=1) - GridDecoder.RADIUS)], ["ball"])
    assert Training(moved, config).step()["loss"] > 1e-4


def test_damaged_and_foreign_priors_are_refused(spheres, tmp_path):
    path = tmp_path / "prior.safetensors"
    prior = Training(spheres, TINY).result()
    save_prior(prior, path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="changed after it was written"):
        load_prior(path)
    path.write_bytes(bytes(content)[:100])
    with pytest.raises(InputError, match="damaged"):
        load_prior(path)
    with pytest.raises(InputError, match="no prior at"):
        load_prior(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match="have 4 numbers"):
        prior.check_code(torch.zeros(5))
    with pytest.raises(InputError, match="NaN"):
        prior.check_code(torch.full((4,), torch.nan))


def test_samples_are_held_out_of_every_shape_and_side(spheres):
    kept, held = spheres.split(0.1, seed=3)
    assert len(kept) == len(held) == 3 and held.names == spheres.names
    rows = {tuple(row) for row in kept.rows.tolist()}, {tuple(row) for row in held.rows.tolist()}
    assert not rows[0] & rows[1] and rows[0] | rows[1] == {tuple(row) for row in spheres.rows.tolist()}
    generator = torch.Generator().manual_seed(0)
    for part in (kept, held):
        points, distances = part.draw(torch.arange(3), 64, generator)
        assert (distances[:, 32:] < 0).all() and (distances[:, :32] >= 0).all()
        torch.testing.assert_close(distances, points.norm(dim=2) - torch.tensor([[0.4], [0.55], [0.7]]))


def test_a_loss_of_ones_own_and_its_validation(spheres):
    training = Training(spheres, TINY, loss_fn=lambda a, b: (a - b).square(), validation=0.1)
    before = training.validate()
    *_, metrics = training.steps()
    assert metrics["validation_loss"] < 0.1 * before

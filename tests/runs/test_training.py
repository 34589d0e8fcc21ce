import os
import signal
import time

import pytest
import torch

from bozzetto import InputError
from bozzetto.errors import Interrupted
from bozzetto.runs import EpochConfig, EpochTraining, RunFolder, cosine, read_checkpoint, run_training
from bozzetto.runs import training as training_run


def settings(**changes):
    plain = {"average": 0.9, "precision": "float32", "epochs": 60, "shapes_per_step": 2}
    return EpochConfig(**{**plain, **changes})


class Line(EpochTraining[EpochConfig]):
    """Learns y = 3 x - 1 from five points, with noise from both generators."""

    def __init__(self, stop=10**9, clock=time.monotonic, **changes):
        super().__init__(5, settings(**changes), "cpu", clock)
        self.stop = stop
        model = torch.nn.Linear(1, 1)
        groups = [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.05}]
        self.set_up(model, torch.optim.Adam(groups))

    def loss(self):
        if self.steps_done == self.stop:
            raise KeyboardInterrupt
        x = self.next_shapes()[:, None] / 5
        noise = torch.randn(len(x), 1) + torch.randn(len(x), 1, generator=self.generator)
        error = (self.model(x) - (3 * x - 1 + 0.01 * noise)).square().mean()
        return error, {"loss": float(error.detach()), "other": 1.0}

    def schedule(self):
        return cosine(self.progress)


def run_in(path, training, resume=False):
    run = RunFolder.create(path, {"a": 1}, resume=resume)
    return run, run_training(run, training, quiet=True)


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", -1.0)
    whole, again = Line(), Line()
    run, figures = run_in(tmp_path / "whole", whole)
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path / "parts", Line(stop=67))
    parts, later = run_in(tmp_path / "parts", again, resume=True)
    assert later == figures and again.steps_done == whole.steps_done == 150
    for name, value in whole.average.items():
        assert torch.equal(again.average[name], value)
    lines, others = run.metrics(), parts.metrics()
    assert [line["step"] for line in lines] == list(range(20, 141, 20))
    assert list(lines[0]) == ["step", "epoch", "elapsed", "loss", "other"]
    assert [line["loss"] for line in others] == [line["loss"] for line in lines]
    learned = again.learned(torch.nn.Linear(1, 1))
    assert float(learned.weight) == pytest.approx(3, abs=0.3) and not learned.weight.requires_grad
    assert run_in(tmp_path / "parts", Line(), resume=True)[1] == figures  # it was at its end


class Signalled(Line):
    """Gets a signal in the middle of some step."""

    number = signal.SIGINT

    def loss(self):
        if self.steps_done == self.stop:
            os.kill(os.getpid(), self.number)
        self.stop, stop = -1, self.stop
        found = super().loss()
        self.stop = stop
        return found


@pytest.mark.parametrize("step", [0, 30, 67, 149])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_a_checkpoint_and_nothing_is_lost(step, number, tmp_path):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    _, figures = run_in(tmp_path / "whole", Line())
    training = Signalled(stop=step)
    training.number = number
    with pytest.raises(Interrupted, match=f"stopped after step {step + 1}, a checkpoint is written") as error:
        run_in(tmp_path / "parts", training)
    assert error.value.exit_code == 128 + number
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    again = Line()
    assert run_in(tmp_path / "parts", again, resume=True)[1] == figures
    assert again.steps_done == 150
    contents = [read_checkpoint(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(value, contents[1][0][name]) for name, value in contents[0][0].items())


def test_step_sizes_keep_their_ratio_and_fall():
    training = Line()
    sizes = []
    for _ in training.steps():
        sizes.append([group["lr"] for group in training.optimizer.param_groups])
    assert sizes[0] == [0.1, 0.05]
    assert all(a == pytest.approx(2 * b) for a, b in sizes) and sizes[-1][0] == pytest.approx(0.001)


def test_time_ends_a_training_too():
    now = iter(range(1000))
    training = Line(seconds=10.0, epochs=10**6, clock=lambda: float(next(now)))
    assert len(list(training.steps())) == 10 and training.elapsed == 10


def test_without_a_mean_the_last_weights_are_kept():
    training = Line(average=0.0, epochs=4)
    for _ in training.steps():
        pass
    assert torch.equal(training.average["weight"], training.model.module.weight)


def test_the_mean_is_that_of_the_weights_of_all_steps():
    training, decay = Line(average=0.6, epochs=20), 0.6
    mean = training.model.module.weight.detach().clone()
    for step, _ in enumerate(training.steps(), start=1):
        keep = min(decay, step / (step + 10))
        mean = keep * mean + (1 - keep) * training.model.module.weight.detach()
    torch.testing.assert_close(training.average["weight"], mean)
    assert (training.average["weight"] - training.model.module.weight).abs() > 1e-4


@pytest.mark.parametrize("longest", [0.01, 0.5, float("inf")])
def test_gradients_are_cut_to_their_longest(longest):
    class Steep(Line):
        longest_gradient = longest

        def __init__(self):
            super().__init__()
            model = torch.nn.Linear(1, 1)
            self.set_up(model, torch.optim.SGD(model.parameters(), lr=0.1))

        def loss(self):
            error = 40 * self.model(torch.ones(1, 1)).sum()  # whose gradient is (40, 40)
            return error, {"loss": float(error.detach())}

        def schedule(self):
            return 1.0

    training = Steep()
    before = torch.cat([p.detach().flatten() for p in training.model.module.parameters()])
    training.step()
    moved = torch.cat([p.detach().flatten() for p in training.model.module.parameters()]) - before
    assert float(moved.norm()) == pytest.approx(0.1 * min(longest, 40 * 2**0.5), rel=1e-4)


def test_a_mean_forgets_its_beginning():
    training = Line(average=0.999, epochs=40)
    training.average["weight"].fill_(1000.0)  # of which 0.999^100, the hundred steps', would leave 905
    for _ in training.steps():
        pass
    assert abs(float(training.average["weight"])) < 10


def test_a_state_is_not_changed_by_the_training_that_took_it():
    first, second = Line(), Line()
    first.step()
    tensors, meta = first.state()
    kept = tensors["average.weight"].clone()
    second.restore(tensors, meta)
    second.step()
    assert torch.equal(first.average["weight"], kept)


def test_divergence_stops_before_the_weights_are_lost():
    training = Line()
    training.step()
    weight = training.model.module.weight.detach().clone()
    with torch.no_grad():
        training.model.module.bias.fill_(torch.nan)
    with pytest.raises(InputError, match="diverged: after 1 steps"):
        training.step()
    assert torch.equal(training.model.module.weight, weight)

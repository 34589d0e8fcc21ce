import os
import signal

import pytest
import torch

from bozzetto import InputError
from bozzetto.errors import Interrupted
from bozzetto.runs import (
    Callback,
    EpochConfig,
    EpochTraining,
    RunFolder,
    TensorBoard,
    cosine,
    learn,
    read_checkpoint,
    run_training,
    write_checkpoint,
)
from bozzetto.runs import training as training_run


def settings(**changes):
    plain = {"ema_decay": 0.9, "precision": "float32", "epochs": 60, "shapes_per_step": 2}
    return EpochConfig(**{**plain, **changes})


class Line(EpochTraining[EpochConfig]):
    """Learns y = 3 x - 1 from five points, with noise from both generators."""

    def __init__(self, stop=10**9, **changes):
        super().__init__(5, settings(**changes))
        self.stop = stop
        model = torch.nn.Linear(1, 1)
        groups = [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.05}]
        self.set_up(model, torch.optim.Adam(groups))

    def loss(self):
        if self.steps_done == self.stop:
            raise KeyboardInterrupt
        x = self.next_shapes()[:, None] / 5
        noise = torch.randn(len(x), 1) + torch.randn(len(x), 1, generator=self.generator)
        error = (self.parallel(x) - (3 * x - 1 + 0.01 * noise)).square().mean()
        return error, {"loss": float(error.detach()), "other": 1.0}

    def lr_factor(self):
        return cosine(self.progress)

    def result(self, about=None):
        return self.learned(torch.nn.Linear(1, 1))

    def save(self, result, path):
        write_checkpoint(path, result.state_dict(), {})


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
    for name, value in whole.ema.module.state_dict().items():
        assert torch.equal(again.ema.module.state_dict()[name], value)
    lines, others = run.metrics(), parts.metrics()
    assert [line["step"] for line in lines] == list(range(20, 141, 20))
    assert list(lines[0]) == ["step", "epoch", "elapsed", "loss", "other"]
    assert [line["loss"] for line in others] == [line["loss"] for line in lines]
    learned = again.result()
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


def test_learning_rates_keep_their_ratio_and_fall():
    training = Line()
    sizes = []
    while training.progress < 1:
        sizes.append([group["lr"] for group in training.optimizer.param_groups])
        training.step()
    assert sizes[0] == [0.1, 0.05]
    assert all(a == pytest.approx(2 * b) for a, b in sizes) and sizes[-1][0] == pytest.approx(0.001)


def test_time_ends_a_training_too():
    now = iter(range(1000))
    training = Line(seconds=10.0, epochs=10**6)
    training.clock = lambda: float(next(now))
    assert len(list(training.steps())) == 10 and training.elapsed == 10


def test_without_a_mean_the_last_weights_are_kept():
    training = Line(ema_decay=0.0, epochs=4)
    for _ in training.steps():
        pass
    assert torch.equal(training.ema.module.weight, training.model.weight)


def test_the_mean_is_that_of_the_weights_of_all_steps():
    training, decay = Line(ema_decay=0.6, epochs=20), 0.6
    mean = training.model.weight.detach().clone()
    for step, _ in enumerate(training.steps(), start=1):
        keep = min(decay, step / (step + 10))
        mean = keep * mean + (1 - keep) * training.model.weight.detach()
    torch.testing.assert_close(training.ema.module.weight, mean)
    assert (training.ema.module.weight - training.model.weight).abs() > 1e-4


@pytest.mark.parametrize("longest", [0.01, 0.5, float("inf")])
def test_gradients_are_cut_to_their_longest(longest):
    class Steep(Line):
        max_grad_norm = longest

        def __init__(self):
            super().__init__()
            model = torch.nn.Linear(1, 1)
            self.set_up(model, torch.optim.SGD(model.parameters(), lr=0.1))

        def loss(self):
            error = 40 * self.parallel(torch.ones(1, 1)).sum()  # whose gradient is (40, 40)
            return error, {"loss": float(error.detach())}

        def lr_factor(self):
            return 1.0

    training = Steep()
    before = torch.cat([p.detach().flatten() for p in training.model.parameters()])
    training.step()
    moved = torch.cat([p.detach().flatten() for p in training.model.parameters()]) - before
    assert float(moved.norm()) == pytest.approx(0.1 * min(longest, 40 * 2**0.5), rel=1e-4)


def test_a_mean_forgets_its_beginning():
    training = Line(ema_decay=0.999, epochs=40)
    training.ema.module.weight.data.fill_(1000.0)  # of which 0.999^100, the hundred steps', would leave 905
    for _ in training.steps():
        pass
    assert abs(float(training.ema.module.weight.detach())) < 10


def test_a_state_is_not_changed_by_the_training_that_took_it():
    first, second = Line(), Line()
    first.step()
    tensors, meta = first.state()
    kept = tensors["average.weight"].clone()
    second.restore(tensors, meta)
    second.step()
    assert torch.equal(first.ema.module.weight, kept)


def test_divergence_stops_before_the_weights_are_lost():
    training = Line()
    training.step()
    weight = training.model.weight.detach().clone()
    with torch.no_grad():
        training.model.bias.fill_(torch.nan)
    with pytest.raises(InputError, match="diverged: after 1 steps"):
        training.step()
    assert torch.equal(training.model.weight, weight)


class Journal(Callback):
    """Notes what it is called with."""

    def __init__(self, stop=10**9):
        self.lines, self.stop = [], stop

    def on_start(self, training):
        self.lines.append(("start", training.steps_done))

    def on_step(self, training, metrics):
        self.lines.append(("step", training.steps_done))
        training.should_stop = training.steps_done == self.stop

    def on_validation(self, training, metrics):
        self.lines.append(("validation", metrics["validation_loss"]))

    def on_end(self, training, metrics):
        self.lines.append(("end", metrics["loss"]))


class Validated(Line):
    """Is worst in the end."""

    def validation_loss(self):
        torch.rand(1)  # does not disturb the training
        assert not self.ema.module.training and not torch.is_grad_enabled()
        return abs(self.steps_done - 90.0)


def test_callbacks_are_called_in_the_order_of_the_loop():
    training, journal = Line(epochs=4), Journal()
    training.callbacks += [journal]
    *_, metrics = training.steps()
    steps = [("step", number) for number in range(1, 11)]
    assert journal.lines == [("start", 0), *steps, ("end", metrics["loss"])]


def test_a_callback_can_end_the_training(tmp_path):
    training = Line()
    training.callbacks += [Journal(stop=7)]
    run_in(tmp_path / "run", training)
    assert training.steps_done == 7
    assert read_checkpoint(tmp_path / "run" / "checkpoint.safetensors")[1]["step"] == 7


def test_a_stop_in_another_process_ends_this_one(monkeypatch):
    training = Line()
    monkeypatch.setattr(training, "any_process", lambda condition: condition or training.steps_done == 3)
    assert len(list(training.steps())) == 3


def test_validation_keeps_the_best_and_changes_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "CHECKPOINT_SECONDS", -1.0)
    _, plain = run_in(tmp_path / "plain", Line())
    training, journal = Validated(), Journal()
    training.callbacks += [journal]
    run, metrics = run_in(tmp_path / "run", training)
    found = [value for name, value in journal.lines if name == "validation"]
    assert len(found) == training_run.VALIDATIONS and found[-1] == 60
    assert metrics.pop("best") == {"file": "best.safetensors", "step": 90, "validation_loss": 0.0}
    assert metrics == plain
    logged = {line["step"]: line["validation_loss"] for line in run.metrics() if "validation_loss" in line}
    assert len(logged) == training_run.VALIDATIONS and logged[90] == 0 and logged[150] == 60
    best = (tmp_path / "run" / "best.safetensors").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path / "parts", Validated(stop=100))
    assert run_in(tmp_path / "parts", Validated(), resume=True)[1]["best"]["step"] == 90
    assert (tmp_path / "parts" / "best.safetensors").read_bytes() == best


def test_what_was_learned_is_written_with_its_settings_and_a_preview(tmp_path):
    class Stored(Line):
        def result(self, about=None):
            return about

        def save(self, result, path):
            path.write_text(str(result))

    run, pages = RunFolder.create(tmp_path / "run", {"a": 1}), []

    def preview(result):
        pages.append(result)
        return torch.zeros(4, 4, 3)

    told = {"training": {"a": 1}, "licence": "CC0"}
    result, metrics = learn(
        run, Stored(), "line.txt", preview, True, {"licence": "CC0"}, lambda r: {**r, "b": 2}
    )
    assert result == {**told, "b": 2} and pages == [result] and metrics["steps"] == 150
    assert (tmp_path / "run" / "line.txt").read_text() == str(result)
    assert (tmp_path / "run" / "preview.png").stat().st_size > 0


def test_tensorboard_gets_metrics_and_its_files_are_results(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    training = Line(epochs=4)
    run = RunFolder.create(tmp_path / "run", {"a": 1})
    training.callbacks += [TensorBoard(run)]
    metrics = run_training(run, training, quiet=True)
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 11))
    assert events.Scalars("loss")[-1].value == pytest.approx(metrics["loss"])
    assert events.Scalars("lr")[-1].value == pytest.approx(0.001)
    run.report({})
    del run
    run_training(RunFolder.create(tmp_path / "run", {"b": 1}, overwrite=True), Line(epochs=4), quiet=True)
    RunFolder.create(tmp_path / "run", {"b": 1}, resume=True).report({})
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_settings_of_earlier_versions_can_be_resumed(tmp_path):
    RunFolder.create(tmp_path / "run", {"settings": {"average": 0.5, "step_size": 1}}).begin()
    RunFolder.create(tmp_path / "run", {"settings": {"ema_decay": 0.5, "lr": 1}}, resume=True)
    with pytest.raises(InputError, match="settings.lr was 1 and is now 2"):
        RunFolder.create(tmp_path / "run", {"settings": {"ema_decay": 0.5, "lr": 2}}, resume=True)

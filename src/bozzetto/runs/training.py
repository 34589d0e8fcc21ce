"""Base classes of the trainings of all engines: loop, processes, time, weights, states, validation."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import InputError, Interrupted
from ..images import save_image
from .environment import fast_bfloat16
from .folder import RunFolder
from .interruptions import deferred_interruptions
from .processes import broadcast, is_distributed, join_processes, mean_of_processes, rank, world_size
from .progress import Progress
from .training_config import EpochConfig, TrainingConfig

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Config = TypeVar("Config", bound=TrainingConfig)
Module = TypeVar("Module", bound=nn.Module)

VALIDATIONS = 20
"""Number of validations in a training, at equal intervals."""


class Callback:
    """Base class of callbacks of a training; a subclass overrides the methods that it needs.

    Metrics are a dictionary of numbers, `loss` among them. A callback ends the training by setting
    `training.should_stop`; under `torchrun` one process that sets it ends all of them.
    """

    def on_start(self, training: "Training[Any]") -> None:
        """Called before the first step, also when a training continues."""

    def on_step(self, training: "Training[Any]", metrics: dict[str, float]) -> None:
        """Called after every step."""

    def on_validation(self, training: "Training[Any]", metrics: dict[str, float]) -> None:
        """Called after a validation, whose `validation_loss` is in the metrics, and before `on_step`."""

    def on_end(self, training: "Training[Any]", metrics: dict[str, float]) -> None:
        """Called after the last step or an interruption."""


class TensorBoard(Callback):
    """Callback that writes metrics and learning rate of every step to `tensorboard` in a run folder.

    Raises:
        ModuleNotFoundError: The package tensorboard is not installed.
    """

    def __init__(self, run: RunFolder) -> None:
        import tensorboard  # noqa: F401  # before any work, and by its own name

        self.run = run
        self.writer: SummaryWriter | None = None

    def on_start(self, training: "Training[Any]") -> None:
        """Open a file of events; events of an interrupted run after its checkpoint are deleted."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self.run.file("tensorboard/events").parent
        self.writer = SummaryWriter(folder, purge_step=training.steps_done or None)
        for path in folder.iterdir():
            self.run.file(f"tensorboard/{path.name}")

    def on_step(self, training: "Training[Any]", metrics: dict[str, float]) -> None:
        """Write metrics and learning rate."""
        assert self.writer is not None
        for name, value in {**metrics, "lr": training.scheduler.get_last_lr()[0]}.items():
            self.writer.add_scalar(name, value, training.steps_done)

    def on_end(self, training: "Training[Any]", metrics: dict[str, float]) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()


class Training(ABC, Generic[Config]):
    """Base class of trainings, which proceed step by step.

    A subclass creates a model and an optimizer and passes them to `set_up`. It defines the loss of a step
    (`loss`), the fraction of steps or epochs that are done (`fraction_done`) and the learning rates
    (`lr_factor`). The loop is in `steps` and `step`; it does this::

        for callback in callbacks: callback.on_start(training)
        while progress < 1:                                    # by count or by time
            loss, metrics = self.loss()                        # draws a batch
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(weights, max_grad_norm)
            optimizer.step()
            self.after_step()                                  # for instance keeps codes in a ball
            ema.update_parameters(model)
            scheduler.step()                                   # lr = base lr * lr_factor()
            if a twentieth of the way is done:
                metrics["validation_loss"] = self.validation_loss()
                for callback in callbacks: callback.on_validation(training, metrics)
            for callback in callbacks: callback.on_step(training, metrics)
        for callback in callbacks: callback.on_end(training, metrics)

    `run_training` runs this loop in a run folder, with log, checkpoints and progress. Under `torchrun` every
    process draws its own batches, and `DistributedDataParallel` averages the gradients.

    Args:
        config: Settings of the training.
        device: Device of the computation; under `torchrun` only its type is used, and every process has its
            own.

    Attributes:
        model: The model that is trained.
        parallel: The module that `loss` calls: the model, under `torchrun` wrapped by
            `DistributedDataParallel`.
        ema: Exponential moving average of the model; `ema.module` is the result.
        generator: Random generator of the batches of this process.
        steps_done: Number of steps so far.
        elapsed: Seconds that they took, the mean over all processes.
        callbacks: Callbacks in the order of their calls, see `Callback`.
        should_stop: Set by a callback to end the training after the step.
        clock: Function that returns the seconds for `config.seconds`; `time.process_time` makes comparisons
            fair if other programs are running.
        smoothing: Weight of earlier metrics in the smoothed ones that are shown and logged.
        max_grad_norm: Largest norm of the gradient of all weights together, to which it is clipped.
    """

    clock: Callable[[], float] = staticmethod(time.monotonic)
    smoothing: float = 0.0
    max_grad_norm: float = math.inf

    def __init__(self, config: Config, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.device: torch.device = join_processes(device)
        torch.manual_seed(config.seed)
        self.generator: torch.Generator = torch.Generator().manual_seed(config.seed + 1000 * rank())
        wanted = config.precision
        self.mixed: bool = fast_bfloat16(self.device) if wanted == "auto" else wanted == "bfloat16"
        self.steps_done: int = 0
        self.elapsed: float = 0.0
        self.should_stop: bool = False
        self.callbacks: list[Callback] = []

    def set_up(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Set the model and its optimizer, whose learning rates are multiplied by `lr_factor`."""
        self.model: Any = model.to(self.device)
        self.optimizer = optimizer
        self.parallel: nn.Module = DistributedDataParallel(self.model) if is_distributed() else self.model
        self.ema: AveragedModel = AveragedModel(
            self.model, multi_avg_fn=_ema(self.config.ema_decay), use_buffers=True
        )
        self.ema.update_parameters(self.model)  # the average starts with the initial weights
        self._schedule()

    def _schedule(self) -> None:
        last = self.steps_done - 1
        self.scheduler: LambdaLR = LambdaLR(self.optimizer, lambda _: self.lr_factor(), last)

    @abstractmethod
    def loss(self) -> tuple[Tensor, dict[str, float]]:
        """Take a random batch, and return the loss of the step and its metrics, `loss` among them."""

    @abstractmethod
    def lr_factor(self) -> float:
        """Current factor on all learning rates."""

    @property
    @abstractmethod
    def fraction_done(self) -> float:
        """Fraction of the training that is done, 0 to 1, by the number of steps or epochs."""

    def validation_loss(self) -> float | None:
        """Loss of the averaged model on held-out data; None if there are none."""
        return None

    def after_step(self) -> None:
        """Hook for further changes of the weights in a step, before they are averaged."""

    def position(self) -> dict[str, float]:
        """Position of the training, such as the epoch, for the log."""
        return {"progress": self.progress}

    @property
    def progress(self) -> float:
        """Progress of the training from 0 to 1: the larger of those by count and by time."""
        return min(1.0, max(self.fraction_done, self.elapsed / self.config.seconds))

    def autocast(self) -> torch.autocast:
        """Autocast context of the model; models make sure that coordinates are not rounded."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed)

    def steps(self) -> Iterator[dict[str, float]]:
        """Take steps until the training is done, and yield their metrics."""
        metrics: dict[str, float] = {}
        for callback in self.callbacks:
            callback.on_start(self)
        try:
            while self.progress < 1 and not self.any_process(self.should_stop):
                part = int(self.progress * VALIDATIONS)
                metrics = self.step()
                if int(self.progress * VALIDATIONS) > part and (found := self.validate()) is not None:
                    metrics["validation_loss"] = found
                    for callback in self.callbacks:
                        callback.on_validation(self, metrics)
                for callback in self.callbacks:
                    callback.on_step(self, metrics)
                yield metrics
        finally:
            for callback in self.callbacks:
                callback.on_end(self, metrics)

    def step(self) -> dict[str, float]:
        """Take one step and return its metrics.

        Raises:
            InputError: The loss is not finite.
        """
        began = self.clock()
        self.model.train()
        loss, metrics = self.loss()
        if not math.isfinite(float(loss.detach())):
            raise InputError(
                f"the training has diverged: after {self.steps_done} steps the loss is not finite; "
                "take a lower learning rate or the default preset"
            )
        self.optimizer.zero_grad()
        loss.backward()
        if math.isfinite(self.max_grad_norm):
            weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.max_grad_norm)
        self.optimizer.step()
        self.steps_done += 1
        with torch.no_grad():
            self.after_step()
            self.ema.update_parameters(self.model)
        self.elapsed = mean_of_processes(self.elapsed + self.clock() - began, self.device)
        self.scheduler.step()
        return metrics

    @torch.no_grad()
    def validate(self) -> float | None:
        """Compute `validation_loss` without gradients and without effect on the training."""
        self.ema.eval()
        with self.fork_rng():
            return self.validation_loss()

    def fork_rng(self) -> AbstractContextManager[None]:
        """Context that restores the global random generators, so that validation does not affect the
        training."""
        return torch.random.fork_rng([self.device] if self.device.type == "cuda" else [])

    def any_process(self, condition: bool) -> bool:
        """Whether a condition holds in any of the processes, so that all of them take the same decision."""
        return mean_of_processes(float(condition), self.device) > 0

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The complete state of the training, to continue it to the same result: tensors, and JSON values."""
        tensors = {f"model.{n}": v for n, v in self.model.state_dict().items()}
        tensors |= {f"average.{n}": v for n, v in self.ema.module.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{n}": torch.as_tensor(v) for n, v in state.items()}
        tensors |= {"generator": self.generator.get_state(), "torch_generator": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["cuda_generator"] = torch.cuda.get_rng_state(self.device)
        meta = {"steps_done": self.steps_done, "elapsed": self.elapsed, "mixed": self.mixed}
        return tensors, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Continue from the state that `state` returned; processes have different batches, as before."""
        self.model.load_state_dict(_under("model.", tensors))
        self.ema.module.load_state_dict(_under("average.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.steps_done, self.elapsed = int(meta["steps_done"]), float(meta["elapsed"])
        self.ema.n_averaged.fill_(self.steps_done + 1)
        self._schedule()
        self.mixed = bool(meta.get("mixed", self.mixed))  # not measured again: it might differ
        self.generator.set_state(tensors["generator"])
        if rank():
            self.generator.manual_seed(self.config.seed + 1000 * rank() + self.steps_done)
        torch.set_rng_state(tensors["torch_generator"])
        if self.device.type == "cuda" and "cuda_generator" in tensors:
            torch.cuda.set_rng_state(tensors["cuda_generator"], self.device)

    def learned(self, model: Module) -> Module:
        """Copy the averaged weights to a model of the same architecture, on the CPU, for evaluation."""
        model.load_state_dict(self.ema.module.state_dict())
        return model.eval().requires_grad_(False)

    @abstractmethod
    def result(self, metadata: dict[str, Any] | None = None) -> Any:
        """The result of the training so far, on the CPU: the object that the functions of the engine take.

        Args:
            metadata: Information that is stored with it: data, settings, licence.
        """

    @abstractmethod
    def save(self, result: Any, path: Path) -> None:
        """Write a result as safetensors."""


def _ema(decay: float) -> Callable[[Any, Any, Any], None]:
    """Update function of the moving average, whose decay grows to `decay`, so that it soon forgets the first
    steps."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor) -> None:
        if averaged[0].is_floating_point():
            now = min(decay, float(count) / (float(count) + 10))
            get_ema_multi_avg_fn(now)(averaged, current, count)  # type: ignore[arg-type]
        else:  # integer buffers, such as counts of batch normalisation
            for ours, theirs in zip(averaged, current, strict=True):
                ours.copy_(theirs)

    return update


def cosine(progress: float, least: float = 0.01) -> float:
    """Cosine decay from 1 to `least`."""
    return max(least, 0.5 * (1 + math.cos(math.pi * progress)))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


Epochs = TypeVar("Epochs", bound=EpochConfig)


class EpochTraining(Training[Epochs]):
    """Base class of trainings on a collection, whose steps take shapes in random order."""

    def __init__(self, shapes: int, config: Epochs, device: torch.device | str = "cpu") -> None:
        super().__init__(config, device)
        self.shapes = shapes
        self.order: Tensor = torch.empty(0, dtype=torch.int64)

    @property
    def epoch(self) -> float:
        """Number of passes over the shapes so far."""
        return self.steps_done * self.shapes_per_step * world_size() / self.shapes

    @property
    def shapes_per_step(self) -> int:
        """Number of shapes in a step of one process, at most the number of all shapes."""
        return min(self.config.shapes_per_step, self.shapes)

    @property
    def fraction_done(self) -> float:
        """Fraction of the epochs that are done."""
        return self.epoch / self.config.epochs

    def position(self) -> dict[str, float]:
        """The epoch."""
        return {"epoch": self.epoch}

    def next_shapes(self) -> Int[Tensor, " B"]:
        """The next shapes of a random order, which is shuffled again when it ends."""
        count = self.shapes_per_step
        if len(self.order) < count:
            self.order = torch.cat([self.order, torch.randperm(self.shapes, generator=self.generator)])
        shapes, self.order = self.order[:count], self.order[count:]
        return shapes

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """State of `Training`, and the order of the next shapes."""
        tensors, meta = super().state()
        return {**tensors, "order": self.order}, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Continue from a `state`."""
        super().restore(tensors, meta)
        self.order = tensors["order"]


CHECKPOINT_SECONDS = 60.0
LOG_EVERY = 20  # steps
BEST = "best.safetensors"


def run_training(
    run: RunFolder, training: Training[Any], quiet: bool = False, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Train to the end in a run folder, continuing from its checkpoint if it has one.

    Logs metrics, writes checkpoints and shows progress, in the first process only. Under `torchrun` the others
    continue from the checkpoint of the first. With validation, the result with the smallest validation loss is
    written as `best.safetensors`.

    After a Ctrl-C or SIGTERM, the step is finished and a checkpoint is written; a second one ends the process
    at once.

    Args:
        run: The folder.
        training: The training.
        quiet: Whether to hide progress.
        metadata: Information that is stored with the best result.

    Returns:
        Final metrics; with validation also `best`: file, step and validation loss.

    Raises:
        Interrupted: A signal arrived; the message has the step of the checkpoint that was written.
    """
    saved = broadcast(run.load_checkpoint())
    first, keep, written = rank() == 0, training.smoothing, time.monotonic()
    metrics: dict[str, float] = {}
    best: dict[str, Any] = {}
    if saved is not None:
        training.restore(saved[1], saved[2])
        metrics = {n: v for n, v in saved[2].get("figures", {}).items() if v is not None}
        best = saved[2].get("best", {})

    def save() -> None:
        tensors, meta = training.state()
        if first:
            more = {"figures": metrics} | ({"best": best} if best else {})
            run.save_checkpoint(training.steps_done, tensors, {**meta, **more})

    with (
        deferred_interruptions() as interruption,
        run.stage("train"),
        Progress(1.0, "train", quiet, done=training.progress) as progress,
    ):
        for found in training.steps():
            validation = (
                {"validation_loss": v} if (v := found.pop("validation_loss", None)) is not None else {}
            )
            metrics = {n: keep * metrics.get(n, v) + (1 - keep) * v for n, v in found.items()}
            shown = {name: value for name, value in metrics.items() if name.endswith("loss")}
            progress.advance(training.progress - progress.done, **shown)
            if first and (validation or training.steps_done % LOG_EVERY == 0):
                position = {**training.position(), "elapsed": training.elapsed}
                run.log(training.steps_done, **position, **metrics, **validation)
            if validation and validation["validation_loss"] < best.get("validation_loss", math.inf):
                best = {"file": BEST, "step": training.steps_done, **validation}
                if first:
                    with training.fork_rng():
                        training.save(training.result(metadata), run.file(BEST))
            if training.any_process(bool(interruption)):
                break
            if time.monotonic() - written > CHECKPOINT_SECONDS:
                save()
                written = time.monotonic()
        save()
        if training.any_process(bool(interruption)):
            raise Interrupted(
                f"stopped after step {training.steps_done}, a checkpoint is written",
                exit_code=interruption.exit_code,
            )
    return {**metrics, "best": best} if best else {**metrics}


def learn(
    run: RunFolder,
    training: Training[Any],
    file: str,
    preview: Callable[[Any], Tensor],
    quiet: bool = False,
    metadata: dict[str, Any] | None = None,
    complete: Callable[[Any], Any] = lambda result: result,
) -> tuple[Any, dict[str, Any]]:
    """Train in a run folder and write the result and `preview.png`.

    Args:
        run: The folder.
        training: The training.
        file: File name of the result.
        preview: Function from the result to a picture (H, W, 3).
        quiet: Whether to hide progress.
        metadata: Information that is stored with the result, in addition to the settings of the run.
        complete: Function that adds properties to the result that are computed after the training.

    Returns:
        The result, and the final metrics with the number of steps.
    """
    metadata = {"training": run.config, **(metadata or {})}
    metrics = run_training(run, training, quiet, metadata)
    result = complete(training.result(metadata))
    with run.stage("write"):
        training.save(result, run.file(file))
        save_image(run.file("preview.png"), preview(result))
    return result, {**metrics, "steps": training.steps_done}

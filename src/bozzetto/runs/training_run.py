"""A training in the folder of a run."""

import time

from ..errors import Interrupted
from .folder import RunFolder
from .interruptions import deferred_interruptions
from .progress import Progress
from .training import Training

CHECKPOINT_SECONDS = 60.0
LOG_EVERY = 20  # steps


def run_training(run: RunFolder, training: Training, quiet: bool = False) -> dict[str, float]:
    """Train to the end, from the checkpoint of the folder if it has one.

    Logs figures and writes checkpoints by the first process only, and shows progress unless it is to be quiet.
    Under `torchrun` the others continue from the checkpoint of the first.

    A Ctrl-C or SIGTERM waits for the end of the step, and for a checkpoint of it; a second one does not.

    Returns:
        Figures of the end.

    Raises:
        Interrupted: With the step that the checkpoint was written after.
    """
    saved = training.fabric.broadcast(run.load_checkpoint())
    first, share, written = training.fabric.is_global_zero, training.smoothing, time.monotonic()
    figures: dict[str, float] = {}
    if saved is not None:
        training.restore(saved[1], saved[2])
        figures = {n: v for n, v in saved[2].get("figures", {}).items() if v is not None}

    def save() -> None:
        tensors, meta = training.state()
        if first:
            run.save_checkpoint(training.steps_done, tensors, {**meta, "figures": figures})

    with (
        deferred_interruptions() as interruption,
        run.stage("train"),
        Progress(1.0, "train", quiet, done=training.progress) as progress,
    ):
        for found in training.steps():
            figures = {n: share * figures.get(n, v) + (1 - share) * v for n, v in found.items()}
            shown = {name: value for name, value in figures.items() if name.endswith("loss")}
            progress.advance(training.progress - progress.done, **shown)
            if first and training.steps_done % LOG_EVERY == 0:
                run.log(training.steps_done, **training.position(), elapsed=training.elapsed, **figures)
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
    return figures

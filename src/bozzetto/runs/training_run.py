"""A training in the folder of a run."""

import time

from .folder import RunFolder
from .progress import Progress
from .training import Training

CHECKPOINT_SECONDS = 60.0
LOG_EVERY = 20  # steps


def run_training(run: RunFolder, training: Training, quiet: bool = False) -> dict[str, float]:
    """Train to the end, from the checkpoint of the folder if it has one.

    Logs figures and writes checkpoints by the first process only, and shows progress unless it is to be quiet.
    Under `torchrun` the others continue from the checkpoint of the first.

    Returns:
        Figures of the end; none if the checkpoint was the end.
    """
    saved = training.fabric.broadcast(run.load_checkpoint())
    if saved is not None:
        training.restore(saved[1], saved[2])
    first, share, written = training.fabric.is_global_zero, training.smoothing, time.monotonic()
    figures: dict[str, float] = {}
    with run.stage("train"), Progress(1.0, "train", quiet, done=training.progress) as progress:
        for found in training.steps():
            figures = {n: share * figures.get(n, v) + (1 - share) * v for n, v in found.items()}
            shown = {name: value for name, value in figures.items() if name.endswith("loss")}
            progress.advance(training.progress - progress.done, **shown)
            if first and training.steps_done % LOG_EVERY == 0:
                run.log(training.steps_done, **training.position(), elapsed=training.elapsed, **figures)
            if first and time.monotonic() - written > CHECKPOINT_SECONDS:
                run.save_checkpoint(training.steps_done, *training.state())
                written = time.monotonic()
    if first:
        run.save_checkpoint(training.steps_done, *training.state())
    return figures

"""What is called while a model is trained."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from .folder import RunFolder
    from .training import Training


class Callback:
    """Called at points of a training; a subclass overrides the methods that it needs.

    Metrics are a dictionary of numbers, `loss` among them. A callback ends the training by setting
    `training.should_stop`.
    """

    def on_start(self, training: "Training") -> None:
        """Before the first step, also when a training continues."""

    def on_step(self, training: "Training", metrics: dict[str, float]) -> None:
        """After every step."""

    def on_validation(self, training: "Training", metrics: dict[str, float]) -> None:
        """After a validation, whose `validation_loss` is in the metrics, and before `on_step`."""

    def on_end(self, training: "Training", metrics: dict[str, float]) -> None:
        """After the last step or an interruption."""


class TensorBoard(Callback):
    """Writes metrics and learning rate of every step to `tensorboard` in a run folder.

    Raises:
        ModuleNotFoundError: The package tensorboard is not installed.
    """

    def __init__(self, run: "RunFolder") -> None:
        import tensorboard  # noqa: F401  # before any work, and by its own name

        self.run = run
        self.writer: SummaryWriter | None = None

    def on_start(self, training: "Training") -> None:
        """Open a file of events; events of an interrupted run beyond its checkpoint are dropped."""
        from torch.utils.tensorboard import SummaryWriter

        folder = self.run.file("tensorboard/events").parent
        self.writer = SummaryWriter(folder, purge_step=training.steps_done or None)
        for path in folder.iterdir():
            self.run.file(f"tensorboard/{path.name}")

    def on_step(self, training: "Training", metrics: dict[str, float]) -> None:
        """Write them."""
        assert self.writer is not None
        for name, value in {**metrics, "lr": training.scheduler.get_last_lr()[0]}.items():
            self.writer.add_scalar(name, value, training.steps_done)

    def on_end(self, training: "Training", metrics: dict[str, float]) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()

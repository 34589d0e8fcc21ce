"""How far a computation is, on the terminal."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """A bar with values, speed and time left; plain lines now and then when stderr is not a terminal.

    It writes to stderr only, so that stdout stays free for results. Use it as a context manager:

        with Progress(500, "optimise") as progress:
            for step in range(500):
                progress.advance(loss=loss)

    Args:
        total: Amount of work.
        label: What is being done.
        quiet: Show nothing.
        unit: What is counted, for the speed.
        done: Work done before, when a run is resumed.
        interval: Seconds between plain lines.
        console: Where to write, instead of stderr.
        clock: Source of seconds.
    """

    def __init__(
        self,
        total: float,
        label: str,
        quiet: bool = False,
        unit: str = "step",
        done: float = 0,
        interval: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.label, self.quiet, self.unit = total, label, quiet, unit
        self.done = self._begun = done
        self._interval, self._clock = interval, clock
        self._console = console or Console(stderr=True)
        self._start = self._spoken = clock()
        self._bar: Bar | None = None
        self._values = ""

    def __enter__(self) -> "Progress":
        self._start = self._spoken = self._clock()
        if not self.quiet and self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[values]}"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=self._console)
            self._task = self._bar.add_task(self.label, total=self.total, values="")
            self._bar.update(self._task, completed=self.done)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif not self.quiet and kind is None:
            self._say()

    def advance(self, amount: float = 1, **values: float) -> None:
        """Some work is done.

        Args:
            amount: How much.
            values: Shown beside the bar, for instance the loss.
        """
        self.done += amount
        if self.quiet:
            return
        shown = [f"{name} {value:.4g}" for name, value in values.items()]
        self._values = "  ".join([*shown, self._pace()])
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, values=self._values)
        elif self._clock() - self._spoken >= self._interval:
            self._say()

    @property
    def speed(self) -> float:
        """Work per second since the beginning (or since resuming)."""
        elapsed = self._clock() - self._start
        return (self.done - self._begun) / elapsed if elapsed > 0 else 0.0

    def _pace(self) -> str:
        speed = self.speed
        if 0 < speed < 1:
            return f"{1 / speed:.1f} s/{self.unit}"
        return f"{speed:.1f} {self.unit}s/s"

    def _say(self) -> None:
        self._spoken = self._clock()
        left = (self.total - self.done) / self.speed if self.speed > 0 else None
        ahead = "" if left is None or left <= 0 else f"  {_clock_text(left)} left"
        text = f"{self.label}  {self.done:g}/{self.total:g}  {self._values}{ahead}"
        self._console.print(text, highlight=False, soft_wrap=True)


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"

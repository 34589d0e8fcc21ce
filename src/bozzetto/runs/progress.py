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
        total: Amount of work. Steps that take longer than others may count as more than one.
        label: What is being done.
        quiet: Show nothing.
        unit: What one call of `advance` is, for the speed.
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
        self.done, self.calls = done, 0
        self._interval, self._clock = interval, clock
        self._console = console or Console(stderr=True)
        self._spoken = clock()
        self._first: tuple[float, float] | None = None  # when the first call came, and work done then
        self._bar: Bar | None = None
        self._values = ""

    def __enter__(self) -> "Progress":
        self._spoken = self._clock()
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
        self.calls += 1
        if self._first is None:  # what came before it was preparation and says nothing about the speed
            self._first = self._clock(), self.done
        if self.quiet:
            return
        shown = [f"{name} {value:.4g}" for name, value in values.items()]
        self._values = "  ".join(part for part in (*shown, self._pace()) if part)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, values=self._values)
        elif self._clock() - self._spoken >= self._interval:
            self._say()

    @property
    def seconds_left(self) -> float | None:
        """Estimate of the time to go, None as long as nothing is known."""
        if self._first is None or self.done == self._first[1]:
            return None
        elapsed = self._clock() - self._first[0]
        return elapsed * (self.total - self.done) / (self.done - self._first[1])

    def _pace(self) -> str:
        elapsed = 0.0 if self._first is None else self._clock() - self._first[0]
        if self.calls < 2 or elapsed <= 0:
            return ""
        speed = (self.calls - 1) / elapsed
        return f"{1 / speed:.1f} s/{self.unit}" if speed < 1 else f"{speed:.1f} {self.unit}s/s"

    def _say(self) -> None:
        self._spoken = self._clock()
        left = self.seconds_left
        ahead = f"{_clock_text(left)} left" if left else ""
        share = f"{100 * self.done / self.total:.0f} %" if self.total else ""
        text = "  ".join(part for part in (self.label, share, self._values, ahead) if part)
        self._console.print(text, highlight=False, soft_wrap=True)


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"

"""Progress of computations on the terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..steps import paused, progress_callback

PATIENCE = 2.0
"""Seconds after which progress is shown."""


class Progress:
    """Progress bar with values, speed and remaining time; plain lines at intervals if stderr is not a terminal.

    It writes to stderr only, so that stdout stays free for results. Use it as a context manager:

        with Progress(500, "optimise") as progress:
            for step in range(500):
                progress.advance(loss=loss)

    While it is shown, progress that loops report (see `steps`) is hidden.

    Args:
        total: Total amount of work; None if it is unknown. Slow steps may count as more than one.
        label: Description of the work.
        quiet: Whether to show nothing.
        unit: Name of the unit of one call of `advance`, for the speed.
        done: Amount of work done before, when a run is resumed.
        interval: Seconds between plain lines.
        console: Console to write to; None takes stderr.
        clock: Function that returns the current time in seconds.
    """

    _transient = False  # whether the bar vanishes at the end

    def __init__(
        self,
        total: float | None,
        label: str,
        quiet: bool = False,
        unit: str = "step",
        done: float = 0,
        interval: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.label = label
        self.quiet = quiet
        self.unit = unit
        self.done: float = done
        self.calls: int = 0
        self._interval, self._clock = interval, clock
        self._console = console or Console(stderr=True)
        self._spoken = clock()
        self._first: tuple[float, float] | None = None  # when the first call came, and work done then
        self._bar: Bar | None = None
        self._values = ""
        self._others: AbstractContextManager[None] = nullcontext()

    def __enter__(self) -> "Progress":
        self._others = self._alone()
        self._others.__enter__()
        self._spoken = self._clock()
        if not self.quiet and self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[values]}"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=self._console, transient=self._transient)
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
        self._others.__exit__(kind, error, trace)

    def _alone(self) -> AbstractContextManager[None]:
        return paused()

    def advance(self, amount: float = 1, **values: float) -> None:
        """Report that work has been done.

        Args:
            amount: Amount of work.
            values: Values to show beside the bar, for instance the loss.
        """
        self.done += amount
        self.calls += 1
        if self._first is None:  # earlier time was preparation, which does not count for the speed
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
        """Estimated remaining time in seconds; None if it is unknown."""
        if self._first is None or self.done == self._first[1] or self.total is None:
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


@contextmanager
def show_progress(
    quiet: bool = False, console: Console | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Show the progress that loops of a block report (see `steps`) if they take longer than `PATIENCE`."""
    if quiet:
        yield
        return
    shown = _ProgressDisplay(console or Console(stderr=True), clock)
    try:
        with progress_callback(shown):
            yield
    finally:
        shown.close()


class _ProgressDisplay:
    """Display of reported progress, one bar at a time."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console, self._clock = console, clock
        self._label, self._began, self._first = "", 0.0, 0.0
        self._bar: _StepBar | None = None

    def __call__(self, label: str, share: float | None) -> None:
        now, bar = self._clock(), self._bar
        new = label != self._label or (bar is not None and (bar.total is None) != (share is None))
        if new or (share is not None and share < self._first):
            self.close()
            self._label, self._began, self._first, bar = label, now, share or 0.0, None
        if bar is None and label and self._is_due(now, share):
            total = None if share is None else 1.0
            self._bar = bar = _StepBar(total, label, console=self._console, clock=self._clock)
            bar.begin(self._began, self._first)
        if bar is not None and share is not None:
            bar.advance(share - bar.done)

    def _is_due(self, now: float, share: float | None) -> bool:
        if share is None:  # no further report may come, so show a moving bar at once
            return self._console.is_terminal
        return share < 1 and now - self._began >= PATIENCE

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
        self._bar, self._label = None, ""


class _StepBar(Progress):
    """Progress bar of work that began before the bar is shown."""

    _transient = True

    def begin(self, since: float, done: float) -> None:
        """Show the bar; the speed is measured from the time `since`, when the amount `done` was done."""
        self.__enter__()
        self._first, self._spoken = (since, done), since - self._interval  # prints with the next step

    def _alone(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _pace(self) -> str:
        return ""


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"

"""Progress of a computation: its loops report to a callback, such as a progress bar, if there is one.

Nested loops count as parts of the outermost.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Callback = Callable[[str, float | None], object]
"""Function that is called with a label and the fraction that is done, None if unknown."""


@dataclass
class _Reporter:
    callback: Callback
    stages: list[str] = field(default_factory=list)
    loops: list[tuple[str, list[float]]] = field(default_factory=list)  # label; done and total

    def report(self, fraction: float | None = None, label: str = "") -> None:
        if self.loops:
            label, fraction, part = self.loops[0][0], 0.0, 1.0
            for _, (done, total) in self.loops:
                fraction, part = fraction + part * done / total, part / total
        self.callback(": ".join(name for name in (*self.stages[-1:], label) if name), fraction)


_reporter: ContextVar[_Reporter | None] = ContextVar("reporter", default=None)


@contextmanager
def progress_callback(callback: Callback | None) -> Iterator[None]:
    """Report the progress of a block to a callback; None reports to none."""
    token = _reporter.set(None if callback is None else _Reporter(callback))
    try:
        yield
    finally:
        _reporter.reset(token)


@contextmanager
def paused() -> Iterator[None]:
    """Suspend progress reports in a block; the callback is first called with an empty label."""
    reporter = _reporter.get()
    if reporter is not None:
        reporter.callback("", None)
    with progress_callback(None):
        yield


@contextmanager
def stage(label: str) -> Iterator[None]:
    """Set the label of the progress of a block."""
    reporter = _reporter.get()
    if reporter is None:
        yield
        return
    reporter.stages.append(label)
    reporter.report()
    try:
        yield
    finally:
        reporter.stages.pop()
        reporter.callback("", None)


def counted(items: Iterable[T], label: str = "", total: int | None = None) -> Iterator[T]:
    """Iterate over items and report the fraction that is done.

    Args:
        items: Items of a loop.
        label: Description of the loop, in a word or two.
        total: Number of items, if `items` has no length.
    """
    reporter = _reporter.get()
    count = total if total is not None else len(items) if isinstance(items, Collection) else 0
    if reporter is None or not count:
        yield from items
        return
    done = [0.0, float(count)]
    loop = (label, done)
    reporter.loops.append(loop)
    try:
        reporter.report()
        for item in items:
            yield item
            done[0] = min(done[0] + 1, count)
            reporter.report()
    finally:
        reporter.loops.remove(loop)


def report_progress(label: str, fraction: float) -> None:
    """Report the fraction of a task that is done, for tasks without a loop."""
    reporter = _reporter.get()
    if reporter is not None:
        reporter.report(fraction, label)

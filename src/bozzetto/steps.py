"""How far a computation is: its loops tell, and whoever listens, such as a progress bar, is told.

Where nobody listens, nothing happens. Loops within loops count as parts of the outermost.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Tell = Callable[[str, float | None], object]
"""Told what is being done, and the share of it that is done; None as long as that is not known."""


@dataclass
class _Listening:
    tell: Tell
    stages: list[str] = field(default_factory=list)
    loops: list[tuple[str, list[float]]] = field(default_factory=list)  # label; done and total

    def now(self, share: float | None = None, label: str = "") -> None:
        if self.loops:
            label, share, part = self.loops[0][0], 0.0, 1.0
            for _, (done, total) in self.loops:
                share, part = share + part * done / total, part / total
        self.tell(": ".join(name for name in (*self.stages[-1:], label) if name), share)


_listening: ContextVar[_Listening | None] = ContextVar("listening", default=None)


@contextmanager
def listening(tell: Tell | None) -> Iterator[None]:
    """Have the steps of a block told; None has them told to nobody."""
    token = _listening.set(None if tell is None else _Listening(tell))
    try:
        yield
    finally:
        _listening.reset(token)


@contextmanager
def paused() -> Iterator[None]:
    """Have the steps of a block told to nobody; who listened until then is told that nothing is being done."""
    listener = _listening.get()
    if listener is not None:
        listener.tell("", None)
    with listening(None):
        yield


@contextmanager
def stage(label: str) -> Iterator[None]:
    """Name what a block does."""
    listener = _listening.get()
    if listener is None:
        yield
        return
    listener.stages.append(label)
    listener.now()
    try:
        yield
    finally:
        listener.stages.pop()
        listener.tell("", None)


def counted(items: Iterable[T], label: str = "", total: int | None = None) -> Iterator[T]:
    """The items; while they are worked on, it is told how many are done.

    Args:
        items: What a loop goes through.
        label: What the loop does, in a word or two.
        total: How many there are, if they have no length.
    """
    listener = _listening.get()
    count = total if total is not None else len(items) if isinstance(items, Collection) else 0
    if listener is None or not count:
        yield from items
        return
    done = [0.0, float(count)]
    loop = (label, done)
    listener.loops.append(loop)
    try:
        listener.now()
        for item in items:
            yield item
            done[0] = min(done[0] + 1, count)
            listener.now()
    finally:
        listener.loops.remove(loop)


def told(label: str, share: float) -> None:
    """Tell what share of something is done, where no loop can."""
    listener = _listening.get()
    if listener is not None:
        listener.now(share, label)

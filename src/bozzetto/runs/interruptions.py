"""Signals to end that wait until a computation has come to a place where it can stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..terminal import end_at_once
from .processes import is_distributed

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Interruption:
    """Whether a signal to end has come.

    Attributes:
        number: Of the first signal; None as long as there is none.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """As shells count: 130 after Ctrl-C, 143 after `kill`."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def noted_interruptions() -> Iterator[Interruption]:
    """Take note of a first Ctrl-C, SIGTERM or closed terminal in a block; a second ends the process at once.

    Under `torchrun` any further signal waits too, since it passes on to its processes what they get themselves.
    Signals that are ignored stay so. Threads other than the first cannot answer signals: there nothing changes.
    """
    noted = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        if noted and not is_distributed():
            end_at_once(number)
        noted.number = noted.number or number

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    numbers = [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]
    before = {number: signal.getsignal(number) for number in numbers}
    answered = {
        number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)
    }
    try:
        for number in answered:
            signal.signal(number, note)
        yield noted
    finally:
        for number, handler in answered.items():
            signal.signal(number, handler)

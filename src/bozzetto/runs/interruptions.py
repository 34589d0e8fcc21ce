"""Deferral of signals that end the process until a computation can stop."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..terminal import SIGNALS, exit_at_once
from .processes import is_distributed


class Interruption:
    """Whether a signal has arrived that ends the process.

    Attributes:
        number: Number of the first signal; None as long as there is none.
    """

    def __init__(self) -> None:
        self.number: int | None = None

    def __bool__(self) -> bool:
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """Exit code by the convention of shells: 130 after Ctrl-C, 143 after `kill`."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def deferred_interruptions() -> Iterator[Interruption]:
    """Defer a first Ctrl-C, SIGTERM or closed terminal in a block; a second one ends the process at once.

    Under `torchrun` further signals are deferred too, since it forwards signals to processes that have already
    received them.
    Ignored signals stay ignored. Outside the main thread nothing changes: only it can handle signals.
    """
    noted = Interruption()

    def note(number: int, frame: FrameType | None) -> None:
        if noted and not is_distributed():
            exit_at_once(number)
        noted.number = noted.number or number

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
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

"""Robust standard streams, which may be closed, full or unable to encode a name, and termination signals."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Termination signals that exist on this system."""


class Terminated(KeyboardInterrupt):
    """A termination signal arrived: Ctrl-C, or the signal of `kill`, `docker stop` or a closed terminal.

    Attributes:
        number: Number of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number

    @property
    def exit_code(self) -> int:
        """Exit code by the convention of shells: 130 after Ctrl-C, 143 after `kill`."""
        return 128 + self.number


def install_signal_handlers() -> None:
    """Install signal handlers: the first signal raises `Terminated`, a second one ends the process at once.

    Signals that were ignored when the process started (`nohup`, background jobs) stay ignored.
    """
    ended: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if ended:
            exit_at_once(number)
        ended.append(number)
        raise Terminated(number)

    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, end)


def exit_at_once(number: int) -> NoReturn:
    """End the process without any clean-up, as after a second signal."""
    with suppress(OSError):
        if os.isatty(2):  # a progress bar may have hidden the cursor
            os.write(2, b"\x1b[?25h\n")
    os._exit(128 + number)


class Stream:
    """A text stream that ignores errors of writing and records that there were some.

    Args:
        stream: The stream; None if it is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.lost: bool = False
        self._closed = stream is None
        self._stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115

    def write(self, text: str) -> int:
        """Write a text; on failure, set `lost`."""
        self.lost |= self._closed and bool(text)
        return self._attempt(self._stream.write, text) or len(text)

    def flush(self) -> None:
        """Flush the stream; on failure, set `lost`."""
        self._attempt(self._stream.flush)

    def _attempt(self, action: Any, *arguments: str) -> int | None:
        try:
            return action(*arguments)
        except (OSError, ValueError) as error:
            if isinstance(error, UnicodeError):
                raise
            self.lost = True
            with suppress(OSError, ValueError):
                # Discard the rest of the buffer, so that closing it raises no further error.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_streams() -> None:
    """Replace stdout and stderr by streams that never raise errors, also if they are closed."""
    missing = [number for number in range(3) if not _is_open(number)]
    for _ in missing:  # otherwise the next file would get this number, and the output for the terminal
        os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")
        setattr(sys, name, Stream(stream))


def output_is_lost() -> bool:
    """Whether output to stdout was lost."""
    sys.stdout.flush()
    return getattr(sys.stdout, "lost", False)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

"""Standard streams that may be closed, full or unable to encode a name, and signals that end the process."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Those of this system that ask a process to end."""


class Terminated(KeyboardInterrupt):
    """A signal asks the process to end: Ctrl-C, or what `kill`, `docker stop` or a closed terminal send.

    Attributes:
        number: Of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells count: 130 after Ctrl-C, 143 after `kill`."""
        return 128 + self.number


def install_signal_handlers() -> None:
    """Have the first signal raise `Terminated`, and a second one end the process at once.

    Signals that whoever started the process has switched off (`nohup`, background jobs) stay so.
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
    """A text stream that ignores errors of writing and remembers that there were some.

    Args:
        stream: The stream; None where it is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.lost: bool = False
        self._closed = stream is None
        self._stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115

    def write(self, text: str) -> int:
        """Write; on failure, set `lost`."""
        self.lost |= self._closed and bool(text)
        return self._attempt(self._stream.write, text) or len(text)

    def flush(self) -> None:
        """Flush; on failure, set `lost`."""
        self._attempt(self._stream.flush)

    def _attempt(self, action: Any, *arguments: str) -> int | None:
        try:
            return action(*arguments)
        except (OSError, ValueError) as error:
            if isinstance(error, UnicodeError):
                raise
            self.lost = True
            with suppress(OSError, ValueError):
                # What the buffer still holds goes nowhere, so that closing it does not complain again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def open_streams() -> None:
    """Replace stdout and stderr by streams that can always be written to, also if they are closed."""
    missing = [number for number in range(3) if not _is_open(number)]
    for _ in missing:  # else the next file would get the number, and with it what is meant for the terminal
        os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")
        setattr(sys, name, Stream(stream))


def output_is_lost() -> bool:
    """Whether something that was written to stdout has not arrived."""
    sys.stdout.flush()
    return getattr(sys.stdout, "lost", False)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

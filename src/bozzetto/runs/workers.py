"""Calls in worker processes, which end with this process.

The standard pools leave their workers running when their parent process is killed. Workers import this
module first, so it imports nothing heavy.
"""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from ..errors import InputError, collected_warnings, warn_input

Result = TypeVar("Result")


def map_in_processes(
    function: Callable[..., Result], arguments: Sequence[tuple[Any, ...]], workers: int | None = None
) -> Iterator[Result]:
    """Call a function with each of the arguments in worker processes, and yield the results in order.

    Input warnings of the function are issued here. Workers end at once when the generator is closed or raises
    an exception, and when this process ends for any reason. They ignore Ctrl-C, which this process handles.

    Args:
        function: A module-level function, so that it can be imported in another process.
        arguments: Positional arguments of each call; arguments and results must be picklable.
        workers: Largest number of processes; None takes one per core.

    Raises:
        InputError: The function raised it, or a worker was killed, for instance because memory ran out.
    """
    pool = _WorkerPool(function, arguments, min(workers or os.cpu_count() or 1, len(arguments)))
    try:
        pool.start()
        for number in range(len(arguments)):
            yield _unwrapped(*pool.result(number))
    finally:
        pool.kill()


class _WorkerPool:
    """Worker processes, each with a pipe for arguments and results, one call at a time."""

    def __init__(self, function: Callable, arguments: Sequence[tuple[Any, ...]], count: int) -> None:
        context = get_context("spawn")
        self._pipes = [context.Pipe() for _ in range(count)]
        self._function = function
        self._processes = [
            context.Process(target=_worker_main, args=(theirs,), daemon=True) for _, theirs in self._pipes
        ]
        self._pending = enumerate(arguments)
        self._busy: dict[Any, int] = {}  # number of the call, by connection
        self._results: dict[int, tuple[Any, ...]] = {}

    def start(self) -> None:
        with _interruptions_blocked():
            for process in self._processes:
                process.start()
        for ours, theirs in self._pipes:
            theirs.close()
            with suppress(OSError):
                ours.send(self._function)
            self._give(ours)

    def result(self, number: int) -> tuple[Any, ...]:
        """Wait for the result of this call."""
        while number not in self._results:
            for connection in wait(list(self._busy)):
                try:
                    self._results[self._busy.pop(connection)] = connection.recv()  # type: ignore[union-attr]
                except (EOFError, OSError):
                    raise self._worker_error() from None
                self._give(connection)
        return self._results.pop(number)

    def kill(self) -> None:
        for process in self._processes:
            if process.pid is not None:
                process.kill()
                process.join()

    def _give(self, connection: Any) -> None:
        for number, arguments in self._pending:
            self._busy[connection] = number
            with suppress(OSError):  # of a worker that has ended, which `result` notices
                connection.send(arguments)
            return

    def _worker_error(self) -> Exception:
        """The error for a worker that has ended."""
        for process in self._processes:
            process.join(0.1)
        codes = [process.exitcode for process in self._processes if process.exitcode is not None]
        if any(code > 0 for code in codes):
            return RuntimeError(f"a worker process has failed with exit code {max(codes)}")
        return InputError(
            "a worker process was ended by the system, perhaps because memory ran out; close other programs"
        )


def _worker_main(connection: Connection) -> None:
    """The main function of a worker: receive a function, then arguments, and send results back."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Before receiving the function, whose imports may take seconds.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function = connection.recv()
        while True:
            connection.send(_called(function, connection.recv()))
    except (EOFError, OSError):
        return


def _called(function: Callable, arguments: tuple[Any, ...]) -> tuple[Any, Exception | None, list[str]]:
    with collected_warnings() as sentences:
        try:
            return function(*arguments), None, sentences
        except Exception as error:
            if not isinstance(error, InputError):
                error.add_note(traceback.format_exc())
            return None, error, sentences


def _end_with_parent() -> None:
    """End this process when its parent process has ended."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _unwrapped(value: Any, error: Exception | None, sentences: list[str]) -> Any:
    for sentence in sentences:
        warn_input(sentence)
    if error is not None:
        raise error
    return value


@contextmanager
def _interruptions_blocked() -> Iterator[None]:
    """Block Ctrl-C; processes started in this block ignore it from their first line on."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

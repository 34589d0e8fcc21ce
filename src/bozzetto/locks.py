"""Locks on folders, so that two runs never write to the same one."""

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from .errors import InputError
from .files import make_folder, write_error

_held: "weakref.WeakValueDictionary[str, Lock]" = weakref.WeakValueDictionary()


class Lock:
    """A lock file that this process holds for the lifetime of the object; returned by `acquire_lock`.

    The lock is one of the operating system, so it is released when the process ends for any reason. The file,
    and folders that were created for it and are still empty, are deleted with it.

    Args:
        file: The lock file.
        busy: Error message if another process holds the lock.
    """

    def __init__(self, file: Path, busy: str) -> None:
        from filelock import FileLock, Timeout

        made = [folder for folder in (file.parent, *file.parent.parents) if not folder.exists()]
        make_folder(file.parent)
        lock = FileLock(file, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(busy) from None
        except NotImplementedError:  # a file system without locks: continue without one
            pass
        except OSError as error:
            raise write_error(error, file) from None
        self._abandon: list[Callable[[], object]] = []
        self.release: weakref.finalize[..., Self] = weakref.finalize(
            self, _release, lock, file, made, os.getpid()
        )

    def on_failure(self, tidy: Callable[[], object]) -> None:
        """Register a function that `release_all_locks` calls if the lock is still held."""
        self._abandon.append(tidy)

    def abandon(self) -> None:
        """Release the lock of a run that has failed."""
        if self.release.alive:
            for tidy in self._abandon:
                tidy()
            self.release()


def acquire_lock(file: Path, busy: str) -> Lock:
    """Acquire a lock file; within a process the lock is shared.

    Raises:
        InputError: Another process holds it (with the message `busy`), or the file cannot be written.
    """
    key = os.path.realpath(file)
    held = _held.get(key)
    if held is None or not held.release.alive:
        held = _held[key] = Lock(file, busy)
    return held


def release_all_locks() -> None:
    """Release all locks that this process still holds, since their owners have failed."""
    for held in list(_held.values()):
        held.abandon()


def _release(lock: object, file: Path, made: list[Path], owner: int) -> None:
    if os.getpid() != owner:  # a fork; the lock is its parent's
        return
    try:
        if os.name == "posix":  # before it is released, so that no other process can acquire it in between
            file.unlink(missing_ok=True)
    except OSError:
        pass
    finally:
        lock.release()  # type: ignore[attr-defined]
    with suppress(OSError):
        if os.name != "posix":  # where open files cannot be deleted
            file.unlink(missing_ok=True)
    for folder in made:
        with suppress(OSError):
            folder.rmdir()

"""Atomic writing of files, and errors if they cannot be written."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

FULL: set[int] = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Error numbers of a full disk."""
_REASONS = {
    errno.EFBIG: "it would be larger than files may be here; raise the limit or choose another disk",
    errno.ENAMETOOLONG: "the name is longer than this file system allows; choose a shorter one",
    errno.ENOTDIR: "a part of the path is a file and no folder; choose another folder",
    errno.EEXIST: "a part of the path is a file and no folder; choose another folder",
    errno.EISDIR: "there is a folder of this name; move it away or choose another place",
    errno.ENOENT: "its folder was deleted or moved meanwhile; start again",
    errno.EIO: "the disk or network reports an input/output error; check it",
}
_LEAST_FREE = 1 << 20  # bytes; if less is free, a truncated file means a full disk
_LEFTOVER = re.compile(r"\..*\.\d+\.part(\.[^.]*)?", re.DOTALL)
_LONGEST = 60  # number of characters of a name that its temporary file has


class CannotWrite(InputError):
    """A file cannot be written, and probably no other file in its folder can be."""


class NoSpace(CannotWrite):
    """The disk is full, or a quota or file size limit is reached."""


def write_error(error: OSError | RuntimeError, path: str | os.PathLike[str]) -> CannotWrite:
    """The error for a file that cannot be written.

    Args:
        error: Exception raised by writing. Native libraries raise a RuntimeError that ends with the message of
            the system.
        path: The intended path of the file.
    """
    code, text, path = _code(error), getattr(error, "strerror", None) or str(error), Path(path)
    if code in FULL or (code is None and "written" in text and _free(path) < _LEAST_FREE):
        return NoSpace(f"no space left on the disk to write {path}; free some or choose another --out")
    reason = _REASONS.get(code or 0, f"{text}; choose a folder that you may write to")
    return (NoSpace if code == errno.EFBIG else CannotWrite)(f"cannot write {path}: {reason}")


def _code(error: OSError | RuntimeError) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    known = (*FULL, *_REASONS)
    return next((code for code in known if os.strerror(code) in str(error)), None)


def _free(path: Path) -> int:
    place = next((folder for folder in path.parents if folder.exists()), Path())
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return _LEAST_FREE


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Convert system errors in a block that writes a file to `CannotWrite`.

    Raises:
        CannotWrite: The file cannot be written; `NoSpace` if the disk is full.
    """
    try:
        yield
    except OSError as error:
        raise write_error(error, path) from None
    except RuntimeError as error:
        if _code(error) is None:
            raise
        raise write_error(error, path) from None


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the same folder; the file written there replaces `path` when the block ends.

    If the block raises an exception, `path` does not change and the temporary file is deleted. Missing parent
    folders are created. A killed process leaves its temporary file behind, see `remove_leftovers`.

    Raises:
        CannotWrite: The folder cannot be created or written to, or the disk is full.
    """
    path = Path(path)
    # Shortened, so that names of the largest allowed length can be written.
    name, suffix = path.name[:_LONGEST], path.suffix[:_LONGEST]
    temporary = path.with_name(f".{name}.{os.getpid()}.part{suffix}")
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch()
            yield temporary
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()


def is_leftover(name: str) -> bool:
    """Whether a file name is that of an unfinished file of `atomic_path`."""
    return _LEFTOVER.fullmatch(name) is not None


def remove_leftovers(folder: Path) -> None:
    """Delete unfinished files of killed processes; no other process may be writing to the folder."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if is_leftover(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    os.unlink(entry.path)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder with its parents if it does not exist, and return it.

    Raises:
        CannotWrite: The folder cannot be created.
    """
    path = Path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole UTF-8 text file atomically; undecodable bytes of file names are written unchanged."""
    write_bytes(path, text.encode(errors="surrogateescape"))

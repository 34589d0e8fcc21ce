"""The files of a run's results, and how those of a new run replace earlier ones."""

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..files import make_folder, remove_leftovers, write_text, writing
from ..locks import Lock, acquire_lock

CONFIG, METRICS, REPORT, CHECKPOINT = "config.json", "metrics.jsonl", "report.json", "checkpoint.safetensors"
FILES, LOCK = ".files", ".lock"
UNFINISHED = ".unfinished"
"""Folder, within that of the run, of results that are to replace earlier ones when they are complete."""
FINISHED = ".finished"
"""Its name once they are complete, until each is moved into place."""


def lock_folder(folder: Path) -> Lock:
    """The lock of whoever writes results to a folder.

    Raises:
        InputError: It is held by another process.
    """
    return acquire_lock(
        folder / LOCK, f"another run is writing to {folder}; wait until it ends, or choose another --out"
    )


def listed_files(folder: Path) -> list[str]:
    """Names of the results in a folder; none if there is no list.

    Raises:
        InputError: The list is damaged.
    """
    path = folder / FILES
    try:
        # A last line without an end was cut by a crash, before the file that it names was written.
        lines = path.read_bytes().decode(errors="surrogateescape").split("\n")[:-1]
        names = [json.loads(line) if line.startswith('"') else line for line in lines if line]
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        names = []
    # The settings come first, and the first name is written with the list.
    if CONFIG not in names or not all(isinstance(name, str) and name and "\0" not in name for name in names):
        raise InputError(
            f"{path}, the list of what an earlier run wrote, is damaged; choose another --out "
            "or move the results away"
        )
    return [name for name in names if not Path(name).is_absolute() and ".." not in Path(name).parts]


def write_list(folder: Path, names: Iterable[str]) -> None:
    """Write the list of results, a name per line; names that are no single line of text as JSON."""
    write_text(folder / FILES, "".join(map(_line, sorted(names))))


def add_to_list(folder: Path, name: str) -> None:
    """Add a name to the list of results."""
    path = folder / FILES
    with writing(path), path.open("ab") as listing:
        listing.write(_line(name).encode())


def _line(name: str) -> str:
    plain = name.isprintable() and not name.startswith('"')
    return (name if plain else json.dumps(name)) + "\n"


def clear(folder: Path) -> None:
    """Delete what killed runs have left: unfinished files, and results that were to replace others."""
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    remove_unfinished_files(folder)


def remove_unfinished_files(folder: Path) -> None:
    """Delete files that killed runs were writing, beside results in a folder."""
    for place in {(folder / name).parent for name in (FILES, *listed_files(folder))}:
        remove_leftovers(place)


def move_into_place(folder: Path) -> None:
    """Replace the results in a folder by those in its folder `UNFINISHED`, which are complete.

    The new ones are valid from the moment that folder is renamed. After a crash, `finish` does the rest.
    """
    with writing(folder):
        os.replace(folder / UNFINISHED, folder / FINISHED)
    finish(folder)


def finish(folder: Path) -> None:
    """Move complete results into place, if there are any left from a crash.

    The report goes first and comes last, so that a folder with a report never holds files of two runs.
    """
    new = folder / FINISHED
    if not new.is_dir():
        return
    names = [*(name for name in listed_files(new) if name != REPORT), REPORT]
    if len(names) > 1:
        with writing(folder / REPORT):
            if (new / REPORT).exists():
                (folder / REPORT).unlink(missing_ok=True)
        if sorted(listed_files(folder)) != sorted(names):
            delete(folder, listed_files(folder))
            write_list(folder, names)
        for name in names:
            if (new / name).exists():
                make_folder((folder / name).parent)
                with writing(folder / name):
                    os.replace(new / name, folder / name)
    shutil.rmtree(new, ignore_errors=True)


def delete(folder: Path, names: Iterable[str]) -> None:
    """Delete files of a folder, and folders in it that are empty then; nothing outside."""
    root = folder.resolve()
    for name in names:
        file = folder / name
        if root not in file.resolve().parents or not (file.is_file() or file.is_symlink()):
            continue
        with writing(file):
            file.unlink()
        for parent in file.parents:
            if parent == folder:
                break
            with suppress(OSError):
                parent.rmdir()

"""Files of the results of a run, and their replacement by those of a new run."""

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
"""Name of the sub-folder of results that will replace earlier ones when they are complete."""
FINISHED = ".finished"
"""Name of this sub-folder after the results are complete, until all are moved."""


def lock_folder(folder: Path) -> Lock:
    """Acquire the lock for writing results to a folder.

    Raises:
        InputError: The lock is held by another process.
    """
    return acquire_lock(
        folder / LOCK, f"another run is writing to {folder}; wait until it ends, or choose another --out"
    )


def listed_files(folder: Path) -> list[str]:
    """Names of the results in a folder, from its list; empty if there is no list.

    Raises:
        InputError: The list is damaged.
    """
    path = folder / FILES
    try:
        # A last line without a line end was truncated by a crash, before the file that it names was written.
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
    """Write the list of results, one name per line; names that are not a single line of text as JSON."""
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
    """Delete leftovers of killed runs: unfinished files and unfinished replacements."""
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    remove_unfinished_files(folder)


def remove_unfinished_files(folder: Path) -> None:
    """Delete unfinished files of killed runs in a folder of results."""
    for place in {(folder / name).parent for name in (FILES, *listed_files(folder))}:
        remove_leftovers(place)


def move_into_place(folder: Path) -> None:
    """Replace the results in a folder by those in its folder `UNFINISHED`, which are complete.

    The new ones are valid as soon as that folder is renamed. After a crash, `finish` moves the rest.
    """
    with writing(folder):
        os.replace(folder / UNFINISHED, folder / FINISHED)
    finish(folder)


def finish(folder: Path) -> None:
    """Finish moving complete results after a crash.

    The old report is deleted first and the new one moved last, so that a folder with a report never contains
    files of two runs.
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
    """Delete files in a folder and sub-folders that become empty, but nothing outside of the folder."""
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

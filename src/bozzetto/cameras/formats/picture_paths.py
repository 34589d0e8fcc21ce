"""Finding the pictures that a camera file names."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ...errors import InputError, join_names, warn_input
from ...images.io import SUFFIXES
from .camera_files import View

MOST_VIEWS = 20_000
"""Largest number of cameras in a file."""
PICTURE_FOLDERS = ("images", "image", "images_2", "images_4", "images_8", "input", "imgs", "rgb", "photos")
"""Names of folders beside a camera file, or in a project's folder, that may contain its pictures."""
MOST_FILES = 200_000
"""Largest number of files below a capture's folder among which pictures are searched for by name."""


def unique_picture_names(paths: Sequence[Path], source: Path) -> list[str]:
    """File names of pictures, with as many parent folders as needed to make them unique.

    Raises:
        InputError: Two views use the same picture, or there are more than `MOST_VIEWS`.
    """
    if len(paths) > MOST_VIEWS:
        raise InputError(f"{source} lists {len(paths)} cameras, up to {MOST_VIEWS} are read; leave some out")
    path, count = Counter(paths).most_common(1)[0]
    if count > 1:
        raise InputError(f"{source} gives {count} cameras for the image {path.name}; keep one of them")
    if len({p.name for p in paths}) == len(paths):
        return [p.name for p in paths]
    folders = [path.parent for path in paths]
    inside = all(folder.is_relative_to(source.parent) for folder in folders)
    try:
        root = source.parent if inside else Path(os.path.commonpath(folders))
    except ValueError:  # on several drives
        return [str(path) for path in paths]
    return [path.relative_to(root).as_posix() for path in paths]


def find_pictures(
    source: Path, names: Sequence[str], photos: Path | None = None
) -> tuple[list[Path], list[str]]:
    """Find the pictures that a camera file names, and names for the views.

    They are searched for in `photos`, beside the camera file, and in folders with usual names beside it.

    Raises:
        InputError: Two views use the same picture, there are more than `MOST_VIEWS`, or a name fits several
            pictures.
    """
    home = source.parent
    folders = [home, *(home / name for name in PICTURE_FOLDERS if (home / name).is_dir())]
    images = PictureFinder(source, [photos] if photos else folders).locate(names)
    return images, unique_picture_names(images, source)


class PictureFinder:
    """Finder of the files that a camera file names, also if it was written on another machine.

    A name may lack its extension or have it in another case, and may use backslashes. If no file exists at its
    path, the paths are those of another machine or working directory. Then files with these names below a
    folder are taken whose paths agree best.

    Args:
        source: The camera file.
        folders: Folders that paths may be relative to, of which the first with any of the files is taken. If
            empty, the folder of the camera file.
        below: Folder below which names are searched for; None takes the first of `folders`.
    """

    def __init__(self, source: Path, folders: Sequence[Path] = (), below: Path | None = None) -> None:
        self.source = source
        self.folders: tuple[Path, ...] = tuple(folders) or (source.parent,)
        self.below: Path = below or self.folders[0]
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def locate(self, names: Sequence[str], masks: bool = False) -> list[Path]:
        """Paths of the files, or the expected paths of missing ones.

        Args:
            names: Names in the camera file.
            masks: Whether the files are masks instead of photographs.

        Raises:
            InputError: A name lacks its extension and fits several pictures.
        """
        written = [PurePosixPath(name.replace("\\", "/")) for name in names]
        found: list[Path | None] = [None] * len(written)
        for folder in self.folders:
            found = [self._in_place(folder, path) for path in written]
            if any(found):
                break
        if not any(found) and written:
            below = _pictures_below(self.below)
            found = [_agreeing(below, path, self.below, masks) for path in written]
            pair = next(((p, n) for p, n in zip(found, names, strict=True) if p is not None), None)
            if pair is not None:
                warn_input(
                    f"{self.source} gives places where no files are; they were found by their names, such as "
                    f"{pair[0].relative_to(self.below).as_posix()} for {pair[1]}"
                )
        return [path or self.folders[0] / name for path, name in zip(found, written, strict=True)]

    def _in_place(self, start: Path, written: PurePosixPath) -> Path | None:
        folder, name = start / written.parent, written.name
        if folder not in self._listings:
            self._listings[folder] = _files_in(folder)
        listing = self._listings[folder]
        exact = listing.get(name.lower(), [])
        if name in exact:
            return folder / name
        if len(exact) == 1:
            return folder / exact[0]
        found = [file for suffix in SUFFIXES for file in listing.get(name.lower() + suffix, [])]
        found = [file for file in found if file.startswith(name)] or found
        if len(found) > 1:
            raise InputError(
                f"{self.source} names the image {name} without its ending, and {folder} holds "
                f"{join_names(found)}; write the ending into the camera file"
            )
        return folder / found[0] if found else None


def _agreeing(below: dict[str, list[Path]], written: PurePosixPath, root: Path, masks: bool) -> Path | None:
    """The picture below the folder whose path agrees with the written one in most of the last parts."""
    names = [written.name.lower(), *(written.name.lower() + suffix for suffix in SUFFIXES)]
    scores: dict[Path, int] = {}
    for path in (path for name in names for path in below.get(name, [])):
        agreeing = _common_tail(path.with_name(written.name), written)
        if agreeing > 1 or masks == ("mask" in path.relative_to(root).as_posix().lower()):
            scores[path] = agreeing
    best = [path for path, score in scores.items() if score == max(scores.values())]
    return best[0] if len(best) == 1 else None


def _common_tail(path: Path, written: PurePosixPath) -> int:
    pairs = zip(reversed(path.parts), reversed(written.parts), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a.lower() != b.lower()), len(written.parts))


def _files_in(folder: Path) -> dict[str, list[str]]:
    """Names of the files in a folder, by their lower-case name."""
    listing: dict[str, list[str]] = {}
    try:
        for entry in os.scandir(folder):
            if not entry.is_dir():
                listing.setdefault(entry.name.lower(), []).append(entry.name)
    except (OSError, ValueError):  # no such folder, a name that is too long or has forbidden characters
        return {}
    return listing


def _pictures_below(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    count = 0
    for place, _, names in os.walk(folder):
        count += len(names)
        if count > MOST_FILES:
            return {}
        for name in names:
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                found.setdefault(name.lower(), []).append(Path(place, name))
    return found


def require_pictures(views: Sequence[View]) -> None:
    """Raise an error if pictures are missing.

    Raises:
        InputError: Pictures are missing; the message names the first few.
    """
    require_files([view.image for view in views])


def require_files(images: Sequence[Path]) -> None:
    """As `require_pictures`, for paths of pictures."""
    missing = [str(image) for image in images if not _is_file(image)]
    if missing:
        count = f" ({len(missing)} of {len(images)} are missing)" if len(missing) > 1 else ""
        raise InputError(
            f"there is no image {join_names(missing)} although the camera file lists it{count}; "
            "put it there or remove it from the camera file"
        )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with characters that no file name can have
        return False

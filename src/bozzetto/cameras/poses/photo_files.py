"""Which pictures of a folder are photographs of the object, and what each is called."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError, join_names, warn_input
from ...images.io import SUFFIXES
from ..video_frames import VIDEO_SUFFIXES

OTHERS = (
    "mask",
    "masks",
    "depth",
    "depths",
    "disparity",
    "normal",
    "normals",
    "thumb",
    "thumbnail",
    "thumbnails",
)
"""Words that mark a picture, or its folder, as something else than a photograph."""
_OTHER_KINDS = {
    "raw photos": (
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
        "develop them to JPEG or TIFF",
    ),
    "videos": (VIDEO_SUFFIXES, "give the path of one of them"),
}
MOST = 20_000
"""Pictures in a folder."""
_WORDS = re.compile(r"[^\W\d_]+")
_NUMBERS = re.compile(r"(\d+)")


def find_photographs(folder: Path) -> list[Path]:
    """The photographs in a folder, in natural order (2 before 10).

    Left out are hidden files, masks, depth and normal maps, thumbnails (told by words in their names and in
    those of their folders), and copies of a picture in another format (IMG_1.HEIC beside IMG_1.jpg), which get
    a note. Videos and side files that phones leave (.mov, .aae, .xmp) are no pictures. If the folder has no
    photograph itself, its sub-folders are looked at: `images` first, else the one that has any.

    Raises:
        InputError: There is none, or several sub-folders have some.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the folder that holds the photos")
    found = _photos_in(folder)
    if not found:
        inner = {
            p: _photos_in(p) for p in sorted(folder.iterdir()) if p.is_dir() and _is_other(p.name) is False
        }
        inner = {p: photos for p, photos in inner.items() if photos and not p.name.startswith(".")}
        usual = [p for p in inner if p.name.lower() in ("images", "photos", "input", "dcim")]
        if len(inner) > 1 and len(usual) != 1:
            raise InputError(
                f"{folder} holds no photos itself, but {len(inner)} of its folders do: "
                f"{join_names([p.name for p in inner])}; give the one you mean"
            )
        found = next((inner[p] for p in (usual or list(inner))), [])
    if not found:
        raise InputError(f"{folder} holds no photos{_instead(folder)}")
    return _without_copies(found)


def _instead(folder: Path) -> str:
    """What is in a folder without photographs, and what to do about it, as the end of a sentence."""
    endings = [path.suffix.lower() for path in folder.iterdir() if path.is_file()]
    for kind, (known, advice) in _OTHER_KINDS.items():
        count = sum(ending in known for ending in endings)
        if count:
            return f", but {count} {kind}; {advice}"
    if any(ending in SUFFIXES for ending in endings):
        return ", only pictures whose names say mask, depth or thumbnail; give the folder of the photos"
    return "; give a folder with JPEG, PNG, HEIC or TIFF pictures"


def numbered_key(path: Path) -> list[tuple[int, int | str]]:
    """Sorts names so that numbers in them count as numbers."""
    parts = _NUMBERS.split(str(path).lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """File names, with as much of the folders as it takes to tell them apart."""
    if len({path.name for path in paths}) == len(paths):
        return [path.name for path in paths]
    root = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    return [Path(os.path.relpath(os.path.abspath(path), root)).as_posix() for path in paths]


def _photos_in(folder: Path) -> list[Path]:
    try:
        names = [entry.name for entry in os.scandir(folder) if not entry.is_dir()]
    except OSError as error:
        raise InputError(f"cannot look into {folder}: {error.strerror}; check its permissions") from None
    if len(names) > MOST:
        raise InputError(f"{folder} holds {len(names)} files, up to {MOST} are looked at; leave some out")
    pictures = [n for n in names if Path(n).suffix.lower() in SUFFIXES and not n.startswith(".")]
    photos = [folder / name for name in pictures if not _is_other(Path(name).stem)]
    return sorted(photos, key=numbered_key)


def _is_other(stem: str) -> bool:
    """Whether a name says that this is no photograph: by its last word, or the first of two."""
    words = [word.lower() for word in _WORDS.findall(stem)]
    return bool(words) and (words[-1] in OTHERS or (words[0] in OTHERS and len(words) <= 2))


def _without_copies(photos: list[Path]) -> list[Path]:
    """One file of each name; of several formats the first of `SUFFIXES` stays."""
    kept: dict[str, Path] = {}
    for photo in sorted(photos, key=lambda p: (SUFFIXES.index(p.suffix.lower()), numbered_key(p))):
        kept.setdefault(str(photo.with_suffix("")), photo)
    left = [photo for photo in photos if photo not in kept.values()]
    if left:
        warn_input(
            f"{len(left)} pictures have the name of another with another ending and are taken for copies: "
            f"{join_names([photo.name for photo in left])}"
        )
    return [photo for photo in photos if photo not in left]

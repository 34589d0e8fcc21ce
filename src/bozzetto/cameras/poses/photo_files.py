"""Finding the photographs of a folder, and extracting the sharpest frames of a video.

Videos are read with the optional package av.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import InputError, join_names, warn_input
from ...files import atomic_path, make_folder
from ...images.io import SUFFIXES
from ...images.stored_picture import check_file
from ...steps import counted

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".3gp")
FEWEST = 8
"""Smallest number of frames of a video."""
_MIDDLE = 0.6  # fraction of each interval that is preferred, so that successive frames are not too close
_EDGE = 0.3  # factor on the sharpness of frames outside of it
_LOOK = 640  # longer side in pixels at which sharpness is measured


@dataclass(frozen=True)
class _Film:
    container: Any
    stream: Any
    seconds: float


def video_frames(path: Path, folder: Path, count: int = 60) -> list[Path]:
    """Write the sharpest frames of a video as frame-0001.jpg and so on, and return their paths.

    The video is divided into `count` intervals; the sharpest frame of the middle of each is taken, by the
    energy of the gradient (Subbarao and Tyan 1998). Frames are rotated by the metadata of the video. Only one
    frame is in memory at a time.

    Args:
        path: The video.
        folder: Folder to write frames to.
        count: Number of frames; a short video gives fewer.

    Raises:
        InputError: av is not installed, or the file is not a video, is damaged, or has too few frames.
    """
    check_file(path, "video")
    try:
        import av
        from av.error import FFmpegError
    except ModuleNotFoundError:
        raise InputError(
            f"{path} is a video, which needs another package; run: pip install 'bozzetto[video]', or give a "
            "folder of photos"
        ) from None
    folder = make_folder(folder)
    try:
        with av.open(str(path)) as container:
            film = _film(container, path)
            written = [
                _write(frame, folder / f"frame-{number:04d}.jpg")
                for number, frame in enumerate(_sharpest(film, count), 1)
            ]
    except FFmpegError as error:
        raise InputError(f"cannot read the video {path}: {error}; copy or export it again") from None
    if len(written) < FEWEST:
        raise InputError(
            f"the video {path} has {len(written)} usable frames, at least {FEWEST} are needed; film for half a "
            "minute while you walk around the object"
        )
    return written


def _film(container: Any, path: Path) -> _Film:
    if not container.streams.video:
        raise InputError(f"{path} holds no pictures, only sound or text; give a video or a folder of photos")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (container.duration or 0) / 1e6
    if not seconds > 0:
        raise InputError(f"the video {path} does not say how long it is; export it again, as MP4")
    return _Film(container, stream, seconds)


def _sharpest(film: _Film, count: int) -> Iterator[Image.Image]:
    """The sharpest frame of each interval, upright."""
    expected = int(film.seconds * float(film.stream.average_rate or 30))
    count = max(1, min(count, expected))
    best, score, interval, start = None, -1.0, 0, None
    for frame in counted(film.container.decode(film.stream), "frames", total=expected + 1):
        if frame.time is None:
            continue
        start = frame.time if start is None else start
        place = (frame.time - start) / film.seconds * count
        now = min(int(place), count - 1)
        if now > interval and best is not None:
            yield _picture(best)
            best, score = None, -1.0
        sharp = _sharpness(frame) * (1.0 if abs(place - now - 0.5) <= _MIDDLE / 2 else _EDGE)
        if sharp > score:
            best, score = frame, sharp
        interval = now
    if best is not None:
        yield _picture(best)


def _sharpness(frame: Any) -> float:
    scale = min(1.0, _LOOK / max(frame.width, frame.height))
    size = {"width": max(2, int(frame.width * scale)), "height": max(2, int(frame.height * scale))}
    grey = frame.reformat(format="gray", **size).to_ndarray().astype(np.float32)
    return float((np.diff(grey, axis=0) ** 2).mean() + (np.diff(grey, axis=1) ** 2).mean())


def _picture(frame: Any) -> Image.Image:
    turned = getattr(frame, "rotation", 0) or 0
    return Image.fromarray(np.rot90(frame.to_ndarray(format="rgb24"), round(turned / 90)))


def _write(picture: Image.Image, path: Path) -> Path:
    with atomic_path(path) as temporary:
        picture.save(temporary, format="JPEG", quality=95, subsampling=0)
    return path


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
"""Words in names of pictures or folders that are not photographs."""
_OTHER_KINDS = {
    "raw photos": (
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
        "develop them to JPEG or TIFF",
    ),
    "videos": (VIDEO_SUFFIXES, "give the path of one of them"),
}
MOST = 20_000
"""Largest number of pictures in a folder."""
_WORDS = re.compile(r"[^\W\d_]+")
_NUMBERS = re.compile(r"(\d+)")


def find_photographs(folder: Path) -> list[Path]:
    """Find the photographs in a folder, in natural order (2 before 10).

    Hidden files, masks, depth and normal maps, and thumbnails are left out, by words in the names of files and
    folders. So are copies of a picture in another format (IMG_1.HEIC beside IMG_1.jpg), with a warning, and
    videos and side files of phones (.mov, .aae, .xmp). If the folder has no photographs, its sub-folders are
    searched: `images` first, otherwise the only one with photographs.

    Raises:
        InputError: There are no photographs, or several sub-folders have some.
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
    """Description of the content of a folder without photographs, and advice, as the end of a sentence."""
    endings = [path.suffix.lower() for path in folder.iterdir() if path.is_file()]
    for kind, (known, advice) in _OTHER_KINDS.items():
        count = sum(ending in known for ending in endings)
        if count:
            return f", but {count} {kind}; {advice}"
    if any(ending in SUFFIXES for ending in endings):
        return ", only pictures whose names say mask, depth or thumbnail; give the folder of the photos"
    return "; give a folder with JPEG, PNG, HEIC or TIFF pictures"


def numbered_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key of file names by which numbers in them are compared as numbers."""
    parts = _NUMBERS.split(str(path).lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def unique_names(paths: Sequence[Path]) -> list[str]:
    """File names, with as many parent folders as needed to make them unique."""
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
    """Whether a name is not that of a photograph, by its last word, or the first of two."""
    words = [word.lower() for word in _WORDS.findall(stem)]
    return bool(words) and (words[-1] in OTHERS or (words[0] in OTHERS and len(words) <= 2))


def _without_copies(photos: list[Path]) -> list[Path]:
    """One file of each stem; of several formats the first in `SUFFIXES` is kept."""
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

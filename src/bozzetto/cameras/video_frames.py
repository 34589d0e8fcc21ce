"""Photographs from a video: the sharpest frames, well spread over it, through the optional package av."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import InputError
from ..files import atomic_path, make_folder
from ..images.stored_picture import check_file
from ..steps import counted

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".3gp")
FEWEST = 8
"""Frames that a video must have."""
_MIDDLE = 0.6  # share of each interval that is preferred, so that two frames do not meet at its ends
_EDGE = 0.3  # by which the sharpness of others counts
_LOOK = 640  # pixels of the longer side at which sharpness is judged


@dataclass(frozen=True)
class _Film:
    container: Any
    stream: Any
    seconds: float


def video_frames(path: Path, folder: Path, count: int = 60) -> list[Path]:
    """Write the sharpest frames of a video as frame-0001.jpg and so on, and return their paths.

    The video is divided into `count` intervals; of the middle of each the frame whose pixels differ most from
    their neighbours is taken (energy of the gradient, Subbarao and Tyan 1998). They are turned as the video
    says. Memory holds one frame at a time.

    Args:
        path: The video.
        folder: Where frames go.
        count: How many to take; of a short video fewer.

    Raises:
        InputError: av is not installed, the file is no video, is damaged, or has too few frames.
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

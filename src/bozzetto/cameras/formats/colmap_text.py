"""Text files of a COLMAP model: cameras.txt, images.txt, points3D.txt."""

import re
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError
from .camera_files import shorten
from .colmap_model import CAMERA_MODELS, ColmapCamera, ColmapImage, ColmapPoint

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WHOLE = re.compile(r"\d{1,18}")


def read_cameras_txt(path: Path) -> dict[int, ColmapCamera]:
    """Cameras by their number: `CAMERA_ID MODEL WIDTH HEIGHT PARAMS...` per line.

    Raises:
        InputError: A line is not as expected.
    """
    cameras = {}
    for line, text in _lines(path):
        fields = text.split()
        if not fields:
            continue
        where = f"{path}, line {line}"
        if len(fields) < 5:
            raise InputError(
                f"{where} has {len(fields)} fields, expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS; is it a file "
                "of COLMAP?"
            )
        if fields[1] not in CAMERA_MODELS:
            raise InputError(
                f"{where} has the unknown camera model {shorten(fields[1])}; convert the model with COLMAP's "
                "image_undistorter"
            )
        count = len(CAMERA_MODELS[fields[1]][1])
        if len(fields) != 4 + count:
            raise InputError(
                f"{where} has {len(fields) - 4} parameters, {fields[1]} has {count}; export it again"
            )
        parameters = tuple(_real(field, where) for field in fields[4:])
        size = (_whole(fields[2], where), _whole(fields[3], where))
        cameras[_whole(fields[0], where)] = ColmapCamera(fields[1], *size, parameters)
    return cameras


def read_images_txt(path: Path) -> list[ColmapImage]:
    """Poses: `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`, and a line of image points after each.

    Raises:
        InputError: A line is not as expected.
    """
    images: list[ColmapImage] = []
    points_follow = False
    for line, text in _lines(path):
        if points_follow and _image_points(text):
            points_follow = False
            continue
        if not text.strip():
            continue
        fields = text.split(maxsplit=9)
        where = f"{path}, line {line}"
        if len(fields) != 10:
            raise InputError(
                f"{where} has {len(fields)} fields, expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME; "
                "is it a file of COLMAP?"
            )
        q, t = (tuple(_real(f, where) for f in part) for part in (fields[1:5], fields[5:8]))
        name = fields[9].rstrip("\r\n")
        images.append(ColmapImage(_whole(fields[0], where), q, t, _whole(fields[8], where), name))
        points_follow = True
    return images


def _image_points(text: str) -> bool:
    """Whether a line is a list of X Y POINT3D_ID, perhaps an empty one, and no image; its ends tell."""
    fields = text.split()
    return len(fields) % 3 == 0 and all(_NUMBER.fullmatch(f) or f == "nan" for f in fields[:6] + fields[-3:])


def count_images_txt(path: Path) -> int:
    """How many images the file holds."""
    return len(read_images_txt(path))


def read_points_txt(path: Path) -> Iterator[ColmapPoint]:
    """Points one after the other: `POINT3D_ID X Y Z R G B ERROR (IMAGE_ID POINT2D_IDX)...`.

    Raises:
        InputError: A line is not as expected.
    """
    for line, text in _lines(path):
        fields = text.split()
        if not fields:
            continue
        where = f"{path}, line {line}"
        if len(fields) < 8 or len(fields) % 2:
            raise InputError(
                f"{where} has {len(fields)} fields, expected POINT3D_ID X Y Z R G B ERROR and pairs of "
                "IMAGE_ID POINT2D_IDX; export it again"
            )
        position = tuple(_real(field, where) for field in fields[1:4])
        yield ColmapPoint(position, tuple(_whole(field, where) for field in fields[8::2]))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are no comments."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, text in enumerate(file, 1):
                if not text.startswith("#"):
                    yield number, text
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}; check the path") from None


def _real(field: str, where: str) -> float:
    try:
        return float(field)
    except ValueError:
        raise InputError(f"{where} has {shorten(field)} where a number belongs; export it again") from None


def _whole(field: str, where: str) -> int:
    if not _WHOLE.fullmatch(field):
        raise InputError(f"{where} has {shorten(field)} where a whole number belongs; export it again")
    return int(field)

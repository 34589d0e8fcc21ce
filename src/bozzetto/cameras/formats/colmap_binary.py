"""Binary files of a COLMAP model: cameras.bin, images.bin, points3D.bin."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import InputError
from .colmap_model import CAMERA_MODELS, ColmapCamera, ColmapImage, ColmapPoint

LONGEST_NAME = 4096
"""Bytes of an image name."""


class _Records:
    """A file of little-endian numbers without padding, read from the front."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb")
        self.left = os.fstat(self.file.fileno()).st_size

    def __enter__(self) -> "_Records":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def take(self, layout: str) -> tuple[Any, ...]:
        """The next numbers."""
        data = self._bytes(struct.calcsize("<" + layout))
        return struct.unpack("<" + layout, data)

    def count(self, least: int) -> int:
        """The next number of records, each of which fills at least so many bytes."""
        (count,) = self.take("Q")
        if count * least > self.left:
            raise InputError(
                f"{self.path} is damaged or no file of COLMAP: it announces {count} records and holds "
                f"{self.left} more bytes; copy or export it again"
            )
        return count

    def text(self) -> str:
        """The next text, which a zero byte ends."""
        data = bytearray()
        while (byte := self._bytes(1)) != b"\0":
            data += byte
            if len(data) > LONGEST_NAME:
                raise InputError(f"{self.path} is damaged: a name has no end; copy or export it again")
        return data.decode("utf-8", errors="surrogateescape")

    def skip(self, size: int) -> None:
        """Leave out so many bytes."""
        self._reserve(size)
        self.file.seek(size, os.SEEK_CUR)

    def finish(self) -> None:
        """Refuse a file that holds more than it announces."""
        if self.left:
            raise InputError(
                f"{self.path} is damaged or no file of COLMAP: {self.left} bytes are left over; copy or "
                "export it again"
            )

    def _bytes(self, size: int) -> bytes:
        self._reserve(size)
        return self.file.read(size)

    def _reserve(self, size: int) -> None:
        if size > self.left:
            raise InputError(f"{self.path} ends in the middle of its data; copy or export it again")
        self.left -= size


def read_cameras_bin(path: Path) -> dict[int, ColmapCamera]:
    """Cameras by their number.

    Raises:
        InputError: The file is damaged, or a camera model is not known.
    """
    names = {number: name for name, (number, _) in CAMERA_MODELS.items()}
    cameras = {}
    with _Records(path) as records:
        for _ in range(records.count(24)):
            key, model, width, height = records.take("IiQQ")
            if model not in names:
                raise InputError(
                    f"{path}: camera {key} has the unknown model number {model}; convert the model with "
                    "COLMAP's image_undistorter"
                )
            parameters = records.take(f"{len(CAMERA_MODELS[names[model]][1])}d")
            cameras[key] = ColmapCamera(names[model], width, height, parameters)
        records.finish()
    return cameras


def read_images_bin(path: Path) -> list[ColmapImage]:
    """Poses, without the image points.

    Raises:
        InputError: The file is damaged.
    """
    images = []
    with _Records(path) as records:
        for _ in range(records.count(73)):
            key, *pose, camera = records.take("I7dI")
            name = records.text()
            records.skip(24 * records.count(24))
            images.append(ColmapImage(key, tuple(pose[:4]), tuple(pose[4:]), camera, name))
        records.finish()
    return images


def count_images_bin(path: Path) -> int:
    """How many images the file announces."""
    with _Records(path) as records:
        return records.count(73)


def read_points_bin(path: Path) -> Iterator[ColmapPoint]:
    """Points one after the other.

    Raises:
        InputError: The file is damaged.
    """
    with _Records(path) as records:
        for _ in range(records.count(51)):
            _, *position = records.take("Q3d")
            records.skip(11)  # colour and error
            length = records.count(8)
            track = records.take(f"{2 * length}I")
            yield ColmapPoint(tuple(position), track[::2])
        records.finish()

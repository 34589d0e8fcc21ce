"""Readers of the files of a COLMAP model, binary (cameras.bin, ...) or text (cameras.txt, ...)."""

import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ..distortion import Lens
from .camera_files import shorten

CAMERA_MODELS: dict[str, tuple[int, tuple[str, ...]]] = {
    "SIMPLE_PINHOLE": (0, ("f", "cx", "cy")),
    "PINHOLE": (1, ("fx", "fy", "cx", "cy")),
    "SIMPLE_RADIAL": (2, ("f", "cx", "cy", "k1")),
    "RADIAL": (3, ("f", "cx", "cy", "k1", "k2")),
    "OPENCV": (4, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")),
    "OPENCV_FISHEYE": (5, ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")),
    "FULL_OPENCV": (6, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "d1", "d2", "d3")),
    "FOV": (7, ("fx", "fy", "cx", "cy", "omega")),
    "SIMPLE_RADIAL_FISHEYE": (8, ("f", "cx", "cy", "k1")),
    "RADIAL_FISHEYE": (9, ("f", "cx", "cy", "k1", "k2")),
    "THIN_PRISM_FISHEYE": (10, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "s1", "s3")),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        11,
        ("fx", "fy", "cx", "cy", *(f"k{i}" for i in range(1, 7)), "p2", "p1", "s1", "s2", "s3", "s4"),
    ),
    "SIMPLE_DIVISION": (12, ("f", "cx", "cy", "k")),
    "DIVISION": (13, ("fx", "fy", "cx", "cy", "k")),
    "SIMPLE_FISHEYE": (14, ("f", "cx", "cy")),
    "FISHEYE": (15, ("fx", "fy", "cx", "cy")),
    "EUCM": (16, ("fx", "fy", "cx", "cy", "alpha", "beta")),
    "EQUIRECTANGULAR": (17, ("w", "h")),
}
"""Number and parameters, in the order of the files, of every camera model; named as in `Lens`."""


@dataclass(frozen=True)
class ColmapCamera:
    """A camera of a COLMAP model: camera model, picture size, parameters."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]

    def check(self, where: str) -> None:
        """Raise an error for an invalid or unsupported camera.

        Raises:
            InputError: The camera is a panorama, its size is invalid, or its parameters are not finite.
        """
        if self.model == "EQUIRECTANGULAR":
            raise InputError(
                f"{where} is a panorama (EQUIRECTANGULAR); cut it into perspective pictures first"
            )
        if not (0 < self.width < 2**31 and 0 < self.height < 2**31):
            raise InputError(f"{where} is for pictures of {self.width} x {self.height}; export it again")
        if not all(abs(number) < 1e12 for number in self.parameters):
            raise InputError(f"{where} has NaN or very large parameters; calibrate it again")
        named = dict(zip(CAMERA_MODELS[self.model][1], self.parameters, strict=True))
        if not (named.get("f", 1) > 0 and named.get("fx", 1) > 0 and named.get("fy", 1) > 0):
            raise InputError(f"{where} has a focal length that is not positive; calibrate it again")

    def intrinsics(self) -> tuple[Float[Tensor, "3 3"], Lens | None]:
        """K in pixels and the lens model, which is None for a pinhole."""
        named = dict(zip(CAMERA_MODELS[self.model][1], self.parameters, strict=True))
        fx, fy = named.get("fx", named.get("f")), named.get("fy", named.get("f"))
        K = torch.tensor([[fx, 0, named["cx"]], [0, fy, named["cy"]], [0, 0, 1]], dtype=torch.float64)

        def numbers(letter: str, count: int) -> tuple[float, ...]:
            return tuple(named.get(f"{letter}{i}", 0.0) for i in range(1, count + 1))

        p1, p2 = numbers("p", 2)
        s1, s2, s3, s4 = numbers("s", 4)
        lens = Lens(
            radial=numbers("k", 6),
            denominator=numbers("d", 3),
            tangential=(p1, p2),
            prism=(s1, s2, s3, s4),
            in_turn=self.model == "RAD_TAN_THIN_PRISM_FISHEYE",
        )
        if "FISHEYE" in self.model:
            lens = replace(lens, projection="equidistant")
        elif self.model == "FOV" and named["omega"] != 0:
            lens = Lens("fov", (named["omega"],))
        elif self.model.endswith("DIVISION") and named["k"] != 0:
            lens = Lens("division", (named["k"],))
        elif self.model == "EUCM":
            lens = Lens("unified", (named["alpha"], named["beta"]))
        return K, lens or None


@dataclass(frozen=True)
class ColmapImage:
    """An image of a COLMAP model, with its world-to-camera pose as quaternion (w, x, y, z) and translation."""

    key: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]
    camera: int
    name: str

    def pose(self, source: Path) -> Float[Tensor, "4 4"]:
        """The pose as matrix T_cam_world.

        Raises:
            InputError: The pose has NaN, or the quaternion is zero.
        """
        T = torch.eye(4, dtype=torch.float64)
        T[:3, :3] = rotation_from_quaternion(self.quaternion)
        T[:3, 3] = torch.tensor(self.translation, dtype=torch.float64)
        if not bool(torch.isfinite(T).all()):
            raise InputError(
                f"{source}: the pose of {self.name} has NaN or infinite numbers or a quaternion of zeros; "
                "leave it out or calibrate again"
            )
        return T


@dataclass(frozen=True)
class ColmapPoint:
    """A point of a COLMAP model: world position, and numbers of the images that it was matched in."""

    position: tuple[float, ...]
    images: Sequence[int]


def rotation_from_quaternion(quaternion: Sequence[float]) -> Float[Tensor, "3 3"]:
    """The rotation matrix of a quaternion (w, x, y, z) of any length; NaN for a zero quaternion."""
    q = torch.tensor(quaternion, dtype=torch.float64)
    w, x, y, z = (q / torch.linalg.vector_norm(q)).tolist()
    return torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )


LONGEST_NAME = 4096
"""Largest length of an image name in bytes."""


class _Records:
    """Sequential reader of a file of little-endian numbers without padding."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb")
        self.left = os.fstat(self.file.fileno()).st_size

    def __enter__(self) -> "_Records":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def take(self, layout: str) -> tuple[Any, ...]:
        """Read the next numbers, with a layout as in `struct`."""
        data = self._bytes(struct.calcsize("<" + layout))
        return struct.unpack("<" + layout, data)

    def count(self, least: int) -> int:
        """Read a number of records, and check that the file has enough bytes, at least `least` per record."""
        (count,) = self.take("Q")
        if count * least > self.left:
            raise InputError(
                f"{self.path} is damaged or no file of COLMAP: it announces {count} records and holds "
                f"{self.left} more bytes; copy or export it again"
            )
        return count

    def text(self) -> str:
        """Read a text that ends with a zero byte."""
        data = bytearray()
        while (byte := self._bytes(1)) != b"\0":
            data += byte
            if len(data) > LONGEST_NAME:
                raise InputError(f"{self.path} is damaged: a name has no end; copy or export it again")
        return data.decode("utf-8", errors="surrogateescape")

    def skip(self, size: int) -> None:
        """Skip bytes."""
        self._reserve(size)
        self.file.seek(size, os.SEEK_CUR)

    def finish(self) -> None:
        """Raise an error if bytes are left at the end."""
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
    """Read cameras.bin: cameras by number.

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
    """Read images.bin: poses, without the image points.

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
    """Number of images according to the header of images.bin."""
    with _Records(path) as records:
        return records.count(73)


def read_points_bin(path: Path) -> Iterator[ColmapPoint]:
    """Read points3D.bin: iterate over the points.

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


_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_WHOLE = re.compile(r"\d{1,18}")


def read_cameras_txt(path: Path) -> dict[int, ColmapCamera]:
    """Read cameras.txt: cameras by number, `CAMERA_ID MODEL WIDTH HEIGHT PARAMS...` per line.

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
    """Read images.txt: lines `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`, each followed by image points.

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
    """Whether a line is a possibly empty list of X Y POINT3D_ID instead of an image."""
    fields = text.split()
    return len(fields) % 3 == 0 and all(_NUMBER.fullmatch(f) or f == "nan" for f in fields[:6] + fields[-3:])


def count_images_txt(path: Path) -> int:
    """Number of images of an images.txt."""
    return len(read_images_txt(path))


def read_points_txt(path: Path) -> Iterator[ColmapPoint]:
    """Read points3D.txt: iterate over lines `POINT3D_ID X Y Z R G B ERROR (IMAGE_ID POINT2D_IDX)...`.

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
    """Lines with their numbers, without comments."""
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

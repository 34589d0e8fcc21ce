"""Camera files of photogrammetry programs: Agisoft Metashape (XML) and RealityCapture (CSV).

Metashape: `File > Export > Export Cameras`. RealityCapture and RealityScan: `Registration >
Internal/External camera parameters`.
"""

import csv
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError, join_names, warn_input
from ...values import value_type
from ..distortion import Lens
from ..picture_files import stored_size
from .camera_files import (
    PosedViews,
    View,
    camera_at,
    intrinsics,
    picture_size,
    read_text,
    real_number,
    real_numbers,
    reason,
    warn_of_rounding,
)
from .picture_paths import find_pictures, require_files


def read_metashape(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of an XML file of Metashape.

    `transform` of a camera maps camera coordinates (OpenCV axes) to its chunk. That of the chunk or of its
    component maps these to the world, with a scale that only affects positions. The point (x, y) of the ideal
    image plane is mapped to
    u = w / 2 + cx + x' f + x' b1 + y' b2, v = h / 2 + cy + y' f with Brown's model for x' and y', in which p1
    and p2 are exchanged compared with OpenCV; fisheyes are equidistant. The centre of the first pixel is (0.5,
    0.5)
    (Metashape User Manual, appendix D, camera models).

    Cameras that are disabled or not aligned are left out.

    Raises:
        InputError: The file has another content, no camera is aligned, or a sensor is a panorama or not
            calibrated.
    """
    root = read_xml(path)
    chunks = [c for c in root.iter("chunk") if c.find("cameras") is not None]
    if root.tag != "document" or not chunks:
        raise InputError(f"{path} holds no chunk with cameras; export it with File > Export > Export Cameras")
    rows = [(chunk, _aligned(chunk)) for chunk in chunks]
    chunk, cameras = max(rows, key=lambda row: len(row[1]))
    if not cameras:
        raise InputError(f"{path} holds no aligned camera; align the photos in Metashape first")
    if sum(bool(found) for _, found in rows) > 1:
        warn_input(
            f"{path} holds {len(chunks)} chunks; the one with the most cameras, {chunk.get('label')}, is used"
        )
    left_out = [c for c in _cameras(chunk) if c not in cameras]
    if left_out:
        names = join_names([c.get("label", "?") for c in left_out])
        warn_input(f"{path}: {len(left_out)} cameras are switched off or not aligned and left out: {names}")
    images, names = find_pictures(path, [_label(path, c) for c in cameras], photos)
    sensors = {sensor.get("id"): sensor for sensor in chunk.iter("sensor")}
    used = {c.get("sensor_id"): sensors.get(c.get("sensor_id")) for c in cameras}
    calibrations = {key: _calibration(path, key, sensor) for key, sensor in used.items()}
    components = {c.get("id"): _similarity(path, c) for c in chunk.iter("component")}
    world = _similarity(path, chunk)
    views, errors = [], []
    for name, image, camera in zip(names, images, cameras, strict=True):
        what = f"{path}: transform of {name}"
        matrix = real_numbers((camera.findtext("transform") or "").split(), 16, what).reshape(4, 4)
        outer = world or components.get(camera.get("component_id")) or _Similarity()
        T, error = camera_at(outer.rotation @ matrix[:3, :3], outer.of(matrix[:3, 3]))
        errors.append(error)
        K, size, lens = calibrations[camera.get("sensor_id")]
        views.append(View(name, image, T, K, size=size, lens=lens))
    warn_of_rounding(errors, path)
    return PosedViews(tuple(views), path)


def _cameras(chunk: ET.Element) -> list[ET.Element]:
    cameras = chunk.find("cameras")
    return [] if cameras is None else list(cameras.iter("camera"))


def _aligned(chunk: ET.Element) -> list[ET.Element]:
    return [
        c
        for c in _cameras(chunk)
        if c.find("transform") is not None and c.get("enabled", "true").lower() not in ("false", "0")
    ]


def _label(path: Path, camera: ET.Element) -> str:
    label = camera.get("label")
    if not label:
        raise InputError(f"{path}: the camera {camera.get('id')} has no label; export it again")
    return label


@value_type
class _Similarity:
    rotation: Float[Tensor, "3 3"] = torch.eye(3, dtype=torch.float64)
    translation: Float[Tensor, "3"] = torch.zeros(3, dtype=torch.float64)
    scale: float = 1.0

    def of(self, point: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
        return self.scale * (self.rotation @ point) + self.translation


def _similarity(path: Path, element: ET.Element) -> _Similarity | None:
    """The transform of a chunk or component."""
    transform = element.find("transform")
    if transform is None or transform.find("rotation") is None:
        return None
    what = f"{path}: the transform of {element.tag} {element.get('id', element.get('label'))}"

    def numbers(tag: str, count: int, default: str) -> Float[Tensor, "count"]:
        return real_numbers((transform.findtext(tag) or default).split(), count, f"{what}, {tag}")

    scale = float(numbers("scale", 1, "1"))
    if not scale > 0:
        raise InputError(f"{what} has the scale {scale:g}, expected a positive one; export it again")
    return _Similarity(numbers("rotation", 9, "").reshape(3, 3), numbers("translation", 3, "0 0 0"), scale)


def _calibration(
    path: Path, key: str | None, sensor: ET.Element | None
) -> tuple[Float[Tensor, "3 3"], tuple[int, int], Lens | None]:
    what = f"{path}: sensor {key}"
    found = [] if sensor is None else sensor.findall("calibration")
    if sensor is None or not found:
        raise InputError(f"{what} has no calibration; align the photos in Metashape first")
    calibration = next((c for c in found if c.get("class") == "adjusted"), found[0])
    kind = calibration.get("type") or sensor.get("type") or "frame"
    if kind not in ("frame", "fisheye"):
        raise InputError(f"{what} is of the type {kind}; only frame and fisheye can be read")
    resolution = calibration.find("resolution")
    resolution = sensor.find("resolution") if resolution is None else resolution
    if resolution is None:
        raise InputError(f"{what} has no resolution; export it again")
    size = picture_size((resolution.get("width"), resolution.get("height")), what)

    def number(tag: str, default: float = 0.0) -> float:
        text = calibration.findtext(tag)
        return default if text is None else real_number(text, f"{what}, {tag}")

    fx, fy = (number(tag, number("f")) for tag in ("fx", "fy"))
    older = calibration.find("f") is None  # PhotoScan: fx, fy, skew, and cx, cy from the corner
    cx, cy = (number(tag, side / 2 if older else 0.0) for tag, side in zip(("cx", "cy"), size, strict=True))
    K = intrinsics(
        fx + number("b1"),
        fy,
        cx if older else size[0] / 2 + cx,
        cy if older else size[1] / 2 + cy,
        what,
        number("skew") if older else number("b2"),
    )
    lens = Lens(
        "equidistant" if kind == "fisheye" else "perspective",
        radial=tuple(number(f"k{i}") for i in range(1, 5)),
        tangential=(number("p2"), number("p1")),
    )
    if number("p3") or number("p4"):
        warn_input(f"{what} has the coefficients p3 and p4, which are not used")
    return K, size, lens or None


MOST_ELEMENTS = 500_000
"""Largest number of XML elements of a file; twenty thousand cameras have fewer."""
DEEPEST = 64
"""Largest nesting depth of XML elements."""


class _Bounded(ET.TreeBuilder):
    count = 0
    depth = 0

    def start(self, tag: str, attrs: dict[str, Any]) -> ET.Element:  # type: ignore[override]
        self.count += 1
        self.depth += 1
        if self.count > MOST_ELEMENTS or self.depth > DEEPEST:
            raise InputError("it has too many elements or they are nested too deeply")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ET.Element:
        self.depth -= 1
        return super().end(tag)


def read_xml(path: Path) -> ET.Element:
    """Read the root element of an XML file.

    Raises:
        InputError: The file is missing, too large, not XML, or declares a document type, since entities can
            make a small file arbitrarily large and no camera file needs them.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{path} declares a document type, as no camera file does; remove it")
    parser = ET.XMLParser(target=_Bounded())
    try:
        parser.feed(text)
        return parser.close()
    except (ET.ParseError, ValueError) as error:
        raise InputError(
            f"{path} is no XML file that can be read: {reason(error)}; export it again"
        ) from None


REQUIRED = ("name", "x", "y", "alt", "heading", "pitch", "roll", "f")
_SYNONYMS = {
    "yaw": "heading",
    "z": "alt",
    "f_35mm": "f",
    "px_norm": "px",
    "py_norm": "py",
    "filename": "name",
}
"""Names of columns in other versions, and the names used here."""


def is_reality_capture(path: Path) -> bool:
    """Whether a file begins with a line of the column names of RealityCapture."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return any(_columns(file.readline(10_000)) is not None for _ in range(3))
    except (OSError, UnicodeDecodeError):
        return False


def _columns(line: str) -> dict[str, int] | None:
    names = [name.strip().lstrip("#").strip().lower() for name in line.split(",")]
    columns = {_SYNONYMS.get(name, name): i for i, name in enumerate(names)}
    return columns if all(name in columns for name in REQUIRED) else None


def read_reality_capture(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a CSV file of RealityCapture, with a line per camera.

    x, y and alt are the position. Heading, pitch and roll in degrees rotate a camera that looks straight down
    with the top of its picture towards +y: the rotation to the world is Rz(-heading) Rx(pitch) Ry(roll) with
    the
    camera axes of OpenGL. f is the focal length for a film of 36 mm, px and py are the principal point from the
    middle, both measured in the longer side of the picture (`f * 36`, `px`, `py` in the program's own template,
    whose template for OpenCV also says that t1 and t2 are OpenCV's p2 and p1). k1 to k4 belong to r^2 to r^8.
    The middle is taken to be at half the width and height. Sizes of the pictures are not in the file, so their
    headers are read.

    Raises:
        InputError: Columns, numbers or pictures are missing.
    """
    lines = read_text(path).splitlines()
    start = next((i for i, line in enumerate(lines[:3]) if _columns(line) is not None), None)
    if start is None:
        raise InputError(
            f"{path} has no line with the columns {', '.join(REQUIRED)}; export Internal/External camera "
            "parameters"
        )
    columns = _columns(lines[start])
    assert columns is not None
    rows = [row for row in csv.reader(lines[start + 1 :]) if any(field.strip() for field in row)]
    if not rows:
        raise InputError(f"{path} lists no cameras; export it again")
    short = next((row for row in rows if len(row) <= max(columns[name] for name in REQUIRED)), None)
    if short is not None:
        raise InputError(f"{path}: the line {','.join(short)[:60]} has too few fields; export it again")
    images, names = find_pictures(path, [row[columns["name"]].strip() for row in rows], photos)
    require_files(images)
    views, radial = [], []
    for name, image, row in zip(names, images, rows, strict=True):

        def number(key: str, row: list[str] = row, name: str = name) -> float:
            column = columns.get(key)
            if column is None or column >= len(row) or not row[column].strip():
                return 0.0
            return real_number(row[column], f"{path}: {key} of {name}")

        width, height = size = stored_size(image)
        side = max(size)
        focal = number("f") * side / 36
        cx, cy = width / 2 + number("px") * side, height / 2 + number("py") * side
        k = tuple(number(f"k{i}") for i in range(1, 5))
        radial.append(k)
        lens = Lens(radial=k, tangential=(number("t2"), number("t1")))
        center = torch.tensor([number(key) for key in ("x", "y", "alt")], dtype=torch.float64)
        T, _ = camera_at(_rotation(*(math.radians(number(k)) for k in ("heading", "pitch", "roll"))), center)
        K = intrinsics(focal, focal, cx, cy, f"{path}: {name}")
        views.append(View(name, image, T, K, size=size, lens=lens or None))
    if all(k1 and not any(rest) for k1, *rest in radial):
        warn_input(
            f"{path} has only k1, which is taken for Brown's model; if the project uses the division model, "
            "choose Brown3 in its alignment settings and export again"
        )
    return PosedViews(tuple(views), path)


def _rotation(heading: float, pitch: float, roll: float) -> Float[Tensor, "3 3"]:
    """Rotation from camera (OpenCV axes) to world."""
    (ch, cp, cr), (sh, sp, sr) = (
        [function(angle) for angle in (heading, pitch, roll)] for function in (math.cos, math.sin)
    )
    about_z = torch.tensor([[ch, sh, 0], [-sh, ch, 0], [0, 0, 1]], dtype=torch.float64)
    about_x = torch.tensor([[1, 0, 0], [0, cp, -sp], [0, sp, cp]], dtype=torch.float64)
    about_y = torch.tensor([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]], dtype=torch.float64)
    return about_z @ about_x @ about_y @ torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64))

"""Camera files of Agisoft Metashape (PhotoScan), `File > Export > Export Cameras`, XML."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError, join_names, warn_input
from ...values import value_type
from ..distortion import Lens
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
from .picture_paths import find_pictures


def read_metashape(path: Path, photos: Path | None = None) -> PosedViews:
    """Views of an XML file of cameras.

    `transform` of a camera takes it (OpenCV axes) to its chunk, that of the chunk or of its component takes
    these to the world, with a scale that only moves cameras. The point (x, y) of the ideal image plane comes to
    u = w / 2 + cx + x' f + x' b1 + y' b2, v = h / 2 + cy + y' f with Brown's model for x' and y', in which p1
    and p2 change places against OpenCV; fisheyes are equidistant. The centre of the first pixel is (0.5, 0.5)
    (Metashape User Manual, appendix D, camera models).

    Cameras that are switched off or were not aligned are left out.

    Raises:
        InputError: It is no such file, no camera is aligned, or a sensor is a panorama or not calibrated.
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
"""Elements of a file; twenty thousand cameras have fewer."""
DEEPEST = 64
"""Elements within each other."""


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
    """The root of an XML file.

    Raises:
        InputError: It is missing, too large, no XML, or declares a document type: entities can make a small
            file arbitrarily large, and no camera file needs them.
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

"""Camera files of RealityCapture and RealityScan, `Registration > Internal/External camera parameters`, CSV."""

import csv
import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError, warn_input
from ..distortion import Lens
from ..picture_headers import stored_size
from .camera_files import PosedViews, View, camera_at, intrinsics, read_text, real_number
from .picture_paths import find_pictures, require_files

REQUIRED = ("name", "x", "y", "alt", "heading", "pitch", "roll", "f")
_SYNONYMS = {
    "yaw": "heading",
    "z": "alt",
    "f_35mm": "f",
    "px_norm": "px",
    "py_norm": "py",
    "filename": "name",
}
"""Names of the same columns in other versions."""


def is_reality_capture(path: Path) -> bool:
    """Whether a file begins with the line that names the columns."""
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
    """Views of a CSV file with a line per camera.

    x, y and alt are the position. Heading, pitch and roll in degrees turn a camera that looks straight down
    with the top of its picture to +y: the rotation to the world is Rz(-heading) Rx(pitch) Ry(roll) with the
    camera axes of OpenGL. f is the focal length for a film of 36 mm, px and py are the principal point from the
    middle, both measured in the longer side of the picture (`f * 36`, `px`, `py` in the program's own template,
    whose template for OpenCV also says that t1 and t2 are OpenCV's p2 and p1). k1 to k4 belong to r^2 to r^8.
    The middle is taken to be at half the width and height. Sizes of the pictures are not in the file, so their
    headers are read.

    Raises:
        InputError: Columns or numbers are missing, or a picture is.
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
    """Camera (OpenCV axes) to world."""
    (ch, cp, cr), (sh, sp, sr) = (
        [function(angle) for angle in (heading, pitch, roll)] for function in (math.cos, math.sin)
    )
    about_z = torch.tensor([[ch, sh, 0], [-sh, ch, 0], [0, 0, 1]], dtype=torch.float64)
    about_x = torch.tensor([[1, 0, 0], [0, cp, -sp], [0, sp, cp]], dtype=torch.float64)
    about_y = torch.tensor([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]], dtype=torch.float64)
    return about_z @ about_x @ about_y @ torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64))

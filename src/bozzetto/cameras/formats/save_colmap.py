"""Writing COLMAP models as text."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...files import write_text
from ..camera import Cameras
from ..capture import Capture, ScenePoints
from ..distortion import Lens
from .camera_files import PosedViews
from .colmap_model import CAMERA_MODELS
from .completed import WholeView, whole_views


def save_colmap(
    views: Capture | Cameras | PosedViews, folder: str | os.PathLike[str], names: Sequence[str] | None = None
) -> None:
    """Write perspective cameras as a COLMAP model: cameras.txt, images.txt and points3D.txt.

    Points of the scene are written with the views that saw them; their places in the pictures are not kept
    and are computed from the cameras, their colours are grey.

    Args:
        views: The cameras, the capture that has them, or what a camera file says.
        folder: Where to, for instance `sparse/0` beside the pictures' folder `images`.
        names: Image paths relative to the pictures' folder; by default the names of the capture, the paths of
            the pictures below the folder that all of them share, or `0000.png` and so on.

    Raises:
        InputError: The cameras are orthographic, or have skew or a lens, which COLMAP has no model for.
    """
    folder = Path(folder)
    if names is None and isinstance(views, PosedViews):
        names = _below_common_folder([view.image for view in views.views])
    elif names is None and isinstance(views, Cameras):
        names = [f"{i:04}.png" for i in range(len(views))]
    whole = whole_views(views, names, folder)
    cameras: dict[str, int] = {}
    keys = [cameras.setdefault(_camera(view), len(cameras) + 1) for view in whole]
    points = None if isinstance(views, Cameras) else views.points
    tracks, places = _tracks(points, whole)
    lines = ["# CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]", *(f"{key} {text}" for text, key in cameras.items())]
    write_text(folder / "cameras.txt", "\n".join(lines) + "\n")
    lines = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", "# X Y POINT3D_ID of each image point"]
    for i, (view, key, place) in enumerate(zip(whole, keys, places, strict=True)):
        q, t = quaternion(view.T_cam_world[:3, :3]), view.T_cam_world[:3, 3]
        lines += [f"{i + 1} {_numbers(q)} {_numbers(t)} {key} {view.name}", " ".join(place)]
    write_text(folder / "images.txt", "\n".join(lines) + "\n")
    lines = ["# POINT3D_ID X Y Z R G B ERROR (IMAGE_ID POINT2D_IDX)[]", *tracks]
    write_text(folder / "points3D.txt", "\n".join(lines) + "\n")


def _below_common_folder(images: Sequence[Path]) -> list[str]:
    try:
        root = Path(os.path.commonpath([image.absolute().parent for image in images]))
    except ValueError:
        raise InputError("a COLMAP model needs its pictures on one drive; move them together") from None
    return [image.absolute().relative_to(root).as_posix() for image in images]


def _camera(view: WholeView) -> str:
    """The line of a camera without its number."""
    (fx, skew, cx), (_, fy, cy) = view.K[:2].tolist()
    if skew:
        raise InputError(f"COLMAP has no cameras with skew, as that of {view.name}; write transforms.json")
    model, extra = _model(view)
    parameters = torch.tensor([fx, fy, cx, cy, *extra], dtype=torch.float64)
    return f"{model} {view.size[0]} {view.size[1]} {_numbers(parameters)}"


def _model(view: WholeView) -> tuple[str, list[float]]:
    """The simplest model that holds a lens, and its parameters after the intrinsics."""
    lens = view.lens or Lens()
    if not lens:
        return "PINHOLE", []
    for model, projection in (("FOV", "fov"), ("DIVISION", "division"), ("EUCM", "unified")):
        if lens == Lens(projection, lens.shape):  # type: ignore[arg-type]
            return model, list(lens.shape)
    named = {f"k{i + 1}": value for i, value in enumerate(lens.radial)}
    named |= {f"d{i + 1}": value for i, value in enumerate(lens.denominator)}
    named |= dict(zip(("p1", "p2"), lens.tangential, strict=True))
    named |= {f"s{i + 1}": value for i, value in enumerate(lens.prism)}
    needed = {key for key, value in named.items() if value}
    kinds = {
        ("perspective", False): ("OPENCV", "FULL_OPENCV"),
        ("equidistant", False): ("OPENCV_FISHEYE", "THIN_PRISM_FISHEYE"),
        ("equidistant", True): ("RAD_TAN_THIN_PRISM_FISHEYE",),
    }
    for model in kinds.get((lens.projection, lens.in_turn), ()):
        parameters = CAMERA_MODELS[model][1][4:]
        if needed <= set(parameters):
            return model, [named.get(key, 0.0) for key in parameters]
    raise InputError(
        f"COLMAP has no model for the lens of {view.name} ({lens.projection}, {', '.join(sorted(needed))}); "
        "write transforms.json"
    )


def _tracks(points: ScenePoints | None, whole: Sequence[WholeView]) -> tuple[list[str], list[list[str]]]:
    """Lines of the points, and the places of the points in every picture."""
    places: list[list[str]] = [[] for _ in whole]
    if points is None:
        return [], places
    elements: list[list[str]] = [[] for _ in range(len(points))]
    for i, view in enumerate(whole):
        rows = torch.nonzero(points.visible[:, i].cpu())[:, 0]
        pixels = _project(view, points.positions[rows].cpu())
        for row, pixel in zip(rows.tolist(), pixels, strict=True):
            elements[row].append(f"{i + 1} {len(places[i])}")
            places[i].append(f"{_numbers(pixel)} {row + 1}")
    lines = [
        f"{row + 1} {_numbers(position)} 128 128 128 -1 {' '.join(track)}"
        for row, (position, track) in enumerate(zip(points.positions.cpu(), elements, strict=True))
    ]
    return lines, places


def _project(view: WholeView, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 2"]:
    local = points @ view.T_cam_world[:3, :3].T + view.T_cam_world[:3, 3]
    plane = local[:, :2] / local[:, 2:]
    plane = plane if view.lens is None else view.lens.distort(plane)
    return plane @ view.K[:2, :2].T + view.K[:2, 2]


def quaternion(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "4"]:
    """(w, x, y, z) of a rotation, w not negative (Shepperd 1978: from the largest of four squares)."""
    R = rotation.double()
    trace = R.diagonal().sum()
    squares = torch.cat([trace[None], R.diagonal()])  # 4 w^2 - 1 and so on, up to the trace
    k = int(squares.argmax())
    if k == 0:
        q = torch.stack([1 + trace, R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]])
    else:
        a, b, c = k - 1, k % 3, (k + 1) % 3
        q = torch.zeros(4, dtype=torch.float64)
        q[0] = R[c, b] - R[b, c]
        q[1 + a] = 1 + R[a, a] - R[b, b] - R[c, c]
        q[1 + b] = R[a, b] + R[b, a]
        q[1 + c] = R[a, c] + R[c, a]
    q = q / torch.linalg.vector_norm(q)
    return -q if float(q[0]) < 0 else q


def _numbers(values: Float[Tensor, "n"]) -> str:
    return " ".join(repr(value) for value in values.tolist())

"""Reading and writing COLMAP models: a folder with cameras, images and points3D as .bin or .txt."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError, warn_input
from ...files import write_text
from ..camera import Cameras
from ..capture import Capture, ScenePoints
from ..distortion import Lens
from .camera_files import PosedViews, View, WholeView, gathered_points, whole_views
from .colmap_model import (
    CAMERA_MODELS,
    count_images_bin,
    count_images_txt,
    read_cameras_bin,
    read_cameras_txt,
    read_images_bin,
    read_images_txt,
    read_points_bin,
    read_points_txt,
)
from .picture_paths import MOST_VIEWS, PICTURE_FOLDERS, PictureFinder, unique_picture_names

MODEL_FOLDERS = ("", "sparse", "colmap/sparse", "colmap", "dense/sparse", "dense", "dense/0/sparse")
"""Paths relative to a project's folder at which its model, or numbered models, may be."""
FILES = ("cameras", "images", "points3D")


def find_colmap(path: Path) -> Path | None:
    """Find the folder of the COLMAP model of a project's folder, or of one of the model's files.

    Of several models the one with most images is taken.

    Raises:
        InputError: The model is incomplete.
    """
    if path.is_file():
        return path.parent if path.stem in FILES and path.suffix.lower() in (".bin", ".txt") else None
    models: list[Path] = []
    parts: list[Path] = []
    for name in MODEL_FOLDERS:
        place = path / name
        if place.is_dir():
            for folder in (place, *sorted(p for p in place.iterdir() if p.is_dir() and p.name.isdigit())):
                if _ending(folder) is not None:
                    models.append(folder)
                elif any(
                    (folder / f"{n}{e}").is_file() for n in ("cameras", "images") for e in (".bin", ".txt")
                ):
                    parts.append(folder)
        if models:
            return _largest(models)
    if parts:
        require_model(parts[0])
    return None


def _ending(folder: Path) -> str | None:
    """Extension of the files of a model in a folder, .bin or .txt; None if there is no complete model."""
    for ending in (".bin", ".txt"):
        if all((folder / f"{name}{ending}").is_file() for name in ("cameras", "images")):
            return ending
    return None


def _parts(folder: Path) -> list[str]:
    names = [f"{name}{ending}" for name in FILES for ending in (".bin", ".txt")]
    return [name for name in names if (folder / name).is_file()]


def require_model(folder: Path) -> str:
    """Check that a model is complete, and return the extension of its files.

    Raises:
        InputError: Files are missing.
    """
    ending = _ending(folder)
    if ending is None:
        raise InputError(
            f"{folder} holds {', '.join(_parts(folder))} of a COLMAP model, which needs cameras and images, "
            "both .bin or both .txt; copy or export the whole folder"
        )
    return ending


def _largest(models: Sequence[Path]) -> Path:
    if len(models) == 1:
        return models[0]
    sizes = [
        count_images_bin(m / "images.bin") if _ending(m) == ".bin" else count_images_txt(m / "images.txt")
        for m in models
    ]
    best = models[sizes.index(max(sizes))]
    listed = ", ".join(f"{m.name} with {n} images" for m, n in zip(models, sizes, strict=True))
    warn_input(
        f"{best.parent} holds {len(models)} models that were not joined ({listed}); the largest is used"
    )
    return best


def read_colmap(folder: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a COLMAP model.

    Poses are world to camera with OpenCV axes, the pixel (0.5, 0.5) is the centre of the first one (COLMAP's
    documentation of its output format and its camera models), so nothing is converted. Files on rigs and
    frames, which newer versions write beside the model, repeat what the images say and are not read.

    Args:
        folder: Folder with cameras, images and points3D.
        photos: Folder that the names of the images are relative to; None searches for it.

    Raises:
        InputError: Files are missing, damaged or contradict each other.
    """
    ending = require_model(folder)
    binary = ending == ".bin"
    cameras = (read_cameras_bin if binary else read_cameras_txt)(folder / f"cameras{ending}")
    images = (read_images_bin if binary else read_images_txt)(folder / f"images{ending}")
    if not images:
        raise InputError(f"{folder} holds a model without images; choose another one")
    if len(images) > MOST_VIEWS:
        raise InputError(f"{folder} holds {len(images)} images, up to {MOST_VIEWS} are read; leave some out")
    images.sort(key=lambda image: image.name)
    for image in images:
        if image.camera not in cameras:
            raise InputError(
                f"{folder}: {image.name} has the camera {image.camera}, which the cameras file lacks; copy "
                "both files from the same model"
            )
    for key in {image.camera for image in images}:
        cameras[key].check(f"{folder}: camera {key}")
    project = _project(folder)
    finder = PictureFinder(folder, [photos] if photos else _picture_folders(folder), photos or project)
    paths = finder.locate([image.name for image in images])
    views = []
    for name, path, image in zip(unique_picture_names(paths, project / "images"), paths, images, strict=True):
        camera = cameras[image.camera]
        K, lens = camera.intrinsics()
        size = (camera.width, camera.height)
        views.append(View(name, path, image.pose(folder), K, size=size, lens=lens))
    points = folder / f"points3D{ending}"
    read_points = read_points_bin if binary else read_points_txt
    scene = None
    if points.is_file():
        index = {image.key: i for i, image in enumerate(images)}
        rows = ((point.position, point.images) for point in read_points(points))
        scene = gathered_points(rows, index, len(images))
    return PosedViews(tuple(views), folder, scene)


def _project(folder: Path) -> Path:
    """The folder of the project that a model belongs to."""
    folder = folder.absolute()
    start = folder.parent if folder.name.isdigit() else folder
    return start.parent if start.name == "sparse" else start


def _picture_folders(folder: Path) -> list[Path]:
    project = _project(folder)
    places = [project, *project.parents[:2]]
    found = [place / name for place in places for name in (*PICTURE_FOLDERS, "") if (place / name).is_dir()]
    return [*found, folder] or [project / "images"]


def save_colmap(
    views: Capture | Cameras | PosedViews, folder: str | os.PathLike[str], names: Sequence[str] | None = None
) -> None:
    """Write perspective cameras as a COLMAP model: cameras.txt, images.txt and points3D.txt.

    Points of the scene are written with the views that observed them. Image positions are computed from the
    cameras, and colours are grey, since neither is stored.

    Args:
        views: Cameras, a capture, or the content of a camera file.
        folder: Folder to write to, for instance `sparse/0` beside the folder `images` of the pictures.
        names: Image paths relative to the folder of the pictures. None takes the names of a capture, the paths
            of the pictures relative to their common folder, or `0000.png` and so on.

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
    """The line of a camera in cameras.txt, without its number."""
    (fx, skew, cx), (_, fy, cy) = view.K[:2].tolist()
    if skew:
        raise InputError(f"COLMAP has no cameras with skew, as that of {view.name}; write transforms.json")
    model, extra = _model(view)
    parameters = torch.tensor([fx, fy, cx, cy, *extra], dtype=torch.float64)
    return f"{model} {view.size[0]} {view.size[1]} {_numbers(parameters)}"


def _model(view: WholeView) -> tuple[str, list[float]]:
    """The simplest COLMAP camera model for a lens, and its parameters after the intrinsics."""
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
    """Lines of the points, and the image positions of the points in every picture."""
    places: list[list[str]] = [[] for _ in whole]
    if points is None:
        return [], places
    elements: list[list[str]] = [[] for _ in range(len(points))]
    for i, view in enumerate(whole):
        rows = torch.nonzero(points.visible[:, i].cpu())[:, 0]
        pixels = _project_points(view, points.positions[rows].cpu())
        for row, pixel in zip(rows.tolist(), pixels, strict=True):
            elements[row].append(f"{i + 1} {len(places[i])}")
            places[i].append(f"{_numbers(pixel)} {row + 1}")
    lines = [
        f"{row + 1} {_numbers(position)} 128 128 128 -1 {' '.join(track)}"
        for row, (position, track) in enumerate(zip(points.positions.cpu(), elements, strict=True))
    ]
    return lines, places


def _project_points(view: WholeView, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 2"]:
    local = points @ view.T_cam_world[:3, :3].T + view.T_cam_world[:3, 3]
    plane = local[:, :2] / local[:, 2:]
    plane = plane if view.lens is None else view.lens.distort(plane)
    return plane @ view.K[:2, :2].T + view.K[:2, 2]


def quaternion(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "4"]:
    """Unit quaternion (w, x, y, z) of a rotation, with w >= 0 (Shepperd 1978: from the largest of four
    squares)."""
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

"""COLMAP models: a folder with cameras, images and points3D as .bin or .txt."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError, warn_input
from .camera_files import PosedViews, View
from .colmap_binary import count_images_bin, read_cameras_bin, read_images_bin, read_points_bin
from .colmap_text import count_images_txt, read_cameras_txt, read_images_txt, read_points_txt
from .picture_paths import MOST_VIEWS, PICTURE_FOLDERS, PictureFinder, unique_picture_names
from .scene_points import gathered_points

MODEL_FOLDERS = ("", "sparse", "colmap/sparse", "colmap", "dense/sparse", "dense", "dense/0/sparse")
"""Where below a project's folder its model lies, or numbered models lie."""
FILES = ("cameras", "images", "points3D")


def find_colmap(path: Path) -> Path | None:
    """The folder of the model below a project's folder, or of one of the model's files.

    Of several models the one with the most images is taken.

    Raises:
        InputError: There are parts of a model only.
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
    """Whether a folder holds a model in binary or text files."""
    for ending in (".bin", ".txt"):
        if all((folder / f"{name}{ending}").is_file() for name in ("cameras", "images")):
            return ending
    return None


def _parts(folder: Path) -> list[str]:
    names = [f"{name}{ending}" for name in FILES for ending in (".bin", ".txt")]
    return [name for name in names if (folder / name).is_file()]


def require_model(folder: Path) -> str:
    """The ending of the model's files.

    Raises:
        InputError: Some are missing.
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
    """Views of a COLMAP model.

    Poses are world to camera with OpenCV axes, the pixel (0.5, 0.5) is the centre of the first one (COLMAP's
    documentation of its output format and its camera models), so nothing is converted. Files on rigs and
    frames, which newer versions write beside the model, repeat what the images say and are not read.

    Args:
        folder: What holds cameras, images and points3D.
        photos: The folder that the names of the images are relative to; looked for by default.

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

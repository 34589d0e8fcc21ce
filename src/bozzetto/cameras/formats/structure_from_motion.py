"""Camera files of structure from motion: Bundler, OpenMVG and AliceVision (Meshroom).

Bundler writes `bundle.out` with `list.txt`, as many programs do; OpenMVG sfm_data.json; AliceVision .sfm and
.json.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from ...errors import InputError, join_names, warn_input
from ..distortion import Lens
from .camera_files import (
    PosedViews,
    View,
    camera_at,
    gathered_points,
    intrinsics,
    nearest_rotation,
    picture_size,
    read_json,
    read_text,
    real_number,
    real_numbers,
    shorten,
    warn_of_rounding,
)
from .picture_paths import MOST_VIEWS, PICTURE_FOLDERS, PictureFinder, find_pictures, unique_picture_names

LARGEST_BUNDLE = 256 * 2**20
"""Largest size of such a file in bytes, most of which are points."""
HEADER = "# Bundle file v0."


def read_bundler(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a bundle file; the names of the pictures are in a list file beside it.

    World to camera with OpenGL axes (+Y up, looking along -Z), focal length in pixels, k1 and k2; pixels are
    relative to the centre of the picture (Bundler v0.4 User's Manual, output format), at half the width and
    height. Cameras with focal length 0 were not placed and are left out.

    Raises:
        InputError: The file is damaged, or there is no list, or it has another number of names.
    """
    lines = read_text(path, LARGEST_BUNDLE).splitlines()
    if not lines or not lines[0].startswith(HEADER):
        raise InputError(f"{path} does not begin with {HEADER}3; is it a bundle file?")
    numbers = _numbers(path, lines[1:])
    count, points = (_whole(path, next(numbers)) for _ in range(2))
    if not 0 < count <= MOST_VIEWS:
        raise InputError(f"{path} announces {count} cameras, expected 1 to {MOST_VIEWS}; export it again")
    cameras = [torch.tensor([next(numbers) for _ in range(15)], dtype=torch.float64) for _ in range(count)]
    listed = _listed(path, count)
    placed = [i for i, camera in enumerate(cameras) if float(camera[0]) != 0]
    if not placed:
        raise InputError(f"{path}: none of {count} cameras was placed; give the finished reconstruction")
    if len(placed) < count:
        missing = join_names([listed[i].removeprefix("./") for i in range(count) if i not in placed])
        warn_input(f"{path}: {count - len(placed)} photographs were not placed and are left out: {missing}")
    images, names = find_pictures(path, [listed[i] for i in placed], photos)
    flip = torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64))
    views, errors = [], []
    for name, image, i in zip(names, images, placed, strict=True):
        focal, k1, k2 = cameras[i][:3].tolist()
        if not (bool(torch.isfinite(cameras[i]).all()) and focal > 0):
            raise InputError(
                f"{path}: the camera of {name} has NaN or a negative focal length; export it again"
            )
        T = torch.eye(4, dtype=torch.float64)
        T[:3, :3], error = nearest_rotation(flip @ cameras[i][3:12].reshape(3, 3))
        T[:3, 3] = flip @ cameras[i][12:]
        nan = torch.nan  # the middle of the picture, whose size the file does not say
        K = torch.tensor([[focal, 0, nan], [0, focal, nan], [0, 0, 1]], dtype=torch.float64)
        errors.append(error)
        views.append(View(name, image, T, K, lens=Lens(radial=(k1, k2)) or None))
    warn_of_rounding(errors, path)
    index = {number: i for i, number in enumerate(placed)}
    return PosedViews(tuple(views), path, gathered_points(_points(path, numbers, points), index, len(views)))


def _points(path: Path, numbers: Iterator[float], count: int) -> Iterator[tuple[list[float], list[int]]]:
    for _ in range(count):
        position = [next(numbers) for _ in range(6)][:3]
        seen = [[next(numbers) for _ in range(4)] for _ in range(_whole(path, next(numbers)))]
        yield position, [int(view) for view, *_ in seen]


def _numbers(path: Path, lines: list[str]) -> Iterator[float]:
    for line in lines:
        for field in line.split():
            try:
                yield float(field)
            except ValueError:
                raise InputError(
                    f"{path} has {shorten(field)} where a number belongs; export it again"
                ) from None
    raise InputError(f"{path} ends in the middle of its data; copy or export it again")


def _whole(path: Path, number: float) -> int:
    if not (0 <= number < 2**53 and number % 1 == 0):
        raise InputError(f"{path} has {number:g} where a count belongs; export it again")
    return int(number)


def _listed(path: Path, count: int) -> list[str]:
    """Names of the pictures from the list file of a bundle file."""
    stem = path.name.removesuffix(".out")
    names = ("list.txt", f"{path.name}.list.txt", f"{stem}.list.txt", f"{stem}_list.txt", "image_list.txt")
    places = [place / name for place in (path.parent, path.parent.parent) for name in names]
    source = next((place for place in places if place.is_file()), None)
    if source is None:
        raise InputError(f"there is no list.txt with the names of the pictures beside {path}; put it there")
    listed = [line.split()[0] for line in read_text(source).splitlines() if line.strip()]
    if len(listed) != count:
        raise InputError(
            f"{source} lists {len(listed)} pictures, {path.name} has {count} cameras; export both again"
        )
    return listed


LARGEST_JSON = 128 * 2**20
"""Largest size of such a file in bytes, most of which are points."""
PINHOLES = ("pinhole", "radial1", "radial3", "brown", "fisheye4", "fisheye1")
"""Supported camera types of AliceVision, by the names of older versions, which include the distortion."""


def read_openmvg(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of an sfm_data.json of OpenMVG.

    `rotation` is from the world to the camera (OpenCV axes), `center` is the camera's position. Lens models are
    recognised by their coefficients: disto_k1, disto_k3 (k1 k2 k3), disto_t2 (k1 k2 k3 t1 t2), fisheye (k1 to
    k4 of
    the angle). The principal point is relative to the corner of the picture, since OpenMVG initialises it with
    half the width and height.

    Raises:
        InputError: The file has another content, no view has a pose, or a camera is a panorama.
    """
    data = _tables(path, ("views", "intrinsics", "extrinsics"))
    cameras = {str(row.get("key")): _flat(row.get("value")) for row in data["intrinsics"]}
    poses = {str(row.get("key")): _mapping(path, row.get("value")) for row in data["extrinsics"]}
    rows = [_flat(row.get("value")) for row in data["views"]]
    placed = [r for r in rows if str(r.get("id_pose")) in poses and str(r.get("id_intrinsic")) in cameras]
    _require_placed(path, rows, placed)
    root = data["document"].get("root_path")
    written = [_text(path, r.get("local_path", ""), r.get("filename")) for r in placed]
    images, names = _pictures(path, written, photos, root)
    views, errors = [], []
    for name, image, row in zip(names, images, placed, strict=True):
        pose, what = poses[str(row["id_pose"])], f"{path}: the camera of {name}"
        rotation = real_numbers(pose.get("rotation"), 9, f"{what}, rotation").reshape(3, 3)
        T, error = camera_at(rotation.T, real_numbers(pose.get("center"), 3, f"{what}, center"))
        K, size, lens = _openmvg_camera(cameras[str(row["id_intrinsic"])], what)
        errors.append(error)
        views.append(View(name, image, T, K, size=size, lens=lens))
    warn_of_rounding(errors, path)
    index = {str(row.get("id_view")): i for i, row in enumerate(placed)}
    points = gathered_points(_openmvg_points(data["document"]), index, len(views))
    return PosedViews(tuple(views), path, points)


def _openmvg_camera(camera: dict[str, Any], what: str) -> tuple[Any, ...]:
    if "focal_length" not in camera:
        raise InputError(f"{what} has no focal length, as panoramas; only pinholes and fisheyes can be read")
    focal = real_number(camera["focal_length"], f"{what}, focal_length")
    cx, cy = real_numbers(camera.get("principal_point"), 2, f"{what}, principal_point").tolist()
    size = picture_size((camera.get("width"), camera.get("height")), what)
    K = intrinsics(focal, focal, cx, cy, what)
    if "disto_t2" in camera:
        k1, k2, k3, t1, t2 = real_numbers(camera["disto_t2"], 5, f"{what}, disto_t2").tolist()
        lens = Lens(radial=(k1, k2, k3), tangential=(t1, t2))
    elif "fisheye" in camera:
        lens = Lens("equidistant", radial=tuple(real_numbers(camera["fisheye"], 4, what).tolist()))
    elif unknown := [
        key for key in camera if key.startswith("disto") and key not in ("disto_k1", "disto_k3")
    ]:
        raise InputError(f"{what} has the lens {unknown[0]}, which is not read; undistort the pictures first")
    else:
        radial = camera.get("disto_k3", camera.get("disto_k1", []))
        lens = Lens(radial=tuple(real_numbers(radial, len(radial), f"{what}, distortion").tolist()))
    return K, size, lens or None


def _openmvg_points(document: dict[str, Any]):
    for row in _list(document.get("structure")):
        value = _flat(row.get("value")) if isinstance(row, dict) else {}
        seen = [str(o.get("key")) for o in _list(value.get("observations")) if isinstance(o, dict)]
        yield value.get("X"), seen


def read_alicevision(path: Path, photos: Path | None = None) -> PosedViews:
    """Read the views of a .sfm or .json file of AliceVision (Meshroom: `cameras.sfm` of StructureFromMotion).

    `rotation` is world to camera (OpenCV axes) column by column, `center` the camera's position. The meaning of
    the intrinsics depends on the file's version: before 1.2.1 the principal point is relative to the corner,
    later to the centre; before 1.2.2 the focal length is in pixels, later in the sensor's millimetres, and
    `pixelRatio` is fx / fy before 1.2.5, fy / fx since. The centre is at half the width and height.

    Raises:
        InputError: The file has another content, no view has a pose, or a lens model is not supported.
    """
    data = _tables(path, ("views", "intrinsics", "poses"))
    version = [int(v) for v in real_numbers(data["document"].get("version", ["1", "0", "0"]), 3, path.name)]
    cameras = {str(row.get("intrinsicId")): row for row in data["intrinsics"]}
    poses = {str(row.get("poseId")): _mapping(path, row.get("pose")) for row in data["poses"]}
    rows = data["views"]
    placed = [r for r in rows if str(r.get("poseId")) in poses and str(r.get("intrinsicId")) in cameras]
    _require_placed(path, rows, placed)
    if any("rigId" in row for row in placed):
        raise InputError(f"{path} holds a rig of several cameras, which is not read; export it to COLMAP")
    written = [_text(path, "", r.get("path")) for r in placed]
    images, names = _pictures(path, written, photos, None)
    views, errors = [], []
    for name, image, row in zip(names, images, placed, strict=True):
        what = f"{path}: the camera of {name}"
        pose = _mapping(path, poses[str(row["poseId"])].get("transform"))
        columns = real_numbers(pose.get("rotation"), 9, f"{what}, rotation").reshape(3, 3)
        T, error = camera_at(columns, real_numbers(pose.get("center"), 3, f"{what}, center"))
        K, size, lens = _alicevision_camera(cameras[str(row["intrinsicId"])], version, what)
        errors.append(error)
        views.append(View(name, image, T, K, size=size, lens=lens))
    warn_of_rounding(errors, path)
    index = {str(row.get("viewId")): i for i, row in enumerate(placed)}
    points = gathered_points(_alicevision_points(data["document"]), index, len(views))
    return PosedViews(tuple(views), path, points)


def _alicevision_camera(camera: dict[str, Any], version: list[int], what: str) -> tuple[Any, ...]:
    size = width, height = picture_size((camera.get("width"), camera.get("height")), what)

    def number(key: str, default: float) -> float:
        return real_number(camera.get(key, default), f"{what}, {key}")

    if version < [1, 2, 2]:
        focal = camera.get("pxFocalLength")
        both = [focal, focal] if not isinstance(focal, list) else focal
        fx, fy = real_numbers(both, 2, f"{what}, pxFocalLength").tolist()
    else:
        fx = number("focalLength", 0) / number("sensorWidth", 36) * width
        ratio = number("pixelRatio", 1)
        if not ratio > 0:
            raise InputError(f"{what} has the pixelRatio {ratio:g}, expected a positive one; export it again")
        fy = fx * ratio if version >= [1, 2, 5] else fx / ratio
    cx, cy = real_numbers(camera.get("principalPoint"), 2, f"{what}, principalPoint").tolist()
    if version >= [1, 2, 1]:
        cx, cy = cx + width / 2, cy + height / 2
    kind, model = (str(camera.get(key, "")).lower() for key in ("type", "distortionType"))
    model = {"": kind, "radialk1": "radial1", "radialk3": "radial3", "none": "pinhole"}.get(model, model)
    if model not in PINHOLES or kind.startswith("equi"):
        raise InputError(
            f"{what} is of the type {shorten(kind)} {shorten(model)}, expected one of {', '.join(PINHOLES)}; "
            "undistort the pictures in Meshroom first"
        )
    written = camera.get("distortionParams") or []
    k = real_numbers(
        written, len(written) if isinstance(written, list) else 0, f"{what}, distortion"
    ).tolist()
    counts = {"radial1": 1, "radial3": 3, "brown": 5, "fisheye4": 4, "fisheye1": 1}
    if k and len(k) != counts.get(model, len(k)):
        raise InputError(
            f"{what} has {len(k)} distortionParams, {model} has {counts[model]}; export it again"
        )
    lens = Lens()
    if model == "brown" and k:
        lens = Lens(radial=(k[0], k[1], k[2]), tangential=(k[3], k[4]))
    elif model == "fisheye4":
        lens = Lens("equidistant", radial=tuple(k))
    elif model == "fisheye1" and k and k[0]:
        lens = Lens("fov", (k[0],))
    elif model.startswith("radial"):
        lens = Lens(radial=tuple(k))
    return intrinsics(fx, fy, cx, cy, what), size, lens or None


def _alicevision_points(document: dict[str, Any]):
    for row in _list(document.get("structure")):
        if isinstance(row, dict):
            seen = _list(row.get("observations"))
            yield row.get("X"), [str(o.get("observationId")) for o in seen if isinstance(o, dict)]


def _tables(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The JSON document and its lists with these names."""
    document = read_json(path, LARGEST_JSON)
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no views; export it again")
    for name in names:
        rows = document.get(name)
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise InputError(f"{path} has no {name}; give the file of the finished reconstruction")
    return {"document": document, **{name: document[name] for name in names}}


def _require_placed(path: Path, rows: list[Any], placed: list[Any]) -> None:
    if not placed:
        raise InputError(f"{path}: none of {len(rows)} views has a pose; give the finished reconstruction")
    if len(placed) < len(rows):
        missing = [str(row.get("filename", row.get("path"))) for row in rows if row not in placed]
        warn_input(
            f"{path}: {len(missing)} of {len(rows)} photographs were not placed and are left out: "
            f"{join_names([PurePosixPath(name).name for name in missing])}"
        )


def _pictures(path: Path, written: list[str], photos: Path | None, root: Any) -> tuple[list[Path], list[str]]:
    home = path.parent
    folders = [home / root] if isinstance(root, str) else []
    folders += [home, *(p / name for p in (home, home.parent) for name in PICTURE_FOLDERS)]
    images = PictureFinder(path, [photos] if photos else folders, photos or home).locate(written)
    return images, unique_picture_names(images, path)


def _mapping(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path} has {shorten(value)} where an object belongs; export it again")
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(path: Path, folder: Any, name: Any) -> str:
    if not isinstance(name, str) or not isinstance(folder, str):
        raise InputError(f"{path}: a view has the picture {shorten(name)}, expected a path; export it again")
    return str(PurePosixPath(folder.replace("\\", "/").strip("/"), name.replace("\\", "/")))


def _flat(value: Any) -> dict[str, Any]:
    """A JSON object with the entries of nested objects, since versions of OpenMVG nest differently."""
    flat: dict[str, Any] = {}
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            for key, inner in current.items():
                if isinstance(inner, dict):
                    waiting.append(inner)
                else:
                    flat.setdefault(key, inner)
    return flat

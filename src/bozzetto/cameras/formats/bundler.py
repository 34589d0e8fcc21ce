"""Camera files of Bundler, `bundle.out` with `list.txt`, which many programs write."""

from collections.abc import Iterator
from pathlib import Path

import torch

from ...errors import InputError, join_names, warn_input
from ..distortion import Lens
from .camera_files import PosedViews, View, nearest_rotation, read_text, shorten, warn_of_rounding
from .picture_paths import MOST_VIEWS, find_pictures
from .scene_points import gathered_points

LARGEST = 256 * 2**20
"""Bytes of such a file, most of which are points."""
HEADER = "# Bundle file v0."


def read_bundler(path: Path, photos: Path | None = None) -> PosedViews:
    """Views of a bundle file; the names of the pictures stand in a list beside it.

    World to camera with OpenGL axes (+Y up, looking along -Z), focal length in pixels, k1 and k2; pixels count
    from the middle of the picture (Bundler v0.4 User's Manual, output format), which is taken to be at half the
    width and height. Cameras with the focal length 0 were not placed and are left out.

    Raises:
        InputError: The file is damaged, there is no list, or it has another number of names.
    """
    lines = read_text(path, LARGEST).splitlines()
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
    """Names of the pictures from the list that belongs to a bundle file."""
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

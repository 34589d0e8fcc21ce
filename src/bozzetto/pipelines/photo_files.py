"""Photos of surfaces among files and folders, and what is in them."""

import math
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..heightmap.pairs import as_rgb
from ..views import load_image
from ..views.images import SUFFIXES

MAX_PIXELS = 64_000_000
OTHER_MAPS = (
    *("height", "normal", "preview", "ao", "curvature", "albedo"),
    *("displacement", "roughness", "metallic"),
)
"""Pictures of these names in a folder are no photos, but belong to one or come from here."""


def find_photos(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Photos and names for their results; those in folders keep their sub-folders, other maps are left out.

    Raises:
        InputError: A path does not exist, or there is no photo.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            inside = [p for p in inside if p.stem not in OTHER_MAPS and not p.name.startswith(".")]
            found += [(p, _name(p.relative_to(path))) for p in inside]
        elif path.is_file():
            found.append((path, path.stem))
        else:
            raise InputError(f"there is no photo {path}; check the path")
    if not found:
        raise InputError(
            f"{', '.join(map(str, paths))} holds no photo; files must end in {', '.join(SUFFIXES)}"
        )
    return _distinct(found)


def _name(path: Path) -> str:
    """Of the results: the path without its ending; `color.*` in a sub-folder stands for the folder."""
    inner = path.stem == "color" and path.parent != Path()
    return (path.parent if inner else path.with_suffix("")).as_posix()


def _distinct(found: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Names with the ending, and then a number, where stems alone would collide."""
    counts: dict[str, int] = {}
    for _, name in found:
        counts[name.lower()] = counts.get(name.lower(), 0) + 1
    taken: set[str] = set()
    result = []
    for path, name in found:
        unique = name if counts[name.lower()] == 1 else f"{name}-{path.suffix[1:].lower()}"
        number = 2
        while unique.lower() in taken:
            unique, number = f"{name}-{path.suffix[1:].lower()}-{number}", number + 1
        taken.add(unique.lower())
        result.append((path, unique))
    return result


def load_photo(path: Path) -> Float[Tensor, "H W 3"]:
    """A photo as sRGB in [0, 1], transparent parts on their mean colour, of animations the first frame.

    Raises:
        InputError: It is no picture, is damaged, or has more than 64 million pixels.
    """
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            width, height = image.size
    except (OSError, SyntaxError, ValueError):
        width = height = 0  # the reader below finds the words
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{path} has {width} x {height} pixels, which needs too much memory; "
            f"scale it down to {math.isqrt(MAX_PIXELS)} x {math.isqrt(MAX_PIXELS)} or less"
        )
    image = load_image(path).clamp(0, 1)
    if image.shape[-1] in (2, 4):
        alpha = image[..., -1:]
        color = as_rgb(image)
        mean = (color * alpha).sum(dim=(0, 1)) / alpha.sum().clamp(min=1e-6)
        return color * alpha + mean * (1 - alpha)
    return as_rgb(image).contiguous()

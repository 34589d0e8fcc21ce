"""Finding photos of surfaces among files and folders, and checking their content."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, join_names, warn_input
from ..images import load_image
from ..images.color import as_rgb
from ..images.io import SUFFIXES
from ..images.stored_picture import check_file

MAX_PIXELS = 64_000_000
WIDE_BORDER, BORDER_STEP = 0.15, 6 / 255
MAPS = (
    *("normal", "normals", "normalgl", "normaldx", "normalopengl", "normaldirectx", "nrm", "norgl", "nordx"),
    *("height", "heightmap", "disp", "displacement", "roughness", "glossiness", "metallic", "metalness"),
    *("ao", "ambientocclusion", "occlusion", "specular", "opacity", "emission", "emissive", "curvature"),
    *("translucency", "transmission", "subsurface", "arm", "orm", "rma", "smoothness", "cavity", "thickness"),
)
"""Last words of file names of other maps of a material (ambientCG, Poly Haven, 3dtextures, Substance)."""
MAPS_BESIDE = (
    *("nor", "norm", "bump", "bumpmap", "rough", "gloss", "metal", "spec", "occ", "mask", "alpha", "edge"),
    *("id", "thumb", "thumbnail", "preview", "albedo", "emit", "sss"),
)
"""Last words that denote a map only if another picture has the rest of the name, such as brick_rough.png;
old_metal.png alone is a photo."""
UNREAD = (
    *(".hdr", ".psd", ".dds", ".jxl", ".svg"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf"),
)
"""File name extensions of pictures that are not supported."""
_COLORS = ("color", "colour", "col", "basecolor", "diffuse", "diff", "photo")
_SIZES = re.compile(r"\d+k?|\d+x\d+|\d+(bit|px)|png|jpe?g|tiff?|exr")
_BREAKS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def find_photos(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Find photos and names for their results; sub-folders are kept, other maps of materials are left out.

    Warnings name the files that are left out.

    Raises:
        InputError: A path does not exist, or there is no photo.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            inside, maps, unread = _classify_pictures(path)
            found += [(p, _name(p.relative_to(path))) for p in inside]
            if maps and inside:
                warn_input(
                    f"{len(maps)} of {len(maps) + len(inside)} pictures in {path} are left out, because their "
                    f"names are those of other maps: {_few(maps)}"
                )
            elif maps:
                raise InputError(
                    f"{path} holds no photo, because the names of its pictures are those of other maps: "
                    f"{_few(maps)}; give a photo by its own path if it is one"
                )
            if unread:
                warn_input(f"{path} also holds pictures of kinds that are not read: {_few(unread)}")
        else:
            check_file(path, "photo")
            found.append((path, path.stem))
    if not found:
        raise InputError(
            f"{', '.join(map(str, paths))} holds no photo; files must end in {', '.join(SUFFIXES)}"
        )
    return _distinct(found)


def _classify_pictures(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """Photos, other maps, and unsupported pictures below a folder."""
    files = sorted(p for p in folder.rglob("*") if not _hidden(p.relative_to(folder)) and p.is_file())
    pictures = [p for p in files if p.suffix.lower() in SUFFIXES]
    homes: dict[Path, list[Path]] = {}
    for path in pictures:
        homes.setdefault(path.parent, []).append(path)
    maps = {path for home in homes.values() for path in home if is_named_as_map(path, home)}
    photos = [path for path in pictures if path not in maps]
    return photos, sorted(maps), [p for p in files if p.suffix.lower() in UNREAD]


def _hidden(path: Path) -> bool:
    """Whether a path below a folder, or a folder on the way to it, is hidden."""
    return any(part.startswith(".") for part in path.parts)


def is_named_as_map(path: Path, beside: Sequence[Path] = ()) -> bool:
    """Whether a file name ends like that of a height, normal, roughness or another map of a material.

    Args:
        path: The picture.
        beside: Pictures in its folder; some words denote a map only if there is a picture with the rest of the
            name.
    """
    words = _words(path)
    if not words:
        return False
    if any("".join(words[-count:]) in MAPS for count in (1, 2, 3)):
        return True
    if words[-1] not in MAPS_BESIDE:
        return False
    start = words[:-1]
    others = [_words(other) for other in beside if other != path]
    if start:
        return any(other[: len(start)] == start for other in others)
    return any("".join(other) in MAPS + _COLORS for other in others)


def _words(path: Path) -> list[str]:
    """Words of a file name, without sizes and formats at its end."""
    words = [word.lower() for word in _BREAKS.split(path.stem) if word]
    while len(words) > 1 and _SIZES.fullmatch(words[-1]):
        words.pop()
    return words


def _few(paths: Sequence[Path]) -> str:
    return join_names([path.name for path in paths])


def _name(path: Path) -> str:
    """Name of the results: the path without extension; for `color.*` in a sub-folder the name of the folder."""
    inner = path.stem == "color" and path.parent != Path()
    return (path.parent if inner else path.with_suffix("")).as_posix()


def _distinct(found: list[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """Make names unique by the extension, and then by a number."""
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
    """Read a photo as sRGB in [0, 1], on its mean colour if it has alpha; of animations the first frame.

    Raises:
        InputError: The file is not a picture, is damaged or completely transparent, or has more than 64 million
            pixels.
    """
    image = load_image(path, max_pixels=MAX_PIXELS)
    if image.shape[-1] in (2, 4):
        alpha = image[..., -1:]
        if float(alpha.max()) == 0:
            raise InputError(f"{path} is transparent all over; give a photo, or remove its alpha")
        color = as_rgb(image)
        mean = (color * alpha).sum(dim=(0, 1)) / alpha.sum().clamp(min=1e-6)
        return color * alpha + mean * (1 - alpha)
    return as_rgb(image).contiguous()


def check_photo(path: Path, photo: Float[Tensor, "H W 3"]) -> None:
    """Warn of a picture that is probably not a photo of a surface."""
    if is_named_as_map(path):
        warn_input(f"{path} is named as a map that belongs to a photo; give the photo itself if it is one")
    elif looks_like_normals(photo):
        warn_input(f"{path} looks like a normal map and not like a photo; give the photo that belongs to it")
    elif looks_like_heights(photo):
        warn_input(f"{path} is grey with more than 8 bits, as height maps are; give the photo if it is one")
    fraction = border_fraction(photo)
    if fraction > WIDE_BORDER:
        warn_input(
            f"{path} has borders of one colour over {100 * fraction:.0f} % of it, which are taken for surface; "
            "crop them"
        )


def looks_like_normals(photo: Float[Tensor, "H W 3"]) -> bool:
    """Whether a picture is a normal map: its colours are unit vectors out of the surface, to all sides.

    Of 124 normal maps of public materials it recognises all but a few that are not normalised, and it
    recognises no photo as one.
    """
    vectors = _thinned(photo).reshape(-1, 3) * 2 - 1
    unit = float(((vectors.norm(dim=-1) - 1).abs() < 0.2).float().mean())
    outwards = float((vectors[:, 2] > 0.2).float().mean())
    sideways = float(vectors.mean(dim=0)[:2].abs().max())
    return unit > 0.6 and outwards > 0.97 and sideways < 0.15 and float(vectors.std(dim=0).max()) > 1 / 255


def looks_like_heights(photo: Float[Tensor, "H W 3"]) -> bool:
    """Whether a picture is a height map: it is grey with values that 8 bits cannot represent."""
    few = _thinned(photo)
    grey = few[..., 0] * 255
    deep = float((grey - grey.round()).abs().max()) > 0.01 and float(grey.std()) > 0
    return deep and bool((few == few[..., :1]).all())


def _thinned(photo: Float[Tensor, "H W 3"]) -> Float[Tensor, "h w 3"]:
    """Subsample to about 40,000 pixels."""
    step = max(1, math.isqrt(photo.shape[0] * photo.shape[1] // 40_000))
    return photo[::step, ::step]


def border_fraction(photo: Float[Tensor, "H W 3"]) -> float:
    """Fraction of the picture that is covered by uniform borders of the colour of its corners."""
    other = (photo - photo[0, 0]).abs().amax(dim=-1) > BORDER_STEP
    rows, columns = (other.any(dim=dim).nonzero().flatten() for dim in (1, 0))
    if bool(other[-1, -1]) or len(rows) == 0:
        return 0.0  # a uniform picture has no borders
    inside = float(rows[-1] - rows[0] + 1) * float(columns[-1] - columns[0] + 1)
    return 1 - inside / other.numel()

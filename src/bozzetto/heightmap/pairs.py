"""Folders of real pairs: a photo and the height map of the same surface."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ..errors import InputError
from ..metrics import seam_ratio
from ..shapes import load_height
from ..views import load_image

SCANNED, PAINTED, PROCEDURAL = 0, 1, 2
KINDS = {"A": SCANNED, "B": PAINTED}
TILES_BELOW = 1.5
SMALLEST = 16


@dataclass(frozen=True)
class PairFiles:
    """Where a pair is and what may be done with it.

    Attributes:
        name: Of the material.
        color, height: The files; white is high.
        kind: `SCANNED`, from which the sign may be learned, or `PAINTED`, whose height may follow the paint.
        tiles: Whether opposite borders fit.
        ship: Whether weights that learned from it may be passed on.
        author: Whom to credit.
        licence: Its name.
    """

    name: str
    color: Path
    height: Path
    kind: int = SCANNED
    tiles: bool = False
    ship: bool = False
    author: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Pair:
    """A photo and its height in memory.

    Attributes:
        color: sRGB bytes.
        height: From 0 to 65535, white is high.
        kind, tiles: As of `PairFiles`.
        half: The same at half the size, where that leaves 256 pixels.
    """

    color: np.ndarray
    height: np.ndarray
    kind: int
    tiles: bool
    half: "Pair | None" = None


def find_pairs(folder: Path) -> list[PairFiles]:
    """All pairs below a folder, in the order of their names.

    A pair is a folder with `color.*` and `height.*`. A `manifest.csv` with columns slug, class, tileable,
    ship_ok, author and licence tells more about them; without one all are taken for scanned.

    Raises:
        InputError: The folder does not exist or holds no pair.
    """
    rows = {}
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        with manifest.open(encoding="utf-8", newline="") as file:
            rows = {row["slug"]: row for row in csv.DictReader(file)}
    found = []
    for color in sorted(folder.rglob("color.*"), key=lambda path: path.parent.name):
        heights = sorted(color.parent.glob("height.*"))
        if heights:
            found.append(_described(color, heights[0], rows.get(color.parent.name)))
    if not found:
        raise InputError(
            f"{folder} holds no pairs; give a folder whose sub-folders each have color.jpg and height.png"
        )
    return found


def _described(color: Path, height: Path, row: dict[str, str] | None) -> PairFiles:
    name = color.parent.name
    if row is None:
        return PairFiles(name, color, height)
    tiles, ship = row.get("tileable") == "yes", row.get("ship_ok") == "yes"
    kind = KINDS.get(row.get("class", "A"), PAINTED)
    return PairFiles(name, color, height, kind, tiles, ship, row.get("author", ""), row.get("licence", ""))


def load_pair(files: PairFiles, side: int = 256) -> Pair:
    """Read a pair; a photo of another size than its height is averaged or enlarged to it.

    Raises:
        InputError: A file cannot be read, or shows too little.
    """
    photo = load_image(files.color)
    photo = photo[..., :1].expand(-1, -1, 3) if photo.shape[-1] < 3 else photo[..., :3]
    height = load_height(files.height).height
    if min(height.shape) < SMALLEST:
        rows, columns = height.shape
        raise InputError(
            f"{files.height} has {columns} x {rows} pixels; leave out pairs below {SMALLEST} x {SMALLEST}"
        )
    height = (height - height.min()) / (height.max() - height.min()).clamp(min=1e-9)
    if photo.shape[:2] != height.shape:
        photo = resized(photo.movedim(-1, 0), tuple(height.shape)).movedim(0, -1)
    return _pair(photo, height, files.kind, files.tiles, side)


def _pair(photo: Tensor, height: Tensor, kind: int, tiles: bool, side: int) -> Pair:
    half = None
    if min(height.shape) >= 2 * side:
        small = (height.shape[0] // 2, height.shape[1] // 2)
        both = resized(torch.cat([photo.movedim(-1, 0), height[None]]), small)
        half = _pair(both[:3].movedim(0, -1), both[3], kind, tiles, side)
    color = (photo * 255 + 0.5).to(torch.uint8).numpy()
    levels = (height.double() * 65535 + 0.5).numpy().astype(np.uint16)
    return Pair(color, levels, kind, tiles, half)


def resized(maps: Float[Tensor, "C H W"], size: Sequence[int]) -> Float[Tensor, "C h w"]:
    """Averaged over areas where it gets smaller, bilinear where it gets larger."""
    shape = tuple(maps.shape[-2:])
    if shape == tuple(size):
        return maps
    smaller = (min(shape[0], size[0]), min(shape[1], size[1]))
    maps = adaptive_avg_pool2d(maps, smaller)
    if smaller == tuple(size):
        return maps
    return torch.nn.functional.interpolate(maps[None], size=tuple(size), mode="bilinear")[0]


def held_out(names: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """Names to keep away from a training: drawn from the sorted names, the same for everybody."""
    order = np.random.default_rng(seed).permutation(len(names))
    ordered = sorted(names)
    return sorted(ordered[k] for k in order[:count])


def looks_tileable(photo: Float[Tensor, "C H W"]) -> bool:
    """Whether steps across the joined borders of a photo are like those inside."""
    return max(seam_ratio(photo.mean(dim=0))) <= TILES_BELOW

"""Folders of real pairs: a photo and the height map of the same surface."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InputError, join_names, require_most_usable, warn_input
from ..images import load_image
from ..images.color import as_rgb
from ..images.io import SUFFIXES
from ..images.resizing import resized
from ..photometric import TactileCalibration, find_markers, read_frames, tactile_height
from ..photometric.tactile import filled
from ..shapes import load_height
from ..shapes.height_field import same_proportions
from ..values import value_type

SCANNED, PAINTED, PROCEDURAL = 0, 1, 2
KINDS = {"A": SCANNED, "B": PAINTED}
SMALLEST = 16


@dataclass(frozen=True)
class PairFiles:
    """Files of a pair, its kind and its licence.

    Attributes:
        name: Name of the material.
        color, height: Files of photo and height map, in which white is high.
        kind: `SCANNED`, or `PAINTED`, whose height may have been derived from colour, so that its sign is
            unreliable.
        tiles: Whether the pair is periodic.
        ship: Whether weights that were trained on it may be distributed.
        author: Author to credit.
        licence: Name of the licence.
    """

    name: str
    color: Path
    height: Path
    kind: int = SCANNED
    tiles: bool = False
    ship: bool = False
    author: str = ""
    licence: str = ""


@value_type
class Pair:
    """A photo and its height map in memory.

    Attributes:
        color: sRGB bytes.
        height: Heights from 0 to 65535; white is high.
        kind, tiles: See `PairFiles`.
        half: The same pair at half the size, if this is at least 256 pixels; None otherwise.
    """

    color: npt.NDArray[Any]
    height: npt.NDArray[Any]
    kind: int
    tiles: bool
    half: "Pair | None" = None


def find_pairs(folder: Path) -> list[PairFiles]:
    """Find all pairs below a folder, sorted by name.

    A pair is a folder with `color.*` and `height.*`. A `manifest.csv` with columns slug, class, tileable,
    ship_ok, author and licence describes them; without one all pairs count as scanned.

    Raises:
        InputError: The folder does not exist or holds no pair, or the manifest cannot be used.
    """
    rows = read_manifest(folder / "manifest.csv") if (folder / "manifest.csv").is_file() else None
    homes: dict[Path, dict[str, list[Path]]] = {}
    for path in folder.rglob("*"):
        part = path.stem.lower()
        if part in ("color", "height") and path.suffix.lower() in SUFFIXES:
            homes.setdefault(path.parent, {}).setdefault(part, []).append(path)
    found, unknown = [], []
    whole = [home for home, parts in homes.items() if len(parts) == 2]
    for home in sorted(whole, key=lambda path: (path.name, path)):
        color, height = (_chosen(homes[home][part]) for part in ("color", "height"))
        if rows is not None and home.name not in rows:
            unknown.append(home.name)
        found.append(_described(color, height, (rows or {}).get(home.name)))
    if not found:
        raise InputError(
            f"{folder} holds no pairs; give a folder whose sub-folders each have color.jpg and height.png"
        )
    if unknown:
        warn_input(
            f"{folder / 'manifest.csv'} does not name {len(unknown)} of {len(found)} materials "
            f"({join_names(unknown)}); they are taken for scanned, not tiling and not to be passed on"
        )
    return found


def _chosen(paths: list[Path]) -> Path:
    """The file to read of several with the same stem: EXR first, then by name."""
    first, *others = sorted(paths, key=lambda path: (path.suffix.lower() != ".exr", path.name))
    for other in others:
        warn_input(f"{other} is left out, because {first.name} of the same name is taken")
    return first


def read_manifest(path: Path) -> dict[str, dict[str, str]]:
    """Read the rows of a manifest, by name of the material.

    Raises:
        InputError: The file is not a table with a column slug, or a class is neither A (scanned) nor B
            (painted).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            columns = [name for name in table.fieldnames or [] if name]
            rows = list(table)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({error}); save it as CSV in UTF-8") from None
    if "slug" not in columns:
        raise InputError(
            f"{path} has the columns {', '.join(columns)[:200] or '(none)'} and no slug, which is the name of "
            "a material's folder; rename one"
        )
    for row in rows:
        kind = row.get("class")
        if "class" in columns and kind not in KINDS:
            raise InputError(
                f"{path} says class {kind} of {row['slug']}; give A for scanned or B for painted materials"
            )
    return {row["slug"]: row for row in rows if row["slug"]}


def _described(color: Path, height: Path, row: dict[str, str] | None) -> PairFiles:
    name = color.parent.name
    if row is None:
        return PairFiles(name, color, height)
    tiles, ship = row.get("tileable") == "yes", row.get("ship_ok") == "yes"
    author, licence = row.get("author") or "", row.get("licence") or ""
    return PairFiles(name, color, height, KINDS[row.get("class", "A")], tiles, ship, author, licence)


def load_pairs(files: Sequence[PairFiles], side: int = 256) -> tuple[list[PairFiles], list[Pair]]:
    """Read all usable pairs, and return their files and the pairs; a warning names unusable ones.

    Raises:
        InputError: More than half of the pairs cannot be used.
    """
    used, pairs, refused = [], [], {}
    for one in files:
        try:
            pairs.append(load_pair(one, side))
            used.append(one)
        except InputError as error:
            refused[one.name] = str(error)
    require_most_usable(refused, len(files), "pairs")
    return used, pairs


def load_pair(files: PairFiles, side: int = 256) -> Pair:
    """Read a pair; a photo is resized to the size of its height map.

    Raises:
        InputError: A file cannot be read, is constant or too small, or photo and height map have different
            proportions or are the same picture.
    """
    photo = as_rgb(load_image(files.color))
    height = load_height(files.height).height
    rows, columns = height.shape
    if min(height.shape) < SMALLEST:
        raise InputError(
            f"{files.height} has {columns} x {rows} pixels; leave out pairs below {SMALLEST} x {SMALLEST}"
        )
    if not same_proportions((photo.shape[0], photo.shape[1]), (rows, columns)):
        raise InputError(
            f"{files.color} has {photo.shape[1]} x {photo.shape[0]} pixels and {files.height} {columns} x "
            f"{rows}, different proportions; crop them to show the same surface"
        )
    low, high = height.min(), height.max()
    if low == high or float(photo.min()) == float(photo.max()):
        flat = files.height if low == high else files.color
        raise InputError(f"{flat} is of one value everywhere and teaches nothing; leave the pair out")
    height = (height - low) / (high - low)
    if photo.shape[:2] == height.shape and bool((photo == height[..., None]).all()):
        raise InputError(
            f"{files.color} and {files.height} are the same picture; give a photo and its height"
        )
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


def held_out(names: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """Choose names to hold out of a training at random, independent of the order of `names`."""
    order = np.random.default_rng(seed).permutation(len(names))
    ordered = sorted(names)
    return sorted(ordered[k] for k in order[:count])


def tactile_pairs(
    path: str | os.PathLike[str], calibration: TactileCalibration, pixel_mm: float, every: int = 10
) -> list[Pair]:
    """Training pairs from a video of a calibrated tactile sensor: frames without markers, and their heights.

    Args:
        path: Path of the video, see `read_frames`.
        calibration: Calibration for three lights: red, green and blue.
        pixel_mm: Side of a pixel in millimetres.
        every: Take every n-th frame, since successive frames are similar.

    Raises:
        InputError: The video cannot be read, or the calibration is for another number of lights.
    """
    if calibration.lights != 3:
        raise InputError(
            f"frames show three lights (red, green, blue), but the calibration has {calibration.lights}"
        )
    pairs = []
    for frame in read_frames(path, every):
        clean = filled(frame, find_markers(frame))
        height = tactile_height(clean.movedim(-1, 0), calibration, pixel_mm)
        low, high = height.min(), height.max()
        levels = ((height - low) / (high - low).clamp(min=1e-9) * 65535).round()
        color = (clean * 255).round().to(torch.uint8).numpy()
        pairs.append(Pair(color, levels.numpy().astype(np.uint16), SCANNED, False))
    return pairs

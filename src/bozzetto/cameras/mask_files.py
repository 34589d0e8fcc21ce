"""Mask files: their assignment to photographs, and the meaning of their values (coverage, 0 and 1, or
labels)."""

import os
import re
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, join_names, warn_input
from ..images.io import SUFFIXES, load_data_image
from ..values import value_type
from .formats.camera_files import View

FOLDERS = ("masks", "mask")
"""Names of mask folders in or beside the folder of the photographs, case-insensitive."""
SIMILAR = ("segmentation", "segmentations", "silhouettes", "silhouette", "mattes", "matte", "object_masks")
"""Names of folders that possibly contain masks; they are only mentioned in a warning."""
MOVING = "dynamic_mask_"
"""Prefix of instant-ngp's masks of moving parts, white on black, which are not masks of the object."""


def find_masks(views: list[View], folder: Path | None = None) -> list[Path] | None:
    """The mask file of every view, or None if there are none.

    Masks are searched for in this order: `folder`; the file that the camera file names; the folders `FOLDERS`
    in the folder of the photograph or beside it; the folder of the photograph itself (NAME.mask.png,
    NAME_mask.png, mask_NAME.png). In a mask folder, the mask of NAME.jpg is NAME.png, NAME.jpg.png, or one of
    these names. If there is no such file, masks and photographs are paired by the last numbers in their names,
    if these are unique.

    Raises:
        InputError: Only some of the views have a mask, or no picture of a folder belongs to a view.
    """
    if folder is not None:
        return _complete(views, _among(views, folder, _pictures(folder)), f"in {folder}")
    if any(view.mask is not None for view in views):
        return _complete(views, [_named(view) for view in views], "although other views have one")
    homes = dict.fromkeys(view.image.parent for view in views)
    places = dict.fromkeys([*homes, *(home.parent for home in homes)])
    folders = [found for place in places for found in _subfolders(place, FOLDERS)[:1] if found not in homes]
    files = [file for found in folders for file in _pictures(found)]
    if files:
        return _complete(views, _among(views, folders[0], files), f"in {folders[0]}")
    marked = [_marked(view) for view in views]
    if any(marked):
        return _complete(views, marked, "although other views have one")
    for found in (found for place in places for found in _subfolders(place, SIMILAR) if found not in homes):
        warn_input(f"the folder {found} is not used; if it holds masks of the object, give it with --masks")
    return None


def _complete(views: list[View], found: list[Path | None], where: str) -> list[Path]:
    without = [view.name for view, path in zip(views, found, strict=True) if path is None]
    if without:
        count = f" ({len(without)} of {len(views)} photographs have none)" if len(without) > 1 else ""
        raise InputError(
            f"there is no mask for {join_names(without)} {where}{count}; name it {Path(without[0]).stem}.png, "
            "leave these photographs out of the camera file, or choose other masks with --masks"
        )
    return [path for path in found if path is not None]


def _named(view: View) -> Path | None:
    if view.mask is not None and not view.mask.is_file():
        raise InputError(f"there is no mask {view.mask} of {view.name}; check mask_path in the camera file")
    return view.mask


def _subfolders(place: Path, names: tuple[str, ...]) -> list[Path]:
    """Sub-folders with these names, case-insensitive."""
    entries = {name.lower(): place / name for name in sorted(os.listdir(place), reverse=True)}
    return [entries[name] for name in names if name in entries and entries[name].is_dir()]


def _among(views: list[View], folder: Path, files: list[Path]) -> list[Path | None]:
    """The mask of every view among the pictures of a folder.

    Raises:
        InputError: No picture belongs to a view.
    """
    if not files:
        raise InputError(
            f"there are no pictures in the masks folder {folder}; give the folder with the masks"
        )
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(file.name.lower(), []).append(file)
    found = [_by_name(view, by_name) for view in views]
    if any(found):
        return found
    paired = _by_number(views, files)
    if paired is None:
        stem = Path(views[0].name).stem
        raise InputError(
            f"{folder} holds {len(files)} pictures of which none belongs to one of the {len(views)} "
            f"photographs; call the mask of {views[0].name} {stem}.png, not {files[0].name} as one of them "
            "is called, or choose other masks with --masks"
        )
    warn_input(
        f"{folder}: masks and photographs have different names and are paired by number, such as "
        f"{paired[0].name} with {views[0].name}"
    )
    return list(paired)


def _pictures(folder: Path) -> list[Path]:
    paths = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    pictures = [p for p in paths if p.suffix.lower() in SUFFIXES]
    moving = [p for p in pictures if p.name.startswith(MOVING)]
    if moving:
        warn_input(
            f"{folder}: {len(moving)} pictures {MOVING}* mark what moves and not the object; they are not used"
        )
    return sorted(p for p in pictures if p not in moving)


def _by_name(view: View, files: dict[str, list[Path]]) -> Path | None:
    stem, name = view.image.stem.lower(), view.image.name.lower()
    for candidate in [f"{n}{s}" for n in (stem, name) for s in SUFFIXES] + _marked_names(view):
        found = [f for f in files.get(candidate, []) if f != view.image]
        nearness = [_nearness(f, view.image) for f in found]
        if found and nearness.count(max(nearness)) == 1:
            return found[nearness.index(max(nearness))]
    return None


def _nearness(mask: Path, image: Path) -> tuple[int, bool]:
    """Similarity of two paths, for masks of the same name in several folders."""
    pairs = zip(mask.parts, image.parts, strict=False)
    shared = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
    return shared, mask.parent.name == image.parent.name


def _marked_names(view: View) -> list[str]:
    stem = view.image.stem.lower()
    return [n + suffix for n in (f"{stem}.mask", f"{stem}_mask", f"mask_{stem}") for suffix in SUFFIXES]


def _marked(view: View) -> Path | None:
    """The mask in the photograph's own folder."""
    wanted = _marked_names(view)
    there = {name.lower(): name for name in os.listdir(view.image.parent)}
    return next((view.image.parent / there[name] for name in wanted if name in there), None)


def _by_number(views: list[View], files: list[Path]) -> list[Path] | None:
    """Masks paired by the last number in the names; None if the numbers are not unique or differ."""
    masks = {_last_number(file.name): file for file in files}
    numbers = [_last_number(view.image.name) for view in views]
    alone = len(masks) == len(files) and len(set(numbers)) == len(numbers)
    if not alone or None in numbers or not masks.keys() >= set(numbers):
        return None
    return [masks[number] for number in numbers]


def _last_number(name: str) -> int | None:
    numbers = re.findall("[0-9]+", Path(name).stem)
    return int(numbers[-1]) if numbers else None


COLORFUL = 8 / 255
"""Difference of channels above which a pixel is coloured; compression of grey pictures causes smaller ones."""
LABEL = 0.15
"""Fraction of the non-zero area above which a value counts as a label; soft edges have many different
values."""
VALUES = 32
"""Largest number of colours of a label map."""


@value_type
class Mask:
    """Content of a mask file.

    Attributes:
        coverage: Coverage by the object in [0, 1], in the orientation that is stored.
        labels: Description of the labels if the file has labels, of which all but the background are object;
            otherwise empty.
    """

    coverage: Float[Tensor, "H W"]
    labels: str = ""


def load_mask(path: Path) -> Mask:
    """Read a mask file: its alpha channel if that is not constant, otherwise its colours.

    White is object. Other conventions are recognised, too: values of 0 and 1, labels in grey or colour (all but
    0, black, or otherwise the colour along the border are object), and floats of any range.

    Raises:
        InputError: The file cannot be read or has NaN.
    """
    image = load_data_image(path, orient=False)
    if not bool(torch.isfinite(image).all()):
        raise InputError(f"the mask {path} holds NaN or infinite values; export it again")
    if image.shape[2] in (2, 4):
        alpha = image[..., -1]
        if float(alpha.amin()) < float(alpha.amax()):
            return _grey(alpha)
        image = image[..., :-1]
    if float((image.amax(dim=2) - image.amin(dim=2)).max()) > COLORFUL:
        return _colors(image)
    return _grey(image.mean(dim=2))


def _grey(values: Float[Tensor, "H W"]) -> Mask:
    values = values.clamp(min=0)
    highest = float(values.max())
    levels, counts = (values * 65535).round().unique(return_counts=True)
    levels, counts = levels[levels > 0] / 65535, counts[levels > 0]
    labels = levels[counts > LABEL * counts.sum()]
    # An ordinary mask has one frequent value besides 0, which is nearly white.
    if len(labels) and (float(labels.min()) < 0.8 * highest or highest < 0.5):
        named = [f"{v:.4g}" for v in (labels * 255).tolist()]
        return Mask((values / labels.min()).clamp(0, 1), f"0 and {join_names(named)} (of 255)")
    if 0 < highest < 0.5 or highest > 1:
        return Mask(values / highest)
    return Mask(values)


def _colors(image: Float[Tensor, "H W 3"]) -> Mask:
    black = float((image.amax(dim=2) < COLORFUL).float().mean()) > 0.001
    rim = torch.cat([image[0], image[-1], image[:, 0], image[:, -1]])
    background = torch.zeros(3) if black else rim.median(dim=0).values
    difference = (image - background).abs().amax(dim=2)
    colors = (image * 255).round().reshape(-1, 3).unique(dim=0)
    if len(colors) <= VALUES:
        named = [str(tuple(int(v) for v in c)) for c in colors.tolist()]
        return Mask((difference > COLORFUL).float(), f"the colours {join_names(named)}")
    return Mask((difference / difference.max().clamp(min=0.5)).clamp(0, 1))

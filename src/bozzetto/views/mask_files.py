"""Masks that somebody already made: files beside the photographs."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from .formats import View
from .images import SUFFIXES, load_image

FOLDERS = ("masks", "mask")


def find_masks(views: list[View], folder: Path | None = None) -> list[Path] | None:
    """The mask file of every view, or None if there are none.

    Looked for in this order: the file that the camera file names; `folder`; the folders `masks` and `mask`
    beside the photograph or beside its folder; the photograph's own folder (NAME.mask.png, NAME_mask.png).
    In a folder the mask of NAME.jpg is called NAME.png, NAME.jpg.png, NAME.mask.png or NAME_mask.png.

    Raises:
        InputError: Some views have a mask and others do not, or `folder` has none.
    """
    found = [_find(view, folder) for view in views]
    if folder is None and not any(found):
        return None
    paths = []
    for view, path in zip(views, found, strict=True):
        if path is None:
            where = f"in {folder}" if folder else "although other views have one"
            raise InputError(
                f"there is no mask for {view.name} {where}; name it {Path(view.name).stem}.png, "
                "or choose other masks with --masks"
            )
        paths.append(path)
    return paths


def _find(view: View, folder: Path | None) -> Path | None:
    if folder is None and view.mask is not None:
        if not view.mask.is_file():
            raise InputError(
                f"there is no mask {view.mask} of {view.name}; check mask_path in the camera file"
            )
        return view.mask
    home, stem = view.image.parent, view.image.stem
    marked = [f"{stem}{mark}{suffix}" for mark in (".mask", "_mask") for suffix in SUFFIXES]
    plain = [f"{name}{suffix}" for name in (stem, view.image.name) for suffix in SUFFIXES]
    if folder is not None:
        candidates = [folder / name for name in plain + marked]
    else:
        folders = [place / name for place in (home, home.parent) for name in FOLDERS]
        candidates = [place / name for place in folders for name in plain + marked]
        candidates += [home / name for name in marked]
    return next((c for c in candidates if c.is_file()), None)


def load_mask(path: Path) -> Float[Tensor, "H W"]:
    """Coverage in [0, 1] from a mask file: its alpha if that says anything, else the mean of its colours."""
    image = load_image(path)
    if image.shape[2] in (2, 4):
        if float(image[..., -1].amin()) < 1:
            return image[..., -1]
        image = image[..., :-1]
    return image.mean(dim=-1)

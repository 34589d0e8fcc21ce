"""Loading of captures from folders and camera files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError, collected_warnings, join_names, warn_input
from ..images.io import SUFFIXES
from ..images.resizing import area_resize
from ..steps import counted
from .agreement import agreement, explanation, outlines
from .camera import Cameras
from .capture import Capture
from .distortion import undistort
from .exif_orientation import Turn, proportional, settle, turn_by_size
from .formats.camera_files import PosedViews, View, complete_intrinsics
from .formats.picture_paths import require_pictures
from .formats.reading import read_cameras
from .mask_files import find_masks, load_mask
from .masks import auto_masks, plain_background
from .picture_files import load_linear
from .segmentation.network import network_masks
from .segmentation.segment import segment

MASK_CHOICES = ("auto", "alpha", "background", "object", "none")
TRIAL_SIZE = 96
"""Longer side, in pixels, of the reduced photographs by which the orientation is decided."""


def load_capture(
    path: str | os.PathLike[str],
    masks: str | os.PathLike[str] = "auto",
    max_size: int | None = None,
    around: Sequence[tuple[str, float, float]] = (),
) -> Capture:
    """Read photographs with their cameras and masks, in the world frame of the camera file.

    Args:
        path: A camera file of any format that `formats.read_cameras` knows, or a folder that holds one.
        masks: Source of the masks, see `load_views`.
        max_size: Largest longer side in pixels, see `load_views`.
        around: Pixels on the object, see `load_views`.

    Raises:
        InputError: The camera file, a picture or a mask cannot be used; one sentence says which and why.
    """
    return load_views(read_cameras(path), masks, max_size, around)


def load_views(
    posed: PosedViews,
    masks: str | os.PathLike[str] = "auto",
    max_size: int | None = None,
    around: Sequence[tuple[str, float, float]] = (),
) -> Capture:
    """Read the photographs and masks of views.

    For photographs with an EXIF orientation, `View.upright` says whether they are rotated. If it does not, this
    is decided by the width and height of the camera file, otherwise by the consistency of masks and views,
    otherwise they are taken as stored, as most calibration tools do (`exif_orientation`). Masks are treated in
    the same way.

    Args:
        posed: Views of a camera file or of pose estimation.
        masks: Source of the masks. `auto` takes mask files if there are any, otherwise alpha if a picture has
            transparency, otherwise computes masks from a plain background (`auto_masks`) if there is one,
            otherwise of the object that all views look at (`segmentation.segment`). `alpha`, `background` and
            `object` require one of these. `none` gives no masks. The path of an ONNX file is a segmentation
            network (`segmentation.network_masks`). Any other path is a folder of mask files.
        max_size: Largest longer side in pixels; larger photographs are reduced to it by area averages. None
            keeps the size.
        around: Pixels on the object, used if masks are computed by `segmentation.segment`: name of the
            photograph, column and row in it.

    Returns:
        The capture. Lens distortion is removed by resampling. Views of different sizes are padded with unknown
        pixels at the right and bottom.

    Raises:
        InputError: A camera, a picture or a mask cannot be used; one sentence says which and why.
    """
    views = list(posed.views)
    require_pictures(views)
    Cameras(
        torch.stack([v.T_cam_world for v in views]), torch.eye(3).double().repeat(len(views), 1, 1), 1, 1
    ).check([v.name for v in views])
    files = _mask_files(views, masks)
    choice = "files" if any(files) else str(masks)
    turns = [turn_by_size(view, mask) for view, mask in zip(views, files, strict=True)]

    def small(settled: list[Turn]) -> Capture:
        trial = "none" if choice == "object" or _is_network(choice) else choice
        return _with_masks(views, _load_all(views, files, settled, TRIAL_SIZE), trial, posed, None)

    turns = settle(turns, small, choice == "files")
    pictures = _load_all(views, files, turns, max_size)
    _report(views, pictures)
    return _with_masks(views, pictures, choice, posed, around).check()


def _with_masks(
    views: list[View],
    pictures: list["_Picture"],
    choice: str,
    posed: PosedViews,
    around: Sequence[tuple[str, float, float]] | None,
) -> Capture:
    """The capture of these pictures; `around` is None on trial, which leaves out slow kinds of masks."""
    if choice == "auto":
        # Removing lens distortion interpolates alpha, with rounding errors.
        least = [float(p.alpha[p.known].amin()) for p in pictures if bool(p.known.any())]
        choice = "alpha" if any(alpha < 0.999 for alpha in least) else "pictures"
    pixels = _in_pictures(views, pictures, around or ())
    layer = {"alpha": "alpha", "files": "mask"}.get(choice)
    capture = replace(_assemble(views, pictures, posed.source, layer), points=posed.points)
    if (
        layer is not None
        or choice == "none"
        or (around is None and choice == "pictures" and not plain_background(capture))
    ):
        return capture
    capture = replace(capture.check(), masks_computed=True)
    if _is_network(choice):
        return network_masks(capture, choice)
    if choice == "background" or around is None:
        return auto_masks(capture)
    return segment(capture, pixels) if choice == "object" else masks_from_pictures(capture, pixels)


def masks_from_pictures(capture: Capture, around: Sequence[tuple[str, float, float]] = ()) -> Capture:
    """The capture with masks, by `auto_masks` if most pictures have a plain background, else by `segment`.

    `segment` is also taken if the masks of `auto_masks` contradict each other for another reason than a single
    mistake in the cameras, or if pixels on the object are given.

    Raises:
        InputError: No object is found.
    """
    if around or not plain_background(capture):
        return segment(capture, around)
    with collected_warnings() as notes:
        found = auto_masks(capture)
    views = outlines(found.uncorrected or found)
    now = agreement(views)
    if now.contradicts and explanation(views, now, exact=True) is None:
        warn_input(
            "masks from the plain background contradict each other; the object is looked for otherwise"
        )
        return segment(capture)
    for note in notes:
        warn_input(note)
    return found


def _in_pictures(
    views: list[View], pictures: list["_Picture"], around: Sequence[tuple[str, float, float]]
) -> list[tuple[str, float, float]]:
    """Convert pixels of photographs to pixels of the read pictures; lens distortion is neglected."""
    read = {view.name: picture for view, picture in zip(views, pictures, strict=True)}
    found = []
    for name, column, row in around:
        if name in read:
            (height, width), full = read[name].image.shape[:2], read[name].size
            column, row = column * width / full[0], row * height / full[1]
        found.append((name, column, row))
    return found


def _mask_files(views: list[View], masks: str | os.PathLike[str]) -> list[Path | None]:
    nothing: list[Path | None] = [None] * len(views)
    if str(masks) == "auto":
        return list(find_masks(views) or nothing)
    if str(masks) in MASK_CHOICES or _is_network(masks):
        return nothing
    folder = Path(masks)
    if not folder.is_dir():
        raise InputError(
            f"there is no masks folder {folder}; give one, an ONNX file, or one of "
            f"{', '.join(MASK_CHOICES)} as masks"
        )
    return list(find_masks(views, folder) or nothing)


def _is_network(masks: str | os.PathLike[str]) -> bool:
    return str(masks).lower().endswith(".onnx")


@dataclass
class _Picture:
    """A photograph that was read; its tensors are emptied when they are moved to a capture, to save memory."""

    image: Float[Tensor, "h w 3"]
    alpha: Float[Tensor, "h w"]
    mask: Float[Tensor, "h w"]
    known: Bool[Tensor, "h w"]
    K: Float[Tensor, "3 3"]
    size: tuple[int, int]
    """Width and height in the file."""
    mask_size: tuple[int, int] | None = None
    labels: str = ""


def _load_all(
    views: list[View],
    masks: list[Path | None],
    turns: list[Turn],
    max_size: int | None,
) -> list[_Picture]:
    rows = list(zip(views, masks, turns, strict=True))
    return [_load(*row, max_size) for row in counted(rows, "photographs")]


def _load(view: View, mask_path: Path | None, turn: Turn, max_size: int | None) -> _Picture:
    # Resampling blurs, so lens distortion is removed at up to twice the requested size.
    read = load_linear(view.image, max_size and max_size * (2 if view.lens is not None else 1))
    light = turn.of_picture(read.light)
    full = turn.size_of_picture(read.size)
    if view.size is not None and not proportional(view.size, full):
        raise InputError(
            f"the image {view.name} is {full[0]} x {full[1]} but its camera is for {view.size[0]} x "
            f"{view.size[1]}; use the pictures that were calibrated"
        )
    height, width = light.shape[:2]
    layers, mask_size, labels = light, None, ""
    if mask_path is not None:
        stored = load_mask(mask_path)
        mask, labels = turn.of_mask(stored.coverage[..., None]), stored.labels
        mask_size = (mask.shape[1], mask.shape[0])
        mask = _fit_mask(mask, mask_path, view.name, full, (width, height))
        layers = torch.cat([light, mask], dim=-1)
    K = _scaled(complete_intrinsics(view, *full), full, (width, height))
    known = torch.ones(height, width, dtype=torch.bool)
    if view.lens is not None:
        layers, known = undistort(layers, K, view.lens)
    if max_size is not None and max(width, height) > max_size:
        new = max(1, round(full[0] * max_size / max(full))), max(1, round(full[1] * max_size / max(full)))
        layers = area_resize(layers[None], *new)[0]
        known = area_resize(known[None, ..., None].float(), *new)[0, ..., 0] > 1 - 1e-4
        K = _scaled(K, (width, height), new)
    alpha = layers[..., 3].contiguous()
    mask = alpha if mask_path is None else layers[..., 4].contiguous()
    return _Picture(layers[..., :3].contiguous(), alpha, mask, known, K, full, mask_size, labels)


def _scaled(K: Float[Tensor, "3 3"], old: tuple[int, int], new: tuple[int, int]) -> Float[Tensor, "3 3"]:
    """Intrinsics for a picture of another width and height."""
    return K * torch.tensor([[new[0] / old[0]], [new[1] / old[1]], [1.0]], dtype=torch.float64)


def _fit_mask(
    mask: Float[Tensor, "h w 1"], path: Path, name: str, full: tuple[int, int], size: tuple[int, int]
) -> Float[Tensor, "H W 1"]:
    """Resize a mask to the size in which its photograph was read.

    Args:
        mask: Coverage.
        path: File of the mask, for messages.
        name: Name of the photograph, for messages.
        full: Width and height of the photograph.
        size: Width and height in which it was read.
    """
    height, width = mask.shape[:2]
    if not proportional((width, height), full):
        raise InputError(
            f"the mask {path} is {width} x {height} but {name} is {full[0]} x {full[1]}; masks must have "
            "the size of their photographs, or at least their proportions"
        )
    if width >= size[0] and height >= size[1]:
        return area_resize(mask[None], *size)[0]
    resized = torch.nn.functional.interpolate(
        mask.permute(2, 0, 1)[None], (size[1], size[0]), mode="bilinear", antialias=True
    )
    return resized[0].permute(1, 2, 0)


def _report(views: list[View], pictures: list[_Picture]) -> None:
    """Warn of photographs and masks that were rescaled or reinterpreted."""
    rows = list(zip(views, pictures, strict=True))
    scaled = [(v, p) for v, p in rows if v.size is not None and v.size != p.size]
    if scaled:
        view, picture = scaled[0]
        assert view.size is not None
        warn_input(
            f"{len(scaled)} photographs have another size than their cameras say, such as {view.name} with "
            f"{picture.size[0]} x {picture.size[1]} instead of {view.size[0]} x {view.size[1]}; the "
            "intrinsics are scaled"
        )
    other = [(v, p) for v, p in rows if p.mask_size is not None and p.mask_size != p.size]
    if other:
        view, picture = other[0]
        assert picture.mask_size is not None
        warn_input(
            f"{len(other)} masks have another size than their photographs, such as that of {view.name} with "
            f"{picture.mask_size[0]} x {picture.mask_size[1]} instead of {picture.size[0]} x "
            f"{picture.size[1]}; they are resized"
        )
    labelled = [(v, p) for v, p in rows if p.labels]
    if labelled:
        view, picture = labelled[0]
        warn_input(
            f"{len(labelled)} masks hold labels, such as that of {view.name} {picture.labels}; all but the "
            "background is taken for the object"
        )
    _report_unused(views)


def _assemble(views: list[View], pictures: list[_Picture], source: Path, masks: str | None) -> Capture:
    """Build the capture of pictures, with one of their layers as masks; the pictures are emptied."""
    height = max(p.image.shape[0] for p in pictures)
    width = max(p.image.shape[1] for p in pictures)
    poses, intrinsics = torch.stack([v.T_cam_world for v in views]), torch.stack([p.K for p in pictures])
    cameras = Cameras(poses, intrinsics, width, height)
    coverage = None if masks is None else _moved(pictures, masks, cameras).clamp_(0, 1)
    for picture in pictures:
        picture.alpha = picture.mask = picture.known.new_empty(0)
    return Capture(
        names=tuple(v.name for v in views),
        cameras=cameras,
        images=_moved(pictures, "image", cameras),
        masks=coverage,
        known=_moved(pictures, "known", cameras),
        source=str(source),
    )


def _moved(pictures: list[_Picture], name: str, cameras: Cameras) -> Tensor:
    """Stack a layer of all pictures into one tensor, padded with zeros; the pictures release it one by one."""
    first = getattr(pictures[0], name)
    stacked = first.new_zeros(len(pictures), cameras.height, cameras.width, *first.shape[2:])
    for target, picture in zip(stacked, pictures, strict=True):
        layer = getattr(picture, name)
        target[: layer.shape[0], : layer.shape[1]] = layer
        setattr(picture, name, layer.new_empty(0))
    return stacked


def _report_unused(views: list[View]) -> None:
    """Warn of photographs in the same folder that have no camera."""
    for folder in sorted({view.image.parent for view in views}):
        used = {view.image.name for view in views if view.image.parent == folder}
        there = {p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES}
        unused = sorted(n for n in there - used if "mask" not in n.lower())
        if unused:
            warn_input(
                f"{len(unused)} pictures in {folder} have no camera and are left out: {join_names(unused)}"
            )

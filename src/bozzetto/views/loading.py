"""From a folder or camera file to a capture."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError
from ..steps import counted
from .camera import Cameras
from .capture import Capture, area_resize
from .distortion import undistort
from .formats import View
from .images import SUFFIXES, load_image, srgb_to_linear
from .mask_files import find_masks, load_mask
from .masks import auto_masks
from .middlebury import read_middlebury
from .rigs import intrinsics_from_fov
from .transforms_json import read_transforms

MASK_CHOICES = ("auto", "alpha", "background", "none")


def load_capture(
    path: str | os.PathLike, masks: str | os.PathLike = "auto", max_size: int | None = None
) -> Capture:
    """Read photographs with their cameras and masks. The world stays the one of the camera file.

    Args:
        path: A `transforms.json` or Middlebury `*_par.txt`, or a folder that holds one.
        masks: `auto` takes mask files if there are any, else alpha if a picture has any transparency, else
            makes masks from the plain background (`auto_masks`); `alpha` and `background` insist on one of
            these; `none` leaves them out; anything else is a folder of mask files.
        max_size: Photographs with a longer side than this many pixels are shrunk to it (area average).

    Returns:
        The capture. Lens distortion is undone by resampling; views of different size are padded at the
        right and bottom with unknown pixels.

    Raises:
        InputError: The camera file, a picture or a mask cannot be used; one sentence says which and why.
    """
    source = find_camera_file(Path(path))
    views = read_middlebury(source) if source.suffix.lower() == ".txt" else read_transforms(source)
    Cameras(
        torch.stack([v.T_cam_world for v in views]), torch.eye(3).double().repeat(len(views), 1, 1), 1, 1
    ).check([v.name for v in views])
    files = _mask_files(views, masks)
    pictures = [
        _load(view, mask, max_size)
        for view, mask in counted(list(zip(views, files, strict=True)), "photographs")
    ]
    capture = _assemble(views, pictures, source)
    choice = "files" if any(files) else str(masks)
    alpha = [p.alpha for p in pictures]
    if choice == "auto":
        choice = "alpha" if any(float(a.amin()) < 1 for a in alpha) else "background"
    if choice in ("alpha", "files"):
        layers = alpha if choice == "alpha" else [p.mask for p in pictures]
        capture = replace(capture, masks=_stack(layers, capture.cameras).clamp(0, 1))
    elif choice == "background":
        capture = auto_masks(capture.check())
    return capture.check()


def find_camera_file(path: Path) -> Path:
    """The camera file in a folder, or the path itself if it is a file.

    Raises:
        InputError: There is none, or more than one and none is called transforms.json.
    """
    if path.is_file():
        if path.suffix.lower() not in (".json", ".txt"):
            raise InputError(f"{path} is no camera file; give a transforms.json or a Middlebury _par.txt")
        return path
    if not path.is_dir():
        raise InputError(f"there is no capture {path}; give a folder with photographs and their cameras")
    for name in ("transforms.json", "transforms_train.json"):
        if (path / name).is_file():
            return path / name
    found = sorted(path.glob("*_par.txt"))
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{path} holds {len(found)} camera files (*_par.txt); give the one you mean")
    raise InputError(
        f"there are no cameras in {path}, no transforms.json and no *_par.txt; calibrate the photographs "
        "first, for instance with COLMAP and nerfstudio's ns-process-data"
    )


def _mask_files(views: list[View], masks: str | os.PathLike) -> list[Path | None]:
    nothing: list[Path | None] = [None] * len(views)
    if str(masks) == "auto":
        return list(find_masks(views) or nothing)
    if str(masks) in MASK_CHOICES:
        return nothing
    folder = Path(masks)
    if not folder.is_dir():
        raise InputError(
            f"there is no masks folder {folder}; give one, or one of {', '.join(MASK_CHOICES)} as masks"
        )
    return list(find_masks(views, folder) or nothing)


@dataclass(frozen=True)
class _Picture:
    image: Float[Tensor, "h w 3"]
    alpha: Float[Tensor, "h w"]
    mask: Float[Tensor, "h w"]
    known: Bool[Tensor, "h w"]
    K: Float[Tensor, "3 3"]


def _load(view: View, mask_path: Path | None, max_size: int | None) -> _Picture:
    image = _load_upright(view)
    height, width, channels = image.shape
    alpha = image[..., -1:] if channels in (2, 4) else torch.ones(height, width, 1)
    color = image[..., : channels - 1] if channels in (2, 4) else image
    mask = alpha
    if mask_path is not None:
        mask = load_mask(mask_path)[..., None]
        if mask.shape[:2] != (height, width):
            raise InputError(
                f"the mask {mask_path} is {mask.shape[1]} x {mask.shape[0]} but {view.name} is {width} x "
                f"{height}; masks must have the size of their photographs"
            )
    layers = torch.cat([srgb_to_linear(color).expand(-1, -1, 3) * alpha, alpha, mask], dim=-1)
    K = _complete_intrinsics(view, width, height)
    known = torch.ones(height, width, dtype=torch.bool)
    if view.distortion is not None:
        layers, known = undistort(layers, K, view.distortion)
    if max_size is not None and max(width, height) > max_size:
        new = [max(1, round(side * max_size / max(width, height))) for side in (width, height)]
        layers = area_resize(layers[None], *new)[0]
        known = area_resize(known[None, ..., None].float(), *new)[0, ..., 0] > 1 - 1e-4
        K = K * torch.tensor([[new[0] / width], [new[1] / height], [1.0]], dtype=torch.float64)
    return _Picture(layers[..., :3], layers[..., 3], layers[..., 4], known, K)


def _load_upright(view: View) -> Float[Tensor, "H W C"]:
    """The picture in the orientation that the camera file is about."""
    if not view.image.is_file():
        raise InputError(
            f"there is no image {view.image} although the camera file lists it; "
            "put it there or remove it from the camera file"
        )
    image = load_image(view.image)
    if view.size is None or view.size == (image.shape[1], image.shape[0]):
        return image
    stored = load_image(view.image, orient=False)  # some calibration tools ignore EXIF orientation
    if view.size == (stored.shape[1], stored.shape[0]):
        return stored
    raise InputError(
        f"the image {view.name} is {image.shape[1]} x {image.shape[0]} but its camera is for "
        f"{view.size[0]} x {view.size[1]}; use the pictures that were calibrated"
    )


def _complete_intrinsics(view: View, width: int, height: int) -> Float[Tensor, "3 3"]:
    if view.K is not None:
        middle = torch.tensor([[0, 0, width / 2], [0, 0, height / 2], [0, 0, 0]], dtype=torch.float64)
        K = torch.where(torch.isnan(view.K) & (middle > 0), middle, view.K)
    else:
        assert view.fov is not None
        K = intrinsics_from_fov(view.fov[0], width, height)
        if view.fov[1] is not None:
            K[1, 1] = intrinsics_from_fov(view.fov[1], height, width)[0, 0]
    Cameras(torch.eye(4).double()[None], K[None], width, height).check([view.name])
    return K


def _assemble(views: list[View], pictures: list[_Picture], source: Path) -> Capture:
    height = max(p.image.shape[0] for p in pictures)
    width = max(p.image.shape[1] for p in pictures)
    poses, intrinsics = torch.stack([v.T_cam_world for v in views]), torch.stack([p.K for p in pictures])
    cameras = Cameras(poses, intrinsics, width, height)
    return Capture(
        names=tuple(v.name for v in views),
        cameras=cameras,
        images=_stack([p.image for p in pictures], cameras),
        masks=None,
        known=_stack([p.known for p in pictures], cameras),
        source=str(source),
        notes=_notes(views),
    )


def _stack(layers: list[Tensor], cameras: Cameras) -> Tensor:
    """Layers of different size in one tensor, zero where they end."""
    stacked = layers[0].new_zeros(len(layers), cameras.height, cameras.width, *layers[0].shape[2:])
    for target, layer in zip(stacked, layers, strict=True):
        target[: layer.shape[0], : layer.shape[1]] = layer
    return stacked


def _notes(views: list[View]) -> tuple[str, ...]:
    """Remarks about photographs that lie beside the used ones and have no camera."""
    notes = []
    for folder in sorted({view.image.parent for view in views}):
        used = {view.image.name for view in views if view.image.parent == folder}
        there = {p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES}
        unused = sorted(n for n in there - used if "mask" not in n)
        if unused:
            few = ", ".join(unused[:3]) + (", ..." if len(unused) > 3 else "")
            notes.append(f"{len(unused)} pictures in {folder.name} have no camera and are left out: {few}")
    return tuple(notes)

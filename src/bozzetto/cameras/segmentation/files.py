"""Writing masks as files in the geometry of the original photographs, so that users can edit them."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...images.io import save_image
from ...images.resizing import area_resize
from ...steps import counted
from ..capture import Capture
from ..distortion import Lens
from ..exif_orientation import as_stored, upright
from ..formats.camera_files import PosedViews, View, complete_intrinsics
from ..picture_files import SIDEWAYS, load_linear, read_header

STEP = 8
"""Spacing in pixels of the points at which a lens is inverted; in between, linear interpolation is accurate to
1/100 pixel."""
TRIAL = 64
"""Longer side, in pixels, of the pictures by which it is decided whether a photograph was rotated upright."""


def save_masks(capture: Capture, posed: PosedViews, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the masks of a capture as 8-bit PNG files in the geometry of the original photographs.

    They have the full size and the lens distortion of the photographs, and the orientation in which masks of
    such photographs are read. `load_views(posed, folder)` reads them. Parts of a photograph that the capture
    does not show are background in the files.

    Args:
        capture: Views with masks that `load_views` loaded from `posed`.
        posed: The cameras and photographs.
        folder: Folder to write to, which is created if necessary. Files are named after the photographs.

    Returns:
        The files, in the order of the views.

    Raises:
        InputError: The capture has no masks, or has other views.
    """
    masks = capture.require_masks().cpu()
    views = {view.name: view for view in posed.views}
    unknown = [name for name in capture.names if name not in views]
    if unknown:
        raise InputError(
            f"there is no photograph {unknown[0]} among the cameras; give those of the same views"
        )
    paths = _paths([views[name] for name in capture.names], Path(folder))
    for i, path in enumerate(counted(paths, "masks")):
        view = views[capture.names[i]]
        mask = _of_photograph(masks[i], capture.images[i].cpu(), capture.cameras.K[i].cpu(), view)
        save_image(path, mask)
    return paths


def _paths(views: Sequence[View], folder: Path) -> list[Path]:
    """Paths NAME.png, or NAME.jpg.png if photographs differ only in their extension."""
    names = [Path(view.name) for view in views]
    relative = [Path(*name.parts[-2:]) if name.is_absolute() else name for name in names]
    stems = [path.with_suffix(".png") for path in relative]
    if len(set(stems)) < len(stems):
        stems = [path.with_name(path.name + ".png") for path in relative]
    return [folder / stem for stem in stems]


def _of_photograph(
    mask: Float[Tensor, "H W"], image: Float[Tensor, "H W 3"], K: Float[Tensor, "3 3"], view: View
) -> Float[Tensor, "h w"]:
    """The mask of one view in the geometry of its file."""
    orientation, stored = read_header(view.image)
    turned = orientation != 1 and _was_turned(view.image, orientation, image)
    full = (stored[1], stored[0]) if turned and orientation in SIDEWAYS else stored
    full_K = complete_intrinsics(view, *full)
    scale = (K[[0, 1], [0, 1]] / full_K[[0, 1], [0, 1]]).tolist()
    width, height = (max(1, round(side * s)) for side, s in zip(full, scale, strict=True))
    places = _places(full, full_K, view.lens)
    grid = 2 * places / torch.tensor(full) - 1
    part = mask[:height, :width]
    found = torch.nn.functional.grid_sample(
        part[None, None], grid[None].float(), padding_mode="border", align_corners=False
    )[0, 0]
    shown = (grid.abs() <= 1).all(dim=-1)
    result = found * shown
    # A mask of the same size as the photograph is taken for one of the stored picture if nothing else decides.
    return (
        as_stored(result[..., None], orientation)[..., 0]
        if turned and orientation not in SIDEWAYS
        else result
    )


def _was_turned(path: Path, orientation: int, image: Float[Tensor, "H W 3"]) -> bool:
    """Whether a picture shows the photograph upright instead of as stored."""
    light = load_linear(path, TRIAL).light[..., :3]
    misfits = []
    for candidate in (light, upright(light, orientation)):
        height, width = candidate.shape[:2]
        scale = max(height / image.shape[0], width / image.shape[1])
        shown = image[: round(height / scale), : round(width / scale)]
        misfits.append(float((area_resize(shown[None], width, height)[0] - candidate).abs().mean()))
    return misfits[1] < misfits[0]


def _places(full: tuple[int, int], K: Float[Tensor, "3 3"], lens: Lens | None) -> Float[Tensor, "h w 2"]:
    """Positions of the pixels of a photograph in the undistorted picture, both at full size."""
    width, height = full
    if lens is None:
        return _pixel_centers(width, height, 1)
    centers = _pixel_centers(width, height, STEP)
    plane = (centers.reshape(-1, 2) - K[:2, 2]) @ torch.linalg.inv(K[:2, :2]).T
    ideal = undistorted(plane, lens) @ K[:2, :2].T + K[:2, 2]
    coarse = ideal.reshape(centers.shape).permute(2, 0, 1)[None]
    size = (coarse.shape[2] - 1) * STEP + 1, (coarse.shape[3] - 1) * STEP + 1
    fine = torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=True)
    return fine[0, :, :height, :width].permute(1, 2, 0)


def _pixel_centers(width: int, height: int, step: int) -> Float[Tensor, "h w 2"]:
    """Centres of every `step`-th pixel, up to the last pixel or beyond."""
    counts = [-(-(side - 1) // step) + 1 for side in (width, height)]
    axes = [torch.arange(count, dtype=torch.float64) * step + 0.5 for count in counts]
    return torch.stack(torch.meshgrid(*axes, indexing="xy"), dim=-1)


def undistorted(points: Float[Tensor, "P 2"], lens: Lens) -> Float[Tensor, "P 2"]:
    """Invert the distortion of a lens by Newton's method: points of the ideal plane, or inf if there are
    none."""
    found = points.clone()
    step = 1e-6
    for _ in range(12):
        away = lens.distort(found) - points
        right = (lens.distort(found + torch.tensor([step, 0.0])) - lens.distort(found)) / step
        down = (lens.distort(found + torch.tensor([0.0, step])) - lens.distort(found)) / step
        determinant = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
        determinant = torch.where(determinant.abs() < 1e-9, torch.nan, determinant)
        x = (down[:, 1] * away[:, 0] - down[:, 0] * away[:, 1]) / determinant
        y = (right[:, 0] * away[:, 1] - right[:, 1] * away[:, 0]) / determinant
        found = found - torch.stack([x, y], dim=1).clamp(-0.5, 0.5)
    missed = ~((lens.distort(found) - points).abs().amax(dim=1) < 1e-6) | ~lens.one_to_one(found)
    return torch.where(missed[:, None], torch.inf, found)

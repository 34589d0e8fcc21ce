"""EXIF orientation: whether cameras and masks belong to the stored or to the upright picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, warn_input
from ..images.stored_picture import turned_upright
from .agreement import agreement, outlines
from .capture import Capture
from .formats.camera_files import View
from .picture_files import SIDEWAYS, read_header

CLEARLY = 0.6
"""Largest ratio of the misfits of two orientations at which the smaller one decides."""
CONTRAST = 1.15
"""Smallest ratio of the image contrasts along the outlines of masks at which the larger one decides their
orientation."""


@dataclass(frozen=True)
class Turn:
    """Orientation of a stored photograph and its stored mask relative to the camera.

    Attributes:
        orientation: EXIF orientation of the photograph, 1 to 8.
        camera: Whether the camera belongs to the upright picture; None if this is undecided.
        mask: Whether the mask belongs to the upright picture; None if this is undecided.
    """

    orientation: int = 1
    camera: bool | None = False
    mask: bool | None = False

    def settled(self, camera: bool, mask: bool) -> "Turn":
        """The same with undecided attributes set."""
        return replace(
            self,
            camera=camera if self.camera is None else self.camera,
            mask=mask if self.mask is None else self.mask,
        )

    def of_picture(self, stored: Float[Tensor, "h w C"]) -> Float[Tensor, "H W C"]:
        """The photograph in the orientation of the camera."""
        return upright(stored, self.orientation) if self.camera else stored

    def size_of_picture(self, stored: tuple[int, int]) -> tuple[int, int]:
        """Width and height of the photograph in the orientation of the camera."""
        return (stored[1], stored[0]) if self.camera and self.orientation in SIDEWAYS else stored

    def of_mask(self, stored: Float[Tensor, "h w C"]) -> Float[Tensor, "H W C"]:
        """The mask in the orientation of the camera."""
        if self.camera and not self.mask:
            return upright(stored, self.orientation)
        if self.mask and not self.camera:
            return as_stored(stored, self.orientation)
        return stored


def upright(stored: Float[Tensor, "h w C"], orientation: int) -> Float[Tensor, "H W C"]:
    """Rotate or mirror a picture by its EXIF orientation."""
    return torch.from_numpy(turned_upright(stored.numpy(), orientation).copy())


def as_stored(turned: Float[Tensor, "h w C"], orientation: int) -> Float[Tensor, "H W C"]:
    """The inverse of `upright`."""
    return upright(turned, {6: 8, 8: 6}.get(orientation, orientation))


def proportional(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes have the same proportions, up to rounding to whole pixels."""
    large, small = (size, other) if size[0] * size[1] >= other[0] * other[1] else (other, size)
    factor = max(small[0] / large[0], small[1] / large[1])
    return all(abs(s - factor * g) <= 1 for s, g in zip(small, large, strict=True))


def turn_by_size(view: View, mask: Path | None) -> Turn:
    """Decide the orientation from the view and the sizes of photograph, camera and mask, as far as possible."""
    orientation, stored = read_header(view.image)
    if orientation == 1:
        return Turn()
    turned = stored[::-1] if orientation in SIDEWAYS else stored
    sizes = {False: stored, True: turned}
    camera = _only({up for up, size in sizes.items() if view.size is None or proportional(size, view.size)})
    if view.upright is not None:
        camera = view.upright
    elif view.size is None and view.K is not None and stored != turned:
        middle = [float(((view.K[:2, 2] / view.K.new_tensor(s)) - 0.5).abs().max()) for s in sizes.values()]
        camera = None if abs(middle[0] - middle[1]) < 0.05 else middle[1] < middle[0]
    if mask is None:
        return Turn(orientation, camera, False)
    shown = read_header(mask)[1]
    return Turn(orientation, camera, _only({up for up, size in sizes.items() if proportional(size, shown)}))


def _only(possible: set[bool]) -> bool | None:
    return possible.pop() if len(possible) == 1 else None


def settle(
    turns: Sequence[Turn], trial: Callable[[list[Turn]], Capture | None], with_files: bool
) -> list[Turn]:
    """Decide the orientations that sizes leave undecided, in the same way for all views.

    Image contrast along the outlines of masks is largest if masks and photographs have the same orientation,
    and silhouettes are most consistent if the cameras have the right one. If neither decides, pictures are
    taken as stored, except that pictures with quarter turns whose size is not in the camera file are taken
    upright.

    Args:
        turns: Orientations decided from sizes.
        trial: Function that loads the views, reduced and with masks, for decided orientations; it returns None
            if there are no masks.
        with_files: Whether the masks come from separate files.
    """
    if all(t.camera is not None and t.mask is not None for t in turns):
        return list(turns)
    count = sum(t.orientation != 1 for t in turns)
    sideways = all(t.orientation in SIDEWAYS for t in turns if t.camera is None)
    usual = sideways and any(t.camera is None for t in turns)

    def tried(camera: bool, mask: bool) -> Capture | None:
        try:
            return trial([t.settled(camera, mask) for t in turns])
        except InputError:  # raised again when the views are loaded in full
            return None

    mask = False
    if with_files and any(t.mask is None for t in turns):
        contrasts = [_contrast(tried(usual, up)) for up in (False, True)]
        mask = contrasts[1] > CONTRAST * contrasts[0]
    camera = usual
    if any(t.camera is None for t in turns):
        misfits = [_misfit(tried(up, mask)) for up in (False, True)]
        best, other = min(misfits), max(misfits)
        decided = best < CLEARLY * other - 0.01
        if decided:
            camera = misfits[1] < misfits[0]
        way = "upright" if camera else "as they are stored"
        reason = (
            f"the views fit each other {way}"
            if decided
            else "whether the cameras mean the stored or the upright pictures is unknown"
        )
        warn_input(
            f"{count} photographs have an EXIF orientation that turns them; {reason}, so they are taken {way}"
        )
    return [t.settled(camera, mask) for t in turns]


def _misfit(capture: Capture | None) -> float:
    if capture is None or capture.masks is None:
        return 1.0
    return float(agreement(outlines(capture.uncorrected or capture)).missing.mean())


def _contrast(capture: Capture | None) -> float:
    """Image contrast along the outlines of the masks, relative to that of the whole photographs."""
    if capture is None or capture.masks is None:
        return 0.0
    grey = capture.images.mean(dim=-1).clamp(min=0).sqrt()
    change, outline = _gradient(grey), _gradient((capture.masks > 0.5).float()) > 0
    along = change[outline & capture.known]
    return float(along.mean() / change[capture.known].mean().clamp(min=1e-6)) if len(along) else 0.0


def _gradient(values: Float[Tensor, "N H W"]) -> Float[Tensor, "N H W"]:
    down = torch.nn.functional.pad(values.diff(dim=1).abs(), (0, 0, 0, 1))
    right = torch.nn.functional.pad(values.diff(dim=2).abs(), (0, 1))
    return down + right

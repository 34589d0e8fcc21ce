"""Captures: photographs of one object with cameras and masks."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError, join_names
from ..images.resizing import area_resize
from ..values import value_type
from .camera import Cameras


@value_type
class ScenePoints:
    """Points of the scene that structure from motion reconstructed together with the cameras.

    Attributes:
        positions: World coordinates, float64.
        visible: Whether each point was matched in each view.
    """

    positions: Float[Tensor, "P 3"]
    visible: Bool[Tensor, "P N"]

    def __len__(self) -> int:
        return len(self.positions)

    def of_views(self, index: Sequence[int]) -> "ScenePoints":
        """The points that were matched in at least two of the views `index`, for these views."""
        visible = self.visible[:, list(index)]
        kept = visible.sum(dim=1) >= 2
        return ScenePoints(self.positions[kept], visible[kept])


@value_type
class Capture:
    """Posed photographs of one object.

    Attributes:
        names: One per view, unique; usually the file names.
        cameras: One per view, in the frame and unit of the input.
        images: Linear RGB as recorded by a camera: pixels at the edge of the object are mixtures of object and
            background. Pictures with alpha are composited over black.
        masks: Coverage by the object in [0, 1], or None if unknown.
        known: Whether each pixel has reliable content. Unknown pixels are neither object nor background:
            padding, pixels without source after removing lens distortion, and shadows that cannot be
            distinguished from background.
        source: The file that the capture was read from, empty if none.
        background: Linear RGB behind the object, one per view; None is black.
        uncorrected: The same views with the original masks of each single picture, if the masks have been
            corrected by the other views since; None otherwise. Contradictions are visible in the original
            masks.
        points: Points of the scene from structure from motion; None if there are none.
        masks_computed: Whether the masks were computed from the photographs instead of being read.
    """

    names: tuple[str, ...]
    cameras: Cameras
    images: Float[Tensor, "N H W 3"]
    masks: Float[Tensor, "N H W"] | None
    known: Bool[Tensor, "N H W"]
    source: str = ""
    background: Float[Tensor, "N 3"] | None = None
    uncorrected: "Capture | None" = None
    points: ScenePoints | None = None
    masks_computed: bool = False

    def __post_init__(self) -> None:
        shape = (len(self.names), self.cameras.height, self.cameras.width)
        shapes = {"images": (*shape, 3), "masks": shape, "known": shape, "background": (len(self.names), 3)}
        if len(self.cameras) != len(self.names):
            raise InputError(
                f"{len(self.names)} images do not match {len(self.cameras)} cameras; give as many"
            )
        for name, expected in shapes.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != expected:
                raise InputError(
                    f"{name} of the capture have shape {tuple(value.shape)}, expected {expected}"
                )

    def __len__(self) -> int:
        return len(self.names)

    def check(self) -> "Capture":
        """Check that the capture is valid, and return it.

        Raises:
            InputError: A camera is invalid, a picture has NaN, or a mask is all object or all background; the
                message names the view.
        """
        self.cameras.check(self.names)
        blank: dict[str, list[str]] = {"object": [], "background": []}
        for i, name in enumerate(self.names):
            known = self.known[i]
            if not bool(known.any()) or not bool(torch.isfinite(self.images[i]).all()):
                raise InputError(f"the image {name} has NaN values or no known pixel; leave this view out")
            if self.masks is None:
                continue
            low, high = self.masks[i][known].aminmax()
            if not float(low) < 0.5 < float(high):
                blank["object" if float(low) >= 0.5 else "background"].append(name)
        for kind, names in blank.items():
            if names:
                subject = "the mask of" if len(names) == 1 else f"{len(names)} masks are all {kind}:"
                verb = f" is all {kind}" if len(names) == 1 else ""
                raise InputError(
                    f"{subject} {join_names(names)}{verb}; expected some of both, correct the mask or leave "
                    "the view out"
                )
        return self

    def subset(self, indices: Sequence[int]) -> "Capture":
        """The views at these positions, in this order. If these are all views, it is the capture itself, not a
        copy."""
        index = list(indices)
        if index == list(range(len(self))):
            return self
        return replace(
            self,
            names=tuple(self.names[i] for i in index),
            cameras=self.cameras[index],
            images=self.images[index],
            masks=None if self.masks is None else self.masks[index],
            known=self.known[index],
            background=None if self.background is None else self.background[index],
            uncorrected=None if self.uncorrected is None else self.uncorrected.subset(index),
            points=None if self.points is None else self.points.of_views(index),
        )

    def split(self, held_out: Sequence[int | str]) -> tuple["Capture", "Capture"]:
        """Split the capture into the other views and the held-out ones.

        Args:
            held_out: Positions or names of the views to hold out.

        Raises:
            InputError: There is no such view, or no view would remain.
        """
        positions = {name: i for i, name in enumerate(self.names)}
        chosen = [positions.get(v, -1) if isinstance(v, str) else v for v in held_out]
        for view, position in zip(held_out, chosen, strict=True):
            if not 0 <= position < len(self):
                raise InputError(
                    f"there is no view {view!r} to hold out; the views are {', '.join(self.names)}"
                )
        rest = [i for i in range(len(self)) if i not in chosen]
        if not rest:
            raise InputError(f"holding out all {len(self)} views leaves none to learn from; hold out fewer")
        return self.subset(rest), self.subset(chosen)

    def resized(self, scale: float) -> "Capture":
        """The same views resized by a factor, by exact area averages of linear light.

        A pixel is known if its whole area was known.
        """
        width = max(1, round(self.cameras.width * scale))
        height = max(1, round(self.cameras.height * scale))
        if (width, height) == (self.cameras.width, self.cameras.height):
            return self
        masks = self.masks
        if masks is not None:
            masks = area_resize(masks[..., None], width, height)[..., 0].clamp(0, 1)
        return replace(
            self,
            cameras=self.cameras.resized(width, height),
            images=area_resize(self.images, width, height),
            masks=masks,
            known=area_resize(self.known[..., None].float(), width, height)[..., 0] > 1 - 1e-4,
            uncorrected=None if self.uncorrected is None else self.uncorrected.resized(scale),
        )

    def window(self, view: int, size: tuple[int, int], box: tuple[int, int, int, int]) -> "Capture":
        """A part of one view, resized: as `resized`, without computing the rest of the picture.

        Args:
            view: Position of the view.
            size: Width and height of the whole resized picture, in pixels.
            box: Left, top, width and height of the part, in pixels of the resized picture.
        """
        one = replace(self, uncorrected=None, points=None).subset([view])
        width, height = size
        left, top, *shape = box
        masks = None if one.masks is None else area_resize(one.masks[..., None], width, height, box)[..., 0]
        known = area_resize(one.known[..., None].float(), width, height, box)[..., 0] > 1 - 1e-4
        cameras = one.cameras.resized(width, height).cropped(left, top, *shape)
        images = area_resize(one.images, width, height, box)
        masks = None if masks is None else masks.clamp(0, 1)
        return replace(one, cameras=cameras, images=images, masks=masks, known=known)

    def require_masks(self) -> Float[Tensor, "N H W"]:
        """Return the masks.

        Raises:
            InputError: The capture has no masks.
        """
        if self.masks is None:
            raise InputError(
                "the capture has no masks; give a masks folder, pictures with alpha, or --masks auto"
            )
        return self.masks

    def foreground(self) -> Float[Tensor, "N H W 3"]:
        """Linear RGB of the object on black, premultiplied by coverage.

        In partly covered pixels the background's contribution is subtracted.

        Raises:
            InputError: The capture has no masks.
        """
        coverage = self.require_masks()[..., None]
        if self.background is None:
            return self.images * (coverage > 0)
        behind = (1 - coverage) * self.background[:, None, None]
        return (self.images - behind).clamp(min=0) * (coverage > 0)

    def to(self, device: torch.device | str) -> "Capture":
        """The capture on another device."""
        return replace(
            self,
            cameras=self.cameras.to(device),
            images=self.images.to(device),
            masks=None if self.masks is None else self.masks.to(device),
            known=self.known.to(device),
            background=None if self.background is None else self.background.to(device),
            uncorrected=None if self.uncorrected is None else self.uncorrected.to(device),
        )

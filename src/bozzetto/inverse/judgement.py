"""How well a surface fits the masks: what a result has to hold against the surface it began with."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from ..cameras import Capture
from ..metrics import silhouette_iou
from ..render import rasterize
from ..shapes import Mesh

LARGEST = 1024
"""Silhouettes are compared in pictures with a longer side of at most this many pixels."""
MARGIN = 0.25
"""A result counts as worse than its start if its outlines lie farther from those of the masks by more than so
many pixels, on average. A visual hull fits its masks by construction; a surface that explains the colours as
well, with triangles of a pixel or two, gives away a little of that."""
WORST_MARGIN = 2.0
"""The same for the view that fits worst."""


@dataclass(frozen=True)
class SilhouetteFit:
    """Intersection over union of a surface's silhouettes with the masks of all views.

    Attributes:
        mean: Over the views.
        worst: Of the view that fits worst.
        pixel: What outlines that lie one pixel beside those of the masks cost on average.
    """

    mean: float
    worst: float
    pixel: float

    def worse_than(self, other: "SilhouetteFit") -> bool:
        """Whether this is worse than the other by more than what explaining colours may cost."""
        mean, worst = other.mean - self.mean, other.worst - self.worst
        return mean > MARGIN * other.pixel or worst > WORST_MARGIN * other.pixel


def silhouette_fit(mesh: Mesh, capture: Capture) -> SilhouetteFit:
    """Hold a surface against the masks of a capture, pixels that are not known left out.

    Args:
        mesh: The surface, in the frame of the cameras.
        capture: Masks, known pixels and cameras.

    Raises:
        InputError: The capture has no masks.
    """
    capture.require_masks()
    scale = min(1.0, LARGEST / max(capture.cameras.width, capture.cameras.height))
    scores, pixels = [], []
    for view in range(len(capture)):
        seen = capture.subset([view]).resized(scale).to("cpu")
        fragments = rasterize(mesh.vertices, mesh.faces, seen.cameras.relative_to(mesh.offset))
        inside, known = seen.require_masks() > 0.5, seen.known
        scores.append(silhouette_iou(fragments.covered.cpu(), seen.require_masks(), known))
        pixels.append((_border(inside) & known).sum() / (inside & known).sum().clamp(min=1))
    ious = torch.cat(scores)
    return SilhouetteFit(float(ious.mean()), float(ious.min()), float(torch.stack(pixels).mean()))


def _border(inside: Bool[Tensor, "1 H W"]) -> Bool[Tensor, "1 H W"]:
    """Pixels inside that have a neighbour outside in their row or column."""
    outside = 1 - inside.float()
    beside = [torch.nn.functional.max_pool2d(outside, k, 1, (k[0] // 2, k[1] // 2)) for k in ((3, 1), (1, 3))]
    return inside & (torch.maximum(*beside) > 0.5)

"""Masks that were made view by view, mended by a surface that fits them all."""

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from ..cameras import Capture
from ..cameras.agreement import agreement, outlier_views, outlines
from ..cameras.segmentation.edges import with_edges
from ..errors import InputError, collected_warnings
from ..render import rasterize
from ..shapes import Mesh
from ..steps import report_progress
from . import ReconstructConfig, reconstruct

LEVELS = 2
"""Levels of the reconstruction, coarse ones, that the surface takes."""
BLUR = 1.0
"""Pixels by which outlines of the surface may be wrong."""
TURNS = 2
"""How often a surface is fitted to the masks and mends them."""
AGREEING = 0.85
"""Mean IoU of the surface's silhouettes with the masks below which nothing is mended."""


def mended_by_surface(
    capture: Capture, pictures: Capture, seed: int = 0, config: ReconstructConfig | None = None
) -> Capture:
    """The capture with masks whose outlines are near those of a surface that was reconstructed from it.

    Masks of single views have errors of their own; one shape cannot follow them all, and smoothness and colours
    pull it to where most views agree. Around its silhouettes a minimum cut decides anew where edges run. The
    better masks make a better surface, so this is done twice. Views that contradict most others have no part in
    the surface if the others fit without them: a single one would cut away what all others show.

    Args:
        capture: Views with masks that were made from the pictures.
        pictures: The same views as they were read, without masks.
        seed: Of the reconstruction.
        config: Of the reconstruction; by default the coarse levels of the usual one.

    Returns:
        The capture with new masks; the old ones where the surface does not fit them.
    """
    config = replace(config or ReconstructConfig(stages=ReconstructConfig().stages[:LEVELS]), seed=seed)
    total = TURNS * sum(stage.steps for stage in config.stages)
    done = 0

    def on_step(*_: object) -> None:
        nonlocal done
        done += 1
        report_progress("rough surface", done / total)

    for _ in range(TURNS):
        with collected_warnings():  # they are about a surface that nobody sees
            try:
                mesh = reconstruct(_agreeing_views(capture), config, on_step=on_step).mesh
            except InputError:  # the reconstruction proper says what is wrong
                return capture
        shown = _silhouettes(mesh, capture)
        if not _fits(shown, capture):
            return capture
        mended = with_edges(replace(pictures, masks=None), shown, BLUR)
        capture = replace(capture, images=mended.images, masks=mended.masks)
    return capture


def _agreeing_views(capture: Capture) -> Capture:
    views = outlines(capture)
    few = outlier_views(views, agreement(views))
    return capture if few is None else capture.subset([i for i in range(len(capture)) if i not in few[0]])


def _silhouettes(mesh: Mesh, capture: Capture) -> Bool[Tensor, "N H W"]:
    cameras, vertices = capture.cameras.relative_to(mesh.offset), mesh.vertices.float()
    views = [rasterize(vertices, mesh.faces, cameras[[i]]).triangle[0] >= 0 for i in range(len(capture))]
    return torch.stack(views).cpu()


def _fits(shown: Bool[Tensor, "N H W"], capture: Capture) -> bool:
    """Whether silhouettes overlap enough with the masks."""
    masks, known = capture.require_masks().cpu() > 0.5, capture.known.cpu()
    common, either = (shown & masks & known).sum(dim=(1, 2)), ((shown | masks) & known).sum(dim=(1, 2))
    return float((common / either.clamp(min=1)).mean()) >= AGREEING and bool((common > 0).all())

"""What the numbers in a mask file mean: coverage, 0 and 1, or labels."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, join_names
from ..images.io import load_data_image
from ..values import value_type

COLORFUL = 8 / 255
"""Channels that differ by more than this make a colour; compression of grey pictures leaves less."""
LABEL = 0.15
"""A value that makes up more of the area that is not 0 than this is a label; edges have many values."""
VALUES = 32
"""Colours of a label map, at most."""


@value_type
class Mask:
    """A mask file.

    Attributes:
        coverage: Coverage by the object in [0, 1], in the orientation that is stored.
        labels: If the file holds labels: which, as text. All but the background count as object.
    """

    coverage: Float[Tensor, "H W"]
    labels: str = ""


def load_mask(path: Path) -> Mask:
    """Read a mask file: its alpha if that says anything, else its colours.

    White is object. Pictures that are no mask of black and white in their full range are understood too: values
    of 0 and 1, labels in grey or colour (all but 0, black, or else the colour along the border are object),
    floats of any range.

    Raises:
        InputError: The file cannot be read or holds NaN.
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
    # An ordinary mask has one value besides 0 that is frequent, which is white, or nearly.
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

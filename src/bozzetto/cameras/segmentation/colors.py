"""Which colours are the object's and which the background's: histograms per view and of all views."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

BINS = 20
"""Bins along each of the three axes of colour."""
SHARED = 0.8
"""Weight of the object's colours in all views beside those in the view itself."""
TILES = 4
"""Parts of a picture along its longer side that have colours of their own."""
FEW = 0.3
"""Parts with fewer examples than this share of the mean take colours of the whole view, too."""
FLOOR = 5e-5
"""Probability of a bin that nothing was seen in."""


def color_bins(encoded: Float[Tensor, "N H W 3"]) -> Int[Tensor, "N H W"]:
    """The bin of each sRGB-encoded colour: brightness and two differences of colours, which vary less."""
    red, green, blue = encoded.unbind(dim=-1)
    axes = [
        (red + 2 * green + blue) / 4,
        (red - blue) * 0.8 + 0.5,
        (2 * green - red - blue) * 0.625 + 0.5,
    ]
    levels = [(axis.clamp(0, 1) * (BINS - 1e-3)).long() for axis in axes]
    return (levels[0] * BINS + levels[1]) * BINS + levels[2]


def color_log_odds(
    bins: Int[Tensor, "N H W"],
    inside: Float[Tensor, "N H W"],
    outside: Float[Tensor, "N H W"],
    local: float = 0.5,
) -> Float[Tensor, "N H W"]:
    """Log-odds of object against background by the colour of each pixel.

    The object has much the same colours in all views; those that few of them have count less (mean of square
    roots).

    Args:
        bins: Colours.
        inside: Weights of pixels as examples of the object.
        outside: Weights as examples of the background.
        local: Weight of the background's colours near the pixel beside those in the whole view.
    """
    own = _normalised(_histograms(bins, inside))
    common = _normalised(own.sqrt().mean(dim=0, keepdim=True) ** 2)
    object_ = torch.lerp(own, common, SHARED)
    height, width = bins.shape[1:]
    rows, columns = (
        _tents(side, max(1, round(TILES * side / max(height, width)))) for side in (height, width)
    )
    places = torch.einsum("ah,bw->abhw", rows, columns).flatten(0, 1)
    odds = []
    for view, picture in enumerate(bins):
        near = _histograms(picture.expand(len(places), -1, -1), places * outside[view])
        whole = _normalised(near.sum(dim=0, keepdim=True))
        few = FEW * near.sum() / len(near)
        near = (near + few * whole) / (near.sum(dim=1, keepdim=True) + few).clamp(min=1e-6)
        index = picture.flatten()
        nearby = (near[:, index] * places.flatten(1)).sum(dim=0)
        behind = torch.lerp(whole[0, index], nearby, local)
        odds.append(torch.log(object_[view, index] + FLOOR) - torch.log(behind + FLOOR))
    return torch.stack(odds).reshape(bins.shape)


def _tents(length: int, count: int) -> Float[Tensor, "count length"]:
    """Overlapping weights along an axis that sum to 1 everywhere."""
    places = ((torch.arange(length) + 0.5) / length * count - 0.5).clamp(0, count - 1)
    return (1 - (places - torch.arange(count)[:, None]).abs()).clamp(min=0)


def _normalised(histograms: Float[Tensor, "N B"]) -> Float[Tensor, "N B"]:
    return histograms / histograms.sum(dim=1, keepdim=True).clamp(min=1e-6)


def _histograms(bins: Int[Tensor, "N H W"], weights: Float[Tensor, "N H W"]) -> Float[Tensor, "N B"]:
    """Smooth histograms of weighted pixels."""
    count = len(bins)
    found = torch.zeros(count, BINS**3)
    found.scatter_add_(1, bins.flatten(1), weights.flatten(1).float())
    grid = found.reshape(count, 1, BINS, BINS, BINS)
    kernel = torch.tensor([0.06, 0.24, 0.4, 0.24, 0.06])
    for axis in range(3):
        shape, padding = [1] * 5, [0] * 3
        shape[2 + axis], padding[axis] = 5, 2
        grid = torch.nn.functional.conv3d(grid, kernel.reshape(shape), padding=padding)
    return grid.reshape(count, -1)

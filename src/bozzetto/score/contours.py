"""Contours of pictures as point clouds in 2D: MNIST-CP of the paper, which was never released."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError

# Corners of a cell: (0, 0), (0, 1), (1, 1), (1, 0) as (row, column); edge k joins corners k and k + 1. For each
# pattern of corners above the level (bit k: corner k), the pairs of edges that the contour joins. Two opposite
# corners that are above are kept apart.
_PAIRS: dict[int, list[tuple[int, int]]] = {
    1: [(3, 0)],
    2: [(0, 1)],
    3: [(3, 1)],
    4: [(1, 2)],
    5: [(3, 0), (1, 2)],
    6: [(0, 2)],
    7: [(3, 2)],
    8: [(2, 3)],
    9: [(2, 0)],
    10: [(0, 1), (2, 3)],
    11: [(2, 1)],
    12: [(1, 3)],
    13: [(1, 0)],
    14: [(0, 3)],
}


def contour_segments(
    pictures: Float[Tensor, "B H W"], level: float = 0.5
) -> tuple[Float[Tensor, "B S 2 2"], Bool[Tensor, "B S"]]:
    """The segments of the contours at a level, by marching squares; pictures are padded with zeros.

    Returns:
        Ends of the segments as (x to the right, y up) in pixels, and which of them exist.
    """
    values = torch.nn.functional.pad(pictures, (1, 1, 1, 1))
    b, h, w = values.shape
    corners = torch.stack(
        [values[:, :-1, :-1], values[:, :-1, 1:], values[:, 1:, 1:], values[:, 1:, :-1]], -1
    )
    following = corners.roll(-1, dims=-1)
    difference = following - corners
    share = (level - corners) / torch.where(difference == 0, 1.0, difference)
    place = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    rows, columns = torch.meshgrid(torch.arange(h - 1.0), torch.arange(w - 1.0), indexing="ij")
    base = torch.stack([rows, columns], dim=-1)[:, :, None]
    crossing = base + place + share[..., None] * (place.roll(-1, dims=0) - place)
    table = torch.zeros(16, 2, 2, dtype=torch.int64)
    exists = torch.zeros(16, 2, dtype=torch.bool)
    for pattern, pairs in _PAIRS.items():
        for slot, pair in enumerate(pairs):
            table[pattern, slot], exists[pattern, slot] = torch.tensor(pair), True
    pattern = ((corners > level) * (2 ** torch.arange(4))).sum(dim=-1)
    edges = table[pattern].flatten(3)[..., None].expand(*pattern.shape, 4, 2)
    ends = crossing.gather(3, edges).view(b, -1, 2, 2)
    return torch.stack([ends[..., 1], -ends[..., 0]], dim=-1), exists[pattern].view(b, -1)


def contour_points(
    pictures: Float[Tensor, "B H W"],
    count: int = 800,
    level: float = 0.5,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B {count} 2"]:
    """Random points of the contours, uniform by length; each picture's contours just fit into [-1, 1]^2.

    Args:
        pictures: Brightness; for MNIST from 0 to 1.
        count: Points per picture; 800 in the paper (section 5).
        level: Where the contour runs, an assumption: the paper does not tell.
        generator: Source of randomness.

    Raises:
        InputError: A picture has no contour.
    """
    parts = [_some_points(part, count, level, generator) for part in pictures.split(1000)]
    return torch.cat(parts) if parts else pictures.new_zeros(0, count, 2)


def _some_points(
    pictures: Float[Tensor, "B H W"], count: int, level: float, generator: torch.Generator | None
) -> Float[Tensor, "B {count} 2"]:
    ends, exists = contour_segments(pictures, level)
    empty = (~exists.any(dim=1)).nonzero()[:, 0].tolist()
    if empty:
        raise InputError(
            f"picture {empty[0]} has no contour at {level}: all of it is brighter or darker; leave it out"
        )
    lengths = torch.where(exists, (ends[:, :, 1] - ends[:, :, 0]).norm(dim=-1), 0.0).double().cumsum(dim=1)
    random = torch.rand(2, len(pictures), count, dtype=torch.float64, generator=generator)
    chosen = torch.searchsorted(lengths, random[0] * lengths[:, -1:], right=True)
    picture = torch.arange(len(pictures))[:, None]
    ends_chosen = ends[picture, chosen.clamp(max=ends.shape[1] - 1)]
    points = torch.lerp(ends_chosen[:, :, 0], ends_chosen[:, :, 1], random[1][..., None].float())
    inside = exists[..., None, None]
    low = torch.where(inside, ends, torch.inf).amin(dim=(1, 2))[:, None]
    high = torch.where(inside, ends, -torch.inf).amax(dim=(1, 2))[:, None]
    return (points - (low + high) / 2) * 2 / (high - low).amax(dim=2, keepdim=True)

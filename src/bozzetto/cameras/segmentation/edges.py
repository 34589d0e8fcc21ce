"""Edges of masks: positions between pixels by a minimum cut, coverage of pixels by matting at full resolution.

The cut is the global optimum of a cost of colours and edges. Matting estimates how much of a pixel the object
covers.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
from torch import Tensor

from ...images.io import linear_to_srgb
from ...steps import counted
from ..capture import Capture
from ..masks import CROSS, local_mean, matte
from .space import RegionSamples

UNIT = 200
"""Scale of integer capacities: units per nat."""
NEIGHBOURS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.7071), (1, -1, 0.7071))
"""Offsets of neighbours: rows down, columns to the right, and the weight of such a pair of pixels."""
FLOOR = 0.05
"""Cost of an outline along the strongest edge, as a fraction of that between equal colours, so that no outline
is free."""


def minimum_cut(
    log_odds: Float[np.ndarray, "H W"],
    colors: Float[np.ndarray, "H W 3"],
    smoothness: float,
    contrast: float,
    free: Bool[np.ndarray, "H W"],
    fixed: Bool[np.ndarray, "H W"],
) -> Bool[np.ndarray, "H W"]:
    """The mask that minimises the cost of its pixels and of its outline (Boykov and Jolly 2001).

    A pixel on the wrong side costs its log-odds; two 8-neighbours on different sides cost
    `smoothness * exp(-|difference of colours|^2 / (2 contrast^2))`. Found with Dinic's algorithm for the
    maximum flow.

    Source: Boykov and Jolly 2001, the cut.

    Args:
        log_odds: Log-odds of object against background, nats.
        colors: The picture.
        smoothness: Cost of an outline between equal colours, nats per pixel.
        contrast: Difference of colours that counts as an edge.
        free: Pixels whose side is optimised.
        fixed: The mask of all other pixels.
    """
    count = int(free.sum())
    if not count:
        return fixed.copy()
    nodes = np.full(free.shape, -1, dtype=np.int32)
    nodes[free] = np.arange(count)
    odds = log_odds.astype(np.float64).copy()
    source, sink = count, count + 1
    starts, ends, capacities = [], [], []
    for down, right, weight in NEIGHBOURS:
        here, there = _pair(nodes, down, right)
        a, b = _pair(colors, down, right)
        used = (here >= 0) | (there >= 0)
        distance = ((a[used] - b[used]) ** 2).sum(axis=-1)
        cost = weight * smoothness * (FLOOR + (1 - FLOOR) * np.exp(-distance / (2 * contrast**2)))
        here, there = here[used], there[used]
        both = (here >= 0) & (there >= 0)
        starts += [here[both], there[both]]
        ends += [there[both], here[both]]
        capacities += [_whole(cost[both])] * 2
        # A fixed neighbour contributes to the log-odds for its own side.
        sides = [2.0 * side[used] - 1 for side in _pair(fixed, down, right)]
        inner, outer = _pair(odds, down, right)  # views
        first, second = used.copy(), used.copy()
        first[used], second[used] = there < 0, here < 0
        inner[first] += cost[there < 0] * sides[1][there < 0]
        outer[second] += cost[here < 0] * sides[0][here < 0]
    scaled = _whole(odds[free])
    numbers = np.arange(count, dtype=np.int32)
    for terminal, value in ((source, scaled), (sink, -scaled)):
        ours = numbers[value > 0]
        theirs = np.full_like(ours, terminal)
        starts.append(theirs if terminal == source else ours)
        ends.append(ours if terminal == source else theirs)
        capacities.append(value[value > 0])
    pairs = np.concatenate(starts), np.concatenate(ends)
    graph = csr_array((np.concatenate(capacities), pairs), shape=(count + 2,) * 2)
    rest = graph - maximum_flow(graph, source, sink, method="dinic").flow
    rest.data[rest.data < 0] = 0
    rest.eliminate_zeros()
    reached = np.zeros(count + 2, dtype=bool)
    reached[breadth_first_order(rest, source, return_predecessors=False)] = True
    mask = fixed.copy()
    mask[free] = reached[:count]
    return mask


def _whole(nats: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.round(UNIT * nats).astype(np.int32)


def _pair(values: npt.NDArray[Any], down: int, right: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Array views of all pixels that have such a neighbour, and of these neighbours."""
    height, width = values.shape[:2]
    left, stop = max(0, -right), width - max(0, right)
    return values[: height - down, left:stop], values[down:, left + right : stop + right]


CONTRADICTED = 8
"""Ratio of object to background pixels of other views above which a hole is filled."""


def without_false_holes(
    masks: Bool[Tensor, "N H W"], space: RegionSamples, fraction: float, least: int
) -> Bool[Tensor, "N H W"]:
    """Fill holes of masks that the other views contradict, since objects may partly look like background.

    If a hole were a real gap, the object would have a tunnel along the rays through it. Pixels of other views
    whose rays pass only through this tunnel would then show background. Of these pixels, those in holes of
    their own views are votes for a gap, and those that show object are votes against it. Measured: for a pale
    face in front of a pale wall, votes against were 30 to 500 times as many as votes for a gap; for gaps
    between the columns of a temple that were wider than 1 % of the mask, at most 6 times as many.

    Args:
        masks: Masks of all views.
        space: Samples of the region of the object.
        fraction: Smallest fraction of the views that agree on a sample of the object.
        least: Smallest number of views that show a sample of the object.
    """
    whole = torch.from_numpy(
        np.stack([np.asarray(ndimage.binary_fill_holes(mask)) for mask in masks.numpy()])
    )
    solid = space.agreed(whole.float(), fraction, least)
    pixels, visible = space.pixels[:, solid], space.visible[:, solid]
    samples = torch.stack(
        [torch.bincount(p[s], minlength=masks[0].numel()) for p, s in zip(pixels, visible, strict=True)]
    )
    filled = masks.clone()
    for view in range(len(masks)):
        parts: Any = ndimage.label((whole[view] & ~masks[view]).numpy())
        labels = torch.from_numpy(parts[0])
        for number in range(1, parts[1] + 1):
            hole = labels == number
            tunnel = hole.flatten()[pixels[view]] & visible[view]
            others = [i for i in range(len(masks)) if i != view]
            shown = [_through(pixels[i][tunnel & visible[i]], samples[i]) for i in others]
            against = sum(int(masks[i].flatten()[p].sum()) for i, p in zip(others, shown, strict=True))
            enclosed = sum(int(whole[i].flatten()[p].sum()) for i, p in zip(others, shown, strict=True))
            if against > CONTRADICTED * (enclosed - against):
                filled[view] |= hole
    return filled


def _through(tunnel: Int[Tensor, "T"], samples: Int[Tensor, "P"]) -> Int[Tensor, "Q"]:
    """The pixels of a view that show only samples of a tunnel.

    Args:
        tunnel: The pixel of each sample of the tunnel.
        samples: Number of samples that each pixel shows.
    """
    pixels, count = tunnel.unique(return_counts=True)
    return pixels[count == samples[pixels]]


MOST = 3.0
"""Largest log-odds by local colours, in nats."""
SMOOTHNESS = 2.0
"""Cost of an outline between equal colours, nats per pixel."""


def with_edges(capture: Capture, masks: Bool[Tensor, "N h w"], blur: float | None = None) -> Capture:
    """The capture with soft masks at full resolution, from binary masks of reduced pictures.

    In a band along the outline, as wide as pixels of the reduced masks require, a minimum cut uses colours on
    both sides nearby and edges. Then coverage is computed as for plain backgrounds (`masks.matte`). Along soft
    edges the background is subtracted from the picture, as `Capture.foreground` expects.

    Args:
        capture: The views.
        masks: Masks of the views, in any size.
        blur: Largest error of the outlines, in pixels of the capture; None takes the size of a mask's pixel.
    """
    size = (capture.cameras.height, capture.cameras.width)
    reach = max(2, math.ceil(1.5 * (blur or size[1] / masks.shape[2])))
    images = capture.images.clone()
    soft = torch.zeros(capture.known.shape, device=images.device)
    for i in counted(range(len(capture)), "edges"):
        enlarged = torch.nn.functional.interpolate(masks[i][None, None].float(), size, mode="bilinear")
        inside, image = (enlarged[0, 0] > 0.5).numpy(), images[i].cpu().numpy()
        box = _around(inside, 4 * reach + 8)
        part = image[box]
        refined = _refined(part, inside[box], capture.known[i].cpu().numpy()[box], reach)
        coverage, behind = matte(part, refined)
        soft[i][box] = torch.from_numpy(coverage).to(soft)
        mixed = ((coverage > 0) & (coverage < 1))[..., None]
        light = np.where(mixed, (part - (1 - coverage[..., None]) * behind).clip(0), part)
        images[i][box] = torch.from_numpy(light.astype(np.float32)).to(images)
    return replace(capture, images=images, masks=soft * capture.known)


def _around(inside: Bool[np.ndarray, "H W"], margin: int) -> tuple[slice, slice]:
    """The part of a picture that contains the object and a margin; the whole picture if there is no object."""
    if not inside.any():
        return slice(None), slice(None)
    rows, columns = (np.nonzero(inside.any(axis=axis))[0] for axis in (1, 0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def _refined(
    image: Float[np.ndarray, "H W 3"],
    inside: Bool[np.ndarray, "H W"],
    known: Bool[np.ndarray, "H W"],
    reach: int,
) -> Bool[np.ndarray, "H W"]:
    """The mask with its outline moved by up to `reach` pixels by colours and edges."""
    cores = [
        np.asarray(ndimage.binary_erosion(side, CROSS, iterations=reach, border_value=1), dtype=bool)
        for side in (inside, ~inside)
    ]
    free = ~cores[0] & ~cores[1] & known
    encoded = linear_to_srgb(torch.from_numpy(image).clamp(0, 1)).numpy()
    odds, near = [], []
    for core in cores:
        mean, there = local_mean(encoded, core & known, 2 * reach)
        square, _ = local_mean(encoded**2, core & known, 2 * reach)
        variance = (square - mean**2).clip(0).mean(axis=-1) + 0.03**2
        distance = ((encoded - mean) ** 2).sum(axis=-1)
        odds.append(-distance / (2 * variance) - 1.5 * np.log(variance))
        near.append(there)
    log_odds = np.where(near[0] & near[1], (odds[0] - odds[1]).clip(-MOST, MOST), 0)
    changes = [np.abs(np.diff(encoded, axis=axis)).sum(axis=-1) for axis in (0, 1)]
    contrast = 0.02 + math.sqrt(np.mean([float((c**2).mean()) for c in changes]))
    return minimum_cut(log_odds, encoded, SMOOTHNESS, contrast, free, inside)

"""Points of the scene that a camera file holds."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError, warn_input
from ...shapes import load_points
from ..capture import ScenePoints
from .camera_files import View

MOST_MARKS = 2**28
"""Points times views of which it is kept who saw whom; of more points every so-manieth is kept."""


def gathered_points(
    points: Iterable[tuple[Any, Iterable[Hashable]]], index: Mapping[Any, int], views: int
) -> ScenePoints | None:
    """Points that at least two of the views saw; what has no three finite coordinates is left out.

    Args:
        points: Position and numbers of the views that saw it.
        index: The place of a view by its number in the file.
        views: How many views there are.
    """
    positions: list[tuple[float, float, float]] = []
    tracks: list[set[int]] = []
    for written, keys in points:
        track = {index[key] for key in keys if key in index}
        position = _position(written)
        if len(track) >= 2 and position is not None:
            positions.append(position)
            tracks.append(track)
    step = max(1, -(-len(positions) * views // MOST_MARKS))
    positions, tracks = positions[::step], tracks[::step]
    seen = torch.zeros(len(tracks), views, dtype=torch.bool)
    for row, track in zip(seen, tracks, strict=True):
        row[list(track)] = True
    return ScenePoints(torch.tensor(positions, dtype=torch.float64), seen) if positions else None


def _position(written: Any) -> tuple[float, float, float] | None:
    try:
        x, y, z = (float(number) for number in written)
    except (TypeError, ValueError, OverflowError):
        return None
    return (x, y, z) if math.isfinite(x + y + z) else None


def points_of_cloud(path: Path, views: Sequence[View]) -> ScenePoints | None:
    """Points from a file that does not say who saw them: every view that they lie in the frame of.

    None, with a warning, if the file cannot be used.
    """
    try:
        positions = load_points(path).world_points.double()
    except InputError as error:
        warn_input(f"the points of {path.name} are not used: {error}")
        return None
    step = max(1, -(-len(positions) * len(views) // MOST_MARKS))
    positions = positions[::step]
    seen = torch.stack([_in_frame(positions, view) for view in views], dim=1)
    kept = seen.sum(dim=1) >= 2
    return ScenePoints(positions[kept], seen[kept]) if bool(kept.any()) else None


def _in_frame(points: Float[Tensor, "P 3"], view: View) -> Tensor:
    """Points in front of a camera, within its picture as far as its size and intrinsics are in the file."""
    local = points @ view.T_cam_world[:3, :3].T + view.T_cam_world[:3, 3]
    ahead = local[:, 2] > 1e-9
    if view.size is None or view.K is None:
        return ahead
    size = torch.tensor(view.size, dtype=torch.float64)
    K = view.K.clone()
    K[:2, 2] = torch.where(torch.isnan(K[:2, 2]), size / 2, K[:2, 2])
    pixels = (local[:, :2] / local[:, 2:].clamp(min=1e-9)) @ K[:2, :2].T + K[:2, 2]
    return ahead & (pixels >= 0).all(dim=1) & (pixels <= size).all(dim=1)

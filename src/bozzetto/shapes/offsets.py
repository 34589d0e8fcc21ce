"""Positions far from the origin: an offset in double precision, and small numbers relative to it.

Survey coordinates have seven digits before the decimal point, single precision has seven in all. Where
positions of a file would lose digits, a short number in the middle of the shape is subtracted before they
become float32, and added again when they are written.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError, warn_input

Offset = tuple[float, float, float]
"""The numbers that were subtracted from world coordinates, in double precision."""
NO_OFFSET: Offset = (0.0, 0.0, 0.0)
LOST = 1e-6
"""Largest rounding error of float32, as a fraction of a shape's size, without an offset."""
COARSE, COARSEST = 1e-4, 1e-2
"""Float32 steps of stored positions, as fractions of the shape's size, that give a note, or an error."""
_HALF_STEP = 2.0**-24
_SAMPLE, _PROBES = 20_000, 1000
_CELLS, _CROWDED, _FEWEST, _NEIGHBOURS, _BLURRED = 64, 32, 8, 16, 0.02


def checked_offset(offset: Offset) -> Offset:
    """Three finite numbers as a tuple of floats.

    Raises:
        InputError: The value is not three finite numbers.
    """
    numbers = tuple(float(number) for number in offset)
    if len(numbers) != 3 or not np.isfinite(numbers).all():
        raise InputError(f"an offset is three finite numbers, got {tuple(offset)}")
    return numbers  # type: ignore[return-value]


def shifted(points: Float[Tensor, "*batch 3"], before: Offset, after: Offset) -> Float[Tensor, "*batch 3"]:
    """Convert positions from one offset to another, in double precision; dtype and device are kept."""
    if before == after:
        return points
    shift = [b - a for b, a in zip(before, after, strict=True)]
    return (points.double() + torch.tensor(shift, dtype=torch.float64, device=points.device)).to(points.dtype)


def in_world(points: Float[Tensor, "P 3"], offset: Offset) -> Float[Tensor, "P 3"]:
    """World coordinates: the points themselves without an offset, otherwise float64."""
    if offset == NO_OFFSET:
        return points
    return points.double() + torch.tensor(offset, dtype=torch.float64, device=points.device)


def points_tensor(points: NDArray[Any], name: str) -> Tensor:
    """World coordinates (..., 2 or 3) as a tensor: float32 if its rounding is negligible, or float64.

    Arrays of other shapes are not points and become float32.

    Raises:
        InputError: The same as for `split_offset`.
    """
    is_points = points.ndim > 1 and points.shape[-1] in (2, 3)
    far = is_points and any(split_offset(points.reshape(-1, points.shape[-1]), name=name)[1])
    return torch.from_numpy(points.astype(np.float64 if far else np.float32))


def split_offset(
    points: NDArray[Any], used: NDArray[np.bool_] | None = None, name: str = "the shape"
) -> tuple[NDArray[np.float32], Offset]:
    """Positions as float32, and the offset that was subtracted from them.

    The offset is zero where rounding loses less than a millionth of the size, in particular where the numbers
    are single-precision numbers already and its steps are fine. Otherwise it is a short decimal number in the
    middle of the shape. Numbers that use the last bit of coarse steps were rounded before, which gives a note
    or an error. Single points far from all others are ignored.

    Args:
        points: (N, 3) or (N, 2) world coordinates, any type of number.
        used: Mask of the points that the shape consists of; all if None.
        name: Name of the shape for messages.

    Raises:
        InputError: Details are finer than the steps of float32 relative to the middle of the shape, or were
            lost when the file was written.
    """
    world = np.asarray(points, np.float64)
    with np.errstate(over="ignore"):
        near = world.astype(np.float32)
    shape = world if used is None else world[used]
    shape = shape[np.isfinite(shape).all(axis=1)]
    if len(shape) < 2:
        return near, NO_OFFSET
    shape, low, high = _bulk(shape)
    size, reach = float((high - low).max()), float(np.abs(shape).max())
    if not 0 < size < np.finfo(np.float32).max:
        return near, NO_OFFSET
    offset, axes = NO_OFFSET, points.shape[1]
    if reach * _HALF_STEP > LOST * size:
        step = 2 * _HALF_STEP * reach
        loss = float(np.abs(shape.astype(np.float32) - shape).max())
        if loss > LOST * size or (step > COARSE * size and not _use_last_bit(shape, size)):
            offset = _rounded((low + high) / 2, size)
            near = (world - np.asarray(offset[:axes])).astype(np.float32)
        else:
            _require_fine_steps(step, size, reach, name)
    shift = np.asarray(offset[:axes])
    _require_detail(shape - shift, low - shift, size, name)
    return near, offset


def offset_of(bounds: Float[Tensor, "2 3"]) -> Offset:
    """The offset to subtract from world coordinates within a box; zero where float32 can hold them."""
    low, high = bounds.detach().double().cpu().numpy()
    size, reach = float((high - low).max()), float(max(np.abs(low).max(), np.abs(high).max()))
    return _rounded((low + high) / 2, size) if reach * _HALF_STEP > LOST * size > 0 else NO_OFFSET


def in_one_frame(first: Any, *others: Any) -> tuple[Any, ...]:
    """Meshes and clouds at their world positions, all relative to one offset, which is chosen for the first."""
    bounds = first.bounds.detach().double()
    offset = offset_of(bounds + torch.tensor(first.offset, dtype=torch.float64, device=bounds.device))
    return tuple(shape.with_offset(offset) for shape in (first, *others))


def is_far(points: NDArray[Any]) -> bool:
    """Whether the steps of float32 there exceed `LOST` times the size."""
    return len(points) > 1 and float(np.abs(points).max()) * _HALF_STEP > LOST * float(
        np.ptp(points, axis=0).max()
    )


def _bulk(points: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The points without single outliers, and the corners of their bounding box."""
    some = points[:: max(len(points) // _SAMPLE, 1)]
    first, last = np.quantile(some, [0.01, 0.99], axis=0)
    margin = 3 * (last - first).max()
    low, high = points.min(axis=0), points.max(axis=0)
    if margin > 0 and ((low < first - margin) | (high > last + margin)).any():
        points = points[((points >= first - margin) & (points <= last + margin)).all(axis=1)]
        low, high = points.min(axis=0), points.max(axis=0)
    return points, low, high


def _rounded(middle: NDArray[Any], size: float) -> Offset:
    """A short decimal number near a middle in two (then the third is 0) or three dimensions."""
    digits = -int(np.floor(np.log10(size)))
    x, y, z = (*(round(float(number), digits) for number in middle), 0.0)[:3]
    return x, y, z


def _use_last_bit(points: NDArray[Any], size: float) -> bool:
    """Whether coordinates need the last bit of coarse float32, as rounded ones do; whole metres do not."""
    steps = np.spacing(np.abs(points).astype(np.float32)).astype(np.float64)
    coarse = steps > COARSE * size / 2
    return bool((np.remainder(points[coarse], 2 * steps[coarse]) != 0).any())


def _require_fine_steps(step: float, size: float, reach: float, name: str) -> None:
    """Raise an error for positions far from the origin that single precision has already made too coarse."""
    if step <= COARSE * size:
        return
    about = (
        f"{name} is {size:.3g} large and lies {reach:.3g} from the origin, where its single-precision numbers "
        f"have steps of {step:.2g}"
    )
    if step > COARSEST * size:
        raise InputError(f"{about}; write it in double precision, or subtract an offset before it is written")
    warn_input(f"{about}; finer details are lost, write it in double precision")


def _require_detail(points: NDArray[Any], low: NDArray[Any], size: float, name: str) -> None:
    """Raise an error for shapes whose parts are too small and too far apart for float32."""
    some = points[:: max(len(points) // _SAMPLE, 1)]
    strides = [1 << 10 * axis for axis in range(points.shape[1])]
    cells = np.unique(((some - low) * (_CELLS / size)).astype(np.int64) @ strides)
    if len(cells) > _CROWDED or 2 * len(cells) >= len(some):
        return
    places = np.unique(some, axis=0)
    if 2 * len(cells) >= len(places) or len(places) < _FEWEST:
        return
    probes = places[:: max(len(places) // _PROBES, 1)]
    count = min(_NEIGHBOURS, len(places) // (2 * len(cells)) + 1)
    distance = np.asarray(KDTree(places).query(probes, count)[0])[:, -1]
    loss = np.linalg.norm(probes.astype(np.float32) - probes, axis=1)
    if float((loss > _BLURRED * distance).mean()) > 0.1:
        raise InputError(
            f"{name} is {size:.3g} large and has details of {np.median(distance):.2g}, more than the seven "
            "digits of single precision tell apart; save its parts as separate files"
        )

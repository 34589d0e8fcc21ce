"""Which photographs share a camera, and which pairs of them are compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from .prepare import Photo

USUAL_FOCAL = 1.0
"""Focal length without EXIF data, to begin with, as a share of the longer side; phones have .7 to .9."""
ALIKE = 0.01
"""Focal lengths that differ by less than this share are the same."""
EXHAUSTIVE = 100
"""Up to so many photographs each is compared with each."""
NEIGHBOURS = 12
"""Of more photographs each is compared with so many before and after it, and with some far away."""
LOOP_STEP = 6
"""Every so many photographs are compared with each other, to close loops."""


@dataclass(frozen=True)
class SharedCamera:
    """Photographs that were taken with the same lens at the same zoom.

    Attributes:
        size: Width and height of the small pictures.
        focal: Focal length to begin with, in pixels of the small pictures.
        known: Whether it is from EXIF data.
        photos: Positions of the photographs.
    """

    size: tuple[int, int]
    focal: float
    known: bool
    photos: tuple[int, ...]


def group_cameras(photos: Sequence[Photo]) -> list[SharedCamera]:
    """Photographs of the same size, focal length and device share a camera.

    The small pictures are as the sensor took them, so that portraits and landscapes of one phone share one,
    but for those that were turned upright since. Nothing is lost by more cameras than necessary if each has
    several photographs.
    """
    groups: dict[tuple, list[int]] = {}
    for i, photo in enumerate(photos):
        focal = None if photo.focal is None else photo.focal / max(photo.size)
        for (size, device, other), members in groups.items():
            alike = focal is other or (
                focal is not None and other is not None and abs(focal / other - 1) < ALIKE
            )
            if size == photo.work_size and device == photo.device and alike:
                members.append(i)
                break
        else:
            groups[photo.work_size, photo.device, focal] = [i]
    return [
        SharedCamera(size, (focal or USUAL_FOCAL) * max(size), focal is not None, tuple(members))
        for (size, _, focal), members in groups.items()
    ]


def choose_pairs(count: int) -> list[tuple[int, int]]:
    """Pairs to compare: all of them, or of many photographs neighbours in their order, and some far apart."""
    if count <= EXHAUSTIVE:
        return list(combinations(range(count), 2))
    pairs = {(i, j) for i in range(count) for j in range(i + 1, min(count, i + 1 + NEIGHBOURS))}
    pairs |= {(i, i + (1 << k)) for k in range(4, 8) for i in range(count - (1 << k))}
    pairs |= set(combinations(range(0, count, LOOP_STEP), 2))
    return sorted(pairs)

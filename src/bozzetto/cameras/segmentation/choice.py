"""Masks from nothing but the pictures: by a plain background, or of what all views look at."""

from collections.abc import Sequence

from ...errors import collected_warnings, warn_input
from ..agreement import agreement, outlines
from ..capture import Capture
from ..masks import auto_masks, plain_background
from .segment import segment


def masks_from_pictures(capture: Capture, around: Sequence[tuple[str, float, float]] = ()) -> Capture:
    """The capture with masks, by `auto_masks` if most pictures have one colour along their border.

    Otherwise, and where such masks contradict each other or pixels of the object are given, by `segment`.

    Raises:
        InputError: No object is found.
    """
    if around or not plain_background(capture):
        return segment(capture, around)
    with collected_warnings() as notes:
        found = auto_masks(capture)
    if agreement(outlines(found.uncorrected or found)).contradicts:
        warn_input(
            "masks from the plain background contradict each other; the object is looked for otherwise"
        )
        return segment(capture)
    for note in notes:
        warn_input(note)
    return found

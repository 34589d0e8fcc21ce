"""What photographs without cameras show, before cameras are looked for."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..cameras.poses.photo_files import unique_names
from ..cameras.poses.photo_verdicts import equal_photos, is_blurred, photo_faults
from ..cameras.poses.prepare import Photo, prepare_photos
from ..errors import InputError, join_names
from .photo_source import PhotoSource, masks_of

LONGEST = 480
"""Longer side in pixels of the small versions that are looked at."""
RECOMMENDED = 20
"""Fewer photographs than this leave gaps."""


@dataclass(frozen=True)
class PhotoSurvey:
    """What was found.

    Attributes:
        sentence: How many photographs there are, their sizes, lenses and masks.
        notes: What may make it hard to find cameras.
        fault: Why cameras cannot be found, None if they may be.
    """

    sentence: str
    notes: tuple[str, ...]
    fault: str | None


def survey_photos(source: PhotoSource, masks: str = "auto") -> PhotoSurvey:
    """Look at small versions of photographs.

    Args:
        source: Photographs without cameras.
        masks: Where masks come from, as of `load_views`.

    Raises:
        InputError: A photograph cannot be read.
    """
    names = unique_names(source.photos)
    covers = masks_of(source, masks) or [None] * len(source.photos)
    with tempfile.TemporaryDirectory(prefix="bozzetto-") as folder:
        photos = prepare_photos(source.photos, names, covers, Path(folder), LONGEST)
    fault: str | None = None
    try:
        fault = photo_faults(photos)
    except InputError as error:
        fault = str(error)
    return PhotoSurvey(_sentence(photos), tuple(_notes(photos)), fault)


def _sentence(photos: list[Photo]) -> str:
    sizes = Counter(photo.size for photo in photos)
    width, height = sizes.most_common(1)[0][0]
    others = f" and {len(sizes) - 1} other sizes" if len(sizes) > 1 else ""
    lenses = sum(photo.focal is not None for photo in photos)
    masked = sum(photo.masked for photo in photos)
    return (
        f"{len(photos)} photographs of {width}x{height}{others}, without cameras; {lenses} say their focal "
        f"length, {masked} have masks"
    )


def _notes(photos: list[Photo]) -> list[str]:
    notes = []
    same = equal_photos(photos)
    if same:
        notes.append(f"{len(same)} photographs are the same as others: {_named(photos, list(same))}")
    blurred = [i for i, photo in enumerate(photos) if is_blurred(photo)]
    if blurred:
        notes.append(f"{len(blurred)} photographs are blurred: {_named(photos, blurred)}")
    if len(photos) - len(same) < RECOMMENDED:
        notes.append(f"{len(photos) - len(same)} photographs are few; 20 to 60 around the object are better")
    if not any(photo.focal for photo in photos):
        notes.append(
            "no photograph says its focal length (EXIF); a wrong model is harder to notice without it"
        )
    return notes


def _named(photos: list[Photo], index: list[int]) -> str:
    return join_names([photos[i].name for i in index])

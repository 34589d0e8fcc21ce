"""Judgements on photographs and their matches: which cannot be placed, why, and what to do."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import join_names
from ...values import value_type
from .prepare import Photo

FEWEST = 3
ENOUGH = 0.8
"""Share of the photographs that have to be placed."""
SAME = 4
"""Grey levels by which tiny versions of two photographs differ at most, if they are the same."""
FEW_FEATURES = 120
BLURRED = 0.1
"""Sharpness (`sharpness_of`) below which nothing can be found; the softest public capture has .105."""
PLAIN = 6.0
"""Detail (`detail_of`) below which there is nothing to see; photographs of objects have 17 and more."""
STILL_SHARE = 0.25
"""Pairs with a larger share of matches that stayed in place were taken by a camera that stood still."""
LINKED = 20
"""Pairs with so many matches that fit one motion show something in common; by chance a few fit."""
SECOND_MOTION = 1.15
"""Times as many matches fit several motions as fit one, if there are several; 1.0 in photos of what rests."""
SOFT = 0.6, 0.125
"""Share of the usual sharpness, and sharpness, below which a photograph without a camera counts as blurred."""
PLAIN_REASON, BLURRED_REASON = "shows too little detail", "blurred"
ALONE = "shows nothing that the others show"
PATTERN = "put the object on something with a pattern, such as a newspaper, and take them again in good light"
HOLD_STILL = "take them again in more light, with the camera held still"
EVERY_STEP = (
    "walk around the object and take a photo every 10 to 15 degrees, so that each shows most of what the one "
    "before shows"
)
MOSTLY = {
    PLAIN_REASON: f"most show hardly any detail; {PATTERN}",
    BLURRED_REASON: f"most are blurred; {HOLD_STILL}",
    ALONE: f"most show nothing in common; {EVERY_STEP}",
}
"""What is said if this is so for most of the photographs."""


@value_type
class Matches:
    """Features and matches of the small pictures.

    Attributes:
        features: Per picture.
        pairs: Rows of first picture, second picture, matches, those that stayed in place, inliers.
        motions: Rows of first picture, second picture, matches that fit one motion, those that fit several.
    """

    features: npt.NDArray[Any]
    pairs: npt.NDArray[Any]
    motions: npt.NDArray[Any]

    def links(self) -> npt.NDArray[Any]:
        """(N, N): inliers between pictures."""
        count = len(self.features)
        links = np.zeros((count, count), int)
        if len(self.pairs):
            a, b, inliers = self.pairs[:, 0], self.pairs[:, 1], self.pairs[:, 4]
            links[a, b] = links[b, a] = inliers
        return links

    @property
    def camera_stood_still(self) -> bool:
        """Whether most pairs have many matches in the same place of both pictures."""
        strong = self.pairs[self.pairs[:, 2] >= LINKED] if len(self.pairs) else self.pairs
        if len(strong) < FEWEST:
            return False
        return float(np.mean(strong[:, 3] > STILL_SHARE * strong[:, 2])) > 0.5

    @property
    def two_motions(self) -> bool:
        """Whether parts of the pictures move against each other: an object turned before a moving camera."""
        if len(self.motions) < FEWEST:
            return False
        one, several = self.motions[:, 2], self.motions[:, 3]
        second = (several > SECOND_MOTION * one) & (several - one >= LINKED)
        return float(np.mean(second)) > 0.2


def equal_photos(photos: Sequence[Photo]) -> dict[int, int]:
    """Photographs that are the same as an earlier one, and that one."""
    same: dict[int, int] = {}
    for i, photo in enumerate(photos):
        for j in range(i):
            other = photos[j]
            if j in same or other.work_size != photo.work_size:
                continue
            if np.abs(photo.thumb.astype(int) - other.thumb).max() <= SAME:
                same[i] = j
                break
    return same


def is_blurred(photo: Photo) -> bool:
    """Whether edges in a photograph are wide."""
    return photo.sharpness < BLURRED


def is_plain(photo: Photo) -> bool:
    """Whether there is hardly anything to see in a photograph."""
    return photo.detail < PLAIN


def components(links: npt.NDArray[Any]) -> list[list[int]]:
    """Groups of pictures that are linked with each other, the largest first."""
    rest, groups = set(range(len(links))), []
    while rest:
        group, front = set(), {min(rest)}
        while front:
            group |= front
            front = {int(j) for i in front for j in np.flatnonzero(links[i] >= LINKED)} - group
        rest -= group
        groups.append(sorted(group))
    return sorted(groups, key=len, reverse=True)


def reasons_of(photos: Sequence[Photo], matches: Matches, placed: Sequence[int]) -> dict[int, str]:
    """Why each of the photographs that are not among the placed ones has no camera."""
    links, usual = matches.links(), float(np.median([photo.sharpness for photo in photos]))
    reasons = {}
    for i, photo in enumerate(photos):
        if i in placed:
            continue
        if is_plain(photo):
            reasons[i] = PLAIN_REASON
        elif photo.sharpness < max(SOFT[0] * usual, SOFT[1]):
            reasons[i] = BLURRED_REASON
        elif matches.features[i] < FEW_FEATURES:
            reasons[i] = PLAIN_REASON
        elif links[i].max() < LINKED:
            reasons[i] = ALONE
        elif len(placed) and links[i][list(placed)].max() < LINKED:
            reasons[i] = "shows another place or side, which nothing links to the others"
        else:
            reasons[i] = "matches too little of the others; photos between them would help"
    return reasons


def photo_faults(photos: Sequence[Photo]) -> str | None:
    """Why these photographs cannot be placed, before anything is compared; None if they might."""
    names = [photo.name for photo in photos]
    blurred = [p.name for p in photos if is_blurred(p) and not is_plain(p)]
    plain = [p.name for p in photos if is_plain(p)]
    if 2 * len(plain) > len(photos):
        return f"{len(plain)} of {len(names)} photos show hardly any detail ({join_names(plain)}); {PATTERN}"
    if 2 * len(blurred) > len(photos):
        return f"{len(blurred)} of {len(names)} photos are blurred ({join_names(blurred)}); {HOLD_STILL}"
    return None


def placement_fault(photos: Sequence[Photo], matches: Matches, placed: Sequence[int]) -> str | None:
    """Why too few photographs have a camera, and what to do; None if they are enough."""
    count = len(photos)
    if len(placed) >= max(FEWEST, ENOUGH * count):
        return None
    found = f"only {len(placed)} of {count} photos could be placed"
    groups = [group for group in components(matches.links()) if len(group) >= FEWEST]
    if len(groups) > 1 and len(groups[0]) < ENOUGH * count:
        sides = " and ".join(f"{len(g)} ({join_names([photos[i].name for i in g], 2)})" for g in groups[:3])
        return (
            f"{found}, because they fall into groups that show nothing in common, of {sides}; give the photos "
            "of one place, or take photos between the groups"
        )
    reasons: dict[str, list[str]] = {}
    for i, reason in reasons_of(photos, matches, placed).items():
        reasons.setdefault(reason, []).append(photos[i].name)
    for reason, sentence in MOSTLY.items():
        if 2 * len(reasons.get(reason, ())) > count:
            return f"{found}, because {sentence}"
    told = "; ".join(f"{join_names(names)}: {why}" for why, names in reasons.items())
    return (
        f"{found} ({told}); take sharp photos every 10 to 15 degrees around the object, with something "
        "patterned under it, or leave these out"
    )

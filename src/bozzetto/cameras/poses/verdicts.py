"""Judgements on photographs and on what was found: what is wrong, why, and what to do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import join_names
from .model import Model
from .prepare import Photo

FEWEST = 3
ENOUGH = 0.8
"""Share of the photographs that have to be placed."""
SAME = 4
"""Grey levels by which tiny versions of two photographs differ at most, if they are the same."""
FEW_FEATURES = 120
BLURRED = 0.3
PLAIN = 2.5
STILL_SHARE = 0.25
"""Pairs with a larger share of matches that stayed in place were taken by a camera that stood still."""
LINKED = 15
"""Pairs with so many matches that fit one motion show something in common."""
VIEW_ANGLES = (8.0, 115.0)
"""Degrees along the longer side beyond which no usual lens goes. The longest lens in public captures has 11."""
BENT = 0.3
"""Share by which a lens moves the corners of a picture; more is a fisheye, or a wrong model."""
FOCAL_RANGE = (0.62, 1.6)
"""Focal length over what EXIF data say, beyond which one of the two is wrong; phones differ by 15 %."""
FLAT = 0.004
"""Thickness of the points over their extent below which they lie in a plane."""
LEAST_ANGLE = 1.5
"""Degrees between the rays of a point, median, below which the camera has only turned, not moved."""


@dataclass(frozen=True)
class Matches:
    """Features and matches of the small pictures.

    Attributes:
        features: Per picture.
        pairs: Rows of first picture, second picture, matches, those that stayed in place, inliers.
    """

    features: np.ndarray
    pairs: np.ndarray

    def links(self) -> np.ndarray:
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


def components(links: np.ndarray) -> list[list[int]]:
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


def reason_of(photo: Photo, number: int, matches: Matches, placed: Sequence[int]) -> str:
    """Why a photograph has no camera."""
    if is_plain(photo) or matches.features[number] < FEW_FEATURES:
        return "blurred" if is_blurred(photo) and not is_plain(photo) else "shows too little detail"
    links = matches.links()[number]
    if is_blurred(photo):
        return "blurred"
    if not len(placed) or links[list(placed)].max() < LINKED:
        elsewhere = links.max() >= LINKED
        return "shows another place or side, without overlap" if elsewhere else "shows nothing of the others"
    return "too few matches with the others; photos between them would help"


def photo_faults(photos: Sequence[Photo]) -> str | None:
    """Why these photographs cannot be placed, before anything is compared; None if they might."""
    names = [photo.name for photo in photos]
    blurred = [p.name for p in photos if is_blurred(p) and not is_plain(p)]
    plain = [p.name for p in photos if is_plain(p)]
    if 2 * len(plain) > len(photos):
        return (
            f"{len(plain)} of {len(names)} photos show hardly any detail ({join_names(plain)}); put the object "
            "on something with a pattern, such as a newspaper, and take them again in good light"
        )
    if 2 * len(blurred) > len(photos):
        return (
            f"{len(blurred)} of {len(names)} photos are blurred ({join_names(blurred)}); take them again in "
            "more light, with the camera held still"
        )
    return None


def placement_fault(photos: Sequence[Photo], matches: Matches, placed: Sequence[int]) -> str | None:
    """Why too few photographs have a camera, and what to do; None if they are enough."""
    count = len(photos)
    if len(placed) >= max(FEWEST, ENOUGH * count):
        return None
    found = (
        f"only {len(placed)} of {count} photos could be placed" if len(placed) else "no photo could be placed"
    )
    groups = [group for group in components(matches.links()) if len(group) >= FEWEST]
    if len(groups) > 1 and len(groups[0]) < ENOUGH * count:
        sides = " and ".join(f"{len(g)} ({join_names([photos[i].name for i in g], 2)})" for g in groups[:3])
        return (
            f"{found}: they fall into groups that show nothing in common, of {sides}; give the photos of one "
            "place, or take photos between the groups"
        )
    if not groups:
        poor = [p.name for i, p in enumerate(photos) if reason_of(p, i, matches, ()) != _ALONE]
        if 2 * len(poor) > count:
            return (
                f"{found}: {len(poor)} photos are blurred or show too little detail ({join_names(poor)}); take "
                "them again in good light, with something patterned under the object"
            )
        return (
            f"{found}: they show nothing in common; walk around the object and take a photo every 10 to 15 "
            "degrees, so that each shows most of what the one before shows"
        )
    left = [i for i in range(count) if i not in placed]
    reasons: dict[str, list[str]] = {}
    for i in left:
        reasons.setdefault(reason_of(photos[i], i, matches, placed), []).append(photos[i].name)
    told = "; ".join(f"{join_names(names)}: {why}" for why, names in reasons.items())
    return (
        f"{found} ({told}); take photos every 10 to 15 degrees around the object, sharp and with a patterned "
        "ground, or leave these out"
    )


_ALONE = "shows nothing of the others"


def triangulation_angles(model: Model) -> np.ndarray:
    """Largest angle between the rays of each point, in degrees."""
    angles = np.zeros(len(model.points))
    rays = model.points[:, None] - model.centers[None]
    rays /= np.maximum(np.linalg.norm(rays, axis=2, keepdims=True), 1e-12)
    for row, seen in enumerate(model.seen):
        mine = rays[row, seen]
        angles[row] = math.degrees(math.acos(float(np.clip((mine @ mine.T).min(), -1, 1))))
    return angles


def thickness(points: np.ndarray) -> float:
    """Smallest over largest spread of points, without the tenth that is farthest out in each direction."""
    middle = np.median(points, axis=0)
    axes = np.linalg.svd(points - middle, full_matrices=False)[2]
    along = (points - middle) @ axes.T
    spread = np.quantile(along, 0.95, axis=0) - np.quantile(along, 0.05, axis=0)
    return float(spread.min() / max(spread.max(), 1e-12))


def geometry_fault(model: Model) -> str | None:
    """What is wrong with the shape of the scene; None if nothing is."""
    if float(np.median(triangulation_angles(model))) < LEAST_ANGLE:
        return (
            "the camera has turned but hardly moved between the photos, as for a panorama, so nothing tells "
            "how far away things are; walk around the object"
        )
    if thickness(model.points) < FLAT:
        return (
            "everything in the photos lies in one plane, such as a screen, a page or a wall; photograph the "
            "object itself from all sides"
        )
    return None


def lens_fault(model: Model, photos: Sequence[Photo]) -> str | None:
    """What is impossible about the lens that was found; None if nothing is.

    A model of an object that turns while the room rests looks perfect but for its lens.
    """
    by_work = {photo.work: photo for photo in photos}
    for row, (lens, size) in enumerate(zip(model.lenses, model.sizes, strict=True)):
        members = [
            by_work[name] for name, camera in zip(model.names, model.camera, strict=True) if camera == row
        ]
        if not members:
            continue
        focal, k1, k2 = float(lens[0]), float(lens[3]), float(lens[4])
        advice = (
            "; if the object turned while the camera stood still, give masks of it with --masks, else take "
            "more photos from more sides"
        )
        angle = 2 * math.degrees(math.atan(max(size) / 2 / focal))
        said = members[0].focal
        if said is not None:
            ratio = focal * members[0].scale / said
            if not FOCAL_RANGE[0] < ratio < FOCAL_RANGE[1]:
                return (
                    f"the cameras that fit the photos have a focal length {ratio:.2g} times that of the EXIF "
                    f"data of {members[0].name}, so one of them is wrong (photos that were cropped keep wrong "
                    f"EXIF data: remove it){advice}"
                )
        if not VIEW_ANGLES[0] < angle < VIEW_ANGLES[1]:
            return (
                f"the cameras that fit the photos have a field of view of {angle:.0f} degrees, which no usual "
                f"lens has, so they are wrong{advice}"
            )
        corner = float(np.hypot(*size)) / 2 / focal
        bent = k1 * corner**2 + k2 * corner**4
        if abs(bent) > BENT:
            return (
                f"the cameras that fit the photos have a lens that moves the corners by {100 * abs(bent):.0f} "
                f"%, so they are wrong, or the lens is a fisheye, which is not estimated{advice}"
            )
    return None

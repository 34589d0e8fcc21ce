"""Validation of structure from motion: photographs that cannot be placed, and models that are wrong.

Every message gives the reason and advice.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ...errors import join_names
from ...images.resizing import area_resize
from ...values import value_type
from ..agreement import SIZE, Outlines, agreement
from ..camera import Cameras
from ..distortion import Lens, undistort
from .model import Model
from .prepare import Photo

FEWEST = 3
ENOUGH = 0.8
"""Smallest fraction of the photographs that must be placed."""
SAME = 4
"""Largest difference of the thumbnails of equal photographs, in grey levels."""
FEW_FEATURES = 120
BLURRED = 0.1
"""Sharpness (`sharpness_of`) below which no features can be found; the softest public capture has .105."""
PLAIN = 6.0
"""Detail (`detail_of`) below which a photograph is plain; photographs of objects have 17 and more."""
STILL_SHARE = 0.25
"""Fraction of static matches of a pair above which its camera was static."""
LINKED = 20
"""Smallest number of inliers of a pair that shows common content; a few inliers occur by chance."""
SECOND_MOTION = 1.15
"""Ratio of matches that fit several motions to those that fit one, above which there are several motions; 1.0
for static scenes."""
SOFT = 0.6, 0.125
"""Sharpness relative to the median, and absolute sharpness, below which a photograph without a camera counts as
blurred."""
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
"""Messages for the case that a reason applies to most photographs."""


@value_type
class Matches:
    """Features and matches of the reduced pictures.

    Attributes:
        features: Number of features per picture.
        pairs: Rows of first picture, second picture, number of matches, of static matches, of inliers.
        motions: Rows of first picture, second picture, number of matches that fit one motion, of those that fit
            several.
    """

    features: npt.NDArray[Any]
    pairs: npt.NDArray[Any]
    motions: npt.NDArray[Any]

    def links(self) -> npt.NDArray[Any]:
        """Number of inliers between pictures, (N, N)."""
        count = len(self.features)
        links = np.zeros((count, count), int)
        if len(self.pairs):
            a, b, inliers = self.pairs[:, 0], self.pairs[:, 1], self.pairs[:, 4]
            links[a, b] = links[b, a] = inliers
        return links

    @property
    def camera_stood_still(self) -> bool:
        """Whether most pairs have many static matches, at the same position in both pictures."""
        strong = self.pairs[self.pairs[:, 2] >= LINKED] if len(self.pairs) else self.pairs
        if len(strong) < FEWEST:
            return False
        return float(np.mean(strong[:, 3] > STILL_SHARE * strong[:, 2])) > 0.5

    @property
    def two_motions(self) -> bool:
        """Whether parts of the pictures move relative to each other: an object rotated in front of a moving
        camera."""
        if len(self.motions) < FEWEST:
            return False
        one, several = self.motions[:, 2], self.motions[:, 3]
        second = (several > SECOND_MOTION * one) & (several - one >= LINKED)
        return float(np.mean(second)) > 0.2


def equal_photos(photos: Sequence[Photo]) -> dict[int, int]:
    """Photographs that are equal to an earlier one, and the earlier one."""
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
    """Whether a photograph is blurred, by its sharpness."""
    return photo.sharpness < BLURRED


def is_plain(photo: Photo) -> bool:
    """Whether a photograph has hardly any detail."""
    return photo.detail < PLAIN


def components(links: npt.NDArray[Any]) -> list[list[int]]:
    """Connected components of linked pictures, the largest first."""
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
    """Reason for each photograph without a camera."""
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
    """Reason why photographs cannot be placed, before matching; None if there is none."""
    names = [photo.name for photo in photos]
    blurred = [p.name for p in photos if is_blurred(p) and not is_plain(p)]
    plain = [p.name for p in photos if is_plain(p)]
    if 2 * len(plain) > len(photos):
        return f"{len(plain)} of {len(names)} photos show hardly any detail ({join_names(plain)}); {PATTERN}"
    if 2 * len(blurred) > len(photos):
        return f"{len(blurred)} of {len(names)} photos are blurred ({join_names(blurred)}); {HOLD_STILL}"
    return None


def placement_fault(photos: Sequence[Photo], matches: Matches, placed: Sequence[int]) -> str | None:
    """Reason why too few photographs have a camera, and advice; None if enough have one."""
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


VIEW_ANGLES = (8.0, 115.0)
"""Smallest and largest field of view of usual lenses along the longer side, in degrees. The longest lens in
public captures has 11."""
BENT = 0.3
"""Largest relative displacement of the corners of a picture by a lens; a larger one is a fisheye, or a wrong
model."""
FOCAL_RANGE = (0.62, 1.6)
"""Smallest and largest plausible ratio of the estimated focal length to that in EXIF data; for phones they
differ by 15 %."""
FLAT = 0.004
"""Thickness of the points (`thickness`) below which they are planar."""
MOST_POINTS = 5000
LEAST_ANGLE = 1.5
"""Median triangulation angle in degrees below which the camera was only rotated, not moved."""


def triangulation_angles(model: Model) -> npt.NDArray[Any]:
    """Largest angle between the rays of points, in degrees; of many points a subset is used."""
    step = 1 + len(model.points) // MOST_POINTS
    angles = []
    for point, visible in zip(model.points[::step], model.visible[::step], strict=True):
        rays = point - model.centers[visible]
        rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-12)
        angles.append(math.degrees(math.acos(float(np.clip((rays @ rays.T).min(), -1, 1)))))
    return np.array(angles)


def thickness(points: npt.NDArray[Any]) -> float:
    """Distance from a plane within which 98 % of the points lie, relative to their extent."""
    chosen, distances = points, np.zeros(len(points))
    for _ in range(6):  # refit the plane to the points that fit it best
        middle = chosen.mean(axis=0)
        normal = np.linalg.svd(chosen - middle, full_matrices=False)[2][2]
        distances = np.abs((points - middle) @ normal)
        chosen = points[distances <= np.quantile(distances, 0.8)]
    extent = np.linalg.norm(np.quantile(points, 0.95, axis=0) - np.quantile(points, 0.05, axis=0))
    return float(np.quantile(distances, 0.98) / max(extent, 1e-12))


def geometry_fault(model: Model) -> str | None:
    """Fault of the shape of the scene, as a message; None if there is none."""
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
    """Fault of the estimated lens, as a message; None if there is none.

    If the object rotates in a static room, the model may look perfect except for its lens.
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


def silhouette_fault(model: Model, photos: Sequence[Photo], folder: Path) -> str | None:
    """Message if the masks are not consistent silhouettes of any shape for these cameras; None if they are.

    Args:
        model: The cameras.
        photos: The photographs.
        folder: Folder of the masks of the reduced pictures.
    """
    by_work = {photo.work: photo for photo in photos}
    rows = [i for i, name in enumerate(model.names) if by_work[name].masked]
    if len(rows) < 4:
        return None
    views = _outlines(model, rows, [by_work[model.names[i]].name for i in rows], folder)
    now = agreement(views)
    if not now.contradicts:
        return None
    worst = [views.names[i] for i in torch.argsort(now.against, descending=True).tolist()]
    return (
        f"the cameras that fit the photos do not fit the masks: no shape has such silhouettes, in {worst[0]} "
        f"{100 * float(now.against.max()):.0f} % of the object is where other views see none; check the masks "
        f"({join_names(worst)}), and take more photos from more sides"
    )


def _outlines(model: Model, rows: Sequence[int], names: Sequence[str], folder: Path) -> Outlines:
    """Reduced masks without lens distortion, padded to the same size."""
    masks, known, intrinsics = [], [], []
    for row in rows:
        with Image.open(folder / f"{model.names[row]}.png") as image:
            mask = torch.from_numpy(np.asarray(image, np.float32) / 255)[..., None]
        height, width = mask.shape[:2]
        scale = SIZE / max(width, height)
        new = [max(1, round(side * scale)) for side in (width, height)]
        focal, cx, cy, k1, k2 = model.lenses[model.camera[row]].tolist()
        K = torch.tensor([[focal, 0, cx], [0, focal, cy], [0, 0, 1]], dtype=torch.float64)
        K[:2] *= torch.tensor([[new[0] / width], [new[1] / height]], dtype=torch.float64)
        small = area_resize(mask[None], new[0], new[1])[0]
        visible = torch.ones(small.shape[:2], dtype=torch.bool)
        if k1 or k2:
            small, visible = undistort(small, K, Lens(radial=(k1, k2)))
        room = (0, SIZE - new[0], 0, SIZE - new[1])
        masks.append(torch.nn.functional.pad(small[..., 0], room))
        known.append(torch.nn.functional.pad(visible, room))
        intrinsics.append(K)
    poses = torch.from_numpy(model.poses[list(rows)].copy())
    cameras = Cameras(poses, torch.stack(intrinsics), SIZE, SIZE)
    return Outlines(tuple(names), cameras, torch.stack(masks), torch.stack(known))

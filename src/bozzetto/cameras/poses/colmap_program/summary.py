"""What is told about matches: how many there are, how many fit, and whether two things moved."""

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

MOTION_PAIRS, MOTION_MATCHES = 150, 40
"""In so many pairs, with so many matches that fit, it is looked for a second motion."""
STILL = 1.5
"""Pixels by which the two ends of a match may differ that did not move."""


def model_summary(pycolmap: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Features per picture; of pairs with matches: all, those that stayed in place, those that fit; motions."""
    database = pycolmap.Database.open(job["database"])
    images = [database.read_image_with_name(picture["name"]) for picture in job["pictures"]]
    known = [-1 if image is None else image.image_id for image in images]
    places = [
        np.asarray(database.read_keypoints(i))[:, :2]
        if i >= 0 and database.exists_keypoints(i)
        else np.zeros((0, 2))
        for i in known
    ]
    pairs = []
    for a, b in combinations(range(len(images)), 2):
        if min(known[a], known[b]) < 0 or not database.exists_matches(known[a], known[b]):
            continue
        matches = np.asarray(database.read_matches(known[a], known[b])).reshape(-1, 2)
        if len(matches) == 0:
            continue
        moved = np.abs(places[a][matches[:, 0]] - places[b][matches[:, 1]]).max(axis=1)
        inliers = 0
        if database.exists_two_view_geometry(known[a], known[b]):
            inliers = len(database.read_two_view_geometry(known[a], known[b]).inlier_matches)
        pairs.append([a, b, len(matches), int((moved < STILL).sum()), inliers])
    motions = []
    for a, b, _, _, inliers in sorted(pairs, key=lambda pair: -pair[4])[:MOTION_PAIRS]:
        if inliers >= MOTION_MATCHES:
            matches = np.asarray(database.read_matches(known[a], known[b]))
            if job["without_still"]:
                ends = places[a][matches[:, 0]], places[b][matches[:, 1]]
                matches = matches[np.abs(ends[0] - ends[1]).max(axis=1) >= 2 * STILL]
            two = [database.read_camera(images[i].camera_id) for i in (a, b)]
            motions.append([a, b, *_fitting(pycolmap, job, two, places[a], places[b], matches)])
    database.close()
    return {"features": [len(p) for p in places], "pairs": pairs, "motions": motions}


def _fitting(
    pycolmap: Any,
    job: dict[str, Any],
    cameras: list[Any],
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    matches: npt.NDArray[Any],
) -> list[int]:
    """How many matches fit one motion, and how many fit several."""
    counts = []
    for several in (False, True):
        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.random_seed = job["seed"]
        options.multiple_models = several
        found = pycolmap.estimate_two_view_geometry(cameras[0], first, cameras[1], second, matches, options)
        counts.append(len(found.inlier_matches))
    return counts

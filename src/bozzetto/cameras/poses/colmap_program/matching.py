"""Matching of pictures: choice of pairs, matching, and verification by geometry."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MOTION_PAIRS, MOTION_MATCHES = 150, 40
"""Number of pairs in which a second motion is searched for, and smallest number of inliers of such a pair."""
STILL = 1.5
"""Largest displacement in pixels of a match that counts as static."""


def model_summary(pycolmap: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Summary of the matches: features per picture; matches, static matches and inliers per pair; motions."""
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
    """Number of matches that fit one motion, and number of those that fit several motions."""
    counts = []
    for several in (False, True):
        options = pycolmap.TwoViewGeometryOptions()
        options.ransac.random_seed = job["seed"]
        options.multiple_models = several
        found = pycolmap.estimate_two_view_geometry(cameras[0], first, cameras[1], second, matches, options)
        counts.append(len(found.inlier_matches))
    return counts


MANY_PAIRS = 600
"""Number of pairs above which promising pairs are chosen by a few features of each picture."""
COARSE = 1000
"""Number of features per picture for choosing pairs: the largest ones, which are visible in most other
pictures."""
PARTNERS = 14
"""Number of pairs that are kept per picture, those with most matches."""
ONE_PLANE = (4, 5, 6)
"""Two-view geometries of pycolmap that are homographies: a plane, a panorama, or either."""
CERTAIN = 250
"""Number of inliers above which a pair needs no further matching."""


def match(pycolmap: Any, job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Find and match features in all pictures; return the result of `model_summary`."""
    remove_database(Path(job["database"]))
    find_features(pycolmap, job, say)
    pairs = [tuple(pair) for pair in job["pairs"]]
    if len(pairs) > MANY_PAIRS:
        pairs = _promising(pycolmap, job, say)
    _match_pairs(pycolmap, job, pairs, say)
    _match_more(pycolmap, job, pairs, say)
    return model_summary(pycolmap, job)


def verify(pycolmap: Any, job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Verify the matches again with other options; return the result of `model_summary`."""
    say({"stage": "matching", "share": 0.0})
    database = pycolmap.Database.open(job["database"])
    database.clear_two_view_geometries()
    database.close()
    listed = Path(job["database"]).with_suffix(".pairs.txt")
    _write_pairs(listed, job, [tuple(pair) for pair in job["pairs"]])
    pycolmap.verify_matches(job["database"], str(listed), _verification(pycolmap, job))
    listed.unlink(missing_ok=True)
    return model_summary(pycolmap, job)


def _promising(
    pycolmap: Any, job: dict[str, Any], say: Callable[[dict[str, Any]], None]
) -> list[tuple[int, int]]:
    """The pairs of a job with most matches of the largest features of each picture."""
    say({"stage": "matching", "share": 0.0})
    pairs = [(int(a), int(b)) for a, b in job["pairs"]]
    coarse = [
        descriptors[:COARSE] for _, descriptors in _features(pycolmap, job)
    ]  # sorted from large to small
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(
            pool.map(lambda pair: len(match_near(coarse[pair[0]], coarse[pair[1]], np.True_)), pairs)
        )
    return best_pairs(pairs, counts, PARTNERS)


def _match_pairs(
    pycolmap: Any, job: dict[str, Any], pairs: list[Any], say: Callable[[dict[str, Any]], None]
) -> None:
    """Match features of pairs, and find the inliers of one motion."""
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    verification = _verification(pycolmap, job)
    chunks = blocks(pairs)
    listed = Path(job["database"]).with_suffix(".pairs.txt")
    for number, chunk in enumerate(chunks):
        say({"stage": "matching", "share": 0.5 * number / len(chunks)})
        _write_pairs(listed, job, chunk)
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = str(listed)
        pycolmap.match_image_pairs(
            job["database"], matching, pairing, verification, device=pycolmap.Device.cpu
        )
    listed.unlink(missing_ok=True)


def _match_more(
    pycolmap: Any, job: dict[str, Any], pairs: list[Any], say: Callable[[dict[str, Any]], None]
) -> None:
    """Match again near epipolar lines, in pairs with a geometry but not many inliers."""
    database = pycolmap.Database.open(job["database"])
    known = [database.read_image_with_name(picture["name"]) for picture in job["pictures"]]
    ids = [-1 if image is None else image.image_id for image in known]
    geometries = {}
    for a, b in pairs:
        if min(ids[a], ids[b]) >= 0 and database.exists_two_view_geometry(ids[a], ids[b]):
            found = database.read_two_view_geometry(ids[a], ids[b])
            if 0 < len(found.inlier_matches) < CERTAIN:
                geometries[a, b] = found
    features = _features(pycolmap, job)

    def again(pair: tuple[int, int]) -> npt.NDArray[Any] | None:
        (places, descriptors), (others, other_descriptors) = (features[i] for i in pair)
        found = geometries[pair]
        if int(found.config) in ONE_PLANE:
            near = None if found.H is None else near_place(places, others, found.H)
        else:
            near = None if found.F is None else near_line(places, others, found.F)
        return None if near is None else match_near(descriptors, other_descriptors, near)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (pair, matches) in enumerate(zip(geometries, pool.map(again, geometries), strict=True)):
            say({"stage": "matching", "share": 0.5 + 0.5 * number / len(geometries)})
            found = geometries[pair]
            if matches is not None and len(matches) > len(found.inlier_matches):
                found.inlier_matches = matches
                database.update_two_view_geometry(ids[pair[0]], ids[pair[1]], found)
    database.close()


def _features(pycolmap: Any, job: dict[str, Any]) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Positions and normalised descriptors of the features of each picture."""
    database = pycolmap.Database.open(job["database"])
    rows = []
    for picture in job["pictures"]:
        image = database.read_image_with_name(picture["name"])
        if image is None or not database.exists_descriptors(image.image_id):
            rows.append((np.zeros((0, 2)), np.zeros((0, 128), np.float32)))
            continue
        places = np.asarray(database.read_keypoints(image.image_id))[:, :2].astype(float)
        rows.append((places, unit_rows(np.asarray(database.read_descriptors(image.image_id).data))))
    database.close()
    return rows


def _verification(pycolmap: Any, job: dict[str, Any]) -> Any:
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = job["seed"]
    options.filter_stationary_matches = job["without_still"]
    options.stationary_matches_max_error = 2 * STILL
    return options


def _write_pairs(listed: Path, job: dict[str, Any], pairs: list[Any]) -> None:
    names = [picture["name"] for picture in job["pictures"]]
    listed.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in pairs), encoding="utf-8")


RATIO, ANGLE = 0.8, 0.7
"""Largest ratio of the distances to the nearest and the second nearest descriptor, and largest angle to the
nearest in radians."""
ERROR = 4.0
"""Largest distance in pixels from the epipolar line (Sampson) of a match."""


def unit_rows(descriptors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Normalise descriptors to length 1."""
    values = descriptors.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def near_line(first: npt.NDArray[Any], second: npt.NDArray[Any], F: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(M, N): whether two points are within `ERROR` of their epipolar lines.

    Args:
        first: Points of one picture, (M, 2).
        second: Points of the other, (N, 2).
        F: Fundamental matrix from the first to the second.
    """
    a, b = (np.concatenate([p, np.ones((len(p), 1))], axis=1) for p in (first, second))
    lines, back = a @ F.T, b @ F
    slopes = (lines[:, :2] ** 2).sum(axis=1)
    scale = 1 / np.sqrt(
        max(float(slopes.mean()), 1e-300)
    )  # F has arbitrary scale, which must be moderate for single precision
    products = (lines * scale).astype(np.float32) @ b.astype(np.float32).T
    np.square(products, out=products)
    limit = ERROR**2 * scale**2
    products -= (limit * slopes).astype(np.float32)[:, None]
    return products < (limit * (back[:, :2] ** 2).sum(axis=1)).astype(np.float32)


def near_place(first: npt.NDArray[Any], second: npt.NDArray[Any], H: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(M, N): whether points of the second picture are within `ERROR` of where a homography takes the first."""
    moved = np.concatenate([first, np.ones((len(first), 1))], axis=1) @ H.T
    moved = moved[:, :2] / np.where(np.abs(moved[:, 2:]) < 1e-12, 1e-12, moved[:, 2:])
    moved, second = moved.astype(np.float32), second.astype(np.float32)
    near = np.abs(moved[:, None, 0] - second[None, :, 0]) < ERROR
    return near & (np.abs(moved[:, None, 1] - second[None, :, 1]) < ERROR)


def match_near(
    first: npt.NDArray[Any], second: npt.NDArray[Any], near: npt.NDArray[Any] | np.bool_
) -> npt.NDArray[Any]:
    """Mutual nearest neighbours of two sets of descriptors among the pairs that are `near`: indices (K, 2).

    Args:
        first: Descriptors of length 1, (M, 128).
        second: The same of the other picture, (N, 128).
        near: Whether pairs may match, (M, N); or np.True_ for all.
    """
    if not len(first) or not len(second):
        return np.zeros((0, 2), np.uint32)
    likeness = first @ second.T
    likeness *= near  # all other pairs count as dissimilar
    best = likeness.argmax(axis=1)
    rows = np.arange(len(first))
    nearest = likeness[rows, best]
    mutual = nearest >= likeness.max(axis=0)[best]  # much faster than argmax along columns
    chosen = rows[mutual & (nearest > math.cos(ANGLE))]
    chosen = chosen[np.bincount(best[chosen], minlength=len(second))[best[chosen]] == 1]
    likeness[chosen, best[chosen]] = 0  # then the maxima are the second nearest of the chosen
    second_nearest = likeness[chosen].max(axis=1, initial=0)
    second_back = likeness[:, best[chosen]].max(axis=0, initial=0)
    next_one = np.arccos(np.clip(np.maximum(second_nearest, second_back), -1, 1))
    clear = np.arccos(np.clip(nearest[chosen], -1, 1)) < RATIO * next_one
    chosen = chosen[clear]
    return np.stack([chosen, best[chosen]], axis=1).astype(np.uint32)


BLOCK = 8
"""Number of pictures on each side of a block of pairs that are matched together."""


def best_pairs(pairs: list[tuple[int, int]], counts: list[int], partners: int) -> list[tuple[int, int]]:
    """Pairs that are among the `partners` pairs with most matches of one of their pictures, in the given
    order."""
    of_picture: dict[int, list[tuple[int, int]]] = {}
    for number, pair in enumerate(pairs):
        for picture in pair:
            of_picture.setdefault(picture, []).append((-counts[number], number))
    kept = {number for rows in of_picture.values() for _, number in sorted(rows)[:partners]}
    return [pairs[number] for number in sorted(kept)]


def blocks(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Pairs in groups with common pictures, so that each picture is loaded only a few times."""
    last = max((b for _, b in pairs), default=0) // BLOCK
    found: dict[tuple[int, int], list[tuple[int, int]]] = {
        (a, b): [] for a, b in product(range(last + 1), range(last + 1))
    }
    for a, b in pairs:
        found[a // BLOCK, b // BLOCK].append((a, b))
    return [block for block in found.values() if block]


SAMPLE = 8
"""Number of pictures from which the number of features of the whole set is estimated."""


def find_features(pycolmap: Any, job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """Find features in all pictures; if there are many, only those with higher contrast."""
    sift = dict(job["features"])
    rich = job.get("rich")
    if rich and _plain_count(pycolmap, job) > rich["count"]:
        sift["peak_threshold"] = max(sift["peak_threshold"], rich["peak_threshold"])
    extract(pycolmap, {**job, "features": sift}, say)


def _plain_count(pycolmap: Any, job: dict[str, Any]) -> float:
    """Median number of features per picture without the finest ones, which is fast to compute."""
    database = Path(job["database"]).with_name("sample.db")
    remove_database(database)
    pictures = job["pictures"][:: max(1, len(job["pictures"]) // SAMPLE)]
    sift = {"peak_threshold": job["features"]["peak_threshold"], "first_octave": 0}
    extract(
        pycolmap, {**job, "pictures": pictures, "database": str(database), "features": sift}, lambda _: None
    )
    opened = pycolmap.Database.open(str(database))
    images = [opened.read_image_with_name(picture["name"]) for picture in pictures]
    counts = [0 if i is None else len(opened.read_keypoints(i.image_id)) for i in images]
    opened.close()
    remove_database(database)
    return float(np.median(counts))


def remove_database(database: Path) -> None:
    """Delete a database and journals of a killed process."""
    for old in database.parent.glob(f"{database.name}*"):
        old.unlink()


def extract(pycolmap: Any, job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """Find features in all pictures with the options of a job, and write them to a new database."""
    database = pycolmap.Database.open(job["database"])
    identifiers = []
    for camera in job["cameras"]:
        width, height, focal = camera["width"], camera["height"], camera["focal"]
        made = pycolmap.Camera.create_from_model_name(0, "SIMPLE_RADIAL", focal, width, height)
        made.has_prior_focal_length = camera["prior"]
        made.camera_id = database.write_camera(made)
        rig = pycolmap.Rig()
        rig.add_ref_sensor(made.sensor_id)
        database.write_rig(rig)
        identifiers.append(made.camera_id)
    database.close()
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu = False
    for name, value in job["features"].items():
        setattr(options.sift, name, value)
    for camera, identifier in enumerate(identifiers):
        names = [p["name"] for p in job["pictures"] if p["camera"] == camera]
        done = sum(p["camera"] < camera for p in job["pictures"])
        step = max(2, os.cpu_count() or 1)
        for start in range(0, len(names), step):
            say({"stage": "features", "share": (done + start) / len(job["pictures"])})
            reader = pycolmap.ImageReaderOptions()
            reader.camera_model = "SIMPLE_RADIAL"
            reader.existing_camera_id = identifier
            if job["masks"]:
                reader.mask_path = job["masks"]
            pycolmap.extract_features(
                job["database"],
                job["folder"],
                names[start : start + step],
                pycolmap.CameraMode.SINGLE,
                reader,
                options,
                device=pycolmap.Device.cpu,
            )

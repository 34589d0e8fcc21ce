"""Matches between pictures: which pairs are compared, and how."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .features import find_features, remove_database
from .guided import match_near, near_line, near_place, unit_rows
from .pairs import best_pairs, blocks
from .summary import STILL, summary

MANY_PAIRS = 600
"""Of more pairs those worth it are chosen, by few features of each picture."""
COARSE = 1000
"""So many features choose pairs: the largest, which most of the other pictures show too."""
PARTNERS = 14
"""Of these pairs each picture keeps so many, those with most in common."""
ONE_PLANE = (4, 5, 6)
"""Geometries of pycolmap that are homographies: a plane, a panorama, or either."""
CERTAIN = 250
"""Pairs with so many matches that fit do not need more."""


def match(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> dict:
    """Find features in all pictures and match them; returns features per picture and what `summary` tells."""
    remove_database(Path(job["database"]))
    find_features(pycolmap, job, say)
    pairs = [tuple(pair) for pair in job["pairs"]]
    if len(pairs) > MANY_PAIRS:
        pairs = _promising(pycolmap, job, say)
    _match_pairs(pycolmap, job, pairs, say)
    _match_more(pycolmap, job, pairs, say)
    return summary(pycolmap, job)


def verify(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> dict:
    """Judge the matches again, by other options; returns as `match`."""
    say({"stage": "matching", "share": 0.0})
    database = pycolmap.Database.open(job["database"])
    database.clear_two_view_geometries()
    database.close()
    listed = Path(job["database"]).with_suffix(".pairs.txt")
    _write_pairs(listed, job, [tuple(pair) for pair in job["pairs"]])
    pycolmap.verify_matches(job["database"], str(listed), _verification(pycolmap, job))
    listed.unlink(missing_ok=True)
    return summary(pycolmap, job)


def _promising(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> list[tuple[int, int]]:
    """Of the pairs of a job those with most in common by the largest features of each picture."""
    say({"stage": "matching", "share": 0.0})
    pairs = [(int(a), int(b)) for a, b in job["pairs"]]
    coarse = [
        descriptors[:COARSE] for _, descriptors in _features(pycolmap, job)
    ]  # they begin with the largest
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(
            pool.map(lambda pair: len(match_near(coarse[pair[0]], coarse[pair[1]], np.True_)), pairs)
        )
    return best_pairs(pairs, counts, PARTNERS)


def _match_pairs(pycolmap: Any, job: dict, pairs: list, say: Callable[[dict], None]) -> None:
    """Match features of pairs and find which matches fit one motion."""
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


def _match_more(pycolmap: Any, job: dict, pairs: list, say: Callable[[dict], None]) -> None:
    """Match again near epipolar lines, in pairs that have a geometry but not plenty of matches."""
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

    def again(pair: tuple[int, int]) -> np.ndarray | None:
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


def _features(pycolmap: Any, job: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places and descriptors of length 1 of each picture."""
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


def _verification(pycolmap: Any, job: dict) -> Any:
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = job["seed"]
    options.filter_stationary_matches = job["without_still"]
    options.stationary_matches_max_error = 2 * STILL
    return options


def _write_pairs(listed: Path, job: dict, pairs: list) -> None:
    names = [picture["name"] for picture in job["pictures"]]
    listed.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in pairs), encoding="utf-8")

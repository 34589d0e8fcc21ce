"""Structure from motion by pycolmap, as a program of its own: one job per call, progress as lines of JSON.

It is run by its path and imports nothing of this package: pycolmap brings libraries of its own that must not
meet those of Pillow in one process. What pycolmap writes to the terminal goes to a file.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 8
"""Pictures are matched in blocks of so many against so many."""
MOTION_PAIRS, MOTION_MATCHES = 150, 40
"""In so many pairs, with so many matches that fit, it is looked for a second motion."""
STILL = 1.5
"""Pixels by which the two ends of a match may differ that did not move."""


def main(job_file: str) -> None:
    """Do the job that a JSON file describes; its result is the last line of stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    say = _redirect(Path(job["log"]))
    import pycolmap

    pycolmap.logging.minloglevel = 1
    pycolmap.set_random_seed(job["seed"])
    tasks = {"match": _match, "verify": _verify, "map": _map}
    say({"result": tasks[job["task"]](pycolmap, job, say)})


def _end_with_parent() -> None:
    """End this process when the one that started it has closed our stdin, or has ended."""
    while os.read(0, 1024):  # not through sys.stdin, whose lock this thread would hold when Python ends
        pass
    os._exit(1)


def _redirect(log: Path) -> Callable[[dict], None]:
    """Send what anybody prints to a file; what the returned function is given goes to the old stdout."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)

    def say(message: dict) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    return say


def _match(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> dict:
    """Find features in all pictures and match them; returns features per picture and what `_summary` tells."""
    database = Path(job["database"])
    for old in database.parent.glob(f"{database.name}*"):  # also the journals of a process that was killed
        old.unlink()
    names = [picture["name"] for picture in job["pictures"]]
    _extract(pycolmap, job, say)
    matching, verification = _matching_options(pycolmap, job)
    chunks = _chunks([tuple(pair) for pair in job["pairs"]])
    listed = database.with_suffix(".pairs.txt")
    for number, chunk in enumerate(chunks):
        say({"stage": "matching", "share": number / len(chunks)})
        listed.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in chunk), encoding="utf-8")
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = str(listed)
        pycolmap.match_image_pairs(str(database), matching, pairing, verification, device=pycolmap.Device.cpu)
    listed.unlink(missing_ok=True)
    return _summary(pycolmap, job)


def _verify(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> dict:
    """Judge the matches again, by other options; returns as `_match`."""
    say({"stage": "matching", "share": 0.0})
    database = pycolmap.Database.open(job["database"])
    database.clear_two_view_geometries()
    database.close()
    listed = Path(job["database"]).with_suffix(".pairs.txt")
    names = [picture["name"] for picture in job["pictures"]]
    listed.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in job["pairs"]), encoding="utf-8")
    pycolmap.verify_matches(job["database"], str(listed), _matching_options(pycolmap, job)[1])
    listed.unlink(missing_ok=True)
    return _summary(pycolmap, job)


def _extract(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> None:
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


def _matching_options(pycolmap: Any, job: dict) -> tuple[Any, Any]:
    matching = pycolmap.FeatureMatchingOptions()
    matching.use_gpu = False
    matching.guided_matching = True
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = job["seed"]
    verification.filter_stationary_matches = job["without_still"]
    verification.stationary_matches_max_error = 2 * STILL
    return matching, verification


def _chunks(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Pairs in groups that share their pictures, so that each is loaded a few times only."""
    last = max((b for _, b in pairs), default=0) // BLOCK
    blocks: dict[tuple[int, int], list[tuple[int, int]]] = {
        (a, b): [] for a, b in product(range(last + 1), range(last + 1))
    }
    for a, b in pairs:
        blocks[a // BLOCK, b // BLOCK].append((a, b))
    return [block for block in blocks.values() if block]


def _summary(pycolmap: Any, job: dict) -> dict:
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
    pycolmap: Any, job: dict, cameras: list, first: np.ndarray, second: np.ndarray, matches: np.ndarray
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


def _map(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> dict:
    """Place the pictures; every model is written as text into a folder of its own."""
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = job["seed"]
    options.extract_colors = False
    options.min_model_size = 3
    for name, value in job["mapping"].items():
        target: Any = options
        *path, last = name.split(".")
        for part in path:
            target = getattr(target, part)
        setattr(target, last, value)
    placed = most = 0  # models are begun several times, the share does not go back

    def count(number: int) -> None:
        nonlocal placed, most
        placed, most = number, max(most, number)
        say({"stage": "mapping", "share": min(0.99, most / len(job["pictures"]))})

    say({"stage": "mapping", "share": 0.0})
    target = Path(job["models"])
    target.mkdir(parents=True, exist_ok=True)
    models = pycolmap.incremental_mapping(
        job["database"],
        job["folder"],
        str(target),
        options,
        initial_image_pair_callback=lambda: count(2),
        next_image_callback=lambda: count(placed + 1),
    )
    found = []
    for number, model in models.items():
        folder = target / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.bin"):
            old.unlink()
        model.write_text(str(folder))
        names = sorted(model.image(i).name for i in model.reg_image_ids())
        found.append(
            {
                "folder": str(folder),
                "pictures": names,
                "points": model.num_points3D(),
                "error": model.compute_mean_reprojection_error(),
            }
        )
    return {"models": found}


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # at once: a thread of ours waits for stdin

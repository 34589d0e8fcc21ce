"""Features of pictures, written into a database of pycolmap."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE = 8
"""In so many pictures it is looked how rich the whole set is."""


def find_features(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> None:
    """Find features in all pictures; where there are plenty, only those with more contrast."""
    sift = dict(job["features"])
    rich = job.get("rich")
    if rich and _plain_count(pycolmap, job) > rich["count"]:
        sift["peak_threshold"] = max(sift["peak_threshold"], rich["peak_threshold"])
    extract(pycolmap, {**job, "features": sift}, say)


def _plain_count(pycolmap: Any, job: dict) -> float:
    """Features of the median picture when the finest are not looked for, which is fast."""
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
    """Delete a database and the journals that a process that was killed may have left."""
    for old in database.parent.glob(f"{database.name}*"):
        old.unlink()


def extract(pycolmap: Any, job: dict, say: Callable[[dict], None]) -> None:
    """Find features in all pictures by the options of a job, into a new database."""
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

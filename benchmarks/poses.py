"""Cameras from photographs: how many are placed, and how far from the official cameras.

    BOZZETTO_DATA=... python -m benchmarks.poses [--only temple plush]

`temple` has calibrated cameras: rotation and centre after the similarity that fits the centres best, these as a
share of their mean distance from their middle. `plush` are phone photographs without cameras: how many are
placed and the focal length (26 mm of 35 mm film by the EXIF data, .72 to .75 of the longer side).
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from bozzetto.cameras.formats import PosedViews, read_cameras
from bozzetto.cameras.poses import estimate_cameras, find_photographs
from bozzetto.metrics import camera_errors
from bozzetto.runs.progress import show_progress


def main() -> None:
    """Run what is asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=["temple", "plush"], choices=["temple", "plush"])
    parser.add_argument("--folder", type=Path, help="keep the models here")
    chosen = parser.parse_args()
    earlier = RESULTS / "poses.json"  # of captures that are left out now
    results = json.loads(earlier.read_text())["captures"] if earlier.is_file() else {}
    for name in chosen.only:
        with tempfile.TemporaryDirectory() as made:
            folder = (chosen.folder or Path(made)) / name
            results[name] = measure(name, folder)
        print(name, results[name])
        save_results("poses", {"captures": results})


def measure(name: str, folder: Path) -> dict:
    """Estimate the cameras of a capture and compare them with what is known."""
    photos = find_photographs(data_folder("captures") / name / ("images" if name == "plush" else ""))
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with show_progress():
        found = estimate_cameras(photos, None, folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert found.report is not None
    figures = {
        "photos": len(photos),
        "placed": len(found.views),
        "points": found.report.points,
        "reprojection_pixels": found.report.error,
        "focal_per_longer_side": list(found.report.focal),
        "notes": list(found.report.notes),
        "seconds": time.monotonic() - began,
        "processor_seconds_of_pycolmap": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime,
        "peak_memory_of_pycolmap_mib": after.ru_maxrss / 1024,
    }
    if name == "temple":
        figures |= compare(found, read_cameras(data_folder("captures") / name / "templeSR_par.txt"))
    return figures


def compare(found: PosedViews, official: PosedViews) -> dict:
    """Errors of the poses after the best similarity, and of the focal length."""
    truth = {view.name: view for view in official.views}
    true = [truth[view.name] for view in found.views]
    poses = [torch.stack([view.T_cam_world for view in views]) for views in (found.views, true)]
    errors = camera_errors(*poses)
    first = found.views[0].K, true[0].K
    assert first[0] is not None and first[1] is not None
    return {
        "rotation_degrees": {"mean": float(errors.rotation.mean()), "worst": float(errors.rotation.max())},
        "center_share_of_radius": {"mean": float(errors.centre.mean()), "worst": float(errors.centre.max())},
        "focal_ratio": float(first[0][0, 0] / first[1][0, 0]),
    }


if __name__ == "__main__":
    main()

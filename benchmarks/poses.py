"""Cameras from photographs: how many are placed, and how far from the official cameras.

    BOZZETTO_DATA=... python benchmarks/poses.py [--only temple plush]

`temple` has calibrated cameras: rotation and centre after the similarity that fits all centres best, centres
as a share of the distance to the object. `plush` are phone photographs without cameras: how many are placed,
and the focal length beside the one of the EXIF data.
"""

import argparse
import json
import math
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from common import RESULTS, data_folder, save_results

from bozzetto.cameras.formats.camera_files import PosedViews
from bozzetto.cameras.formats.middlebury import read_middlebury
from bozzetto.cameras.poses import EstimatedViews, estimate_cameras, find_photos
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
    photos = find_photos(data_folder("captures") / name / ("images" if name == "plush" else ""))
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
        official = read_middlebury(data_folder("captures") / name / "templeSR_par.txt")
        figures |= compare(found, official)
    return figures


def compare(found: EstimatedViews, official: PosedViews | list) -> dict:
    """Errors of the poses after the best similarity."""
    views = official.views if isinstance(official, PosedViews) else official
    truth = {view.name: view.T_cam_world.numpy() for view in views}
    poses = np.stack([view.T_cam_world.numpy() for view in found.views])
    exact = np.stack([truth[view.name] for view in found.views])
    scale, turn, shift = similarity(centers(poses), centers(exact))
    moved = scale * centers(poses) @ turn.T + shift
    rotations = np.einsum("nij,kj,nlk->nil", poses[:, :3, :3], turn, exact[:, :3, :3])
    cosines = (np.trace(rotations, axis1=1, axis2=2) - 1) / 2
    angles = np.degrees(np.arccos(cosines.clip(-1, 1)))
    across = np.eye(3) - exact[:, 2, :3, None] * exact[:, 2, None, :3]
    middle = np.linalg.solve(across.sum(0), np.einsum("nij,nj->i", across, centers(exact)))
    distance = np.median(np.linalg.norm(centers(exact) - middle, axis=1))
    offsets = np.linalg.norm(moved - centers(exact), axis=1) / distance
    return {
        "rotation_degrees": {"mean": float(angles.mean()), "worst": float(angles.max())},
        "center_share_of_distance": {"mean": float(offsets.mean()), "worst": float(offsets.max())},
        "focal_ratio": float(found.views[0].K[0, 0] / views[0].K[0, 0]),
    }


def centers(poses: np.ndarray) -> np.ndarray:
    """Positions of cameras."""
    return -np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3])


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and shift that take points to others with the least squares (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, math.copysign(1.0, np.linalg.det(u @ vt))])
    turn = (u * signs) @ vt
    scale = float((s * signs).sum() / (a**2).sum())
    return scale, turn, target.mean(0) - scale * turn @ source.mean(0)


if __name__ == "__main__":
    main()

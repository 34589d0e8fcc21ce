"""From phone photos to a mesh, against exact truth: the bust in the furnished room.

    python -m benchmarks.room [--count 30] [--size 1024 768] [--seed 0] [--work DIR]
    python -m benchmarks.room --count 60 --size 4032 3024 --photos-only

Takes the photos (`phone_photos`; kept in DIR and used again), runs `bozzetto reconstruct` on the
folder of photos and nothing else, and compares cameras, masks and mesh with the truth. Then the same with the
true cameras and masks given, which is as good as the optimiser can be; `--photos-only` leaves that out. Cameras
are compared after the similarity between the centres; meshes after the similarity that brings them closest (the
world of estimated cameras has neither scale nor place). Of the true surface counts what two photos or more
show: the bust stands on a table.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, save_results
from bozzetto import load_mesh
from bozzetto.cameras.formats import PosedViews, read_cameras
from bozzetto.datasets.synthetic import PhonePhotos, furnished_room, phone_photos
from bozzetto.datasets.synthetic.phone import (
    TRUTH,
    load_phone_photos,
    mask_overlap,
    photographed_faces,
    surface_errors,
)
from bozzetto.metrics import CameraErrors, camera_errors
from bozzetto.shapes import Similarity

LARGE = 2000
"""Pixels of width from which textures are finer, and pixels are not averaged (which the lens blur allows)."""


def taken(folder: Path, count: int, size: tuple[int, int], seed: int) -> PhonePhotos:
    """The photographs, new or from an earlier run."""
    if not (folder / TRUTH).exists():
        begun, large = time.time(), size[0] > LARGE
        room = furnished_room(seed, detail=1.5 if large else 1.0)
        phone_photos(folder, count, size, seed, room, samples=1 if large else 2)
        print(f"{count} photos taken in {time.time() - begun:.0f} s")
    return load_phone_photos(folder)


def reconstruct(source: Path, out: Path, *options: str) -> dict:
    """The command that users type, in a process of its own; its report, also of an earlier run."""
    clock = out / "minutes.json"
    if not clock.exists():
        command = ["bozzetto", "reconstruct", str(source), "--out", str(out), *options]
        print("$", *command)
        begun = time.time()
        subprocess.run([sys.executable, "-m", *command], check=True)
        clock.write_text(json.dumps((time.time() - begun) / 60))
    report = json.loads((out / "report.json").read_text())
    return {
        "minutes": json.loads(clock.read_text()),
        "memory_gib": report["peak_memory_bytes"]["host"] / 2**30,
        "seconds": report["seconds"],
        "figures": report["figures"],
    }


def compared(used: PosedViews, photos: PhonePhotos) -> CameraErrors:
    """Cameras as they were used with the true ones, by the names of the photos."""
    known = {view.name: view.T_cam_world for view in photos.views}
    poses = torch.stack([view.T_cam_world for view in used.views])
    return camera_errors(poses, torch.stack([known[Path(view.name).name] for view in used.views]))


def measured(run: Path, photos: PhonePhotos, seen: torch.Tensor, start: Similarity) -> dict:
    """Distances of the full mesh."""
    errors = surface_errors(load_mesh(run / "mesh.ply"), photos, seen, start)
    both = torch.cat([errors.to_result, errors.to_truth])
    height = float(photos.subject.bounds[1, 1] - photos.subject.bounds[0, 1])
    return {
        "mean_mm": 1000 * errors.mean,
        "mean_percent_of_height": 100 * errors.mean / height,
        "truth_to_result_mm": 1000 * float(errors.to_result.mean()),
        "result_to_truth_mm": 1000 * float(errors.to_truth.mean()),
        "percentile_95_mm": 1000 * float(torch.quantile(both, 0.95)),
        "share_of_truth_seen": float(seen.float().mean()),
    }


def spread(values: torch.Tensor) -> dict:
    return {"median": float(values.median()), "mean": float(values.mean()), "worst": float(values.max())}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 768))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("bozzetto-out/room"))
    parser.add_argument("--photos-only", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    width, height = options.size
    folder = options.work / f"{options.count}-{width}x{height}-{options.seed}"
    photos = taken(folder, options.count, (width, height), options.seed)
    seen = photographed_faces(photos)

    run = folder / "from-photos"
    alone = reconstruct(photos.photos[0].parent, run)
    used = read_cameras(run / "cameras" / "transforms.json", photos.photos[0].parent)
    errors = compared(used, photos)
    alone["placed"] = len(used.views) / len(photos.views)
    alone["rotation_degrees"] = spread(errors.rotation)
    alone["centre_percent"] = spread(100 * errors.centre)
    if (run / "masks").is_dir():
        overlap = mask_overlap(run / "masks", photos)
        worst = min(overlap, key=overlap.__getitem__)
        alone["mask_iou"] = {
            "mean": statistics.mean(overlap.values()),
            "worst": overlap[worst],
            "photo": worst,
        }
    alone["mesh"] = measured(run, photos, seen, errors.to_truth)
    results = {"photos": options.count, "size": [width, height], "from_photos": alone}
    if not options.photos_only:
        run = folder / "from-truth"
        given = reconstruct(folder / TRUTH, run, "--masks", str(folder / "truth" / "masks"))
        same = Similarity(1.0, torch.zeros(3, dtype=torch.float64))
        given["mesh"] = measured(run, photos, seen, same)
        results["from_truth"] = given
        results["ratio"] = alone["mesh"]["mean_mm"] / given["mesh"]["mean_mm"]
    shown = {k: v for k, v in results.items() if not isinstance(v, dict)}
    for name in ("from_photos", "from_truth"):
        row = results.get(name, {})
        shown[name] = {k: v for k, v in row.items() if k not in ("figures", "seconds")}
    print(json.dumps(shown, indent=1))
    save_results("room" if width <= LARGE else "room_large", results, options.out)


if __name__ == "__main__":
    main()

"""Sixty photographs of 12 megapixels: minutes and memory of `bozzetto reconstruct` and of `bozzetto doctor`.

    python -m benchmarks.large_photos [--count 60] [--work DIR]

The phone of the room takes photographs of 1344 x 1008 pixels; they are enlarged three times to 4032 x 3024, as
large as those of a phone, but not as sharp: rendering them would take hours. Time and memory depend on their
size. Photographs and a finished run in DIR are used again.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from benchmarks.helpers.common import RESULTS, save_results
from benchmarks.room import compared, measured, reconstruct, spread
from bozzetto.cameras import read_cameras
from bozzetto.datasets.synthetic import furnished_room, phone_photos
from bozzetto.datasets.synthetic.phone import TRUTH, load_phone_photos, mask_overlap, photographed_faces

SMALL, ENLARGED = (1344, 1008), 3


def enlarged_photos(folder: Path, count: int) -> Path:
    """The folder of large photographs, new or from an earlier run."""
    if not (folder / TRUTH).exists():
        phone_photos(folder, count, SMALL, 0, furnished_room(0), samples=1)
    large = folder / "large"
    large.mkdir(exist_ok=True)
    for path in sorted((folder / "photos").glob("*.jpg")):
        if not (large / path.name).exists():
            with Image.open(path) as image:
                size = ENLARGED * image.width, ENLARGED * image.height
                image.resize(size, Image.Resampling.BICUBIC).save(
                    large / path.name, quality=92, exif=image.getexif()
                )
    return large


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--work", type=Path, default=Path("bozzetto-out/large-photos"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    folder = options.work / str(options.count)
    large = enlarged_photos(folder, options.count)
    begun = time.time()
    subprocess.run([sys.executable, "-m", "bozzetto", "doctor", str(large)], check=True)
    doctor = time.time() - begun
    run = folder / "run"
    results = reconstruct(large, run)
    results["stage_seconds"] = results.pop("seconds")
    photos = load_phone_photos(folder)
    used = read_cameras(run / "cameras" / "transforms.json")
    errors = compared(used, photos)
    overlap = mask_overlap(run / "masks", photos)
    results |= {
        "photos": options.count,
        "size": [ENLARGED * n for n in SMALL],
        "doctor_seconds": doctor,
        "placed": len(used.views) / options.count,
        "rotation_degrees": spread(errors.rotation),
        "mask_iou": {"mean": statistics.mean(overlap.values()), "worst": min(overlap.values())},
        "mesh": measured(run, photos, photographed_faces(photos), errors.to_truth),
    }
    print(json.dumps({k: v for k, v in results.items() if k != "figures"}, indent=1))
    save_results("large_photos", results, options.out)


if __name__ == "__main__":
    main()

"""What comes out of `bozzetto heightmap`: seams, shifts, levels, time and memory.

With the shipped weights, or others given by --weights. Photos are procedural, so no data is needed.

    python -m benchmarks.heightmap_output
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from benchmarks.helpers.common import save_results
from bozzetto.datasets.synthetic.materials import make_sample
from bozzetto.geometry.heightfield import normals_from_height
from bozzetto.heightmap import height_map, open_predictor
from bozzetto.metrics import seam_ratio
from bozzetto.shapes import HeightField, load_height, save_height

SHIFTS = ((1, 0), (0, 1), (37, 101), (128, 333))


def photo(number: int, side: int) -> torch.Tensor:
    return torch.from_numpy(make_sample(11, number, side).color.copy()).float() / 255


def seams_and_shifts(predictor, count: int = 8, side: int = 512) -> dict:
    ratios, off = [], []
    for number in range(count):
        image = photo(number, side)
        height = height_map(image, predictor, tiles=True).height
        ratios.append(max(seam_ratio(height)))
        shift = SHIFTS[number % len(SHIFTS)]
        turned = height_map(image.roll(shift, (0, 1)), predictor, tiles=True).height
        off.append(float((turned - height.roll(shift, (0, 1))).abs().max()))
    # The seam of a crop that was wrongly taken as tiling shows what the ratio would be.
    open_seam = max(seam_ratio(height_map(photo(0, side)[: side // 3], predictor, tiles=False).height))
    return {
        "photos": count,
        "seam_ratio_worst": max(ratios),
        "seam_ratios": ratios,
        "shift_error_worst": max(off),
        "seam_ratio_of_a_crop": open_seam,
    }


def depth_of_output(predictor, folder: Path) -> dict:
    """Exact round trip, distinct levels, and steps of the slope on a ramp that is lit from the side."""
    result = height_map(photo(3, 1024), predictor)
    levels = (result.height.double() * 65535).round()
    save_height(HeightField(result.height), folder / "h.png")
    back = load_height(folder / "h.png").height.double() * 65535
    ramp = torch.linspace(0, 1, 1024).expand(1024, 1024).contiguous()
    save_height(HeightField(ramp), folder / "ramp.png")
    field = load_height(folder / "ramp.png")
    slopes = normals_from_height(field.in_pixels(), "free")[..., 0]
    eight = HeightField((ramp * 255).round() / 255)
    return {
        "round_trip_exact": bool((back.round() == levels).all()),
        "distinct_levels": len(levels.unique()),
        "lit_ramp_spread_16_bit": float(slopes.std() / slopes.mean().abs()),
        "lit_ramp_spread_8_bit": float(
            (n := normals_from_height(eight.in_pixels(), "free")[..., 0]).std() / n.mean().abs()
        ),
    }


def command(folder: Path, weights: str, *sources: str) -> dict:
    """The command as a user runs it: seconds of the whole process, and its own report."""
    out = folder / f"out-{len(list(folder.iterdir()))}"
    words = [sys.executable, "-m", "bozzetto", "heightmap", *sources, "--out", str(out), "--quiet", "--json"]
    began = time.perf_counter()
    done = subprocess.run([*words, "--weights", weights], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    report = json.loads(done.stdout)
    return {
        "seconds_process": seconds,
        "seconds": report["seconds"],
        "peak_memory_bytes": report["peak_memory_bytes"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="heights")
    parser.add_argument("--batch", type=int, default=100)
    options = parser.parse_args()
    predictor = open_predictor(options.weights)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {"seams": seams_and_shifts(predictor), "depth": depth_of_output(predictor, folder)}
        print(results, flush=True)
        Image.fromarray(make_sample(11, 3, 1024).color).save(folder / "large.png")
        image = photo(3, 1024)
        height_map(image, predictor)
        began = time.perf_counter(), time.process_time()
        height_map(image, predictor)
        results["prediction_1024"] = {
            "seconds": time.perf_counter() - began[0],
            "cpu_seconds": time.process_time() - began[1],
            "threads": torch.get_num_threads(),
        }
        results["command_1024"] = command(folder, options.weights, str(folder / "large.png"))
        many = folder / "many"
        many.mkdir()
        for number in range(options.batch):
            Image.fromarray(make_sample(12, number % 20, 256).color).save(many / f"{number:03}.png")
        results["command_folder"] = {"photos": options.batch, **command(folder, options.weights, str(many))}
    print(results)
    save_results(options.weights.replace("heights", "heightmap_output").replace("-", "_"), results)


if __name__ == "__main__":
    main()

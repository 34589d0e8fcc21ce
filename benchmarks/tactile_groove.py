"""Height of a plate with grooves from a tactile sensor, calibrated on one half and measured on the other.

Six photos, one per light, and a measured height: BOZZETTO_DATA/tactile/groove. The baseline is
the common fit: a quadratic of the six brightnesses per pixel, then integration. Heights are compared after
removing their mean, nothing else. The light's falloff is fitted to the photos of each half separately.

    python -m benchmarks.tactile_groove
"""

import json
import time

import numpy as np
import torch
from torch import Tensor

from benchmarks.helpers.common import data_folder, save_results
from bozzetto.geometry.heightfield import gradients_from_height, integrate_gradients
from bozzetto.images import load_image
from bozzetto.photometric import calibrate_tactile, tactile_height


def figures(found: Tensor, truth: Tensor) -> dict[str, float]:
    a, b = found.double() - found.double().mean(), truth.double() - truth.double().mean()
    correlation = float((a * b).sum() / (a.norm() * b.norm()))
    return {"correlation": correlation, "rmse_um": float((a - b).square().mean().sqrt()) * 1000}


def quadratic(photos: Tensor) -> Tensor:
    """One, the brightnesses and their products, as they are."""
    x = photos.movedim(0, -1).double()
    i, j = torch.triu_indices(len(photos), len(photos))
    return torch.cat([torch.ones_like(x[..., :1]), x, x[..., i] * x[..., j]], dim=-1)


def baseline(photos: Tensor, height: Tensor, other: Tensor, pixel: float) -> Tensor:
    slopes = gradients_from_height(height.double() / pixel).reshape(-1, 2)
    fit = torch.linalg.lstsq(quadratic(photos).flatten(0, 1), slopes).solution
    return integrate_gradients(quadratic(other) @ fit) * pixel


def main() -> None:
    folder = data_folder("tactile") / "groove"
    facts = json.loads((folder / "groove.json").read_text())
    pixel = facts["mm_per_px"]
    photos = torch.stack([load_image(folder / name)[..., 0] for name in facts["images"]])
    height = torch.from_numpy(np.load(folder / "height_mm.npy"))
    middle = len(height) // 2
    halves = {
        "top": (photos[:, :middle], height[:middle]),
        "bottom": (photos[:, middle:], height[middle:]),
    }
    rows = []
    for calibrated, tested in (("top", "bottom"), ("bottom", "top")):
        sample, truth = halves[calibrated], halves[tested][1]
        other = halves[tested][0]
        row = {"calibrated_on": calibrated, "tested_on": tested, "truth_std_um": float(truth.std()) * 1000}
        row["quadratic"] = figures(baseline(*sample, other, pixel), truth)
        for degree in (2, 3, 4):
            for position in ("none", "columns"):
                start = time.perf_counter()
                calibration = calibrate_tactile(*sample, pixel, degree, position)
                found = tactile_height(other, calibration, pixel)
                seconds = time.perf_counter() - start
                row[f"falloff {degree}, position {position}"] = figures(found, truth) | {"seconds": seconds}
        rows.append(row)
        for name, value in row.items():
            print(name, value)
    save_results("tactile_groove", {"default": "falloff 3, position none", "rows": rows})


if __name__ == "__main__":
    main()

"""Denoising of clouds of known noise: ours, a bilateral filter, the analytic field, and what was given.

    BOZZETTO_DATA=... python benchmarks/denoising.py

Clean clouds of 5,000 points (points/noisy) and procedural solids, all in the unit sphere, get noise of 1, 2 and
3 % of its radius. Figures are the Chamfer distance to the clean cloud (squared, both directions, times 10^4)
and, where the surface is known, the mean squared distance to it (times 10^4). `field` follows the gradient of
the log density of the noisy cloud at its noise level, which is what the published network learns of a single
cloud. The methods are told the noise level; our estimate of it is in the row `estimate`. At last, seconds for
200,000 points.
"""

import argparse
import time

import numpy as np
import torch
from common import data_folder, save_results
from scipy.spatial import KDTree

from bozzetto.score import CloudField, denoise, estimate_noise
from bozzetto.score.fit_training import training_shape
from bozzetto.score.local_fits import local_fits, neighbours, support_of
from bozzetto.shapes import PointCloud, normalisation

LEVELS = (0.01, 0.02, 0.03)
SOLIDS = (900_001, 900_002, 900_003, 900_004)  # never trained on; chairs and unions of round parts
MANY = 200_000


def bilateral(points: torch.Tensor, noise: float, rounds: int = 2, count: int = 32) -> torch.Tensor:
    """Bilateral filter along normals (Digne and de Franchis 2017): weights by distance and by height."""
    for _ in range(rounds):
        support = support_of(points)
        distance, index = neighbours(support, points, count)
        normals = local_fits(support, points, noise).normals
        heights = ((points[index] - points[:, None]) * normals[:, None]).sum(dim=2)
        near = (-2 * (distance / distance[:, -1:]) ** 2).exp()
        alike = (-(heights**2) / (2 * (1.5 * noise) ** 2)).exp()
        weight = near * alike
        points = points + ((weight * heights).sum(dim=1) / weight.sum(dim=1))[:, None] * normals
    return points


def chamfer(a: torch.Tensor, b: torch.Tensor) -> float:
    """Squared, both directions, times 10^4."""
    there, back = KDTree(b.numpy()).query(a.numpy())[0], KDTree(a.numpy()).query(b.numpy())[0]
    return float(1e4 * (np.square(there).mean() + np.square(back).mean()))


def shapes(limit: int) -> dict[str, tuple]:
    """Clean points, and the signed distance where it is known."""
    found: dict[str, tuple] = {}
    for file in sorted((data_folder("points") / "noisy").glob("*.npz"))[:limit]:
        points = torch.from_numpy(np.load(file)["points"])
        found[file.stem] = normalisation(points).apply(points), None
    for seed in SOLIDS:
        found[f"solid {seed}"] = training_shape(seed)
    return found


def main() -> None:
    """All shapes and levels, then the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--limit", type=int, default=10, help="clouds of points/noisy, at most")
    parser.add_argument("--no-time", action="store_true", help="skip the 200,000 points")
    options = parser.parse_args()
    rows: dict[str, dict] = {}
    for name, (clean, distance) in shapes(options.limit).items():
        for level in LEVELS:
            draw = torch.Generator().manual_seed(round(1000 * level))
            noisy = clean + level * torch.randn(clean.shape, generator=draw)
            made = {
                "noisy": noisy,
                "bilateral": bilateral(noisy, level),
                "field": CloudField(noisy, level).denoised(noisy),
                "ours": denoise(PointCloud(noisy), level).cloud.points,
            }
            figures: dict = {"estimate": estimate_noise(noisy)}
            for method, points in made.items():
                figures[method] = {"chamfer": chamfer(points, clean)}
                if distance is not None:
                    figures[method]["surface"] = float(1e4 * distance(points).square().mean())
            rows[f"{name} {level:.0%}"] = figures
            print(name, level, figures, flush=True)
    results: dict = {"shapes": rows, "mean": means(rows)}
    print(results["mean"])
    if not options.no_time:
        clean = torch.nn.functional.normalize(torch.randn(MANY, 3), dim=1)
        began, cpu = time.perf_counter(), time.process_time()
        denoise(PointCloud(clean + 0.02 * torch.randn(MANY, 3)))
        seconds = {"wall": time.perf_counter() - began, "processor": time.process_time() - cpu}
        results["seconds_200k"] = seconds
        print(seconds)
    save_results("denoising", results)


def means(rows: dict[str, dict]) -> dict:
    """Mean Chamfer distance per level and method."""
    found: dict = {}
    for level in LEVELS:
        some = [row for name, row in rows.items() if name.endswith(f"{level:.0%}")]
        found[f"{level:.0%}"] = {
            method: sum(row[method]["chamfer"] for row in some) / len(some)
            for method in ("noisy", "bilateral", "field", "ours")
        }
    return found


if __name__ == "__main__":
    main()

"""Normals to height: error on exact normals, periodic, free and masked, and the time for a large map.

Fields are sums of random waves whose amplitude along any profile line falls as frequency^-slope (so in the
plane as frequency^-(slope + 1/2)), scaled to a mean slope of 15 degrees. Their exact normals are stored in
8 bits as a normal map would. Errors are RMS over the standard deviation of the height, both after removing the
mean. The baselines are what programs commonly do: the same transforms with the mean of two slopes as a step;
the normal's x and y as slopes; the wrong kind of border; a denominator whose index starts at 1.

    python -m benchmarks.studies.integrator [--large 4096]

With BOZZETTO_DATA set, the three objects of tactile/normals (perspective camera, depth steps) are added.
"""

import argparse
import math
import os
import resource
import time
from pathlib import Path

import numpy as np
import scipy.fft
import torch
from torch import Tensor

from benchmarks.helpers.common import save_results
from bozzetto.geometry.heightfield import (
    gradients_from_normals,
    integrate_gradients,
    integrate_normals,
    normals_from_gradients,
)

SLOPES = (1.2, 1.8, 2.4)
MEAN_SLOPE = math.radians(15)


def spectral_field(side: int, slope: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A random map that repeats, and its exact gradients, both in pixels."""
    generator = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    waves = np.fft.rfft2(generator.standard_normal((side, side))) * frequency ** -(slope + 0.5)
    waves[side // 2] = waves[:, side // 2] = 0  # their derivative is not seen at the pixels
    height, right, down = (np.fft.irfft2(waves * 2j * np.pi * k) for k in (1 / (2j * np.pi), columns, rows))
    scale = math.tan(MEAN_SLOPE) / np.hypot(right, down).mean()
    return torch.from_numpy(height * scale), torch.from_numpy(np.stack([right, down], -1) * scale)


def stored(gradients: Tensor, bits: int = 8) -> Tensor:
    """The normals as read back from a normal map."""
    levels = 2**bits - 1
    return (((normals_from_gradients(gradients) + 1) / 2 * levels).round() / levels) * 2 - 1


def error(height: Tensor, truth: Tensor, mask: Tensor | None = None) -> float:
    inside = torch.ones_like(truth, dtype=torch.bool) if mask is None else mask
    a, b = height[inside].double(), truth[inside].double()
    return float(((a - a.mean()) - (b - b.mean())).std() / b.std())


def blob(side: int) -> Tensor:
    """A mask with a wavy outline and two holes."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 2, indexing="ij")
    angle, radius = torch.atan2(y, x), torch.hypot(x, y)
    holes = (torch.hypot(x - 0.3, y) < 0.15) | (torch.hypot(x + 0.2, y + 0.4) < 0.1)
    return (radius < 0.75 + 0.15 * torch.cos(5 * angle)) & ~holes


def cosine_solve(gradients: Tensor, first: int = 0) -> Tensor:
    """Steps are means of two slopes; the denominator's index starts at `first`, which should be 0."""
    g = gradients.numpy()
    right, down = (g[:, 1:, 0] + g[:, :-1, 0]) / 2, (g[1:, :, 1] + g[:-1, :, 1]) / 2
    source = np.zeros(g.shape[:2])
    source[:, :-1] += right
    source[:, 1:] -= right
    source[:-1] += down
    source[1:] -= down
    angles = [np.pi * (np.arange(n) + first) / n for n in source.shape]
    total = 4 - 2 * np.cos(angles[0])[:, None] - 2 * np.cos(angles[1])
    total[0, 0] = np.inf
    return torch.from_numpy(scipy.fft.idctn(-scipy.fft.dctn(source) / total))


def accuracy() -> list[dict]:
    mask = blob(512)
    rows = []
    for slope in SLOPES:
        whole, large = spectral_field(512, slope), spectral_field(1024, slope, seed=1)
        crop = (large[0][:512, :512], large[1][:512, :512])
        for name, (height, exact) in (("periodic", whole), ("free", crop), ("masked", crop)):
            normals = stored(exact).float()
            gradients = gradients_from_normals(normals.double())
            wrong = integrate_normals(normals, "free" if name == "periodic" else "periodic")
            inside = mask if name == "masked" else None
            boundary = "periodic" if name == "periodic" else "free"
            rows.append(
                {
                    "slope": slope,
                    "map": name,
                    "error": error(integrate_normals(normals, boundary, inside), height, inside),
                    "error_other_border": error(wrong, height, inside),
                    "error_mean_of_two": error(cosine_solve(gradients), height, inside),
                    "error_index_from_1": error(cosine_solve(gradients, first=1), height, inside),
                    "error_xy_as_slopes": error(
                        integrate_gradients(normals[..., :2] * normals.new_tensor([-1, 1]), boundary),
                        height,
                        inside,
                    ),
                }
            )
            print(rows[-1])
    return rows


def timing(side: int) -> list[dict]:
    rows = []
    height, gradients = spectral_field(side, 1.8)
    height, gradients = height.float(), gradients.float()
    for name in ("periodic", "free"):
        start = time.perf_counter()
        result = integrate_gradients(gradients, name)
        seconds = time.perf_counter() - start
        rows.append({"map": name, "side": side, "seconds": seconds, "error": error(result, height)})
        print(rows[-1])
    side = min(side, 1024)
    mask, crop = blob(side), gradients[:side, :side]
    start = time.perf_counter()
    result = integrate_gradients(crop, mask=mask)
    seconds = time.perf_counter() - start
    rows.append({"map": "masked", "side": side, "seconds": seconds})
    rows[-1]["error"] = error(result, height[:side, :side], mask)
    print(rows[-1])
    return rows


def perspective_gradients(normals: Tensor, K: Tensor) -> Tensor:
    """Gradients of the logarithm of depth: n . d(z ray) = 0 along columns and rows."""
    height, width = normals.shape[:2]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ray_x, ray_y = (x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1]
    nx, ny, nz = normals[..., 0], -normals[..., 1], -normals[..., 2]  # camera axes: y down, z away
    along = (nx * ray_x + ny * ray_y + nz).clamp(max=-0.05)
    return torch.stack([-nx / (K[0, 0] * along), -ny / (K[1, 1] * along)], dim=-1)


def objects() -> list[dict]:
    """Measured objects: median error of depth in mm after one scale, that of the logarithm's free constant."""
    folder = Path(os.environ.get("BOZZETTO_DATA", "")) / "tactile" / "normals"
    rows = []
    for path in sorted(folder.glob("*.npz")):
        data = {k: torch.from_numpy(v) for k, v in np.load(path).items()}
        mask, depth = data["mask"], data["depth_mm"].double()
        start = time.perf_counter()
        logs = integrate_gradients(perspective_gradients(data["normal"].double(), data["K"]), mask=mask)
        seconds = time.perf_counter() - start
        found = logs[mask].exp()
        found = found * (depth[mask].median() / found.median())
        off = (found - depth[mask]).abs()
        rows.append({"object": path.stem, "mean_mm": float(off.mean()), "median_mm": float(off.median())})
        rows[-1] |= {"depth_std_mm": float(depth[mask].std()), "seconds": seconds}
        print(rows[-1])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--large", type=int, default=4096, help="side of the large map")
    large = parser.parse_args().large
    results = {"accuracy": accuracy(), "time": timing(large), "objects": objects()}
    results["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    save_results("integrator", results)


if __name__ == "__main__":
    main()

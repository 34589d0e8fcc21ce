"""The bunny from 4 pictures, against plain Large Steps with 9.

    python -m benchmarks.few_views

Plain: a sphere of 10,242 vertices whose connectivity stays, lambda 19 and 49, AdamUniform. Ours: continuous
remeshing from 162 vertices, so that coarse triangles come first. The same number of steps on the same pictures,
256 x 256 under the studio light, from directions spread evenly over a sphere; several such sets of four,
since four directions show more or less of the object by chance.
"""

import argparse
import math
import time
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.fitting import (
    DISTANCE,
    FOV,
    fit,
    mesh_strip,
    pixel,
    quality,
    settings,
    start_sphere,
)
from bozzetto import Mesh
from bozzetto.cameras import Cameras, fibonacci_cameras
from bozzetto.inverse import ContinuousRemeshing, OptimizeConfig, capture_light, synthetic_targets

SIZE = 256
SMOOTHING = 0.1  # twice the default: few pictures leave more open
TURNS = (0, 40, 80)  # degrees by which the cameras are turned around the object


def turned(cameras: Cameras, degrees: float) -> Cameras:
    """The cameras after a rotation of the world about the vertical axis."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation = torch.tensor([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]], dtype=torch.float64)
    poses = cameras.T_cam_world @ rotation.to(cameras.T_cam_world)
    return Cameras(poses, cameras.K, cameras.width, cameras.height)


def methods(steps: int) -> dict[str, tuple[Mesh, OptimizeConfig]]:
    """First meshes and settings, by name."""
    continuous = OptimizeConfig(
        steps=steps,
        step_size=0.7,
        final_step_size=0.05,
        optimizer="vector_adam",
        floor=0.3,
        remeshing=ContinuousRemeshing(2.5 * pixel(SIZE), smoothing=SMOOTHING),
    )
    plain = {
        f"plain, lambda {smoothness:g}": (start_sphere(5), OptimizeConfig(steps=steps, smoothness=smoothness))
        for smoothness in (19.0, 49.0)
    }
    return plain | {"continuous remeshing": (start_sphere(2), continuous)}


def main() -> None:
    """Run all methods with four and nine views and write figures and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--mesh", default="bunny")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    target = benchmark_mesh(options.mesh)
    rows: dict[str, list[dict]] = {}
    pictures: dict[str, Mesh] = {"target": target}
    for views in (4, 9):
        for turn in TURNS:
            cameras = turned(fibonacci_cameras(views, distance=DISTANCE, fov=FOV, size=SIZE), turn)
            targets = synthetic_targets(target, cameras, capture_light())
            for name, (start, config) in methods(options.steps).items():
                begin = time.perf_counter()
                mesh, _ = fit(targets, start, config)
                seconds = round(time.perf_counter() - begin, 1)
                label = f"{name}, {views} views"
                rows.setdefault(label, []).append({"turn": turn, "seconds": seconds} | quality(mesh, target))
                pictures.setdefault(label, mesh)
                print(f"{label:36s}", rows[label][-1], flush=True)
    means = {
        label: {key: sum(row[key] for row in runs) / len(runs) for key in ("mean_distance", "hausdorff")}
        for label, runs in rows.items()
    }
    for label, facts in means.items():
        print(f"{label:36s}", facts)
    used = {name: settings(config) for name, (_, config) in methods(options.steps).items()}
    scene = {"mesh": options.mesh, "size": SIZE, "steps": options.steps}
    save_results("few_views", scene | {"means": means, "settings": used, "rows": rows}, options.out)
    mesh_strip(list(pictures.values()), options.out / "few_views.png", list(pictures), columns=4)


if __name__ == "__main__":
    main()

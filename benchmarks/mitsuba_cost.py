"""A step per view against Mitsuba 3, what else a user could differentiate pictures with on a CPU.

    python -m benchmarks.mitsuba_cost [--mitsuba-python PATH]

Same mesh, views and size, one process after the other. Ours: a full optimisation step over 16 views (solve,
normals, rasterise, interpolate, shade, antialias, loss, backward, update), divided by 16. Mitsuba's: see
mitsuba_step.py; variant `llvm_ad_rgb`, integrator `direct_projective`, 4 samples, a view per step: once as the
integrator comes, and once without its gradients of shadows, the cheapest it offers (ours draws no shadows).
Mitsuba may live in an environment of its own, whose Python is given; without it the script says so and measures
ours alone.
It needs LLVM's shared library: set DRJIT_LIBLLVM_PATH if it does not find the right one.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from benchmarks.helpers.fitting import DISTANCE, FOV, begin, targets_around
from bozzetto import Mesh, save_mesh
from bozzetto.inverse import OptimizeConfig


def our_seconds(mesh: Mesh, views: int, size: int, rounds: int) -> list[float]:
    """Seconds per view of full steps."""
    targets = targets_around(mesh, views=views, size=size)
    config = OptimizeConfig(steps=10_000, step_size=1e-4, smoothness=19.0)
    fit = begin(targets, Mesh(mesh.vertices * 0.98, mesh.faces), config)
    seconds = []
    for _ in range(rounds + 2):  # the first ones compile and warm up
        start = time.perf_counter()
        fit.step()
        seconds.append((time.perf_counter() - start) / views)
    return seconds[2:]


def mitsuba_seconds(
    python: str, mesh: Mesh, views: int, size: int, steps: int, shadow_gradients: bool
) -> dict:
    """Seconds of Mitsuba's steps, and its version."""
    cameras = targets_around(mesh, views=views, size=8).cameras
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.ply"
        save_mesh(mesh, path)
        request = {
            "mesh": str(path),
            "size": size,
            "samples": 4,
            "steps": steps,
            "shadow_gradients": shadow_gradients,
            "cameras": [
                {"eye": eye.tolist(), "target": [0, 0, 0], "up": [0, 0, 1], "fov_degrees": math.degrees(FOV)}
                for eye in cameras.centers
            ],
        }
        (Path(folder) / "request.json").write_text(json.dumps(request))
        script = Path(__file__).parent / "helpers" / "mitsuba_step.py"
        command = [python, str(script), str(Path(folder) / "request.json")]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"Mitsuba failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mitsuba-python", default=sys.executable)
    parser.add_argument("--mesh", default="nefertiti")
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mitsuba-steps", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    mesh = benchmark_mesh(options.mesh)
    ours = our_seconds(mesh, options.views, options.size, options.rounds)
    median = statistics.median(ours)
    print(f"bozzetto: {1e3 * median:.1f} ms per view and step (camera distance {DISTANCE})")
    results: dict = {"ours_seconds_per_view": median, "ours_rounds": ours}
    python = options.mitsuba_python
    if subprocess.run([python, "-c", "import mitsuba"], capture_output=True).returncode:
        print(f"Mitsuba is not installed for {python}: pip install mitsuba, and LLVM's library")
        results["mitsuba"] = "not installed"
    else:
        for name, shadow_gradients in (("as it comes", True), ("without gradients of shadows", False)):
            theirs = mitsuba_seconds(
                python, mesh, options.views, options.size, options.mitsuba_steps + 1, shadow_gradients
            )
            seconds = theirs["seconds"][1:]  # the first step compiles
            times = statistics.median(seconds) / median
            results["mitsuba"] = {"mitsuba": theirs["mitsuba"], "drjit": theirs["drjit"]}
            results[name] = {
                "seconds_per_view": statistics.median(seconds),
                "rounds": seconds,
                "times_faster": times,
            }
            print(
                f"Mitsuba {theirs['mitsuba']} {name}: {1e3 * statistics.median(seconds):.0f} ms, {times:.0f} x"
            )
    settings = {key: getattr(options, key) for key in ("mesh", "views", "size", "rounds", "mitsuba_steps")}
    save_results("mitsuba_cost", {"settings": settings, **results}, options.out)


if __name__ == "__main__":
    main()

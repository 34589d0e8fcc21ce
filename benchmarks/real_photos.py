"""Real photographs: Middlebury dino and temple from 14 of 16 views, judged by the 2 that were held out.

    python -m benchmarks.real_photos [--again]

Runs `bozzetto reconstruct` as a user does and reads its report; `--again` judges the results of the last run.
The baseline is the visual hull of the same photographs, refined to the same edge length and given its best
colours: light, exposure and albedo are fitted with the steps of the last level while the surface stays put.
Photometric error: mean absolute difference over all known pixels of the mask (what the surface misses counts as
black), in linear light and sRGB-encoded.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.helpers.common import RESULTS, data_folder, save_part
from bozzetto import Mesh, load_capture, load_mesh
from bozzetto.cameras import Capture, visual_hull
from bozzetto.geometry import edge_lengths, remesh, unique_edges
from bozzetto.inverse import Light, Optimization, OptimizeConfig, ReconstructConfig, ambient_light
from bozzetto.inverse.data import cameras_in_frame, capture_targets
from bozzetto.metrics import photometric_error, silhouette_iou
from bozzetto.rendering import render
from bozzetto.shapes import normalisation

HELD_OUT = {"dino": "dinoSR0002,dinoSR0010", "temple": "templeSR0009,templeSR0013"}


def reconstruct(folder: Path, out: Path, held_out: str, again: bool) -> dict:
    """The report of the command, or of its last run."""
    if again:
        return json.loads((out / "report.json").read_text())
    command = [sys.executable, "-m", "bozzetto", "reconstruct", str(folder), "--hold-out", held_out]
    finished = subprocess.run(
        [*command, "--out", str(out), "--overwrite", "--json"], stdout=subprocess.PIPE, check=True
    )
    return json.loads(finished.stdout)


def best_colours(hull: Mesh, capture: Capture, edge: float) -> tuple[Mesh, Light]:
    """The hull with the colours, light and exposures that explain the photographs best."""
    config = ReconstructConfig()
    frame = normalisation(hull.vertices)
    start = remesh(hull, edge, crease_angle=None, tolerance=None)
    start = Mesh(frame.apply(start.vertices), start.faces)
    targets = capture_targets(capture)
    targets = replace(targets, cameras=cameras_in_frame(targets.cameras, frame))
    fixed = OptimizeConfig(steps=config.stages[-1].steps, step_size=0.0, views_per_step=config.views_per_step)
    light = Light(ambient_light(), len(capture))
    optimization = Optimization(targets, start, light, fixed, config.appearance)
    while optimization.progress < 1:
        optimization.step()
    mesh = optimization.mesh
    return mesh.with_vertices(frame.inverse().apply(mesh.vertices)), light


def judge(mesh: Mesh, light: torch.Tensor, held_out: Capture) -> dict:
    """Silhouette IoU and photometric error of the held-out views."""
    pictures = render(mesh, held_out.cameras, light)
    inside = (held_out.masks > 0.5) & held_out.known
    compared = (pictures[..., :3], held_out.foreground(), inside)
    return {
        "silhouette_iou": silhouette_iou(pictures[..., 3], held_out.masks, held_out.known).tolist(),
        **{
            f"photometric_error_{encoding}": photometric_error(*compared, encoding).tolist()
            for encoding in ("linear", "srgb")
        },
    }


def main() -> None:
    """Run both captures and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--captures", nargs="+", default=list(HELD_OUT))
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    for name in options.captures:
        folder, out = data_folder("captures") / name, options.out / f"real_photos_{name}"
        report = reconstruct(folder, out, HELD_OUT[name], options.again)
        capture = load_capture(folder)
        used, held_out = capture.split(report["figures"]["held_out"]["views"])
        mesh = load_mesh(out / "mesh.ply")
        hull = visual_hull(used.cameras, used.require_masks(), used.known, names=used.names)
        light = torch.from_numpy(np.load(out / "light.npy"))
        edge = float(edge_lengths(mesh.vertices, unique_edges(mesh.faces)).mean())
        coloured, hull_light = best_colours(hull, used, edge)
        ours = judge(mesh, light, held_out)
        baseline = judge(coloured, hull_light.coefficients.detach(), held_out)
        results = {
            "held_out": list(held_out.names),
            "ours": ours,
            "visual_hull": baseline,
            **{
                f"{key}_below_hull": 1 - sum(ours[key]) / sum(baseline[key])
                for key in ("photometric_error_linear", "photometric_error_srgb")
            },
            "watertight": report["figures"]["mesh"]["watertight"],
            "components": report["figures"]["mesh"]["components"],
            "stage_seconds": report["seconds"],
            "peak_memory_bytes": report["peak_memory_bytes"],
        }
        print(name, json.dumps(results, indent=2), flush=True)
        save_part("real_photos", name, results, options.out)


if __name__ == "__main__":
    main()

"""Photographs whose cameras are given: cat, statue and fox as they are; dino and bust with cameras disturbed.

    BOZZETTO_DATA=... python -m benchmarks.given_cameras [--only cat cat-fast cat-turns statue fox dino bust]

* `cat`, `cat-fast`: IoU of the mesh with all 24 masks, through the cameras as they were used, beside that of
  the visual hull that the run began with. `cat-turns`: a quarter of the photographs is held out, four times.
* `statue`, `fox`: PSNR of held-out photographs on the object, and of the nearest photograph in their place.
* `dino`, `bust`: every camera is turned by 1 degree and moved by 1 % of its distance, in a random direction,
  and the focal length is 1 % too long. Held-out IoU after refinement beside that with the true cameras.
  Without refinement the command refuses such cameras: masks are outside the hull of the others.

Held-out cameras are refined where the others are: on the finished surface, from their photographs and masks.
"""

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.helpers.common import RESULTS, data_folder, save_part
from benchmarks.texturing import photograph_bust
from bozzetto import Mesh, load_capture, load_mesh
from bozzetto.cameras import Cameras, Capture, load_views, object_bounds, read_cameras, save_transforms
from bozzetto.images import linear_to_srgb, save_image
from bozzetto.metrics import psnr, silhouette_iou
from bozzetto.rendering import rasterize

HELD_OUT = {"statue": "4", "fox": "4", "dino": "4", "bust": "4"}
TURNS = 4


def reconstructed(source: Path, out: Path, *options: str) -> dict:
    """The report of the command, also of an earlier run."""
    if not (out / "report.json").exists():
        command = [sys.executable, "-m", "bozzetto", "reconstruct", str(source), "--out", str(out)]
        subprocess.run([*command, *options, "--overwrite"], check=True)
    return json.loads((out / "report.json").read_text())


def overlaps(mesh: Mesh, capture: Capture) -> torch.Tensor:
    """IoU of the silhouettes of a mesh with all masks of a capture."""
    cameras, vertices = capture.cameras.relative_to(mesh.offset), mesh.vertices.float()
    shown = [rasterize(vertices, mesh.faces, cameras[[i]]).triangle[0] >= 0 for i in range(len(cameras))]
    return silhouette_iou(torch.stack(shown).float(), capture.require_masks(), capture.known)


def all_silhouettes(source: Path, out: Path, *options: str) -> dict:
    """A run on all photographs, against all masks: the result, and what it began with."""
    report = reconstructed(source, out, *options)
    capture = load_views(read_cameras(out / "cameras" / "transforms.json"))
    given = load_views(read_cameras(source))
    found, start = (
        overlaps(load_mesh(out / "mesh.ply"), capture),
        overlaps(load_mesh(out / "start.ply"), given),
    )
    return {
        "iou_mean": float(found.mean()),
        "iou_worst": float(found.min()),
        "hull_with_given_cameras": float(start.mean()),
        **cost(report),
        "cameras_moved": report["figures"].get("refined_cameras"),
    }


def cost(report: dict) -> dict:
    """Minutes and memory of a run."""
    return {
        "minutes": sum(report["seconds"].values()) / 60,
        "memory_gib": report["peak_memory_bytes"]["host"] / 2**30,
        "crossing_faces": report["figures"]["mesh"]["self_intersecting_faces"],
    }


def in_turn(source: Path, out: Path, *options: str) -> dict:
    """Every photograph is held out once."""
    names = list(load_capture(source).names)
    found = []
    for turn in range(TURNS):
        left_out = ",".join(names[turn::TURNS])
        report = reconstructed(source, out / str(turn), "--hold-out", left_out, *options)
        found += report["figures"]["held_out"]["silhouette_iou"]
    return {"iou_mean": sum(found) / len(found), "iou_worst": min(found), "views": len(found)}


def against_nearest(source: Path, out: Path, held_out: str) -> dict:
    """Held-out photographs on the object: the result and the nearest photograph."""
    report = reconstructed(source, out, "--hold-out", held_out)
    measured = report["figures"]["held_out"]
    masks = out / "masks" if (out / "masks").is_dir() else "auto"
    capture = load_views(read_cameras(out / "cameras" / "transforms.json"), masks)
    rows = []
    for name, value in zip(measured["views"], measured["psnr"], strict=True):
        new = capture.names.index(name)
        used = [i for i, n in enumerate(capture.names) if n not in measured["views"]]
        toward = capture.cameras.forward
        nearest = max(used, key=lambda i: float(toward[i] @ toward[new]))
        inside = (capture.require_masks()[new] > 0.5) & capture.known[new] & capture.known[nearest]
        a, b = (linear_to_srgb(capture.images[i].clamp(0, 1)) for i in (nearest, new))
        rows.append({"view": name, "psnr": value, "nearest": psnr(a, b, inside)})
    known = [row for row in rows if row["psnr"] is not None]
    return {
        "psnr": sum(row["psnr"] for row in known) / len(known),
        "psnr_nearest": sum(row["nearest"] for row in known) / len(known),
        "silhouette_iou": measured["silhouette_iou"],
        "views": rows,
        **cost(report),
    }


def disturbed(capture: Capture, seed: int = 0) -> Cameras:
    """Cameras turned by 1 degree, moved by 1 % of their distance to the object, 1 % longer in focal length."""
    cameras, generator = capture.cameras, torch.Generator().manual_seed(seed)
    bounds = object_bounds(cameras, capture.require_masks(), capture.known, tolerance=1)
    middle = bounds.mean(dim=0).double()
    poses, K = cameras.T_cam_world.double().clone(), cameras.K.double().clone()
    for i in range(len(cameras)):
        axis, way = torch.nn.functional.normalize(
            torch.randn(2, 3, generator=generator, dtype=torch.float64), dim=1
        )
        x, y, z = (math.radians(1.0) * axis).tolist()
        turn = torch.linalg.matrix_exp(
            torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
        )
        centre = cameras.centers[i].double()
        centre = centre + 0.01 * float((centre - middle).norm()) * way
        poses[i, :3, :3] = turn @ poses[i, :3, :3]
        poses[i, :3, 3] = -poses[i, :3, :3] @ centre
    K[:, 0, 0] *= 1.01
    K[:, 1, 1] *= 1.01
    return Cameras(poses, K, cameras.width, cameras.height)


def refined_from_noise(source: Path, out: Path, held_out: str, masks: str) -> dict:
    """Held-out IoU with true cameras, and with disturbed ones that are refined; and the focal length."""
    capture = load_capture(source, masks)
    noisy = out / "capture" / "transforms.json"
    if not noisy.exists():
        names = [f"images/{Path(name).stem}.png" for name in capture.names]
        for name, image, mask in zip(names, capture.images, capture.require_masks(), strict=True):
            picture = torch.cat([linear_to_srgb(image.clamp(0, 1)), mask[..., None]], dim=-1)
            save_image(out / "capture" / name, picture)
        save_transforms(disturbed(capture), noisy, names)
        save_transforms(capture.cameras, out / "capture" / "true.json", names)
    rows = {
        "true": reconstructed(noisy.with_name("true.json"), out / "true", "--hold-out", held_out),
        "refined": reconstructed(noisy, out / "refined", "--hold-out", held_out, "--refine-cameras", "yes"),
    }
    ious = {name: report["figures"]["held_out"]["silhouette_iou"] for name, report in rows.items()}
    found = read_cameras(out / "refined" / "cameras" / "transforms.json").views
    focal = sum(float(view.K[0, 0]) for view in found if view.K is not None) / len(found)
    return {
        "held_out_iou": {name: sum(row) / len(row) for name, row in ious.items()},
        "focal_length_error": focal / float(capture.cameras.K[:, 0, 0].mean()) - 1,
        "minutes": {name: cost(report)["minutes"] for name, report in rows.items()},
    }


def measure(name: str, work: Path) -> dict:
    """The figures of one line."""
    base = name.split("-")[0]
    source, out = data_folder("captures") / base, work / name
    if base == "cat":
        fast = ("--preset", "fast") if name.endswith("fast") else ()
        return in_turn(source, out) if name.endswith("turns") else all_silhouettes(source, out, *fast)
    if name in ("statue", "fox"):
        return against_nearest(source, out, HELD_OUT[name])
    if name == "bust":
        return refined_from_noise(photograph_bust(work / "bust-photographs"), out, HELD_OUT[name], "alpha")
    return refined_from_noise(source, out, HELD_OUT[name], "background")


LINES = ("cat", "cat-fast", "cat-turns", "statue", "fox", "dino", "bust")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=LINES, choices=LINES)
    parser.add_argument("--work", type=Path, default=Path("bozzetto-out/given-cameras"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for name in arguments.only:
        results = measure(name, arguments.work)
        print(name, json.dumps(results, indent=1), flush=True)
        save_part("given_cameras", name, results, arguments.out)


if __name__ == "__main__":
    main()

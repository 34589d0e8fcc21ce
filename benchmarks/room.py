"""From phone photos to a mesh, against exact truth: the bust in the furnished room.

    python benchmarks/room.py [--count 30] [--size 1024 768] [--seed 0] [--work DIR]
    python benchmarks/room.py --count 60 --size 4032 3024 --memory-only

Takes the photos (`pipelines.phone_photos`; kept in DIR and used again), runs `bozzetto reconstruct` on the folder
of photos and nothing else, and compares cameras, masks and mesh with the truth. Then the same with the true cameras
and masks given, which is as good as the optimiser can be. Cameras are compared after the similarity that takes the
estimated camera centres to the true ones; meshes after similarity ICP from there (the world of estimated cameras
has neither scale nor place). Of the true surface counts what two photos or more show: the bust stands on a table.
`--memory-only` leaves out the run with true cameras.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from common import RESULTS, save_results
from completion import umeyama
from PIL import Image

from bozzetto import Mesh, load_mesh
from bozzetto.cameras import Cameras, save_transforms
from bozzetto.cameras.formats import PosedViews, read_cameras
from bozzetto.geometry import SurfaceIndex
from bozzetto.pipelines import furnished_room, phone_photos
from bozzetto.pipelines.furnished_room import TABLE
from bozzetto.render import rasterize
from bozzetto.sdf.pose import compose
from bozzetto.shapes import Similarity, sample_surface, save_mesh

SAMPLES = 100_000
DEEPER = 2e-3
"""Metres behind the nearest surface at which a point still counts as seen."""
FARTHEST = 3.0
"""Median distances beyond which samples do not take part in the alignment."""


@dataclass(frozen=True)
class Truth:
    """The room's photographs: folder of photos, true views with masks, subject."""

    photos: Path
    posed: PosedViews
    masks: Path
    subject: Mesh

    @property
    def height(self) -> float:
        return float(self.subject.bounds[1, 1] - self.subject.bounds[0, 1])


def taken(work: Path, count: int, size: tuple[int, int], seed: int) -> Truth:
    """The photographs, new or from an earlier run."""
    folder = work / f"{count}-{size[0]}x{size[1]}-{seed}"
    file = folder / "truth" / "transforms.json"
    if not file.exists():
        begun = time.time()
        large = size[0] > 2000
        room = furnished_room(seed, detail=1.5 if large else 1.0)
        photos = phone_photos(folder, count, size, seed, room, samples=1 if large else 2)
        save_mesh(photos.subject, folder / "truth" / "subject.ply")
        save_transforms(photos.posed, file, [f"../photos/{photo.name}" for photo in photos.photos])
        print(f"{count} photos taken in {time.time() - begun:.0f} s")
    masks = folder / "truth" / "masks"
    return Truth(folder / "photos", read_cameras(file), masks, load_mesh(folder / "truth" / "subject.ply"))


def reconstruct(source: Path, out: Path, *options: str) -> dict:
    """The command that users type, in a process of its own; its report."""
    if not (out / "report.json").exists():
        command = [sys.executable, "-m", "bozzetto", "reconstruct", str(source), "--out", str(out), *options]
        print("$", " ".join(command[2:]))
        begun = time.time()
        subprocess.run([*command, "--overwrite"], check=True)
        (out / "wall.json").write_text(json.dumps(time.time() - begun))
    report = json.loads((out / "report.json").read_text())
    return {
        "minutes": json.loads((out / "wall.json").read_text()) / 60,
        "memory_gib": report["peak_memory_bytes"]["host"] / 2**30,
        "seconds": report["seconds"],
        "figures": report["figures"],
    }


def camera_errors(estimated: PosedViews, truth: PosedViews) -> tuple[dict, Similarity]:
    """How far the estimated cameras are off, and the similarity from their world to the true one."""
    known = {view.name: view.T_cam_world for view in truth.views}
    pairs = [(view.T_cam_world, known[Path(view.name).name]) for view in estimated.views]
    centres = [torch.stack([-T[:3, :3].T @ T[:3, 3] for T in side]) for side in zip(*pairs, strict=True)]
    S = umeyama(centres[0], centres[1])
    distance = float((centres[1] - centres[1].mean(dim=0)).norm(dim=1).mean())
    off = (S.apply(centres[0]) - centres[1]).norm(dim=1) / distance
    turned = []
    for estimate, true in pairs:
        R = estimate[:3, :3] @ S.rotation.T @ true[:3, :3].T
        turned.append(float(torch.rad2deg(torch.acos(((R.trace() - 1) / 2).clamp(-1, 1)))))
    errors = {
        "placed": len(pairs) / len(truth.views),
        "rotation_degrees": {"median": statistics.median(turned), "worst": max(turned)},
        "centre_percent": {"median": 100 * float(off.median()), "worst": 100 * float(off.max())},
    }
    return errors, S


def mask_overlap(folder: Path, truth: Path) -> dict:
    """IoU of masks with the true ones, photo by photo."""
    values = {}
    for file in sorted(truth.glob("*.png")):
        made = next((p for p in folder.glob("*.png") if p.name.split(".")[0] == file.stem), None)
        if made is None:
            continue
        true = np.asarray(Image.open(file)) >= 128
        mask = Image.open(made).convert("L")
        turns = [np.rot90(np.asarray(mask.resize(size)), k) for k, size in _as_stored(mask, true.shape)]
        both = [((m >= 128) & true).sum() / max(((m >= 128) | true).sum(), 1) for m in turns]
        values[file.stem] = float(max(both))
    if not values:
        return {}
    worst = min(values, key=values.__getitem__)
    return {"mean": statistics.mean(values.values()), "worst": values[worst], "worst_photo": worst}


def _as_stored(mask: Image.Image, shape: tuple[int, int]) -> list[tuple[int, tuple[int, int]]]:
    """Quarter turns, and sizes to have before them, that bring a mask to a shape."""
    height, width = shape
    if (mask.width > mask.height) == (width > height):
        return [(0, (width, height))]
    return [(1, (height, width)), (-1, (height, width))]


def seen_faces(truth: Truth) -> torch.Tensor:
    """Faces of the subject that two photographs or more show, the table hiding some."""
    mesh, count = truth.subject, len(truth.subject.faces)
    corners = torch.tensor(
        [[-0.42, TABLE, -0.42], [0.42, TABLE, -0.42], [0.42, TABLE, 0.42], [-0.42, TABLE, 0.42]]
    )
    vertices = torch.cat([mesh.vertices, corners])
    table = torch.tensor([[0, 1, 2], [0, 2, 3]]) + len(mesh.vertices)
    faces = torch.cat([mesh.faces, table])
    middle = mesh.vertices[mesh.faces].mean(dim=1)
    shown = torch.zeros(count)
    for view in truth.posed.views:
        assert view.K is not None and view.size is not None
        camera = Cameras(view.T_cam_world[None], view.K[None], *view.size)
        fragments = rasterize(vertices, faces, camera)
        depth = torch.full((view.size[0] * view.size[1],), torch.inf)
        depth[fragments.pixel] = fragments.depth
        u, v, z = camera.project(middle)[0].T
        inside = (u > 0) & (v > 0) & (u < view.size[0]) & (v < view.size[1]) & (z > 0)
        pixel = (v.long() * view.size[0] + u.long()).clamp(0, len(depth) - 1)
        shown += (inside & (z < depth[pixel] + DEEPER)).float()
    return shown >= 2


def mesh_errors(mesh: Mesh, truth: Truth, seen: torch.Tensor, S: Similarity) -> dict:
    """Mean distances between result and truth, after similarity ICP, over what is seen."""
    subject = Mesh(truth.subject.vertices, truth.subject.faces[seen])
    points = sample_surface(subject, SAMPLES, torch.Generator().manual_seed(0))[0]
    for _ in range(60):
        moved = mesh.with_vertices(S.apply(mesh.vertices.double()).float())
        found = SurfaceIndex(moved).closest(points)
        near = found.distance < FARTHEST * found.distance.median()
        S = compose(umeyama(found.point[near].double(), points[near].double()), S)
    moved = mesh.with_vertices(S.apply(mesh.vertices.double()).float())
    to_result = SurfaceIndex(moved).closest(points).distance
    made = sample_surface(moved, SAMPLES, torch.Generator().manual_seed(1))[0]
    nearest = SurfaceIndex(truth.subject).closest(made)
    to_truth = nearest.distance[seen[nearest.face]]
    mean = 0.5 * (float(to_result.mean()) + float(to_truth.mean()))
    return {
        "mean_mm": 1000 * mean,
        "mean_percent_of_height": 100 * mean / truth.height,
        "truth_to_result_mm": 1000 * float(to_result.mean()),
        "result_to_truth_mm": 1000 * float(to_truth.mean()),
        "percentile_95_mm": 1000 * float(torch.quantile(torch.cat([to_result, to_truth]), 0.95)),
        "share_of_truth_seen": float(seen.float().mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 768))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("bozzetto-out/room"))
    parser.add_argument("--memory-only", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    truth = taken(options.work, options.count, tuple(options.size), options.seed)
    folder = truth.photos.parent
    seen = seen_faces(truth)

    run = folder / "photos-only"
    alone = reconstruct(truth.photos, run)
    cameras, S = camera_errors(read_cameras(run / "cameras" / "transforms.json", truth.photos), truth.posed)
    alone |= {"cameras": cameras, "masks": mask_overlap(run / "masks", truth.masks)}
    alone["mesh"] = mesh_errors(load_mesh(run / "mesh.ply"), truth, seen, S)
    results = {"photos": options.count, "size": list(options.size), "photos_only": alone}
    if not options.memory_only:
        file = folder / "truth" / "transforms.json"
        given = reconstruct(file, folder / "all-given", "--masks", str(truth.masks))
        nothing = Similarity(1.0, torch.zeros(3, dtype=torch.float64))
        given["mesh"] = mesh_errors(load_mesh(folder / "all-given" / "mesh.ply"), truth, seen, nothing)
        results["true_cameras_and_masks"] = given
        results["ratio"] = alone["mesh"]["mean_mm"] / given["mesh"]["mean_mm"]
    for name in ("photos_only", "true_cameras_and_masks"):
        if name in results:
            row = results[name]
            print(name, f"{row['minutes']:.1f} min, {row['memory_gib']:.1f} GiB", row["mesh"])
    print("cameras", alone["cameras"], "masks", alone["masks"], "ratio", results.get("ratio"))
    save_results("room" if not options.memory_only else "room_large", results, options.out)


if __name__ == "__main__":
    main()

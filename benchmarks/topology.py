"""Genus, pieces and concavities from photographs: `--init volume` beside the visual hull.

    BOZZETTO_DATA=... python -m benchmarks.topology [--only bob chain]
    BOZZETTO_DATA=... python -m benchmarks.topology --lego
    BOZZETTO_DATA=... python -m benchmarks.topology --disagreement

White objects of known topology, seen from 36 directions on a sphere under a light that is learned, are
reconstructed twice with the preset `fast`, from a volume (which begins as an ellipsoid) and from the hull. The
truth is the topology of the mesh that was photographed. With `--lego`, the capture of that name with three
views held out, preset `default`: PSNR on the object in those views. With `--disagreement`, how much a volume
differs from the hull, by which `--init auto` chooses, for these objects, compact ones and captures.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_fill_holes, gaussian_filter

from benchmarks.helpers.common import RESULTS, benchmark_mesh, data_folder, save_part
from benchmarks.helpers.fitting import mesh_strip, targets_around
from bozzetto import Mesh
from bozzetto.cameras import Capture, visual_hull
from bozzetto.geometry import (
    connected_components,
    euler_number,
    implicit,
    intersecting_faces,
    is_manifold,
    is_watertight,
    isosurface,
)
from bozzetto.images import linear_to_srgb
from bozzetto.inverse import fit_volume, reconstruct_capture
from bozzetto.inverse.config import PRESETS, VolumeConfig
from bozzetto.inverse.photo_source import find_source, masked_capture
from bozzetto.inverse.volume import DISAGREEMENT, JUDGED
from bozzetto.metrics import photometric_error, psnr, silhouette_iou, surface_distance
from bozzetto.rendering import render
from bozzetto.shapes import icosphere, normalisation

VIEWS, SIZE = 36, 256
CHAIRS = (1, 5, 9, 14)
"""Entries of the set of voxelised chairs."""
HELD_OUT = ("r_24.png", "r_46.png", "r_69.png")
CAPTURES = ("dino", "temple", "lego")
SPACING = 1 / 80


def objects() -> dict[str, Mesh]:
    """The objects by name, of radius 1."""
    found = {name: benchmark_mesh(name) for name in ("bob", "rocker_arm")}
    found["chain of three"] = _of_field(_chain(), 2.2)
    found["two pieces"] = _of_field(_two_pieces(), 1.2)
    found["bowl on a ring"] = _of_field(_bowl(), 1.2)
    return found | {f"chair {number}": _chair(number) for number in CHAIRS}


def _unit(mesh: Mesh) -> Mesh:
    return mesh.with_vertices(normalisation(mesh.vertices).apply(mesh.vertices))


def _of_field(field: implicit.Field, size: float) -> Mesh:
    return _unit(implicit.zero_set(field, (-size,) * 3, (size,) * 3, SPACING * size))


def _chain() -> implicit.Field:
    ring = implicit.torus(0.6, 0.13)
    upright = implicit.rotate(ring, (1.0, 0.0, 0.0), 90)
    return implicit.union(
        implicit.translate(ring, (-0.85, 0.0, 0.0)), upright, implicit.translate(ring, (0.85, 0.0, 0.0))
    )


def _two_pieces() -> implicit.Field:
    """A peg in a ring, with a gap around it."""
    peg = implicit.rounded_box((0.25, 0.8, 0.25), 0.05)
    return implicit.union(implicit.torus(0.75, 0.2), peg)


def _bowl() -> implicit.Field:
    ball = implicit.sphere(0.8)
    inner = implicit.sphere(0.68)
    cup = implicit.difference(ball, inner, implicit.plane((0.0, -1.0, 0.0), 0.1))
    return implicit.union(cup, implicit.translate(implicit.torus(0.5, 0.12), (0.0, -0.72, 0.0)))


def _chair(number: int) -> Mesh:
    """A voxelised chair, filled and smoothed."""
    with np.load(data_folder("points") / "modelnet10_chairs.npz") as stored:
        bits, shape = stored["bits"][number], stored["shape"][1:]
    voxels = binary_fill_holes(np.unpackbits(bits)[: np.prod(shape)].reshape(shape))
    fine = np.pad(np.kron(voxels, np.ones((3, 3, 3))), 6)
    values = torch.from_numpy(0.5 - gaussian_filter(fine.astype(np.float32), 1.5))
    return _unit(isosurface(values, (-1.0,) * 3, [s / 50 - 1 for s in values.shape]))


def photographed(mesh: Mesh) -> Capture:
    """Pictures of a white object from around."""
    targets = targets_around(mesh, VIEWS, SIZE)
    names = tuple(f"{view:03}.png" for view in range(VIEWS))
    images, masks = targets.images[..., :3], targets.images[..., 3].clamp(0, 1)
    return Capture(
        names, targets.cameras, images.contiguous(), masks.contiguous(), torch.ones_like(masks) > 0
    )


def topology(mesh: Mesh) -> dict:
    """Pieces and the sum of their genera, and whether the surface is clean."""
    pieces = int(connected_components(mesh.faces, len(mesh.vertices)).max()) + 1
    return {
        "pieces": pieces,
        "genus": pieces - euler_number(mesh.faces) // 2,
        "clean": is_watertight(mesh.faces)
        and is_manifold(mesh.faces, len(mesh.vertices))
        and len(intersecting_faces(mesh)) == 0,
    }


def measured(mesh: Mesh, init: str) -> tuple[dict, Mesh]:
    """One object from one kind of first surface."""
    begin = time.perf_counter()
    found = reconstruct_capture(
        photographed(mesh), replace(PRESETS["fast"], init=init, volume=VolumeConfig())
    )
    seconds = round(time.perf_counter() - begin, 1)
    result = replace(found.mesh, offset=(0.0, 0.0, 0.0), colors=None)
    result = result.with_vertices(found.mesh.world_vertices.float())
    distance = surface_distance(result, mesh)
    row = {"start": topology(found.start), "result": topology(result)}
    return {
        **row,
        "mean_distance": distance.mean,
        "hausdorff": distance.hausdorff,
        "seconds": seconds,
    }, result


def lego() -> dict:
    """The capture of that name, with views held out."""
    capture = masked_capture(find_source(data_folder("captures") / "lego").posed)
    used, held_out = capture.split(HELD_OUT)
    rows = {}
    for init in ("hull", "volume"):
        begin = time.perf_counter()
        found = reconstruct_capture(used, replace(PRESETS["default"], init=init))
        row: dict = {"seconds": round(time.perf_counter() - begin, 1), **topology(found.mesh)}
        with torch.no_grad():
            pictures = render(found.mesh, held_out.cameras, found.light.coefficients.detach())
        photos, masks = held_out.foreground(), held_out.require_masks()
        inside = (pictures[..., 3] > 0.5) & (masks > 0.5)
        row["silhouette_iou"] = silhouette_iou(pictures[..., 3], masks).tolist()
        row["psnr"] = [
            psnr(linear_to_srgb(p.clamp(0, 1)), linear_to_srgb(q.clamp(0, 1)), i)
            for p, q, i in zip(pictures[..., :3], photos, inside, strict=True)
        ]
        row["photometric_error"] = photometric_error(pictures[..., :3], photos, inside).tolist()
        print(init, row, flush=True)
        rows[init] = row
    return {"held_out": HELD_OUT, **rows}


def disagreements() -> dict[str, float]:
    """`Volume.disagreement` with the hull when `hull_or_volume` looks at it."""
    found = {}
    compact = {name: benchmark_mesh(name) for name in ("bunny", "nefertiti", "spot")}
    meshes = {"sphere": icosphere(5)} | compact | objects()
    for name in (*meshes, *CAPTURES):
        if name in meshes:
            capture = photographed(meshes[name])
        else:
            capture = masked_capture(find_source(data_folder("captures") / name).posed)
        hull = visual_hull(capture.cameras, capture.require_masks(), capture.known, names=capture.names)
        levels = VolumeConfig().levels[:JUDGED]
        found[name] = fit_volume(capture, VolumeConfig(levels)).disagreement(hull)
        print(f"{name:20}{found[name]:.5f}", flush=True)
    return found


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--lego", action="store_true")
    parser.add_argument("--disagreement", action="store_true")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the results")
    options = parser.parse_args()
    if options.lego:
        save_part("topology", "lego", lego())
        return
    if options.disagreement:
        save_part("topology", "disagreement", {"hull_or_volume": DISAGREEMENT, "objects": disagreements()})
        return
    rows, right, meshes, labels = {}, 0, [], []
    for name, mesh in objects().items():
        if options.only is not None and name not in options.only:
            continue
        truth = topology(mesh)
        results = {init: measured(mesh, init) for init in ("hull", "volume")}
        rows[name] = {"truth": truth, **{init: row for init, (row, _) in results.items()}}
        found = results["volume"][0]["result"]
        right += all(found[key] == truth[key] for key in ("pieces", "genus"))
        print(name, rows[name], flush=True)
        meshes += [mesh, *(result for _, result in results.values())]
        labels += [name, "hull", "volume"]
    if options.sheets is not None:
        mesh_strip(meshes, options.sheets / "topology.png", labels, columns=6)
    scene = {"views": VIEWS, "size": SIZE, "right": right, "of": len(rows)}
    save_part("topology", "objects", {**scene, "objects": rows}, RESULTS)


if __name__ == "__main__":
    main()

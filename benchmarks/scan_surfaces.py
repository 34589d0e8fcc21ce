"""Surfaces of scans against screened Poisson (Open3D), from the same points in the same run.

    BOZZETTO_DATA=... python -m benchmarks.scan_surfaces --peer PYTHON

PYTHON is the interpreter of an environment of its own with Open3D; without it only ours are measured. Clouds:
twelve scans of the armadillo merged, with normals that face the scanners and without any, and each scan alone;
twelve scans of the drill merged; `points/noisy` and `points/partial`. Strays are left out beforehand, for both.
Poisson (depth 8, as by default) always gets the best normals there are: those that face the scanners, the
exact ones, or, of partial clouds, ours. What is closed is compared with its closed mesh. Where ends are open,
Poisson counts with or without the vertices of the lowest 5 % of its density, whichever is better.

F-scores at .25, .5 and 1 % of the diagonal are between 40,000 places on the mesh and the points. Since points
may be sparser than that, a place is as far from them as from the plane through the nearest one, if that lies
within two spacings. `volume` is of closed meshes.
"""

import argparse
import os
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree

from benchmarks.helpers.common import data_folder, save_results
from bozzetto.geometry import boundary_edges, closest_points, connected_components, euler_number
from bozzetto.points import load_posed_scans, load_range_scan, surface
from bozzetto.points.cloud_cleaning import clean_cloud
from bozzetto.points.orient import outward_normals
from bozzetto.shapes import Mesh, PointCloud, load_points, sample_surface

THRESHOLDS = {".25 %": 0.0025, ".5 %": 0.005, "1 %": 0.01}
PLACES = 40_000
SPARSE = 0.05  # share of the density below which Poisson is cut away
PEER = """
import sys, time
import numpy as np, open3d as o3d
o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)
given = np.load(sys.argv[1])
cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(given["points"].astype(float)))
cloud.normals = o3d.utility.Vector3dVector(given["normals"].astype(float))
began = time.process_time()
mesh, density = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=8, n_threads=1)
seconds = time.process_time() - began
np.savez(sys.argv[2], vertices=np.asarray(mesh.vertices), faces=np.asarray(mesh.triangles),
         density=np.asarray(density), seconds=seconds)
"""


def poisson(cloud: PointCloud, peer: str) -> tuple[Mesh, np.ndarray, float]:
    """Open3D's mesh, the density at its vertices, and seconds of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        assert cloud.normals is not None
        np.savez(given, points=cloud.points.numpy(), normals=cloud.normals.numpy())
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        subprocess.run([peer, "-c", PEER, given, made], check=True, env=environment)
        result = np.load(made)
        faces = torch.from_numpy(result["faces"]).long()
        mesh = Mesh(torch.from_numpy(result["vertices"]).float(), faces)
        return mesh, result["density"], float(result["seconds"])


def figures(mesh: Mesh, cloud: PointCloud) -> dict:
    """Of a mesh, and between it and the points."""
    assert cloud.normals is not None
    points, normals = cloud.points.double().numpy(), cloud.normals.double().numpy()
    places = sample_surface(mesh, PLACES, torch.Generator().manual_seed(0))[0].double().numpy()
    some = np.random.default_rng(0).permutation(len(points))[:PLACES]
    tree = KDTree(points)
    distance, index = tree.query(places)
    spacing = float(np.median(np.asarray(tree.query(points[some], 7)[0])[:, -1]))
    beside = np.abs(((places - points[index]) * normals[index]).sum(axis=1))
    distance = np.where(distance < 2 * spacing, beside, distance)
    back = closest_points(mesh, cloud.points[torch.from_numpy(some)])[0].numpy()
    diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
    row: dict = {
        "faces": len(mesh.faces),
        "pieces": int(connected_components(mesh.faces, len(mesh.vertices)).max()) + 1,
        "euler_number": euler_number(mesh.faces),
        "boundary_edges": len(boundary_edges(mesh.faces)),
    }
    if row["boundary_edges"] == 0:
        row["volume"] = float(torch.linalg.det(mesh.corners().double()).sum() / 6)
    for name, share in THRESHOLDS.items():
        precision, recall = (float((d < share * diagonal).mean()) for d in (distance, back))
        row[name] = 2 * precision * recall / max(precision + recall, 1e-12)
    return row


def clouds() -> dict[str, tuple[PointCloud, PointCloud, str]]:
    """Per name: the cloud with the best normals there are, the one that ours gets, and which ends."""
    result = {}
    scans, points = data_folder("scans"), data_folder("points")
    conf = scans / "armadillo" / "ArmadilloBack_estimated.conf"
    whole = clean_cloud(load_posed_scans(conf)).cloud
    result["armadillo, 12 scans"] = whole, whole, "closed"
    result["armadillo, 12 scans, no normals"] = whole, PointCloud(whole.points), "closed"
    for k in range(12):
        scan = load_range_scan(conf.parent / f"ArmadilloBack_{k}.ply")
        result[f"armadillo, scan {k}"] = scan, scan, "auto"
    drill = clean_cloud(load_posed_scans(scans / "drill" / "drill_1.6mm_cyb.conf")).cloud
    result["drill, 12 scans"] = drill, drill, "auto"
    for path in sorted((points / "noisy").glob("*.npz")):
        data = np.load(path)
        exact = PointCloud(*(torch.from_numpy(data[key]).float() for key in ("points", "normals")))
        result[f"noisy/{path.stem}"] = exact, exact, "closed"
        result[f"noisy/{path.stem}, no normals"] = exact, PointCloud(exact.points), "closed"
    for path in sorted((points / "partial").glob("*.ply")):
        part = clean_cloud(load_points(path)).cloud
        best = PointCloud(part.points, outward_normals(part.points))
        result[f"partial/{path.stem}"] = best, part, "auto"
    return result


def compared(best: PointCloud, given: PointCloud, ends, peer: str | None) -> dict:
    """Ours, and Poisson's."""
    began = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        mesh = surface(given, boundary=ends)
    seconds = time.process_time() - began
    words = [str(w.message) for w in said]
    row: dict = {"points": len(best), "ours": figures(mesh, best) | {"seconds": seconds, "words": words}}
    if peer is None:
        return row
    other, density, seconds = poisson(best, peer)
    row["poisson"] = figures(other, best) | {"seconds": seconds}
    rivals = [row["poisson"]]
    if ends != "closed":
        dense = torch.from_numpy(density > np.quantile(density, SPARSE))
        row["poisson, cut"] = figures(Mesh(other.vertices, other.faces[dense[other.faces].all(dim=1)]), best)
        rivals.append(row["poisson, cut"])
    row["at_least_equal"] = {
        name: row["ours"][name] >= max(rival[name] for rival in rivals) for name in THRESHOLDS
    }
    row["faces_over_poisson"] = row["ours"]["faces"] / row["poisson"]["faces"]
    return row


def main() -> None:
    """All clouds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peer", help="Python interpreter with Open3D")
    parser.add_argument("--only", default="", help="clouds whose names begin so")
    options = parser.parse_args()
    rows = {}
    for name, (best, given, ends) in clouds().items():
        if not name.startswith(options.only):
            continue
        rows[name] = compared(best, given, ends, options.peer)
        short = {k: v for k, v in rows[name]["ours"].items() if k != "words"}
        print(name, short, rows[name].get("at_least_equal"), rows[name].get("faces_over_poisson"), flush=True)
    save_results("scan_surfaces" if not options.only else "scan_surfaces_part", {"clouds": rows})


if __name__ == "__main__":
    main()

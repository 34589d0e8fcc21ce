"""Faces that cross in what is delivered: captures, and remeshed and simplified procedural shapes.

    BOZZETTO_DATA=... python -m benchmarks.clean_surfaces --captures dino temple lego cat
    python -m benchmarks.clean_surfaces --shapes 200 [--peer PYTHON]
    bozzetto demo --out demo && python -m benchmarks.clean_surfaces --folder demo

Counted are pairs of crossing faces by `intersecting_faces`, and with `--peer`, an interpreter with Open3D, by
Open3D. Of captures, `mesh.ply` (all faces) and `mesh.glb` (textured) are looked at. Each shape is remeshed by
default, remeshed evenly at half the default length, and simplified to a third of its faces.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.helpers.common import RESULTS, data_folder, save_part
from benchmarks.helpers.machined_parts import machined_parts
from bozzetto import Mesh, load_mesh, save_mesh
from bozzetto.geometry import (
    edge_lengths,
    intersecting_faces,
    is_manifold,
    is_watertight,
    merge_vertices,
    remesh,
    simplify,
    unique_edges,
)
from bozzetto.shapes import load_shape

PEER = """
import sys, open3d
mesh = open3d.io.read_triangle_mesh(sys.argv[1])
mesh.remove_duplicated_vertices()
print(len(mesh.get_self_intersecting_triangles()))
"""


def judged(mesh: Mesh, peer: str | None) -> dict:
    """Faces, crossing pairs, and whether the surface is manifold and closed once seams are sewn."""
    sewn, _ = merge_vertices(mesh)
    found = {
        "faces": len(sewn.faces),
        "crossing_pairs": len(intersecting_faces(sewn)),
        "manifold": is_manifold(sewn.faces, len(sewn.vertices)),
        "closed": is_watertight(sewn.faces),
    }
    if peer is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mesh.ply"
            save_mesh(Mesh(sewn.vertices, sewn.faces), path)
            done = subprocess.run([peer, "-c", PEER, str(path)], capture_output=True, text=True, check=True)
        found["open3d_crossing_pairs"] = int(done.stdout.split()[-1])
    return found


def reconstructed(name: str, out: Path, preset: str, peer: str | None) -> dict:
    """A capture by the command, as a user runs it."""
    words = ["reconstruct", str(data_folder("captures") / name), "--preset", preset, "--out", str(out)]
    command = [sys.executable, "-m", "bozzetto", *words, "--overwrite", "--json"]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    files = {file: judged(load_mesh(out / file), peer) for file in ("mesh.ply", "mesh.glb")}
    return {"preset": preset, "run_seconds": report["seconds"], **files}


def shapes(count: int, peer: str | None) -> dict:
    """Meshes with crossing faces, and largest numbers of them, for every way to make another mesh."""
    rows: dict[str, list[dict]] = {}
    for name, mesh in machined_parts(count).items():
        default = remesh(mesh)
        edge = float(edge_lengths(default.vertices, unique_edges(default.faces)).double().mean()) / 2
        made = {
            "given": mesh,
            "remesh": default,
            "remesh, even": remesh(mesh, edge, crease_angle=None, tolerance=None),
            "simplify": simplify(default, len(default.faces) // 3),
        }
        for way, other in made.items():
            rows.setdefault(way, []).append({"shape": name, **judged(other, peer)})
    return {
        way: {
            "shapes": len(found),
            "crossing": [r for r in found if r["crossing_pairs"] or r.get("open3d_crossing_pairs")],
            "open": sum(not r["closed"] for r in found),
            "not_manifold": sum(not r["manifold"] for r in found),
        }
        for way, found in rows.items()
    }


def in_folder(folder: Path, peer: str | None) -> dict:
    """All mesh files of a folder, for example of what `bozzetto demo` writes."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix in (".ply", ".glb", ".stl", ".obj"))
    found = {str(path.relative_to(folder)): load_shape(path) for path in paths}
    return {name: judged(shape, peer) for name, shape in found.items() if isinstance(shape, Mesh)}


def main() -> None:
    """Measure what is asked for; each part is stored by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--captures", nargs="*", default=[])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--shapes", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--peer", help="Python interpreter with Open3D")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the runs on captures")
    options = parser.parse_args()
    for name in options.captures:
        result = reconstructed(name, options.out / f"clean_{name}", options.preset, options.peer)
        print(name, json.dumps(result))
        save_part("clean_surfaces", name, result)
    if options.shapes:
        result = shapes(options.shapes, options.peer)
        print(json.dumps(result, indent=1))
        save_part("clean_surfaces", f"{options.shapes} machined parts", result)
    if options.folder:
        result = in_folder(options.folder, options.peer)
        print(json.dumps(result, indent=1))
        save_part("clean_surfaces", options.folder.name, result)


if __name__ == "__main__":
    main()

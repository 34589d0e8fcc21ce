"""Load a mesh, look at it, and save it in another format.

Run it on a mesh of yours: python examples/01_load_measure_save.py scan.obj scan.glb
Without arguments it makes a torus.
"""

import sys
import tempfile
from pathlib import Path

from bozzetto.geometry import euler_number, is_watertight
from bozzetto.shapes import load_mesh, sample_surface, save_mesh, torus


def main(source: Path, target: Path) -> None:
    mesh = load_mesh(source)
    low, high = mesh.bounds.tolist()
    print(f"{source.name}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces, from {low} to {high}")
    print(f"watertight: {is_watertight(mesh.faces)}, Euler number: {euler_number(mesh.faces)}")

    points, face = sample_surface(mesh, 1000)
    print(f"{len(points)} random points lie on {len(face.unique())} different faces")

    save_mesh(mesh, target)  # same vertices, same order, same frame
    print(f"wrote {target}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            save_mesh(torus(), Path(folder) / "torus.obj")
            main(Path(folder) / "torus.obj", Path(folder) / "torus.glb")

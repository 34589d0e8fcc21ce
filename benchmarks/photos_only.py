"""From photographs alone to a mesh, on real captures: temple and plush.

    BOZZETTO_DATA=... python -m benchmarks.photos_only [--sets temple plush] [--work DIR]

Runs `bozzetto reconstruct` on a folder of nothing but photographs and reads its report: how many photographs
were placed, figures on held-out photographs (temple), minutes and memory. For plush, silhouettes of the mesh
through the cameras as they were used are compared with outlines drawn by hand (`plush_polygons.json`), and so
are the masks that the program made.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.helpers.common import RESULTS, data_folder, save_part
from bozzetto import load_mesh
from bozzetto.cameras import load_views, read_cameras
from bozzetto.rendering import rasterize

HELD_OUT = {"temple": "templeSR0009.png,templeSR0013.png", "plush": ""}
POLYGONS = Path(__file__).parent / "helpers" / "plush_polygons.json"


def photos_of(name: str, folder: Path) -> Path:
    """The photographs of a capture, copied to a folder without their cameras."""
    source = data_folder("captures") / name
    source = source / "images" if (source / "images").is_dir() else source
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.suffix.lower() in (".png", ".jpg"):
            shutil.copy(path, folder / path.name)
    return folder


def reconstructed(name: str, work: Path) -> dict:
    """The report of the command, also of an earlier run, and its minutes."""
    run, clock = work / name, work / f"{name}-minutes.json"
    if not clock.exists():
        command = [
            sys.executable,
            "-m",
            "bozzetto",
            "reconstruct",
            str(photos_of(name, work / "photos" / name)),
        ]
        held_out = ["--hold-out", HELD_OUT[name]] if HELD_OUT[name] else []
        started = time.time()
        subprocess.run([*command, *held_out, "--out", str(run), "--overwrite"], check=True)
        clock.write_text(json.dumps((time.time() - started) / 60))
    return {"minutes": json.loads(clock.read_text())} | json.loads((run / "report.json").read_text())


def drawn_masks() -> dict[str, np.ndarray]:
    """Outlines drawn by hand, as masks, by the names of the photographs."""
    content = json.loads(POLYGONS.read_text())
    found = {}
    for name, shape in content["photographs"].items():
        image = Image.new("L", tuple(content["size"]), 0)  # all photographs have this size
        draw = ImageDraw.Draw(image)
        draw.polygon([tuple(point) for point in shape["outline"]], fill=255)
        for hole in shape.get("holes", []):
            draw.polygon([tuple(point) for point in hole], fill=0)
        found[name] = np.asarray(image) > 127
    return found


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def compared_with_drawings(run: Path, folder: Path) -> dict:
    """IoU of silhouettes of the mesh and of masks with the drawn ones, by photograph; None if not placed."""
    drawn = drawn_masks()
    folder.mkdir(exist_ok=True)
    for name, mask in drawn.items():
        Image.fromarray(mask).save(folder / f"{Path(name).stem}.png")
    posed = read_cameras(run / "cameras" / "transforms.json")
    views = tuple(replace(v, mask=None) for v in posed.views if Path(v.name).name in drawn)
    capture = load_views(
        replace(posed, views=views), folder
    )  # lens distortion is undone in the drawings, too
    mesh, rows = load_mesh(run / "mesh.ply"), dict.fromkeys(drawn)
    for i, name in enumerate(Path(n).name for n in capture.names):
        shown = rasterize(mesh.world_vertices.float(), mesh.faces, capture.cameras[[i]]).triangle[0] >= 0
        known, truth = capture.known[i], capture.require_masks()[i] > 0.5
        with Image.open(run / "masks" / f"{Path(name).stem}.png") as image:
            mask = np.asarray(image.convert("L").resize(drawn[name].shape[::-1])) > 127
        mesh_iou = overlap((shown.cpu() & known).numpy(), (truth & known).numpy())
        rows[name] = {"mesh": mesh_iou, "mask": overlap(mask, drawn[name])}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(HELD_OUT), choices=list(HELD_OUT))
    parser.add_argument("--work", type=Path, default=Path("bozzetto-out/photos-only"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for name in arguments.sets:
        report, run = reconstructed(name, arguments.work), arguments.work / name
        poses = json.loads((run / "cameras" / "estimated" / "report.json").read_text())["report"]
        results = {
            "photos": len(poses["photos"]),
            "placed": len(poses["placed"]),
            "minutes": report["minutes"],
            "memory_gib": report["peak_memory_bytes"]["host"] / 2**30,
            "stage_seconds": report["seconds"],
            "figures": report["figures"],
        }
        if name == "plush":
            results["drawn"] = compared_with_drawings(run, arguments.work / "drawn")
        print(name, json.dumps({k: v for k, v in results.items() if k != "figures"}, indent=1))
        figures = results["figures"]
        print(json.dumps(figures.get("held_out", figures["learned"]), indent=1))
        save_part("photos_only", name, results, arguments.out)


if __name__ == "__main__":
    main()

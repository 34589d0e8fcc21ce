"""Networks on scanned materials that none of them has seen, beside the photo's luminance and its normal map.

Twelve of the class A materials of BOZZETTO_DATA/textures are held out (`held_out` with seed 0; a file says
which ones it has not seen, and that is checked). Protocol HM-256: colour and height averaged over areas to
256 x 256, figures per material, then averaged; and again at their own size. The other scanned materials
that none of the networks has seen, since they may be used for tests only, are a second, separate table.

    bozzetto train heightmap $BOZZETTO_DATA/textures --held-out 12 --redistributable-only --minutes 60 \\
        --out runs-out/default
    bozzetto train heightmap $BOZZETTO_DATA/textures --held-out 12 --redistributable-only --minutes 60 \\
        --preset reference --out runs-out/reference
    python -m benchmarks.heightmap_materials default=runs-out/default/heights.safetensors \\
        reference=runs-out/reference/heights.safetensors

Files named NAME@MINUTES are snapshots: they make the learning curve.
"""

import argparse
import csv
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.helpers.common import data_folder, save_results
from bozzetto.geometry.heightfield import integrate_normals, load_normal_map
from bozzetto.heightmap import Predictor, height_map, held_out, load_predictor
from bozzetto.heightmap.pairs import PairFiles, find_pairs
from bozzetto.images import load_image, save_image
from bozzetto.images.resizing import resized
from bozzetto.metrics import GlcmReference, at_protocol_size, height_scores, lpips_missing, mean_scores
from bozzetto.shapes import load_height

COUNT = 12
LUMA = torch.tensor([0.299, 0.587, 0.114])
SHOWN = ("rmse_affine", "correlation", "ssim", "glcm_published", "glcm_z", "edge_f1_0", "edge_f1_2")
ASKED = {
    "rmse_affine": 0.10,
    "rmse_affine / luminance": 0.75,
    "ssim": 0.62,
    "glcm_published": 0.996,
    "edge_f1_0": 0.35,
    "edge_f1_2": 0.55,
    "edge_f1_published": 0.30,
    "sign_error": 0.15,
}


def conventions() -> dict[str, str]:
    with (data_folder("textures") / "manifest.csv").open(encoding="utf-8") as file:
        return {row["slug"]: row["normal_convention"].lower() for row in csv.DictReader(file)}


def photo_of(files: PairFiles) -> Tensor:
    image = load_image(files.color)
    return image[..., :1].expand(-1, -1, 3) if image.shape[-1] < 3 else image[..., :3]


def small(photo: Tensor, side: int) -> Tensor:
    """(S, S, 3), or the photo as it is for side 0."""
    return at_protocol_size(photo.movedim(-1, 0), side).movedim(0, -1) if side else photo


def integrated(files: PairFiles, shape: tuple[int, ...], convention: str) -> Tensor | None:
    """The own normal map of a material as a height: what a perfect estimator of normals would give."""
    found = list(files.color.parent.glob("normal.*"))
    if not found or not convention:
        return None
    normals = load_normal_map(found[0], convention)
    height = integrate_normals(normals.double(), "periodic" if files.tiles else "free").float()
    return resized(height[None], shape)[0]


def methods(networks: dict[str, Predictor]) -> dict[str, Callable]:
    kinds = conventions()
    found: dict[str, Callable] = {
        "luminance": lambda files, photo: photo @ LUMA,
        "normal map": lambda files, photo: integrated(files, tuple(photo.shape[:2]), kinds[files.name]),
    }
    for name, network in networks.items():
        found[name] = lambda files, photo, network=network: height_map(photo, network, files.tiles).height
    return found


def table(files: list[PairFiles], networks: dict[str, Predictor], side: int, pictures: Path | None) -> dict:
    photos = {f.name: small(photo_of(f), side) for f in files}
    truths = {f.name: load_height(f.height).height for f in files}
    truths = {name: at_protocol_size(t, side) if side else t for name, t in truths.items()}
    reference = GlcmReference(list(truths.values()))
    rows, materials, strips = {}, {}, {name: [] for name in photos}
    for method, predict in methods(networks).items():
        scores = {}
        for f in files:
            height = predict(f, photos[f.name])
            if height is None:
                continue
            scores[f.name] = height_scores(height, truths[f.name], reference)
            strips[f.name].append(height if scores[f.name].correlation > 0 else -height)
        rows[method] = {**mean_scores(list(scores.values())), "materials": len(scores)}
        materials[method] = {
            name: {k: asdict(s)[k] for k in ("rmse_affine", "correlation", "ssim", "edge_f1_2")}
            for name, s in scores.items()
        }
        print(f"{side or 'own size'} {method:12s}", {k: round(rows[method][k], 3) for k in SHOWN}, flush=True)
    if pictures is not None:
        sheet(photos, truths, strips, pictures)
    return {"table": rows, "per_material": materials}


def sheet(photos: dict, truths: dict, strips: dict, path: Path) -> None:
    """A row per material: photo, truth and every method (turned over where the sign was wrong)."""
    rows = []
    for name, photo in photos.items():
        maps = [truths[name], *strips[name]]
        while len(maps) < 1 + max(len(s) for s in strips.values()):
            maps.insert(2, torch.zeros_like(truths[name]))
        parts = [photo]
        for m in maps:
            low, high = m.flatten().quantile(0.005), m.flatten().quantile(0.995)
            parts.append(((m - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)[..., None].expand(-1, -1, 3))
        rows.append(torch.cat(parts, dim=1))
    save_image(path, torch.cat(rows))


def without_paths(training: dict) -> dict:
    return {name: value for name, value in training.items() if name != "data"}


def asked_and_found(rows: dict, name: str) -> dict:
    found = {key: rows[name].get(key) for key in ASKED}
    found["rmse_affine / luminance"] = rows[name]["rmse_affine"] / rows["luminance"]["rmse_affine"]
    return {key: {"asked": ASKED[key], "found": value} for key, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--name", default="heightmap_materials", help="of the results")
    parser.add_argument("--pictures", type=Path, help="write a sheet of pictures there")
    options = parser.parse_args()
    files = [f for f in find_pairs(data_folder("textures")) if f.kind == 0]
    away = held_out([f.name for f in files], COUNT)
    others = [f for f in files if f.name not in away]
    files = [f for f in files if f.name in away]
    networks, curve = {}, {}
    for word in options.networks:
        name, path = word.split("=", 1)
        network = load_predictor(path)
        seen = set(network.metadata.get("materials", [])) & set(away)
        if seen or not set(away) <= set(network.metadata.get("held_out", [])):
            raise SystemExit(
                f"{path} has not been trained with --held-out {COUNT} (it has seen {sorted(seen)})"
            )
        others = [f for f in others if f.name not in network.metadata.get("materials", [])]
        (curve if "@" in name else networks)[name] = network
    results = {
        "protocol": "HM-256 v1",
        "held_out": away,
        "lpips": lpips_missing() or "available",
        "trainings": {n: without_paths(p.metadata.get("training", {})) for n, p in networks.items()},
        "side_256": table(files, networks, 256, options.pictures),
        "own_size": table(files, networks, 0, None),
        "others": [f.name for f in others],
        "others_256": table(others, networks, 256, None) if others else None,
    }
    rows = results["side_256"]["table"]
    results["asked"] = {name: asked_and_found(rows, name) for name in networks}
    if curve:
        points = table(files, curve, 256, None)["table"]
        results["learning_curve"] = {n: {k: points[n][k] for k in ASKED if k in points[n]} for n in curve}
    save_results(options.name, results)


if __name__ == "__main__":
    main()

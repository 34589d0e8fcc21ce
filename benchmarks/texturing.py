"""Textures on 20,000 faces beside vertex colours, judged by photographs that were held out.

    python -m benchmarks.texturing --runs FOLDER

Reconstructs temple, cat and a bust of our own rendering (20 photographs, true cameras) as a user does, unless
the folder holds the runs of an earlier call; then simplifies, textures and measures, on the pixels of the
object in held-out photographs (sRGB, the same pixels for all):

- full: the whole mesh, its albedo under the light that was learned with it;
- vertex colours: the simplified mesh, likewise;
- photographs at vertices: the simplified mesh with the blended colours of its vertices, as photographed;
- texture: the simplified mesh with its texture, as photographed.

"gain" figures are after the best factor per channel and photograph, for photographs whose exposures differ.
Texels that no photograph shows are looked at for black (all channels below 0.02 in sRGB) and saturation (beyond
that of 99.9 % of the texels that are seen, by more than 0.1).
"""

import argparse
import json
import math
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from bozzetto import Cameras, Capture, Mesh, load_capture, load_mesh
from bozzetto.cameras import fibonacci_cameras, save_transforms
from bozzetto.datasets.synthetic import bust
from bozzetto.geometry import simplify
from bozzetto.images import linear_to_srgb, save_image
from bozzetto.inverse import bake_texture, capture_light
from bozzetto.metrics import psnr
from bozzetto.rendering import interpolate, mip_level, pixel_derivatives, rasterize, render, sample_texture
from bozzetto.shapes import TexturedMesh

HELD_OUT = 3
FACES = 20_000


def photograph_bust(folder: Path) -> Path:
    """Pictures of the bust under studio light, with alpha, as a capture."""
    path = folder / "transforms.json"
    if path.exists():
        return path
    subject = bust()
    low, high = subject.bounds
    place = {"target": (low + high) / 2, "up": (0.0, 1.0, 0.0), "fov": math.radians(28)}
    cameras = fibonacci_cameras(20 + HELD_OUT, distance=1.35, size=(576, 768), **place)
    names = [f"images/{i:02}.png" for i in range(len(cameras))]
    for i, name in enumerate(names):
        picture = smooth(lambda c: render(subject, c, capture_light()), cameras[[i]])[0].clamp(0, 1)
        alpha = picture[..., 3:]
        color = linear_to_srgb(picture[..., :3] / alpha.clamp_min(1e-6))
        save_image(folder / name, torch.cat([color.clamp(0, 1), alpha], dim=2))
    save_transforms(cameras, path, names)
    return path


def reconstructed(source: Path, out: Path, preset: str) -> tuple[Mesh, Tensor, list[str]]:
    """Mesh, light and names of the held-out photographs of a run."""
    if not (out / "report.json").exists():
        command = [sys.executable, "-m", "bozzetto", "reconstruct", str(source), "--preset", preset]
        command += ["--hold-out", str(HELD_OUT), "--out", str(out)]
        subprocess.run(command, check=True)
    report = json.loads((out / "report.json").read_text())
    light = torch.from_numpy(np.load(out / "light.npy"))
    return load_mesh(out / "mesh.ply"), light, report["figures"]["held_out"]["views"]


def smooth(draw, cameras: Cameras, samples: int = 2) -> Tensor:
    """Pictures as means over samples x samples points per pixel."""
    pictures = []
    for i in range(len(cameras)):
        fine = cameras[[i]].resized(cameras.width * samples, cameras.height * samples)
        picture = draw(fine)[0].view(cameras.height, samples, cameras.width, samples, 4)
        pictures.append(picture.mean(dim=(1, 3)))
    return torch.stack(pictures)


def drawn(mesh: Mesh, camera: Cameras, colors) -> Tensor:
    """A picture of what `colors` gives for the covered pixels, unlit."""
    fragments = rasterize(mesh.vertices, mesh.faces, camera.relative_to(mesh.offset))
    picture = torch.zeros(camera.height * camera.width, 4)
    picture[fragments.pixel] = torch.nn.functional.pad(colors(fragments), (0, 1), value=1.0)
    return picture.view(1, camera.height, camera.width, 4)


def picture_of(model: TexturedMesh, camera: Cameras) -> Tensor:
    """The texture as it is, mip-mapped."""
    corners = model.uv[model.uv_faces]

    def colors(fragments):
        level = mip_level(pixel_derivatives(fragments, corners), model.image)
        return sample_texture(model.image, interpolate(fragments, corners), level, wrap="clamp")

    return drawn(model.mesh, camera, colors)


def quality(pictures: Tensor, photos: Tensor, counted: Tensor) -> dict:
    """PSNR on the counted pixels, mean over the views, as it is and after the best factor per channel."""
    plain, gained = [], []
    for picture, photo, known in zip(pictures[..., :3], photos, counted, strict=True):
        factor = (picture[known] * photo[known]).sum(dim=0) / picture[known].square().sum(dim=0)
        target = linear_to_srgb(photo.clamp(0, 1))
        plain.append(psnr(linear_to_srgb(picture.clamp(0, 1)), target, known))
        gained.append(psnr(linear_to_srgb((picture * factor).clamp(0, 1)), target, known))
    return {"psnr": sum(plain) / len(plain), "psnr_gain": sum(gained) / len(gained)}


def fill_figures(model: TexturedMesh, capture: Capture) -> dict:
    """How the texels of faces that no photograph shows look."""
    seen = torch.zeros(len(model.mesh.faces), dtype=torch.bool)
    for i in range(len(capture)):
        camera = capture.cameras[[i]].relative_to(model.mesh.offset)
        seen[rasterize(model.mesh.vertices, model.mesh.faces, camera).face] = True
    middles = model.uv[model.uv_faces].mean(dim=1)
    colors = linear_to_srgb(sample_texture(model.image, middles, wrap="clamp"))
    saturation = colors.amax(dim=1) - colors.amin(dim=1)
    limit = float(saturation[seen].quantile(0.999)) + 0.1
    hidden = ~seen
    return {
        "unseen_faces": int(hidden.sum()),
        "black": int((colors[hidden].amax(dim=1) < 0.02).sum()),
        "saturated": int((saturation[hidden] > limit).sum()),
    }


def measure(name: str, source: Path, out: Path, preset: str) -> dict:
    """Figures of one capture."""
    full, light, held_names = reconstructed(source, out, preset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        capture, held = load_capture(source).split(held_names)
    clock = time.process_time()
    simple = simplify(full, FACES)
    simplified = time.process_time() - clock
    clock = time.process_time()
    model = bake_texture(simple, capture, fine=full)
    baked = time.process_time() - clock
    pictures = {
        "full": smooth(lambda c: render(full, c, light), held.cameras),
        "vertex colours": smooth(lambda c: render(simple, c, light), held.cameras),
        "photographs at vertices": smooth(
            lambda c: drawn(model.mesh, c, lambda f: interpolate(f, model.mesh.colors)), held.cameras
        ),
        "texture": smooth(lambda c: picture_of(model, c), held.cameras),
    }
    counted = (held.require_masks() > 0.5) & held.known
    for picture in pictures.values():
        counted = counted & (picture[..., 3] > 0.5)
    photos = held.foreground()
    rows = [torch.cat(list(p[..., :3]), dim=1) for p in (photos, *pictures.values())]
    save_image(out / "texturing.png", linear_to_srgb(torch.cat(rows).clamp(0, 1)))
    figures = {key: quality(picture, photos, counted) for key, picture in pictures.items()}
    print(name, json.dumps(figures))
    return {
        "views": len(capture),
        "held_out": held_names,
        "faces": {"full": len(full.faces), "simple": len(simple.faces)},
        "texels": model.image.shape[0],
        "cpu_seconds": {"simplify": simplified, "texture": baked},
        "quality": figures,
        "fill": fill_figures(model, capture),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, required=True, help="folder of the reconstructions")
    parser.add_argument("--preset", default="fast", choices=["fast", "default", "fine"])
    parser.add_argument("--subjects", nargs="+", default=["temple", "cat", "bust"])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    results = {}
    for name in options.subjects:
        own = name == "bust"
        source = photograph_bust(options.runs / "bust-capture") if own else data_folder("captures") / name
        results[name] = measure(name, source, options.runs / name, options.preset)
    save_results("texturing", {"preset": options.preset, "results": results}, options.out)


if __name__ == "__main__":
    main()

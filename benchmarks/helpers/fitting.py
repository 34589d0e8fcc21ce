"""The synthetic experiment behind several benchmarks: a known mesh seen from around, fitted from a sphere."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from bozzetto import Mesh
from bozzetto.cameras import Cameras, fibonacci_cameras, intrinsics_from_fov, look_at
from bozzetto.geometry import self_intersections
from bozzetto.images import linear_to_srgb, srgb_to_linear
from bozzetto.inverse import (
    Light,
    Optimization,
    OptimizeConfig,
    Targets,
    capture_light,
    optimize,
    synthetic_targets,
)
from bozzetto.metrics import flipped_faces, surface_distance
from bozzetto.rendering import contact_sheet, render
from bozzetto.rendering import studio_light as display_light
from bozzetto.shapes import icosphere

DISTANCE, FOV = 3.5, math.radians(36)
START_RADIUS = 0.5
PAPER_TONE = torch.tensor([0.96, 0.95, 0.93])


def targets_around(mesh: Mesh, views: int = 25, size: int = 256) -> Targets:
    """Pictures of a mesh of radius 1 from directions spread evenly over a sphere, under the studio light."""
    cameras = fibonacci_cameras(views, distance=DISTANCE, fov=FOV, size=size)
    return synthetic_targets(mesh, cameras, capture_light())


def pixel(size: int) -> float:
    """Length that covers one pixel in the middle of the scene."""
    return 2 * DISTANCE * math.tan(FOV / 2) / size


def start_sphere(subdivisions: int) -> Mesh:
    """The sphere that a fit begins with."""
    return icosphere(subdivisions, START_RADIUS)


def begin(targets: Targets, start: Mesh, config: OptimizeConfig) -> Optimization:
    """A fit with known light that has not made a step."""
    return Optimization(targets, start, Light(capture_light(), len(targets)), config)


def fit(targets: Targets, start: Mesh, config: OptimizeConfig, on_step=None) -> tuple[Mesh, list[float]]:
    """Fit with known light; the mesh and the image loss at every step."""
    losses: list[float] = []

    def note(optimization: Optimization, loss: float) -> None:
        losses.append(loss)
        if on_step is not None:
            on_step(optimization)

    return optimize(targets, start, capture_light(), config, on_step=note), losses


def quality(mesh: Mesh, target: Mesh) -> dict:
    """Distances to the target in units of its bounding sphere's radius, flipped and intersecting faces."""
    distance = surface_distance(mesh, target)
    return {
        "mean_distance": distance.mean,
        "hausdorff": distance.hausdorff,
        "flipped_faces": flipped_faces(mesh, target).count,
        "self_intersecting_faces": int(self_intersections(mesh).sum()),
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
    }


def settings(config: OptimizeConfig) -> dict:
    """What differs from the defaults, and lambda and step size in any case."""
    kept = ("smoothness", "step_size")
    return {k: v for k, v in asdict(config).items() if k in kept or v != getattr(OptimizeConfig(), k)}


def mesh_strip(
    meshes: Sequence[Mesh],
    path: Path,
    labels: Sequence[str],
    columns: int = 0,
    size: int = 240,
    eye: tuple[float, float, float] = (1.1, 0.5, 3.3),
) -> None:
    """A picture of meshes of radius about 1, all seen by the same camera, with a label under each."""
    camera = Cameras(
        look_at(eye, (0, 0, 0), (0, 1, 0)),
        intrinsics_from_fov(FOV, 2 * size, 2 * size)[None],
        2 * size,
        2 * size,
    )
    light, font, tiles = display_light(front=eye), ImageFont.load_default(13), []
    for mesh, label in zip(meshes, labels, strict=True):
        picture = render(mesh, camera, light)[0].detach()
        picture = picture[..., :3].clamp(0, 1) + (1 - picture[..., 3:].clamp(0, 1)) * srgb_to_linear(
            PAPER_TONE
        )
        fine = linear_to_srgb(picture.unflatten(0, (size, 2)).unflatten(2, (size, 2)).mean(dim=(1, 3)))
        tile = Image.new("RGB", (size, size + 22), (245, 242, 237))
        tile.paste(Image.fromarray((fine * 255).round().byte().numpy()))
        ImageDraw.Draw(tile).text((size / 2, size + 4), label, (60, 57, 54), font, anchor="ma")
        tiles.append(torch.from_numpy(np.array(tile)).float() / 255)
    columns = columns or len(tiles)
    tiles += [PAPER_TONE.expand(size + 22, size, 3)] * (-len(tiles) % columns)
    sheet = contact_sheet(tiles, columns, gap=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((sheet * 255).round().byte().numpy()).quantize(128).save(path)

"""The heightmap engine in run folders: height maps of photos with all their files, and training."""

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError, warn_input
from ..files import remove_leftovers
from ..geometry.heightfield import integrate_normals, normals_from_height
from ..geometry.heightfield.maps import ambient_occlusion, curvature, save_normal_map
from ..geometry.heightfield.relief import relief_mesh, save_relief
from ..images import linear_to_srgb, save_image, srgb_to_linear
from ..images.resizing import resized
from ..images.stored_picture import check_file
from ..metrics import seam_ratio
from ..photometric.photometric_stereo import photometric_stereo
from ..runs import RunFolder, learn
from ..shapes import HeightField, save_height
from .config import TrainConfig
from .data import Crops, procedural_pairs
from .pairs import PairFiles, load_pairs
from .photos import check_photo, load_photo
from .predict import height_map
from .predictor import Predictor
from .train import Training

PREVIEW_SIDE = 512
LARGEST_LIGHTS = 1 << 20


@dataclass(frozen=True)
class MapOptions:
    """Settings of the files that are written for a photo.

    Attributes:
        size_mm: Width of the surface in the photo, in millimetres.
        depth_mm: Height difference between the lowest and the highest point, in millimetres; None takes a
            twentieth of the width.
        strength: Factor on the depth.
        invert: Whether to invert heights, so that hollows become hills.
        tiles: Whether the photo is periodic; None decides by comparing opposite borders.
        normals: Convention of the normal map, `gl` or `dx`.
        wrap: Shape of the relief, `plane` or `cylinder`.
        occlusion, curvature: Whether to write these maps, too.
        faces: Largest number of triangles of the relief; 0 writes no relief.
        detail: Whether to process the photo also at sizes of more than 256 pixels.
    """

    size_mm: float = 1000.0
    depth_mm: float | None = None
    strength: float = 1.0
    invert: bool = False
    tiles: bool | None = None
    normals: str = "gl"
    wrap: str = "plane"
    occlusion: bool = False
    curvature: bool = False
    faces: int = 100_000
    detail: bool = True

    def field(self, height: Float[Tensor, "H W"], tiles: bool) -> HeightField:
        """Height field in millimetres from a height map with values from 0 to 1."""
        depth = self.size_mm / 20 if self.depth_mm is None else self.depth_mm
        field = HeightField(height, self.size_mm, depth, tiles)
        return (field.inverted() if self.invert else field).exaggerated(self.strength)


def map_photo(
    run: RunFolder, source: Path, name: str, predictor: Predictor, options: MapOptions
) -> dict[str, Any]:
    """Predict the height of one photo and write its files to the folder `name` of the run folder.

    Raises:
        InputError: The photo cannot be used.
    """
    with run.stage("read"):
        photo = load_photo(source)
        check_photo(source, photo)
    with run.stage("predict"):
        result = height_map(photo, predictor, options.tiles, options.detail, str(source))
    field = options.field(result.height, result.tiles)
    write_maps(run, name, photo, field, options, result.confidence)
    return {
        "source": str(source),
        "folder": str(run.path / name),
        "pixels": list(photo.shape[1::-1]),
        "width_mm": field.width_mm,
        "depth_mm": field.depth_mm,
        "tiles": result.tiles,
        "flat": float(result.height.max()) == 0,
        "confidence": round(float(result.confidence.mean()), 3),
        "upright_probability": round(result.upright, 3),
        "seam_ratio": [round(r, 3) for r in seam_ratio(result.height)],
    }


def stereo_photos(
    run: RunFolder, sources: Sequence[Path], lights: Path | None, name: str, options: MapOptions
) -> dict[str, Any]:
    """Photometric stereo: one surface in three or more photos, each under one light.

    Args:
        run: The run folder.
        sources: The photos, from the same camera.
        lights: JSON file with a list of vectors (x right, y up, z to the camera) towards the lights, whose
            length is the intensity; None estimates them.
        name: Name of the folder of the results in the run folder.
        options: Which files to write. Unless `depth_mm` is given, the depth follows from the normals.

    Raises:
        InputError: Sizes differ, or the photos or lights cannot be used.
    """
    with run.stage("read"):
        photos = [load_photo(path) for path in sources]
    for path, photo in zip(sources, photos, strict=True):
        if photo.shape != photos[0].shape:
            raise InputError(
                f"{path} is {photo.shape[1]} x {photo.shape[0]} and {sources[0]} {photos[0].shape[1]} x "
                f"{photos[0].shape[0]} pixels; photos under different lights must have the same size"
            )
    with run.stage("predict"):
        brightness = torch.stack([srgb_to_linear(photo).mean(dim=-1) for photo in photos])
        for path, light in zip(sources, brightness, strict=True):
            if float(light.max()) - float(light.min()) < 1e-6:
                warn_input(f"{path} is of one colour all over, so it says nothing about the surface")
        found = photometric_stereo(brightness, None if lights is None else load_lights(lights))
        tiles = bool(options.tiles)
        height = integrate_normals(found.normals.double(), "periodic" if tiles else "free").float()
        field = HeightField.from_mm(
            height * options.size_mm / height.shape[1], options.size_mm / height.shape[1], tiles
        )
    if options.depth_mm is not None:
        field = replace(field, depth_mm=options.depth_mm)
    field = (field.inverted() if options.invert else field).exaggerated(options.strength)
    albedo = found.albedo / found.albedo.max().clamp(min=1e-6)
    fit = 1 - (found.residual / brightness.mean(dim=0).clamp(min=1e-3)).clamp(0, 1)
    write_maps(run, name, photos[0], field, options, fit)
    save_image(run.file(f"{name}/albedo.png"), linear_to_srgb(albedo.clamp(0, 1)))
    return {
        "sources": [str(path) for path in sources],
        "folder": str(run.path / name),
        "lights": found.lights.tolist(),
        "sign_is_guessed": found.sign_is_guessed,
        "width_mm": field.width_mm,
        "depth_mm": field.depth_mm,
        "residual": round(float(found.residual.mean()), 5),
    }


def load_lights(path: Path) -> Float[Tensor, "N 3"]:
    """Read vectors towards lights from a JSON file.

    Raises:
        InputError: The file is not a list of vectors of three finite numbers, or all lights are behind the
            surface.
    """
    check_file(path, "list of lights")
    if path.stat().st_size > LARGEST_LIGHTS:
        raise InputError(f"{path} is too long for a list of lights; give JSON like [[x, y, z], ...]")
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as lights ({error}); give a JSON list like [[x, y, z], ...]"
        ) from None
    if not isinstance(rows, list) or not rows or not all(_is_vector(row) for row in rows):
        raise InputError(f"{path} does not hold a list of [x, y, z], three finite numbers for each photo")
    lights = torch.tensor(rows, dtype=torch.float32)
    if bool((lights.norm(dim=1) == 0).any()):
        raise InputError(f"{path} holds a light of [0, 0, 0]; give vectors towards the lights")
    if bool((lights[:, 2] <= 0).all()):
        raise InputError(
            f"{path} holds lights that all shine from behind the surface; z must point towards the camera"
        )
    return lights


def _is_vector(row: object) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 3
        and all(isinstance(n, int | float) and not isinstance(n, bool) and abs(n) < 1e30 for n in row)
    )


def write_maps(
    run: RunFolder,
    name: str,
    photo: Float[Tensor, "H W 3"],
    field: HeightField,
    options: MapOptions,
    confidence: Float[Tensor, "H W"],
) -> None:
    """Write heights, normals, relief, preview and the requested further maps."""
    with run.stage("write"):
        save_height(field, run.file(f"{name}/height.png"))
        save_height(field, run.file(f"{name}/height.exr"))
        normals = normals_from_height(field.in_pixels(), field.boundary)
        save_normal_map(normals, run.file(f"{name}/normal.png"), options.normals)
        if options.occlusion:
            save_image(run.file(f"{name}/ao.png"), ambient_occlusion(field))
        if options.curvature:
            bent = curvature(field)
            save_image(run.file(f"{name}/curvature.png"), 0.5 + bent / (4 * bent.std() + 1e-9))
        save_image(run.file(f"{name}/preview.png"), preview(photo, field, normals, confidence))
    if options.faces:
        with run.stage("relief"):
            relief = relief_mesh(field, options.wrap, max_faces=options.faces)
            save_relief(relief, run.file(f"{name}/relief.glb"), photo)


def preview(
    photo: Float[Tensor, "H W 3"],
    field: HeightField,
    normals: Float[Tensor, "H W 3"],
    confidence: Float[Tensor, "H W"],
) -> Float[Tensor, "h w 3"]:
    """Picture of photo, height, shaded relief with light from the upper left, and confidence, side by side."""
    light = torch.tensor([-0.5, 0.5, 0.7071])
    lit = (normals @ light).clamp(min=0) * 0.85 + 0.1
    grey = [field.height, lit, confidence]
    shown = [photo, *(maps[..., None].expand(-1, -1, 3) for maps in grey)]
    scale = min(1.0, PREVIEW_SIDE / max(photo.shape[:2]))
    size = [max(1, round(n * scale)) for n in photo.shape[:2]]
    small = [resized(maps.movedim(-1, 0), size).movedim(0, -1) for maps in shown]
    return torch.cat(small, dim=1)


def safe_out(out: Path, sources: Sequence[Path]) -> None:
    """Raise an error if results would be written to the folder of the photos.

    Raises:
        InputError: The output folder is a photo, or directly contains one of them.
    """
    for source in sources:
        if os.path.realpath(source) == os.path.realpath(out):
            raise InputError(f"--out {out} is a photo to read; give another folder")


PREVIEWS = 8


def training_material(
    run: RunFolder,
    files: Sequence[PairFiles],
    config: TrainConfig,
    synthetic: int,
    exclude: Collection[str] = (),
    ship_only: bool = False,
    store: Path | None = None,
    quiet: bool = True,
) -> tuple[list[PairFiles], Crops]:
    """Select training pairs, and build crops of them and of procedural samples.

    Args:
        run: The run folder, which stores the procedural samples if `store` is None.
        files: All pairs.
        config: Settings of the training.
        synthetic: Number of procedural samples.
        exclude: Names of materials to leave out.
        ship_only: Whether to take only pairs whose licence allows weights to be distributed.
        store: Folder of procedural samples that several trainings share.
        quiet: Whether to hide the progress bar.
    """
    run.begin()
    chosen = [f for f in files if f.name not in exclude and (f.ship or not ship_only)]
    own = run.path / "prepared"
    remove_leftovers(own)
    with run.stage("prepare"):
        chosen, pairs = load_pairs(chosen, config.side)
        samples = procedural_pairs(synthetic, config.seed + 1, config.side, None, store or own, quiet)
    return chosen, Crops(
        pairs, samples, config.shares, config.side, config.relight, config.recolor, config.seed
    )


def learn_heights(
    run: RunFolder, training: Training, quiet: bool = False, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Train a network in a run folder, continuing from its checkpoint if it has one.

    Writes `heights.safetensors`, and `preview.png` with some crops, their true and their predicted heights.

    Returns:
        Metrics: losses, steps, parameters, notes.
    """
    preview = partial(training_preview, crops=training.crops)
    predictor, metrics = learn(run, training, "heights.safetensors", preview, quiet, metadata)
    count = sum(p.numel() for p in predictor.network.parameters())
    return {**metrics, "parameters": count, "notes": training.notes}


def training_preview(predictor: Predictor, crops: Crops, count: int = PREVIEWS) -> Tensor:
    """Picture with one row per crop: photo, true height, predicted height."""
    batch = crops.draw(2**31, count)
    with torch.inference_mode():
        height = predictor.network(batch.photos).height
    rows = []
    for photo, truth, found in zip(batch.photos, batch.heights, height, strict=True):
        maps = [((m - m.mean()) / (5 * m.std() + 1e-9) + 0.5).clamp(0, 1) for m in (truth, found)]
        rows.append(torch.cat([photo, *(m.expand(3, -1, -1) for m in maps)], dim=2))
    return torch.cat(rows, dim=1).movedim(0, -1)

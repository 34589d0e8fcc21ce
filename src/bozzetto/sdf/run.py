"""The sdf engine in run folders: training a prior, completing a scan, interpolation, new shapes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import warn_input
from ..files import write_text
from ..geometry import is_one_solid
from ..images import save_image
from ..metrics import mesh_report
from ..points import surface
from ..rendering import contact_sheet, mesh_sheet, turntable_views
from ..runs import RunFolder, learn
from ..shapes import Mesh, Similarity, load_shape, save_mesh, save_morph, save_sequence
from ..shapes.similarity import rotation_of
from .complete import Completion, complete
from .data import Collection, is_prepared, load_collection
from .extract import extract_mesh
from .interpolate import Interpolation, interpolate
from .observations import Observations
from .prepare import find_meshes, prepare_collection, settings_of
from .prior import ShapePrior, save_code
from .sample import sample
from .solver import CompleteConfig, with_width
from .train import Training

PREVIEWS = 8
PREVIEW_RESOLUTION = 96


def prepared_collection(
    run: RunFolder, data: Path, count: int, split: Path | None = None, seed: int = 0, quiet: bool = False
) -> Collection:
    """The samples of a folder: read if it is prepared; computed, in the run folder, if it contains meshes.

    `data` may also be a single file: a mesh, or a scan, whose closed surface is first written as `surface.ply`.

    Raises:
        InputError: The folder has neither samples nor meshes, or most meshes cannot be used.
    """
    if is_prepared(data):
        return load_collection(data, split)
    run.begin()
    folder = run.path / "prepared"
    settings = {"count": count, "seed": seed, "protocol": "released"}
    other = settings_of(folder) not in (None, settings)
    with run.stage("prepare"):
        meshes = [
            (name, _as_mesh(run, path) if data.is_file() else path) for name, path in find_meshes(data, split)
        ]
        prepare_collection(meshes, folder, count=count, seed=seed, overwrite=other, quiet=quiet)
    return load_collection(folder)


def _as_mesh(run: RunFolder, path: Path) -> Path:
    """Path of a mesh: the file itself if it has faces, otherwise the written closed surface of its points."""
    shape = load_shape(path)
    if isinstance(shape, Mesh):
        return path
    warn_input(f"{path} is a cloud; the closed surface of its points is learned, surface.ply")
    target = run.file("surface.ply")
    save_mesh(surface(shape, boundary="closed", name=str(path)), target)
    return target


def learn_shape_prior(
    run: RunFolder, training: Training, quiet: bool = False, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Train a prior in a run folder, continuing from its checkpoint if it has one.

    Writes `prior.safetensors`, and `preview.png` with the prior's reconstructions of some training shapes.

    Returns:
        Metrics: final loss, fraction of inside samples that are predicted to be inside, number of steps and of
            parameters.
    """

    def complete(prior: ShapePrior) -> ShapePrior:
        with run.stage("family"):
            return with_width(prior)

    prior, metrics = learn(run, training, "prior.safetensors", training_preview, quiet, metadata, complete)
    count = sum(p.numel() for p in prior.decoder.parameters())
    return {**metrics, "family_width": prior.width, "parameters": count, "shapes": len(prior.codes)}


def training_preview(prior: ShapePrior, count: int = PREVIEWS) -> Tensor:
    """Picture of the prior's reconstructions of training shapes, spread over the collection."""
    chosen = torch.linspace(0, len(prior.codes) - 1, min(count, len(prior.codes))).round().long()
    meshes = [extract_mesh(prior, prior.codes[i], PREVIEW_RESOLUTION) for i in chosen]
    return contact_sheet([turntable_views(mesh, frames=1, size=240, front=(0.6, 0, 1))[0] for mesh in meshes])


def complete_scan(
    run: RunFolder,
    prior: ShapePrior,
    observations: Observations,
    config: CompleteConfig,
    name: str = "the scan",
) -> dict[str, Any]:
    """Complete a scan and write the results to a run folder.

    Writes `mesh.ply` and `mesh.glb` (colours distinguish observed from completed parts), `hypothesis-1.ply` and
    so on,
    `code.safetensors`, `pose.json` and `preview.png`.

    Returns:
        Metrics of the solution and of the mesh.
    """
    with run.stage("complete"):
        result = complete(observations, prior, config, name=name)
    with run.stage("write"):
        save_mesh(result.mesh, run.file("mesh.ply"))
        save_mesh(result.mesh, run.file("mesh.glb"))
        for index, mesh in enumerate(result.hypotheses, start=1):
            save_mesh(mesh, run.file(f"hypothesis-{index}.ply"))
        save_code(result.code, prior, run.file("code.safetensors"))
        write_text(run.file("pose.json"), json.dumps(pose_entry(result.pose), indent=2) + "\n")
        up = rotation_of(result.pose).T @ torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        front = rotation_of(result.pose).T @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        save_image(run.file("preview.png"), completion_preview(result, up, front))
    return {**result.metrics, "mesh": asdict(mesh_report(result.mesh))}


def pose_entry(pose: Similarity) -> dict[str, Any]:
    """A pose as JSON values: x' = scale * rotation @ x + translation, and 4 x 4 matrices of it and its
    inverse."""
    return {
        "what": "from the scan to the normalised frame of the prior",
        "scale": pose.scale,
        "rotation": rotation_of(pose).tolist(),
        "translation": pose.translation.tolist(),
        "matrix": pose.matrix.tolist(),
        "inverse": pose.inverse().matrix.tolist(),
    }


def completion_preview(
    result: Completion, up: Float[Tensor, "3"], front: Float[Tensor, "3"], size: int = 320
) -> Float[Tensor, "H W 3"]:
    """Pictures of shapes from several directions, one shape per row, the best one first."""
    rows = [
        turntable_views(mesh, 4, size, up.tolist(), front.tolist())
        for mesh in (result.mesh, *result.hypotheses)
    ]
    return contact_sheet([picture for row in rows for picture in row], 4, gap=0)


def interpolate_codes(
    run: RunFolder,
    prior: ShapePrior,
    a: Float[Tensor, " K"],
    b: Float[Tensor, " K"],
    count: int = 9,
    path: Literal["straight", "spherical"] = "straight",
    resolution: int = 128,
) -> dict[str, Any]:
    """Interpolate between two codes and write the shapes to a run folder.

    Writes `mesh-1.ply` and so on, `morph.glb` (one mesh that deforms, or a sequence of meshes if the topology
    changes), the codes of both ends and `strip.png`, all in the normalised frame of the prior.
    """
    with run.stage("interpolate"):
        result = interpolate(prior, a, b, count, path, resolution)
    with run.stage("write"):
        for index, mesh in enumerate(result.meshes, start=1):
            save_mesh(mesh, run.file(f"mesh-{index}.ply"))
        if result.morph is None:
            save_sequence(result.meshes, run.file("morph.glb"))
        else:
            first, *others = result.morph
            save_morph(first, [mesh.vertices for mesh in others], run.file("morph.glb"))
        for index, code in ((1, result.codes[0]), (count, result.codes[-1])):
            save_code(code, prior, run.file(f"code-{index}.safetensors"))
        save_image(run.file("strip.png"), strip(result))
    return {"shapes": count, "one_mesh": result.morph is not None}


def strip(result: Interpolation, size: int = 240) -> Float[Tensor, "H W 3"]:
    """Picture of the shapes side by side, all in the size of the normalised frame."""
    return contact_sheet(
        [turntable_views(mesh, 1, size)[0] for mesh in result.meshes], len(result.meshes), gap=0
    )


def invent_meshes(
    run: RunFolder,
    prior: ShapePrior,
    count: int,
    seed: int = 0,
    truncation: float = 1.0,
    resolution: int = 128,
) -> dict[str, Any]:
    """Sample new shapes and write their meshes to a run folder.

    Writes `mesh-1.ply`, `code-1.safetensors` and so on, and `sheet.png`.

    Returns:
        Metrics: number of shapes, and number of those that are closed and connected.
    """
    with run.stage("sample"):
        found = sample(prior, count, seed, truncation, resolution)
    meshes = [mesh for _, mesh in found]
    with run.stage("write"):
        for index, (code, mesh) in enumerate(found, start=1):
            save_mesh(mesh, run.file(f"mesh-{index}.ply"))
            save_code(code, prior, run.file(f"code-{index}.safetensors"))
        save_image(run.file("sheet.png"), mesh_sheet(meshes))
    return {"shapes": count, "one_piece": sum(is_one_solid(mesh) for mesh in meshes)}

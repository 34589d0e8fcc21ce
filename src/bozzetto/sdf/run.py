"""Whole runs of the sdf engine on shapes: from a scan, or two, to files."""

import json
from dataclasses import asdict
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..files import write_text
from ..images import save_image
from ..metrics import mesh_report
from ..render import contact_sheet, turned
from ..runs import RunFolder
from ..shapes import Similarity, save_mesh, save_morph, save_sequence
from .codes import save_code
from .complete import Completion, complete
from .interpolate import Interpolation, interpolate
from .observations import Observations
from .pose import rotation_of
from .prior import ShapePrior
from .solver import CompleteConfig


def complete_scan(
    run: RunFolder, prior: ShapePrior, seen: Observations, config: CompleteConfig, name: str = "the scan"
) -> dict:
    """Complete a scan into a run folder.

    Writes `mesh.ply` and `mesh.glb` (colours tell observed from invented), `hypothesis-1.ply` and so on,
    `code.safetensors`, `pose.json` and `preview.png`.

    Returns:
        Figures: of the solution and of the mesh.
    """
    with run.stage("complete"):
        result = complete(prior, seen, config, name=name)
    with run.stage("write"):
        save_mesh(result.mesh, run.file("mesh.ply"))
        save_mesh(result.mesh, run.file("mesh.glb"))
        for index, mesh in enumerate(result.hypotheses, start=1):
            save_mesh(mesh, run.file(f"hypothesis-{index}.ply"))
        save_code(result.code, prior, run.file("code.safetensors"))
        write_text(run.file("pose.json"), json.dumps(pose_entry(result.pose), indent=2) + "\n")
        up = rotation_of(result.pose).T @ torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        front = rotation_of(result.pose).T @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        save_image(run.file("preview.png"), preview(result, up, front))
    return {**result.figures, "mesh": asdict(mesh_report(result.mesh))}


def pose_entry(pose: Similarity) -> dict:
    """A pose as JSON values: x' = scale * rotation @ x + translation, and matrices of it and its inverse."""
    return {
        "what": "from the scan to the normalised frame of the prior",
        "scale": pose.scale,
        "rotation": rotation_of(pose).tolist(),
        "translation": pose.translation.tolist(),
        "matrix": pose.matrix.tolist(),
        "inverse": pose.inverse().matrix.tolist(),
    }


def preview(
    result: Completion, up: Float[Tensor, "3"], front: Float[Tensor, "3"], size: int = 320
) -> Float[Tensor, "H W 3"]:
    """Pictures from around: a row per shape, the best one first."""
    rows = [turned(mesh, 4, size, up.tolist(), front.tolist()) for mesh in (result.mesh, *result.hypotheses)]
    return contact_sheet([picture for row in rows for picture in row], 4, gap=0)


def interpolate_codes(
    run: RunFolder,
    prior: ShapePrior,
    a: Float[Tensor, " K"],
    b: Float[Tensor, " K"],
    count: int = 9,
    path: Literal["straight", "spherical"] = "straight",
    resolution: int = 128,
) -> dict:
    """Write shapes from one code to another into a run folder.

    Writes `mesh-1.ply` and so on, `morph.glb` (one mesh that deforms, or meshes that take turns where the
    topology changes), the codes of both ends and `strip.png`, all in the normalised frame of the prior.
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
    """The shapes side by side; all have the size that normalisation gives."""
    return contact_sheet([turned(mesh, 1, size)[0] for mesh in result.meshes], len(result.meshes), gap=0)

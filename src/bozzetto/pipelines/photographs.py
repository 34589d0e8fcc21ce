"""A whole run from photographs to files: progress, checkpoints, meshes, pictures and figures."""

import io
import time
from dataclasses import asdict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..files import write_bytes
from ..inverse.config import ReconstructConfig
from ..inverse.optimize import Optimization
from ..inverse.reconstruct import Reconstruction, reconstruct
from ..metrics import mesh_report, photometric_error, silhouette_iou
from ..render import render
from ..runs import Progress, RunFolder
from ..shapes import linear_to_srgb, save_mesh
from ..views import Capture, save_image
from .pictures import comparison_sheet, save_animation, turntable

CHECKPOINT_SECONDS = 20.0
SHEETS = 4  # of views that were learned from; held-out views get one each


def reconstruct_photographs(
    run: RunFolder,
    capture: Capture,
    config: ReconstructConfig,
    held_out: Capture | None = None,
    light: Float[Tensor, "9 3"] | None = None,
    device: torch.device | str = "cpu",
    quiet: bool = False,
) -> dict:
    """Reconstruct a capture into a run folder, continuing from its checkpoint if it has one.

    Writes `mesh.ply` and `mesh.glb` (with colours), `start.ply`, `light.npy` (its coefficients),
    `renders/<view>.png` (photo, render, difference) and `renders/turntable.gif`.

    Args:
        run: Where results go.
        capture: Photographs to learn from, with masks.
        config: How to reconstruct.
        held_out: Photographs that only measure the result.
        light: Known light as spherical-harmonics radiance; None learns it.
        device: Where to compute.
        quiet: Show no progress.

    Returns:
        Figures: of the mesh, and of how well held-out (or, without any, learned) photographs are explained.
    """
    saved = run.load_checkpoint()
    with run.stage("reconstruct"), _Journal(run, config, 0 if saved is None else saved[0], quiet) as journal:
        result = reconstruct(
            capture,
            config,
            device,
            journal.on_step,
            None if saved is None else (int(saved[2]["stage"]), saved[1]),
            known_light=light,
        )
    with run.stage("write"):
        save_mesh(result.mesh, run.file("mesh.ply"))
        save_mesh(result.mesh, run.file("mesh.glb"))
        save_mesh(result.start, run.file("start.ply"))
        _save_light(run, result)
        figures = {"mesh": asdict(mesh_report(result.mesh))}
        if held_out is not None and len(held_out):
            figures["held_out"] = _compare(run, held_out, result)
        few = torch.linspace(0, len(capture) - 1, min(SHEETS, len(capture))).round().int().tolist()
        figures["learned"] = _compare(run, capture.subset(few), result)
        frames = turntable(result.mesh, capture.cameras, result.light.coefficients.detach())
        save_animation(run.file("renders/turntable.gif"), frames)
    return figures


class _Journal:
    """Progress bar, metrics and checkpoints of the optimisation."""

    def __init__(self, run: RunFolder, config: ReconstructConfig, done: int, quiet: bool) -> None:
        self.run, self.config = run, config
        total = sum(stage.steps for stage in config.stages)
        self.progress = Progress(total, "reconstruct", quiet, done=done)
        self.saved = time.monotonic()

    def __enter__(self) -> "_Journal":
        self.progress.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.progress.__exit__(*error)

    def on_step(self, stage: int, optimization: Optimization, loss: float) -> None:
        step = sum(s.steps for s in self.config.stages[:stage]) + optimization.steps_done
        self.run.log(step, stage=stage, loss=loss, vertices=len(optimization.positions.latent))
        self.progress.advance(step - self.progress.done, loss=loss)
        if time.monotonic() - self.saved > CHECKPOINT_SECONDS:
            self.run.save_checkpoint(step, optimization.state(), {"stage": stage})
            self.saved = time.monotonic()


def _save_light(run: RunFolder, result: Reconstruction) -> None:
    buffer = io.BytesIO()
    np.save(buffer, result.light.coefficients.detach().cpu().numpy())
    write_bytes(run.file("light.npy"), buffer.getvalue())


def _compare(run: RunFolder, capture: Capture, result: Reconstruction) -> dict:
    """Sheets and figures of some views."""
    light = result.light.coefficients.detach().cpu()
    pictures = render(result.mesh, capture.cameras, light)
    photos = capture.foreground()
    for name, photo, picture in zip(capture.names, photos, pictures, strict=True):
        sheet = comparison_sheet(photo, picture[..., :3])
        save_image(run.file(f"renders/{name.replace('/', '-').rsplit('.', 1)[0]}.png"), linear_to_srgb(sheet))
    masks = capture.masks if capture.masks is not None else torch.zeros_like(pictures[..., 3])
    seen = (pictures[..., 3] > 0.5) & (masks > 0.5) & capture.known
    return {
        "views": list(capture.names),
        "silhouette_iou": silhouette_iou(pictures[..., 3], masks, capture.known).tolist(),
        "photometric_error": photometric_error(pictures[..., :3], photos, seen).tolist(),
    }

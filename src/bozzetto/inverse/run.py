"""The inverse engine in a run folder: progress, checkpoints, meshes, pictures and metrics."""

import io
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, Capture, capture_sheet
from ..errors import InputError, Interrupted, warn_input
from ..files import write_bytes
from ..geometry import simplify
from ..images import linear_to_srgb, save_image
from ..metrics import mesh_report, photometric_error, psnr, silhouette_iou
from ..rendering import comparison_sheet, render, turntable
from ..runs import Interruption, Progress, RunFolder, deferred_interruptions, fingerprint
from ..shapes import Mesh, Similarity, TexturedMesh, placed, save_mesh, save_textured
from . import bake_texture, color_vertices
from .coarse_to_fine import Reconstruction, reconstruct_capture
from .config import ReconstructConfig
from .optimize import Optimization
from .refinement import register_views

FACES = 30_000
"""Default number of faces of the textured mesh; finer detail goes into a normal map."""
OBJ_PARTS = ("mesh.mtl", "mesh_color.png", "mesh_normals.png")
AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True)
class MeshFiles:
    """Mesh files to write.

    Attributes:
        faces: Largest number of faces of the textured mesh; None takes `FACES`.
        also: Extensions of further files: obj, stl, 3mf.
        size_mm: Longest side of the upright object in millimetres; None takes one unit of the cameras as one
            metre.
        up: Axis of the world that points up, such as `z` or `-y`, or `auto`.
    """

    faces: int | None = None
    also: tuple[str, ...] = ()
    size_mm: float | None = None
    up: str = "auto"


def write_mesh_files(
    run: RunFolder,
    mesh: Mesh,
    capture: Capture,
    files: MeshFiles,
    up: Float[Tensor, "3"],
    front: Float[Tensor, "3"],
) -> TexturedMesh | Mesh:
    """Write mesh.ply, mesh.glb and the requested further files.

    Args:
        run: The run folder.
        mesh: The surface, with colours per vertex, in the frame of the cameras.
        capture: The photographs from which the texture is baked.
        files: Which files to write.
        up: World direction that points up if `files.up` is `auto`.
        front: World direction from the object to the front view.

    Returns:
        The textured mesh in the frame of the cameras, or a mesh with colours per vertex if xatlas is not
        installed.
    """
    save_mesh(mesh, run.file("mesh.ply"))
    model = _textured(mesh, capture, files.faces or FACES)
    place = _place(mesh, files, up, front)
    for ending in ("glb", *files.also):
        if ending == "obj":
            for name in OBJ_PARTS:  # are written with it
                run.file(name)
        save_textured(model, run.file(f"mesh.{ending}"), place)
    return model


def _textured(mesh: Mesh, capture: Capture, faces: int) -> TexturedMesh | Mesh:
    coarse = simplify(mesh, faces) if len(mesh.faces) > faces else mesh
    if find_spec("xatlas") is None:
        warn_input(
            "mesh.glb has colours per vertex and no texture, because xatlas is not installed; run: pip install "
            "'bozzetto[texture]'"
        )
        return color_vertices(coarse, capture)
    return bake_texture(coarse, capture, fine=None if coarse is mesh else mesh)


def _place(mesh: Mesh, files: MeshFiles, up: Float[Tensor, "3"], front: Float[Tensor, "3"]) -> Similarity:
    if files.up == "auto":
        return placed(mesh, up, files.size_mm, front)
    axis = torch.tensor(AXES[files.up.removeprefix("-")], dtype=torch.float64)
    axis = -axis if files.up.startswith("-") else axis
    # A photograph straight from above or below defines no front.
    seen_along = float((front.double() @ axis).abs()) > 0.99 * float(front.norm())
    return placed(mesh, axis, files.size_mm, None if seen_along else front)


CHECKPOINT_SECONDS = 20.0
SHEET_ROWS = 4
"""Largest number of views on a sheet of training photographs."""


def reconstruct_photographs(
    run: RunFolder,
    capture: Capture,
    config: ReconstructConfig,
    held_out: Capture | None = None,
    light: Float[Tensor, "9 3"] | None = None,
    device: torch.device | str = "cpu",
    quiet: bool = False,
    files: MeshFiles | None = None,
) -> tuple[dict[str, Any], Cameras]:
    """Reconstruct a capture and write the results to a run folder; continue from its checkpoint if it has one.

    Writes `mesh.ply` (all faces, colours per vertex), `mesh.glb` (textured), `start.ply` (first surface),
    `light.npy` (radiance coefficients), `renders/views.png` (photographs and masks), `renders/learned.png` and
    `renders/held-out.png` (photograph, render, difference) and `renders/turntable.webp`.

    Args:
        run: The run folder.
        capture: Photographs to learn from, with masks.
        config: Settings of the reconstruction.
        held_out: Photographs that are only used to evaluate the result.
        light: Known light as radiance coefficients of spherical harmonics; None learns the light.
        device: Device of the computation.
        quiet: Whether to hide the progress bar.
        files: Which mesh files to write; None writes `mesh.ply` and `mesh.glb`.

    Returns:
        Metrics of the mesh and of its renders against the held-out photographs (or the training photographs if
        none are held out); and the cameras of the capture that the mesh fits, refined or unchanged.

    Raises:
        Interrupted: A signal arrived; the message has the step of the checkpoint that was written.
    """
    saved = run.load_checkpoint()
    cameras, masks = capture.cameras, capture.require_masks()
    content = fingerprint(capture.images, masks, capture.known, cameras.T_cam_world, cameras.K)
    if saved is not None and saved[2].get("capture") != content:
        raise InputError(
            f"{run.path} cannot be resumed: photographs, masks or cameras have changed since; start again with "
            "--overwrite"
        )
    with (
        run.stage("reconstruct"),
        _Journal(run, config, content, 0 if saved is None else saved[0], quiet) as journal,
    ):
        result = reconstruct_capture(
            capture,
            config,
            device,
            journal.on_step,
            None if saved is None else (int(saved[2]["stage"]), saved[1]),
            known_light=light,
        )
    if result.moved is not None:
        capture = replace(capture, cameras=result.cameras)
        if held_out is not None and len(
            held_out
        ):  # their cameras are refined as well, on the finished surface
            light_now = result.light.coefficients.detach().cpu()
            held_out = replace(held_out, cameras=register_views(result.mesh, light_now, held_out))
    with run.stage("write"):
        up, front = mean_up(capture.cameras), -capture.cameras.forward[0].cpu()
        write_mesh_files(run, result.mesh, capture, files or MeshFiles(), up, front)
        save_mesh(result.start, run.file("start.ply"))
        save_image(run.file("renders/views.png"), capture_sheet(capture, columns=6, width=320))
        _save_light(run, result)
        figures = {"views": len(capture), "init": result.init, "mesh": asdict(mesh_report(result.mesh))}
        if result.moved is not None:
            figures["refined_cameras"] = asdict(result.moved)
        exposures = result.light.exposure(torch.arange(len(capture), device=device)).detach().cpu()
        few = torch.linspace(0, len(capture) - 1, min(SHEET_ROWS, len(capture))).round().long().tolist()
        figures["learned"] = _compare(run, "learned", capture, result, exposures, few)
        if held_out is not None and len(held_out):
            alike = torch.ones(len(held_out))  # the geometric mean of all exposures
            everyone = range(len(held_out))
            figures["held_out"] = _compare(run, "held-out", held_out, result, alike, everyone)
        turntable(result.mesh, run.file("renders/turntable.webp"), up=up.tolist(), front=front.tolist())
    return figures, result.cameras


class _Journal:
    """Progress bar, metrics and checkpoints of the optimisation."""

    def __init__(
        self, run: RunFolder, config: ReconstructConfig, content: str, done: int, quiet: bool
    ) -> None:
        self.run, self.config, self.content = run, config, content
        self.interruption: Interruption | None = None  # noted from the first step on; before, nothing is lost
        self.begun = ExitStack()  # from the first step on; before, the first surface reports its own progress
        self.progress = Progress(self._work(None), "reconstruct", quiet, done=self._work(done))
        self.saved = time.monotonic()

    def __enter__(self) -> "_Journal":
        return self

    def __exit__(self, *error) -> None:
        self.begun.__exit__(*error)

    def _work(self, steps: int | None) -> float:
        """Cost of the first `steps` steps (None: of all) in arbitrary units: a fixed part, and a part per
        pixel."""
        weights = [0.1 + stage.scale**2 for stage in self.config.stages for _ in range(stage.steps)]
        return sum(weights[:steps])

    def on_step(self, stage: int, optimization: Optimization, loss: float) -> None:
        if self.interruption is None:
            self.begun.enter_context(self.progress)
            self.interruption = self.begun.enter_context(deferred_interruptions())
        step = sum(s.steps for s in self.config.stages[:stage]) + optimization.steps_done
        self.run.log(step, stage=stage, loss=loss, vertices=len(optimization.positions.latent))
        self.progress.advance(self._work(step) - self.progress.done, loss=loss)
        if self.interruption or time.monotonic() - self.saved > CHECKPOINT_SECONDS:
            self.run.save_checkpoint(step, optimization.state(), {"stage": stage, "capture": self.content})
            self.saved = time.monotonic()
        if self.interruption:
            raise Interrupted(
                f"stopped after step {step}, a checkpoint is written", exit_code=self.interruption.exit_code
            )


def _save_light(run: RunFolder, result: Reconstruction) -> None:
    buffer = io.BytesIO()
    np.save(buffer, result.light.coefficients.detach().cpu().numpy())
    write_bytes(run.file("light.npy"), buffer.getvalue())


def _compare(
    run: RunFolder,
    name: str,
    capture: Capture,
    result: Reconstruction,
    exposures: Float[Tensor, "N"],
    shown: Sequence[int],
) -> dict[str, Any]:
    """Compute metrics per view, and write a sheet of some photographs beside their renders."""
    light = result.light.coefficients.detach().cpu()
    figures = {"views": list(capture.names), "silhouette_iou": [], "psnr": [], "photometric_error": []}
    photos, renders = [], []
    for i in range(len(capture)):  # one by one: renders of all views together are large
        view = capture.subset([i])
        picture = render(result.mesh, view.cameras, light)
        colors, coverage, photo = picture[..., :3] * exposures[i], picture[..., 3], view.foreground()
        masks = torch.zeros_like(coverage) if view.masks is None else view.masks
        seen = (coverage > 0.5) & (masks > 0.5) & view.known
        encoded = [linear_to_srgb(p.clamp(0, 1)) for p in (colors, photo)]
        figures["silhouette_iou"] += silhouette_iou(coverage, masks, view.known).tolist()
        figures["psnr"].append(psnr(encoded[0], encoded[1], seen) if bool(seen.any()) else None)
        figures["photometric_error"] += photometric_error(colors, photo, seen).tolist()
        if i in shown:
            photos.append(photo)
            renders.append(colors)
    names = [capture.names[i] for i in sorted(shown)]
    comparison_sheet(torch.cat(photos), torch.cat(renders), run.file(f"renders/{name}.png"), names)
    return figures


def mean_up(cameras: Cameras) -> Float[Tensor, "3"]:
    """World direction that points upwards in most pictures.

    Photographs may be rotated in the image plane, some of them upside down. In this case the axis of the ring
    of cameras is taken: the normal of the plane in which their viewing directions vary.
    """
    ups = -cameras.T_cam_world[:, 1, :3].cpu()
    mean = ups.mean(dim=0)
    if float(mean.norm()) > 0.5:
        return mean / mean.norm()
    spread = cameras.forward.cpu() - cameras.forward.cpu().mean(dim=0)
    axis = torch.linalg.eigh(spread.T @ spread)[1][:, 0]  # eigenvalues ascend
    # Of the two directions along the axis, the one that points up in more pictures.
    return axis if int(((ups @ axis) > 0).sum()) * 2 >= len(ups) else -axis

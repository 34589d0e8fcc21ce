"""Photographs to mesh: visual hull, then geometry, light and albedo together, coarse to fine."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, Capture, object_bounds, visual_hull
from ..errors import warn_input
from ..geometry import remesh, resurface, transfer
from ..shapes import Mesh, icosphere, load_mesh, normalisation
from ..shapes.offsets import NO_OFFSET, offset_of
from ..steps import counted
from .config import OptimizeConfig, ReconstructConfig, Stage
from .data import cameras_in_frame, capture_targets, mean_albedo
from .judgement import SilhouetteFit, silhouette_fit
from .model import Light, ambient_light
from .optimize import Optimization

RESURFACE_CELL = 1 / 64
"""Grid cell, in radii of the object, with which the surface is made anew between levels."""
COLLAPSE = 0.1
"""A level that ends with a mean silhouette IoU so much below the best so far is not continued."""


@dataclass(frozen=True)
class Reconstruction:
    """What photographs were turned into.

    Attributes:
        mesh: Surface with linear albedo as colours, in the frame and unit of the capture's cameras.
        start: The surface that the optimisation began with, in the same frame.
        light: Light (radiance coefficients, scene axes as in the capture) and exposures.
    """

    mesh: Mesh
    start: Mesh
    light: Light


def reconstruct(
    capture: Capture,
    config: ReconstructConfig | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, Optimization, float], None] | None = None,
    resume_from: tuple[int, dict[str, Tensor]] | None = None,
    known_light: Float[Tensor, "9 3"] | None = None,
) -> Reconstruction:
    """Turn posed photographs with masks into a watertight mesh.

    Args:
        capture: Photographs, cameras and masks.
        config: First surface, coarse-to-fine schedule, step sizes; the defaults suit 10 to 50 photographs.
        device: Where to compute.
        on_step: Called after every step with (stage number, optimisation, loss): progress, checkpoints.
        resume_from: Stage number and `Optimization.state` of an interrupted run.
        known_light: Radiance coefficients in scene axes, kept fixed; None learns the light.

    Returns:
        The mesh in the capture's frame, the surface it began with, light and exposures. If the silhouettes of
        the optimised surface fit the masks worse than those of the first one, the best surface on the way is
        returned in the colours that suit it, and a warning says so.

    Raises:
        InputError: Masks are missing, or the cameras do not see a common object.
    """
    config = config or ReconstructConfig()
    start = initial_surface(capture, config)
    # From here on, cameras and mesh are relative to the offset of the first surface.
    capture = replace(capture, cameras=capture.cameras.relative_to(start.offset))
    frame = normalisation(start.vertices[start.used])
    capture = replace(capture, cameras=cameras_in_frame(capture.cameras, frame), uncorrected=None)
    mesh = replace(start, vertices=frame.apply(start.vertices), offset=NO_OFFSET).to(device)
    first_light = ambient_light(device) if known_light is None else known_light.to(device)
    light = Light(first_light, len(capture.names))
    if known_light is not None:
        config = replace(config, appearance=replace(config.appearance, learn_light=False))
    if mesh.colors is None:
        albedo = mean_albedo(capture, mesh, light)
        mesh = replace(mesh, colors=albedo.to(mesh.vertices).expand(len(mesh.vertices), 3).clone())
    best = begun = _Candidate(mesh, silhouette_fit(mesh, capture))
    latest = begun
    first, state = resume_from or (0, None)
    for number, stage in enumerate(config.stages):
        if number < first:
            continue
        from_here = latest if latest.fit.mean > best.fit.mean - COLLAPSE else best
        mesh = from_here.mesh if state is not None else _at_level(capture, from_here.mesh, stage)
        optimization = _begin_stage(capture, mesh, light, config, stage)
        if state is not None:
            optimization.restore(state)
            best, state = _Candidate.unpacked(optimization.carried, capture) or best, None
        if best is not begun:
            optimization.carried = best.packed()
        while optimization.progress < 1:
            loss = optimization.step()
            if on_step is not None:
                on_step(number, optimization, loss)
        mesh = optimization.mesh
        latest = _Candidate(mesh, silhouette_fit(mesh, capture))
        best = latest if latest.fit.mean > best.fit.mean else best
    mesh = latest.mesh
    if latest.fit.worse_than(begun.fit):
        # In triangles of the length that was asked for, which may be too long for the masks.
        level = _at_level(capture, best.mesh, replace(config.stages[-1], resurface=False))
        other = _Candidate(level, silhouette_fit(level, capture))
        if latest.fit.worse_than(other.fit):
            _say_worse(latest.fit, begun.fit, best is begun)
            light = Light(first_light, len(capture.names))
            mesh = _with_own_colors(capture, level, light, config)
    mesh = mesh.with_vertices(frame.inverse().apply(mesh.vertices)).to("cpu")
    return Reconstruction(replace(mesh, offset=start.offset), start, light)


@dataclass(frozen=True)
class _Candidate:
    """A surface that may become the result."""

    mesh: Mesh
    fit: SilhouetteFit

    def packed(self) -> dict[str, Tensor]:
        assert self.mesh.colors is not None
        return {"vertices": self.mesh.vertices, "faces": self.mesh.faces, "colors": self.mesh.colors}

    @classmethod
    def unpacked(cls, tensors: dict[str, Tensor], capture: Capture) -> "_Candidate | None":
        if not tensors:
            return None
        mesh = Mesh(tensors["vertices"], tensors["faces"], tensors["colors"])
        return cls(mesh, silhouette_fit(mesh, capture))


def _say_worse(result: SilhouetteFit, start: SilhouetteFit, from_start: bool) -> None:
    delivered = "the first surface" if from_start else "the best surface on the way"
    warn_input(
        f"the optimisation made the surface worse: its silhouettes had an IoU of {result.mean:.3f} (worst view "
        f"{result.worst:.3f}) with the masks, the first surface {start.mean:.3f} ({start.worst:.3f}), so "
        f"{delivered} is delivered in its colours; check cameras and masks with doctor"
    )


def _with_own_colors(capture: Capture, mesh: Mesh, light: Light, config: ReconstructConfig) -> Mesh:
    """A surface that stays, with the colours and the light that explain the photographs best."""
    stage = replace(config.stages[-1], step_factor=0.0, albedo=True, resurface=False)
    optimization = _begin_stage(capture, mesh, light, config, stage)
    for _ in counted(range(stage.steps), "colours"):
        optimization.step()
    return optimization.mesh


def _begin_stage(
    capture: Capture,
    mesh: Mesh,
    light: Light,
    config: ReconstructConfig,
    stage: Stage,
) -> Optimization:
    targets = capture_targets(capture.resized(stage.scale)).to(mesh.vertices.device)
    settings = OptimizeConfig(
        steps=stage.steps,
        step_size=config.step_size * stage.step_factor * _edge(capture, stage),
        final_step_size=config.final_step_size,
        smoothness=stage.smoothness,
        views_per_step=config.views_per_step,
        seed=config.seed,
    )
    appearance = config.appearance
    if not stage.albedo:
        appearance = replace(appearance, learn_albedo=False)
    return Optimization(targets, mesh, light, settings, appearance)


def _at_level(capture: Capture, mesh: Mesh, stage: Stage) -> Mesh:
    """The surface in triangles of the size of a level."""
    return remesh(_with_open_topology(mesh) if stage.resurface else mesh, _edge(capture, stage))


def _edge(capture: Capture, stage: Stage) -> float:
    """Edge length of the mesh at a level."""
    return stage.edge_pixels / stage.scale * pixel_size(capture.cameras)


def _with_open_topology(mesh: Mesh) -> Mesh:
    """The solid inside a surface that may have passed through itself, with the old colours."""
    solid = resurface(mesh, RESURFACE_CELL)
    if mesh.colors is None:
        return solid
    return replace(solid, colors=transfer(mesh, mesh.colors, solid.vertices))


def initial_surface(capture: Capture, config: ReconstructConfig) -> Mesh:
    """The surface to begin with: visual hull, a sphere in the middle of the object's bounds, or a mesh file."""
    if config.init == "hull":
        return visual_hull(
            capture.cameras,
            capture.require_masks(),
            capture.known,
            resolution=config.hull_resolution,
            names=capture.names,
        )
    if config.init != "sphere":
        return load_mesh(config.init)
    bounds = object_bounds(capture.cameras, capture.require_masks(), capture.known)
    middle, radius = bounds.mean(dim=0), float((bounds[1] - bounds[0]).amax()) / 2
    sphere, offset = icosphere(4), offset_of(bounds)
    middle = middle - torch.tensor(offset, dtype=torch.float64)
    return replace(sphere, vertices=sphere.vertices * radius + middle.to(sphere.vertices), offset=offset)


def pixel_size(cameras: Cameras) -> float:
    """Median length, at the origin of the frame, that covers one pixel."""
    depth = torch.ones(len(cameras)) if cameras.orthographic else cameras.T_cam_world[:, 2, 3].cpu()
    return float((depth / cameras.K[:, 0, 0].cpu()).median())

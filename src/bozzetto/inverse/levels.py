"""One level of the coarse-to-fine schedule: its pictures, its triangles, its step sizes."""

from dataclasses import replace

import torch

from ..cameras import Cameras, Capture
from ..geometry import face_areas, remesh, resurface, transfer
from ..shapes import Mesh
from .config import OptimizeConfig, ReconstructConfig, Stage
from .data import capture_targets, object_boxes
from .model import Light
from .optimize import Optimization

RESURFACE_CELL = 1 / 64
"""Grid cell, in radii of the object, with which the surface is made anew between levels."""


def begin_stage(
    capture: Capture, begun: Mesh, mesh: Mesh, light: Light, config: ReconstructConfig, stage: Stage
) -> Optimization:
    """An optimisation of a mesh against the photographs of a level.

    Of the photographs only the parts with the object are kept. What they are, and how long the steps, does not
    depend on what was learned so far, so that resumed runs end alike.

    Args:
        capture: Photographs, with cameras in the frame of the mesh.
        begun: The first surface of all.
        mesh: In triangles of the level, see `at_level`.
        light: Light to go on with.
        config: Step sizes.
        stage: The level.
    """
    targets = capture_targets(capture, object_boxes(capture, stage.scale, begun)).to(mesh.vertices.device)
    settings = OptimizeConfig(
        steps=stage.steps,
        step_size=config.step_size * stage.step_factor * level_edge(capture, begun, config, stage),
        final_step_size=config.final_step_size,
        smoothness=stage.smoothness,
        views_per_step=config.views_per_step,
        seed=config.seed,
    )
    appearance = config.appearance
    if not stage.albedo:
        appearance = replace(appearance, learn_albedo=False)
    return Optimization(targets, mesh, light, settings, appearance)


def at_level(capture: Capture, begun: Mesh, mesh: Mesh, config: ReconstructConfig, stage: Stage) -> Mesh:
    """A surface in triangles of the size of a level; arguments as of `begin_stage`."""
    edge = level_edge(capture, begun, config, stage)
    surface = _with_open_topology(mesh) if stage.resurface else mesh
    # A surface on its way has bends that are none to keep, and triangles of one size learn evenly.
    return remesh(surface, edge, crease_angle=None, tolerance=None)


def level_edge(capture: Capture, begun: Mesh, config: ReconstructConfig, stage: Stage) -> float:
    """Edge length of the mesh at a level: so many pixels, or longer if the first surface had too many faces."""
    area = float(face_areas(begun.vertices, begun.faces).double().sum())
    fewest = (4 / 3**0.5 * area / config.most_faces) ** 0.5  # of equilateral triangles
    return max(stage.edge_pixels / stage.scale * pixel_size(capture.cameras), fewest)


def _with_open_topology(mesh: Mesh) -> Mesh:
    """The solid inside a surface that may have passed through itself, with the old colours."""
    solid = resurface(mesh, RESURFACE_CELL)
    if mesh.colors is None:
        return solid
    return replace(solid, colors=transfer(mesh, mesh.colors, solid.vertices))


def pixel_size(cameras: Cameras) -> float:
    """Median length, at the origin of the frame, that covers one pixel."""
    depth = torch.ones(len(cameras)) if cameras.orthographic else cameras.T_cam_world[:, 2, 3].cpu()
    return float((depth / cameras.K[:, 0, 0].cpu()).median())

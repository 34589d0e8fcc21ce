"""Photographs to mesh: visual hull, then geometry, light and albedo together, coarse to fine."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..cameras import Cameras, Capture, object_bounds, visual_hull
from ..errors import warn_input
from ..geometry import (
    face_areas,
    in_spatial_order,
    intersecting_faces,
    remesh_pass,
    resurface,
    transfer,
    untangle,
)
from ..metrics import silhouette_iou
from ..rendering import rasterize
from ..shapes import Mesh, icosphere, load_mesh, normalisation
from ..shapes.offsets import NO_OFFSET, offset_of
from ..steps import counted
from .config import OptimizeConfig, ReconstructConfig, Stage
from .data import cameras_in_frame, capture_targets, mean_albedo, object_boxes, pixel_size
from .ends import with_ends
from .model import Light, ambient_light
from .optimize import Optimization
from .refinement import CameraRefinement, CameraReport, camera_report
from .silhouette_alignment import align_silhouettes
from .volume import fit_volume, hull_or_volume

LARGEST = 1024
"""Silhouettes are compared in pictures with a longer side of at most this many pixels."""
MARGIN = 0.25
"""Tolerance, in pixels: a result counts as worse than the first surface if its outlines are on average farther
from those of the masks by more than this. A visual hull fits its masks by construction. A surface that also
explains the colours, with triangles of one or two pixels, fits them slightly less well."""
WORST_MARGIN = 2.0
"""The same tolerance, in pixels, for the view that fits worst."""


@dataclass(frozen=True)
class SilhouetteFit:
    """Intersection over union of a surface's silhouettes with the masks of all views.

    Attributes:
        mean: Mean over the views, in [0, 1].
        worst: Value of the view that fits worst.
        pixel: Mean loss of this value if outlines are one pixel off those of the masks.
    """

    mean: float
    worst: float
    pixel: float

    def worse_than(self, other: "SilhouetteFit") -> bool:
        """Whether this fit is worse than the other by more than the tolerances `MARGIN` and `WORST_MARGIN`."""
        mean, worst = other.mean - self.mean, other.worst - self.worst
        return mean > MARGIN * other.pixel or worst > WORST_MARGIN * other.pixel


def silhouette_fit(mesh: Mesh, capture: Capture) -> SilhouetteFit:
    """Compare the silhouettes of a surface with the masks of a capture; unknown pixels are left out.

    Args:
        mesh: The surface, in the frame of the cameras.
        capture: Masks, known pixels and cameras.

    Raises:
        InputError: The capture has no masks.
    """
    capture.require_masks()
    scale = min(1.0, LARGEST / max(capture.cameras.width, capture.cameras.height))
    scores, pixels = [], []
    for view in range(len(capture)):
        seen = capture.subset([view]).resized(scale).to("cpu")
        fragments = rasterize(mesh.vertices, mesh.faces, seen.cameras.relative_to(mesh.offset))
        inside, known = seen.require_masks() > 0.5, seen.known
        scores.append(silhouette_iou(fragments.covered.cpu(), seen.require_masks(), known))
        pixels.append((_border(inside) & known).sum() / (inside & known).sum().clamp(min=1))
    ious = torch.cat(scores)
    return SilhouetteFit(float(ious.mean()), float(ious.min()), float(torch.stack(pixels).mean()))


def _border(inside: Bool[Tensor, "1 H W"]) -> Bool[Tensor, "1 H W"]:
    """Pixels inside that have a neighbour outside in their row or column."""
    outside = 1 - inside.float()
    beside = [torch.nn.functional.max_pool2d(outside, k, 1, (k[0] // 2, k[1] // 2)) for k in ((3, 1), (1, 3))]
    return inside & (torch.maximum(*beside) > 0.5)


PASSES = 2
"""Passes of remeshing before each level."""
SOLID_CELL = 1 / 64
"""Grid cell with which a first surface that crosses itself is made anew, in radii of the object."""


def begin_stage(
    capture: Capture, begun: Mesh, mesh: Mesh, light: Light, config: ReconstructConfig, stage: Stage
) -> Optimization:
    """Set up the optimisation of a mesh on the photographs of one level.

    Photographs are cropped to the object. The crops and the step size do not depend on what was learned so far,
    so that resumed runs end like uninterrupted ones.

    Args:
        capture: Photographs, with cameras in the frame of the mesh.
        begun: The surface that the reconstruction began with.
        mesh: The current surface, with triangles of the size of the level, see `at_level`.
        light: The current light.
        config: Settings of the reconstruction.
        stage: The level.
    """
    targets = capture_targets(capture, object_boxes(capture, stage.scale, begun)).to(mesh.vertices.device)
    settings = OptimizeConfig(
        steps=stage.steps,
        step_size=config.step_size * stage.step_factor * level_edge(capture, begun, config, stage),
        final_step_size=config.final_step_size,
        smoothness=stage.smoothness,
        optimizer="vector_adam",
        floor=config.floor,
        views_per_step=config.views_per_step,
        check_crossings=config.check_crossings,
        seed=config.seed,
    )
    appearance = config.appearance
    if not stage.albedo:
        appearance = replace(appearance, learn_albedo=False)
    return Optimization(targets, mesh, light, settings, appearance)


def at_level(capture: Capture, begun: Mesh, mesh: Mesh, config: ReconstructConfig, stage: Stage) -> Mesh:
    """Remesh a surface to the triangle size of a level, so that no faces cross that did not before; for the
    arguments see `begin_stage`."""
    edge, level = level_edge(capture, begun, config, stage), mesh
    for number in range(PASSES):
        level, _ = remesh_pass(level, edge, seed=number)
    level = in_spatial_order(level)
    colors = None if mesh.colors is None else transfer(mesh, mesh.colors, level.vertices)
    return replace(level, colors=colors)


def level_edge(capture: Capture, begun: Mesh, config: ReconstructConfig, stage: Stage) -> float:
    """Edge length of the mesh at a level: `Stage.edge_pixels`, or longer where faces would exceed
    `most_faces`."""
    area = float(face_areas(begun.vertices, begun.faces).double().sum())
    fewest = (4 / 3**0.5 * area / config.most_faces) ** 0.5  # of equilateral triangles
    return max(stage.edge_pixels / stage.scale * pixel_size(capture.cameras), fewest)


COLLAPSE = 0.1
"""Largest accepted drop of the mean silhouette IoU below the best so far; a level that ends lower is not
continued."""


@dataclass(frozen=True)
class Reconstruction:
    """Result of a reconstruction from photographs.

    Attributes:
        mesh: Surface with linear albedo as colours, in the frame and unit of the capture's cameras.
        start: The surface that the optimisation began with, in the same frame.
        light: Light (radiance coefficients, scene axes as in the capture) and exposures.
        cameras: The cameras that the mesh fits, in the same frame: the given ones, or refined ones.
        moved: How far refined cameras are from the given ones; None if they stayed.
        init: Kind of the first surface: `ReconstructConfig.init`, or for `auto` the one that was taken.
    """

    mesh: Mesh
    start: Mesh
    light: Light
    cameras: Cameras
    moved: CameraReport | None = None
    init: str = "hull"


def reconstruct_capture(
    capture: Capture,
    config: ReconstructConfig | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, Optimization, float], None] | None = None,
    resume_from: tuple[int, dict[str, Tensor]] | None = None,
    known_light: Float[Tensor, "9 3"] | None = None,
) -> Reconstruction:
    """Reconstruct a watertight mesh from photographs with known cameras and masks.

    Args:
        capture: Photographs, cameras and masks.
        config: First surface, coarse-to-fine schedule, step sizes; the defaults suit 10 to 50 photographs.
        device: Device of the computation.
        on_step: Called after every step with (stage number, optimisation, loss): progress, checkpoints.
        resume_from: Stage number and `Optimization.state` of an interrupted run.
        known_light: Radiance coefficients in scene axes, kept fixed; None learns the light.

    Returns:
        The mesh in the capture's frame, the surface it began with, light and exposures. If the silhouettes of
        the optimised surface fit the masks worse than those of the first one, the best intermediate surface is
        returned with colours fitted to it, and a warning says so.

    Raises:
        InputError: Masks are missing, or the cameras do not see a common object.
    """
    config = config or ReconstructConfig()
    given = capture.cameras
    if config.refine_cameras:
        capture = replace(capture, cameras=align_silhouettes(capture))
    start, init = initial_surface(capture, config)
    # From here on, cameras and mesh are relative to the offset of the first surface.
    frame = normalisation(start.vertices[start.used])
    cameras = cameras_in_frame(capture.cameras.relative_to(start.offset), frame)
    capture = replace(capture, cameras=cameras, uncorrected=None, points=None)
    mesh = replace(start, vertices=frame.apply(start.vertices), offset=NO_OFFSET).to(device)
    first_light = ambient_light(device) if known_light is None else known_light.to(device)
    light = Light(first_light, len(capture.names))
    if known_light is not None:
        config = replace(config, appearance=replace(config.appearance, learn_light=False))
    colors = mesh.colors
    if colors is None:
        albedo = mean_albedo(capture, mesh, light)
        colors = albedo.to(mesh.vertices).expand(len(mesh.vertices), 3).clone()
    mesh = replace(mesh, colors=colors)
    if len(intersecting_faces(mesh)):
        solid = resurface(mesh, SOLID_CELL)
        mesh = replace(solid, colors=transfer(mesh, colors, solid.vertices))
    refinement = CameraRefinement(capture, config.refine_focal) if config.refine_cameras else None
    begun = best = latest = _Candidate.judged(mesh, capture)
    first, state = resume_from or (0, None)
    for number, stage in enumerate(config.stages):
        if number < first:
            continue
        from_here = latest if latest.fit.mean > best.fit.mean - COLLAPSE else best
        mesh = (
            from_here.mesh
            if state is not None
            else at_level(capture, begun.mesh, from_here.mesh, config, stage)
        )
        optimization = begin_stage(capture, begun.mesh, mesh, light, config, stage)
        if state is not None:
            optimization.restore(state)
            best = _Candidate.unpacked(optimization.carried, capture) or best
            state = None
        if refinement is not None:
            refinement.begin(optimization, from_here.cameras)
        while optimization.progress < 1:
            if refinement is not None and refinement.due(optimization):
                refinement.step(optimization, number)
            optimization.carried = {
                **({} if refinement is None else refinement.packed()),
                **({} if best is begun else best.packed()),
            }
            loss = optimization.step()
            if on_step is not None:
                on_step(number, optimization, loss)
        cameras = from_here.cameras if refinement is None else refinement.cameras
        latest = _Candidate.judged(optimization.mesh, replace(capture, cameras=cameras))
        best = latest if latest.fit.mean > best.fit.mean else best
    result = latest
    if latest.fit.worse_than(begun.fit):
        # After remeshing to the requested edge length, which may be too coarse for the masks.
        level = at_level(capture, begun.mesh, best.mesh, config, config.stages[-1])
        seen = replace(capture, cameras=best.cameras)
        other = _Candidate.judged(level, seen)
        if latest.fit.worse_than(other.fit):
            _say_worse(latest.fit, begun.fit, best is begun)
            light = Light(first_light, len(capture.names))
            result = replace(other, mesh=_with_own_colors(seen, other.mesh, light, config))
    open_mesh = with_ends(result.mesh, replace(capture, cameras=result.cameras), config.boundary)
    # Faces that nearly touch may cross after the rounding of another frame.
    mesh = untangle(open_mesh.with_vertices(frame.inverse().apply(open_mesh.vertices))).to("cpu")
    mesh = replace(mesh, offset=start.offset)
    if not config.refine_cameras:
        return Reconstruction(mesh, start, light, given, init=init)
    back = (-start.offset[0], -start.offset[1], -start.offset[2])
    cameras = cameras_in_frame(result.cameras, frame.inverse()).relative_to(back)
    cameras = replace(cameras.to(given.K.device), near=given.near)
    return Reconstruction(mesh, start, light, cameras, camera_report(given, cameras, mesh), init)


@dataclass(frozen=True)
class _Candidate:
    """A surface that may become the result, with its silhouette fit and the cameras that it was fitted to."""

    mesh: Mesh
    cameras: Cameras
    fit: SilhouetteFit

    @classmethod
    def judged(cls, mesh: Mesh, capture: Capture) -> "_Candidate":
        return cls(mesh, capture.cameras, silhouette_fit(mesh, capture))

    def packed(self) -> dict[str, Tensor]:
        assert self.mesh.colors is not None
        mesh = {"vertices": self.mesh.vertices, "faces": self.mesh.faces, "colors": self.mesh.colors}
        return {**mesh, "T_cam_world": self.cameras.T_cam_world, "K": self.cameras.K}

    @classmethod
    def unpacked(cls, tensors: dict[str, Tensor], capture: Capture) -> "_Candidate | None":
        if "vertices" not in tensors:
            return None
        poses, K = (tensors[name].to(capture.cameras.K) for name in ("T_cam_world", "K"))
        cameras = replace(capture.cameras, T_cam_world=poses, K=K)
        mesh = Mesh(tensors["vertices"], tensors["faces"], tensors["colors"])
        return cls.judged(mesh, replace(capture, cameras=cameras))


def _say_worse(result: SilhouetteFit, start: SilhouetteFit, from_start: bool) -> None:
    delivered = "the first surface" if from_start else "the best surface on the way"
    warn_input(
        f"the optimisation made the surface worse: its silhouettes had an IoU of {result.mean:.3f} (worst view "
        f"{result.worst:.3f}) with the masks, the first surface {start.mean:.3f} ({start.worst:.3f}), so "
        f"{delivered} is delivered in its colours; check cameras and masks with doctor"
    )


def _with_own_colors(capture: Capture, mesh: Mesh, light: Light, config: ReconstructConfig) -> Mesh:
    """The unchanged surface with the colours and the light that explain the photographs best."""
    stage = replace(config.stages[-1], step_factor=0.0, albedo=True)
    optimization = begin_stage(capture, mesh, mesh, light, config, stage)
    for _ in counted(range(stage.steps), "colours"):
        optimization.step()
    return optimization.mesh


def initial_surface(capture: Capture, config: ReconstructConfig) -> tuple[Mesh, str]:
    """The surface to begin with and its kind, see `ReconstructConfig.init`.

    For `auto` the kind is the one that was taken. A sphere fills the bounds of the object.
    """
    device = capture.images.device
    if config.init in ("hull", "auto"):
        masks, names = capture.require_masks(), capture.names
        hull = visual_hull(
            capture.cameras, masks, capture.known, resolution=config.hull_resolution, names=names
        )
        if config.init == "hull" or config.refine_cameras:  # colours of inexact cameras contradict each other
            return hull, "hull"
        first = hull_or_volume(hull, capture, config.volume, device, config.seed)
        return first, "hull" if first is hull else "volume"
    if config.init == "volume":
        return fit_volume(capture, config.volume, device, config.seed).surface(), config.init
    if config.init != "sphere":
        return load_mesh(config.init), config.init
    bounds = object_bounds(capture.cameras, capture.require_masks(), capture.known)
    middle, radius = bounds.mean(dim=0), float((bounds[1] - bounds[0]).amax()) / 2
    sphere, offset = icosphere(4), offset_of(bounds)
    middle = middle - torch.tensor(offset, dtype=torch.float64)
    vertices = sphere.vertices * radius + middle.to(sphere.vertices)
    return replace(sphere, vertices=vertices, offset=offset), config.init

"""Refinement of cameras together with the surface, and afterwards for held-out views."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, Capture
from ..geometry import vertex_normals
from ..rendering import Fragments, interpolate, rasterize, shade
from ..shapes import Mesh, normalisation
from .camera_motion import DIGITS, settled, shift_across, unseen_part
from .camera_steps import CameraPictures, displacements, moved_pixels, refine_cameras
from .data import cameras_in_frame
from .optimize import Optimization

EVERY = 20
"""Number of steps of the surface between steps of the cameras."""
COLORS_FROM = 1
"""First level at which the colours of the surface are accurate enough for refining cameras."""
OVERLAPPING = 0.85
"""Smallest IoU of silhouette and mask at which a view is fitted to a finished surface without centring it
first."""
FOCAL_FROM = 1
"""First level at which the surface is accurate enough for refining focal lengths, which depend on small
differences between near and far parts."""
REGISTER_STEPS = 20
"""Largest number of steps with which the camera of a view is fitted to a finished surface."""


@dataclass(frozen=True)
class CameraReport:
    """Changes of refined cameras.

    Attributes:
        median_pixels: Motion of the object in the pictures, in pixels, median over the views.
        largest_pixels: The same for the view that moved most.
        focal_change: Median factor on the focal lengths, minus 1.
    """

    median_pixels: float
    largest_pixels: float
    focal_change: float


class CameraRefinement:
    """The state of the cameras of a reconstruction during refinement.

    Args:
        capture: Photographs, with the given cameras in the frame of the object.
        focal: Whether to refine focal lengths.

    Attributes:
        cameras: The current cameras, for uncropped photographs.
    """

    def __init__(self, capture: Capture, focal: bool) -> None:
        self.pictures: CameraPictures = CameraPictures.of(capture)
        self.focal = focal
        self.cameras: Cameras = capture.cameras

    def begin(self, optimization: Optimization, cameras: Cameras) -> None:
        """Continue with these cameras, or with those that a restored optimisation carries."""
        carried = optimization.carried
        self.cameras = cameras
        if "refined_poses" in carried:
            poses, K = (carried[name].to(cameras.K) for name in ("refined_poses", "refined_K"))
            self.cameras = replace(cameras, T_cam_world=poses, K=K)
        optimization.targets = optimization.targets.with_cameras(self.cameras)

    def packed(self) -> dict[str, Tensor]:
        """The cameras as tensors, for an optimisation to carry."""
        return {"refined_poses": self.cameras.T_cam_world, "refined_K": self.cameras.K}

    def due(self, optimization: Optimization) -> bool:
        """Whether the cameras are refined before the next step of the surface."""
        return optimization.steps_done % EVERY == 0

    def step(self, optimization: Optimization, stage: int) -> None:
        """Refine the cameras; the similarity that is common to all of them is applied to the surface
        instead."""
        positions = optimization.positions().detach()

        def paint(fragments: Fragments, view: int) -> Float[Tensor, "P 3"]:
            with torch.no_grad():
                return optimization.painted(fragments, positions, torch.tensor([view])).cpu()

        refined = refine_cameras(
            self.pictures,
            self.pictures.sized(self.cameras.to("cpu")),
            positions,
            optimization.faces,
            paint if stage >= COLORS_FROM else None,
            self.focal and stage >= FOCAL_FROM,
            bends=True,
        )
        if not refined.accepted:
            return
        bend = (refined.bend * DIGITS).round() / DIGITS
        motion = unseen_part(self.pictures.start, refined.cameras)
        moved = cameras_in_frame(refined.cameras, motion)
        whole = moved.resized(self.cameras.width, self.cameras.height)
        self.cameras = settled(replace(whole.to(self.cameras.K.device), near=self.cameras.near))
        optimization.move(displacements(positions, bend), motion, self.cameras)


def camera_report(given: Cameras, refined: Cameras, mesh: Mesh) -> CameraReport:
    """Compare refined with given cameras by the pixels at which they see the vertices of a mesh."""
    given, refined = (cameras.relative_to(mesh.offset).to("cpu") for cameras in (given, refined))
    points = mesh.vertices[mesh.used].cpu().double()
    pixels = moved_pixels(given, refined, points[:: max(1, len(points) // 1000)])
    ratio = refined.K[:, 0, 0] / given.K[:, 0, 0]
    return CameraReport(float(pixels.median()), float(pixels.max()), float(ratio.median()) - 1)


def register_views(mesh: Mesh, light: Float[Tensor, "9 3"], capture: Capture) -> Cameras:
    """Fit the poses of views to a finished surface, for held-out photographs with inexact cameras.

    Args:
        mesh: Surface with albedo as colours, in the frame of the capture's cameras.
        light: Radiance coefficients of spherical harmonics.
        capture: The views, with masks.

    Returns:
        The cameras with new poses; focal lengths do not change.
    """
    frame = normalisation(mesh.vertices[mesh.used])
    cameras = cameras_in_frame(capture.cameras.relative_to(mesh.offset), frame)
    vertices = frame.apply(mesh.vertices).cpu()
    pictures = CameraPictures.of(replace(capture, cameras=cameras, uncorrected=None))

    def paint(fragments: Fragments, view: int) -> Float[Tensor, "P 3"]:
        normals = interpolate(fragments, vertex_normals(vertices, mesh.faces.cpu()))
        albedo = None if mesh.colors is None else interpolate(fragments, mesh.colors.cpu())
        return shade(normals, light.cpu(), albedo)

    found = _centred(pictures, vertices, mesh.faces.cpu())
    for painter in (None, paint):
        found = refine_cameras(
            pictures, found, vertices, mesh.faces, painter, focal=False, steps=REGISTER_STEPS
        ).cameras
    found = cameras_in_frame(found.resized(cameras.width, cameras.height), frame.inverse())
    back = (-mesh.offset[0], -mesh.offset[1], -mesh.offset[2])
    return replace(found.to(capture.cameras.K.device), near=capture.cameras.near).relative_to(back)


def _centred(pictures: CameraPictures, vertices: Tensor, faces: Tensor) -> Cameras:
    """The cameras, shifted so that the centres of silhouette and mask coincide where these overlap little."""
    cameras, middle = pictures.start, vertices.mean(dim=0)
    T = cameras.T_cam_world.clone()
    for view, outline in enumerate(pictures.outlines):
        shown, mask = rasterize(vertices, faces, cameras[[view]]).covered[0] > 0.5, outline.distance > 0
        overlap = float((shown & mask).sum() / (shown | mask).sum().clamp(min=1))
        if overlap < OVERLAPPING and bool(shown.any()) and bool(mask.any()):
            away = torch.nonzero(mask).double().mean(dim=0) - torch.nonzero(shown).double().mean(dim=0)
            T[view, :2, 3] += shift_across(cameras, view, middle, away.flip(0))
    return replace(cameras, T_cam_world=T)

"""What a mesh is fitted to: pictures with coverage, their cameras and which pixels count."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, Capture
from ..render import render, spherical_harmonics
from ..shapes import Mesh, Similarity
from .model import Light, ambient_light

TRIAL_SIZE = 96
"""Longer side, in pixels, of the photographs from which the first albedo is found."""
DARKEST, BRIGHTEST = 1e-3, 10.0
"""Bounds of the first albedo."""


@dataclass(frozen=True)
class Targets:
    """Pictures to be explained.

    Attributes:
        cameras: One per picture.
        images: Linear RGB times coverage, and coverage in [0, 1] as the fourth channel.
        weights: How much each pixel counts; 0 where nothing is known. None counts all of them alike.
    """

    cameras: Cameras
    images: Float[Tensor, "N H W 4"]
    weights: Float[Tensor, "N H W"] | None = None

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, index: list[int]) -> "Targets":
        """The pictures at these positions."""
        weights = None if self.weights is None else self.weights[index]
        return replace(self, cameras=self.cameras[index], images=self.images[index], weights=weights)

    def to(self, device: torch.device | str) -> "Targets":
        """The pictures on another device."""
        weights = None if self.weights is None else self.weights.to(device)
        return replace(self, cameras=self.cameras.to(device), images=self.images.to(device), weights=weights)


def capture_targets(capture: Capture) -> Targets:
    """Targets from photographs: colour outside the mask is black, pixels outside the frame do not count.

    Raises:
        InputError: The capture has no masks.
    """
    images = torch.cat([capture.foreground(), capture.require_masks()[..., None]], dim=-1)
    weights = None if bool(capture.known.all()) else capture.known.to(images)
    return Targets(capture.cameras, images, weights)


def mean_albedo(capture: Capture, mesh: Mesh, light: Light) -> Float[Tensor, "3"]:
    """The one albedo with which a surface is as bright, on average, as the object in the photographs.

    Fits begin with it. A white surface in the place of a dark object would do better to shrink than to stay.

    Args:
        capture: Photographs with masks, cameras in the frame of the surface.
        mesh: Roughly the object.
        light: Light on it.
    """
    small = capture.resized(min(1.0, TRIAL_SIZE / max(capture.cameras.width, capture.cameras.height)))
    with torch.no_grad():
        white = replace(mesh, colors=None).to("cpu")
        pictures = render(white, small.cameras.to("cpu"), light.coefficients.cpu())
    inside = (pictures[..., 3] > 0.5) & (small.require_masks() > 0.5).cpu() & small.known.cpu()
    shown = small.foreground().cpu()[inside].sum(dim=0)
    return (shown / pictures[..., :3][inside].sum(dim=0).clamp(min=1e-6)).clamp(DARKEST, BRIGHTEST)


def synthetic_targets(mesh: Mesh, cameras: Cameras, light: Float[Tensor, "9 3"]) -> Targets:
    """Targets rendered from a known mesh, white or in its own colours, under a known light, as in the paper."""
    with torch.no_grad():
        return Targets(cameras, render(mesh, cameras, light))


def cameras_in_frame(cameras: Cameras, to_frame: Similarity) -> Cameras:
    """The same views for a world that went through a similarity (scale and translation).

    With X' = s X + t, camera coordinates R X + c become R X' + s c - R t, all lengths multiplied by s.
    Pixels stay where they were: perspective views do not notice the scale, and the focal lengths of
    orthographic ones are divided by it.
    """
    scale = float(to_frame.scale)
    T_cam_frame = cameras.T_cam_world.clone()
    shift = to_frame.translation.to(T_cam_frame)
    T_cam_frame[:, :3, 3] = T_cam_frame[:, :3, 3] * scale - T_cam_frame[:, :3, :3] @ shift
    K = cameras.K.clone()
    if cameras.orthographic:
        K[:, :2, :2] /= scale
    return replace(cameras, T_cam_world=T_cam_frame, K=K, near=cameras.near * scale)


def studio_light() -> Float[Tensor, "9 3"]:
    """A fixed light for synthetic pictures: soft ambient, warm key, cool fill and a weak light from below.

    Brightness and hue change in every direction, so that shading tells normals apart, and a white surface
    stays between about 0.1 and 1: nothing is clipped when the pictures are stored.
    """
    directions = torch.tensor([[0.5, 0.7, 0.6], [-0.8, 0.1, 0.4], [0.1, -0.6, -0.8]])
    irradiances = torch.tensor([[2.2, 2.0, 1.75], [0.75, 1.0, 1.35], [1.05, 0.75, 0.65]])
    harmonics = spherical_harmonics(torch.nn.functional.normalize(directions, dim=1))
    return harmonics.T @ irradiances + 0.05 * ambient_light()

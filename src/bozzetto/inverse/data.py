"""What a mesh is fitted to: pictures with coverage, their cameras and which pixels count."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, Capture
from ..errors import InputError
from ..render import render, spherical_harmonics
from ..shapes import Mesh, Similarity
from .model import ambient_light


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
    if capture.masks is None:
        raise InputError(
            "the capture has no masks; give a masks folder, pictures with alpha, or --masks auto"
        )
    images = torch.cat([capture.foreground(), capture.masks[..., None]], dim=-1)
    weights = None if bool(capture.known.all()) else capture.known.to(images)
    return Targets(capture.cameras, images, weights)


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

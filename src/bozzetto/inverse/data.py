"""Targets of the optimisation: pictures with coverage, their cameras and pixel weights."""

from dataclasses import replace

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ..cameras import Cameras, Capture
from ..rendering import render, spherical_harmonics
from ..shapes import Mesh, Similarity
from ..values import value_type
from .model import Light, ambient_light

ROOM = 0.1
"""Margin around the object in cropped photographs, as a fraction of its size."""
TRIAL_SIZE = 96
"""Longer side, in pixels, of the reduced photographs from which the first albedo is computed."""
DARKEST, BRIGHTEST = 1e-3, 10.0
"""Bounds of the first albedo, in linear RGB."""


@value_type
class Targets:
    """Pictures that an optimisation fits a mesh to.

    Attributes:
        cameras: One camera per picture.
        images: Linear RGB times coverage, and coverage in [0, 1] as the fourth channel.
        weights: Weight of each pixel, 0 where nothing is known; None weights all pixels equally.
        boxes: Position of the pictures in the resized photographs if they are crops; None otherwise.
    """

    cameras: Cameras
    images: Float[Tensor, "N H W 4"]
    weights: Float[Tensor, "N H W"] | None = None
    boxes: "Boxes | None" = None

    def __len__(self) -> int:
        return len(self.cameras)

    def __getitem__(self, index: list[int]) -> "Targets":
        """The pictures at these positions."""
        weights = None if self.weights is None else self.weights[index]
        boxes = None if self.boxes is None else self.boxes[index]
        return replace(
            self, cameras=self.cameras[index], images=self.images[index], weights=weights, boxes=boxes
        )

    def to(self, device: torch.device | str) -> "Targets":
        """The pictures on another device."""
        weights = None if self.weights is None else self.weights.to(device)
        return replace(self, cameras=self.cameras.to(device), images=self.images.to(device), weights=weights)

    def with_cameras(self, cameras: Cameras) -> "Targets":
        """The same pictures with other cameras, which are given for uncropped photographs of any size."""
        if self.boxes is None:
            cameras = cameras.resized(self.cameras.width, self.cameras.height)
        else:
            cameras = self.boxes.cameras(cameras)
        return replace(self, cameras=cameras.to(self.images.device))


@value_type
class Boxes:
    """Rectangular crops of pictures, all of the same size.

    Attributes:
        corners: Column and row of the top left pixel of each crop.
        shape: Width and height of the crops in pixels.
        whole: Width and height of the uncropped pictures in pixels.
    """

    corners: Int64[Tensor, "N 2"]
    shape: tuple[int, int]
    whole: tuple[int, int]

    def __getitem__(self, index: list[int]) -> "Boxes":
        """The crops of the pictures at these positions."""
        return replace(self, corners=self.corners[index])

    def cameras(self, cameras: Cameras) -> Cameras:
        """Cameras of the crops, from cameras of the uncropped pictures in any size."""
        cameras = cameras.resized(*self.whole)
        K = cameras.K.clone()
        K[:, :2, 2] -= self.corners.to(K)
        return replace(cameras, K=K, width=self.shape[0], height=self.shape[1])


def object_boxes(capture: Capture, scale: float, mesh: Mesh | None = None) -> Boxes:
    """Crops of resized photographs that contain the object and a margin, all of the same size.

    Args:
        capture: Photographs and masks.
        scale: Size of the resized photographs as a fraction of the full size.
        mesh: A surface, in the frame of the cameras, that the crops have to contain as well.
    """
    width, height = capture.cameras.width, capture.cameras.height
    whole = max(1, round(width * scale)), max(1, round(height * scale))
    ends = torch.zeros(len(capture), 2, 2, dtype=torch.float64)  # low and high; u and v
    for view, mask in enumerate(capture.require_masks()):
        inside = (mask > 0) & capture.known[view]
        for axis, side in enumerate((0, 1)):
            places = torch.nonzero(inside.any(dim=side))[:, 0]
            if len(places):
                ends[view, :, axis] = torch.stack([places[0], places[-1] + 1]).double()
            else:
                ends[view, :, axis] = torch.tensor([0.0, 0.0])
    if mesh is not None:
        corners = mesh.bounds.double().cpu()
        corners = torch.cartesian_prod(*corners.T)
        seen = capture.cameras.relative_to(mesh.offset).to("cpu").project(corners)
        reach = torch.stack([seen[..., :2].amin(dim=1), seen[..., :2].amax(dim=1)], dim=1)
        before = (seen[..., 2] > 0).all(dim=1) | torch.tensor(capture.cameras.orthographic)
        some = ends[:, 1, 0] > ends[:, 0, 0]
        low = torch.where(some[:, None], torch.minimum(ends[:, 0], reach[:, 0]), reach[:, 0])
        high = torch.where(some[:, None], torch.maximum(ends[:, 1], reach[:, 1]), reach[:, 1])
        everything = torch.tensor([[0.0, 0.0], [width, height]], dtype=torch.float64)
        ends = torch.where(before[:, None, None], torch.stack([low, high], dim=1), everything)
    limit = torch.tensor([width, height], dtype=torch.float64)
    ends = torch.minimum(ends.clamp(min=0), limit) * (torch.tensor(whole, dtype=torch.float64) / limit)
    sides = ends[:, 1] - ends[:, 0]
    largest = torch.ceil(sides.amax(dim=0) * (1 + 2 * ROOM) + 8).long()
    shape = torch.minimum(largest, torch.tensor(whole))
    corners = torch.floor(ends.mean(dim=1) - shape / 2).long()
    corners = torch.minimum(corners.clamp(min=0), torch.tensor(whole) - shape)
    return Boxes(corners, (int(shape[0]), int(shape[1])), whole)


def capture_targets(capture: Capture, boxes: Boxes | None = None) -> Targets:
    """Targets from photographs: black outside of the mask, weight 0 for unknown pixels.

    Args:
        capture: Photographs with masks.
        boxes: Crops of the resized photographs; None takes the whole photographs in their own size.

    Raises:
        InputError: The capture has no masks.
    """
    if boxes is None:
        whole = capture.cameras.width, capture.cameras.height
        boxes = Boxes(torch.zeros(len(capture), 2, dtype=torch.int64), whole, whole)
    capture.require_masks()
    width, height = boxes.shape
    images = torch.empty(len(capture), height, width, 4, device=capture.images.device)
    known = torch.empty(len(capture), height, width, dtype=torch.bool, device=images.device)
    for view, (left, top) in enumerate(boxes.corners.tolist()):
        part = capture.window(view, boxes.whole, (left, top, width, height))
        images[view, ..., :3], images[view, ..., 3] = part.foreground()[0], part.require_masks()[0]
        known[view] = part.known[0]
    weights = None if bool(known.all()) else known.to(images)
    return Targets(boxes.cameras(capture.cameras), images, weights, boxes)


def mean_albedo(capture: Capture, mesh: Mesh, light: Light) -> Float[Tensor, "3"]:
    """The uniform albedo with which a surface is on average as bright as the object in the photographs.

    Optimisations start from it. If a white surface started in place of a dark object, shrinking it would lower
    the loss.

    Args:
        capture: Photographs with masks, cameras in the frame of the surface.
        mesh: Roughly the object.
        light: Light on the surface.
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
    """The same views of a world that was transformed by a similarity.

    With X' = s Q X + t, camera coordinates R X + c become R Q^T X' + s c - R Q^T t, all lengths multiplied by
    s. Pixels do not change: perspective views do not depend on the scale, and the focal lengths of orthographic
    views are divided by it.
    """
    scale = float(to_frame.scale)
    T_cam_frame = cameras.T_cam_world.clone()
    shift = to_frame.translation.to(T_cam_frame)
    if to_frame.rotation is not None:
        T_cam_frame[:, :3, :3] = T_cam_frame[:, :3, :3] @ to_frame.rotation.T.to(T_cam_frame)
    T_cam_frame[:, :3, 3] = T_cam_frame[:, :3, 3] * scale - T_cam_frame[:, :3, :3] @ shift
    K = cameras.K.clone()
    if cameras.orthographic:
        K[:, :2, :2] /= scale
    return replace(cameras, T_cam_world=T_cam_frame, K=K, near=cameras.near * scale)


def pixel_size(cameras: Cameras, point: Float64[Tensor, "3"] | None = None) -> float:
    """Length that covers one pixel at a point, by default the origin of the frame; median over the cameras."""
    at = torch.zeros(3, dtype=torch.float64) if point is None else point
    depth = torch.ones(len(cameras)) if cameras.orthographic else cameras.project(at[None])[:, 0, 2].cpu()
    return float((depth / cameras.K[:, 0, 0].cpu()).median())


def capture_light() -> Float[Tensor, "9 3"]:
    """A fixed light for synthetic pictures: soft ambient, warm key, cool fill and a weak light from below.

    Brightness and hue change in every direction, so that shading distinguishes normals. A white surface has
    linear brightness of about 0.1 to 1, so that no stored picture is clipped.
    """
    directions = torch.tensor([[0.5, 0.7, 0.6], [-0.8, 0.1, 0.4], [0.1, -0.6, -0.8]])
    irradiances = torch.tensor([[2.2, 2.0, 1.75], [0.75, 1.0, 1.35], [1.05, 0.75, 0.65]])
    harmonics = spherical_harmonics(torch.nn.functional.normalize(directions, dim=1))
    return harmonics.T @ irradiances + 0.05 * ambient_light()

"""Overview pictures of a capture: photographs with masks and bounds, and positions of the cameras."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from ..images.io import linear_to_srgb
from ..images.resizing import area_resize
from .camera import Cameras
from .capture import Capture, ScenePoints
from .formats.camera_files import WholeView

MASK, HULL, UNKNOWN, BOX = (255, 60, 40), (255, 220, 0), (40, 200, 80), (90, 170, 255)


def capture_sheet(
    capture: Capture,
    bounds: Float[Tensor, "2 3"] | None = None,
    hull: Bool[Tensor, "N H W"] | None = None,
    labels: Sequence[str] | None = None,
    columns: int = 4,
    width: int = 480,
) -> Float[Tensor, "height width 3"]:
    """Picture of all photographs with mask outlines, unknown pixels and bounds drawn on top.

    Args:
        capture: The photographs. Outlines of masks are red, unknown pixels green.
        bounds: Low and high corner of a box, world; its edges are drawn in blue (`object_bounds`).
        hull: Silhouettes to outline in yellow, for instance `Comparison.hull_of_others`.
        labels: A line of text per view; None takes the names.
        columns: Photographs per row.
        width: Width of each photograph in the sheet, pixels.

    Returns:
        sRGB-encoded values in [0, 1], for `save_image`.
    """
    height = max(1, round(capture.cameras.height * width / capture.cameras.width))
    cameras = capture.cameras.to("cpu").resized(width, height)
    labels = labels or capture.names
    rows = -(-len(capture) // columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for i in range(len(capture)):
        photo = area_resize(capture.images[[i]].cpu(), width, height)[0]
        pixels = (linear_to_srgb(photo.clamp(0, 1)) * 255).round().byte().numpy()
        _tint(pixels, ~capture.known[i].cpu(), UNKNOWN)
        if hull is not None:
            _outline(pixels, hull[i].cpu(), HULL)
        if capture.masks is not None:
            _outline(pixels, capture.masks[i].cpu() > 0.5, MASK)
        picture = Image.fromarray(pixels)
        draw = ImageDraw.Draw(picture)
        if bounds is not None:
            _box(draw, cameras[[i]], bounds)
        draw.text((6, 4), labels[i], fill=(255, 255, 255), stroke_width=2, stroke_fill=(0, 0, 0))
        sheet.paste(picture, ((i % columns) * width, (i // columns) * height))
    return torch.from_numpy(np.array(sheet)).float() / 255


def _scaled(region: Bool[Tensor, "H W"], pixels: npt.NDArray[Any]) -> Float[Tensor, "h w"]:
    height, width = pixels.shape[:2]
    return area_resize(region[None, ..., None].float(), width, height)[0, ..., 0]


def _tint(pixels: npt.NDArray[Any], region: Bool[Tensor, "H W"], color: tuple[int, int, int]) -> None:
    chosen = (_scaled(region, pixels) > 0.5).numpy()
    pixels[chosen] = (pixels[chosen] * 0.5 + np.array(color) * 0.5).astype(np.uint8)


def _outline(pixels: npt.NDArray[Any], region: Bool[Tensor, "H W"], color: tuple[int, int, int]) -> None:
    inside = (_scaled(region, pixels) > 0.5).numpy()
    edge = np.zeros_like(inside)
    edge[1:] |= inside[1:] != inside[:-1]
    edge[:, 1:] |= inside[:, 1:] != inside[:, :-1]
    pixels[edge] = color


def _box(draw: ImageDraw.ImageDraw, camera: Cameras, bounds: Float[Tensor, "2 3"]) -> None:
    index = torch.tensor([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)])
    corners = camera.project(bounds.double().cpu()[index, torch.arange(3)])[0]
    for a in range(8):
        for b in (a | 1, a | 2, a | 4):
            in_front = camera.orthographic or bool((corners[[a, b], 2] > camera.near).all())
            if a != b and in_front:
                draw.line([tuple(corners[k, :2].tolist()) for k in (a, b)], fill=BOX, width=1)


PAPER, INK, POINT, CAMERA, FIRST, TARGET = (
    "white",
    "black",
    (150, 150, 150),
    (30, 90, 200),
    (200, 40, 30),
    "red",
)
AXES = ((220, 40, 40), (40, 160, 60), (40, 90, 220))
MARGIN = 40
MOST_POINTS, MOST_LABELS = 20_000, 60


def looked_at(cameras: Cameras) -> Float[Tensor, "3"]:
    """The point nearest to all optical axes (least squares), or the mean camera position if these are
    parallel."""
    across = torch.eye(3, dtype=torch.float64) - cameras.forward[:, :, None] * cameras.forward[:, None]
    normal = across.sum(dim=0)
    if float(torch.linalg.cond(normal)) > 1e8:
        return cameras.centers.mean(dim=0)
    return torch.linalg.solve(normal, (across @ cameras.centers[..., None]).sum(dim=0)[:, 0])


def as_batch(views: Sequence[WholeView]) -> Cameras:
    """Batch the cameras of views, all with the picture size of the first; poses are unchanged."""
    width, height = views[0].size
    poses, K = torch.stack([view.T_cam_world for view in views]), torch.stack([view.K for view in views])
    return Cameras(poses, K, width, height).check([view.name for view in views])


def rig_summary(views: Sequence[WholeView]) -> dict[str, list[Any]]:
    """Summary of intrinsics and distances of cameras, as JSON values.

    Returns:
        `sizes` of the pictures in pixels; smallest and largest `focal` length in pixels, `degrees_wide`
        (horizontal field of view) and `distance` from the point `looked_at`, in the unit of the cameras; names
        of `lenses`.
    """
    cameras = as_batch(views)
    focal, target = cameras.K[:, 0, 0], looked_at(cameras)
    distances = (cameras.centers - target).norm(dim=1)
    wide = [math.degrees(2 * math.atan(view.size[0] / 2 / float(view.K[0, 0]))) for view in views]
    lenses = {"pinhole" if view.lens is None else f"distorted {view.lens.projection}" for view in views}
    return {
        "sizes": [list(size) for size in sorted({view.size for view in views})],
        "focal": [float(focal.min()), float(focal.max())],
        "degrees_wide": [min(wide), max(wide)],
        "lenses": sorted(lenses),
        "looked_at": target.tolist(),
        "distance": [float(distances.min()), float(distances.max())],
    }


def rig_sheet(
    cameras: Cameras, points: ScenePoints | None = None, labels: Sequence[str] = (), width: int = 1600
) -> Float[Tensor, "height width 3"]:
    """Picture of the cameras from above and from the side, to scale.

    Up is the mean upward direction of the pictures, or the z axis of the world if this is undefined. A camera
    is a small pyramid, the first one red. A cross marks the point that the cameras look at, and coloured lines
    are the axes of the world.

    Args:
        cameras: The cameras; the scale bar is in their unit.
        points: Points of the scene.
        labels: A text per camera, which is drawn if there are few cameras.
        width: Width of the picture in pixels.

    Returns:
        sRGB-encoded values in [0, 1], for `save_image`.
    """
    basis, target = _basis(cameras), looked_at(cameras)
    cloud = torch.zeros(0, 3, dtype=torch.float64) if points is None else points.positions.cpu()
    cloud = cloud[:: max(1, len(cloud) // MOST_POINTS)]
    low, high = _extent(cameras, cloud, target)
    reach = float((high - low).norm()) or 1.0
    pyramids = _pyramids(cameras, 0.06 * reach)
    corners = torch.cat([pyramids.reshape(-1, 3), target[None], _inside(cloud, low, high)]) @ basis.T
    side = width // 2
    middle = (corners.amax(dim=0) + corners.amin(dim=0)) / 2
    scale = (side - 2 * MARGIN) / (float((corners.amax(dim=0) - corners.amin(dim=0)).max()) or 1.0)
    picture = Image.new("RGB", (2 * side, side), PAPER)
    draw = ImageDraw.Draw(picture)
    for panel, (title, axes) in enumerate((("from above", (0, 1)), ("from the side", (0, 2)))):

        def place(
            p: Float[Tensor, "n 3"], left: int = panel * side, axes: tuple[int, int] = axes
        ) -> npt.NDArray[Any]:
            flat = (p @ basis.T - middle)[:, list(axes)] * scale * torch.tensor([1.0, -1.0])
            return (flat + torch.tensor([left + side / 2, side / 2])).numpy()

        for x, y in place(_inside(cloud, low, high)):
            draw.point((x, y), fill=POINT)
        for i in reversed(range(len(cameras))):
            _pyramid(draw, place(pyramids[i]), FIRST if i == 0 else CAMERA)
        if len(labels) <= MOST_LABELS:
            for label, (x, y) in zip(labels, place(cameras.centers), strict=False):
                draw.text((x + 4, y - 4), label, fill=INK)
        ((x, y),) = place(target[None])
        draw.line([(x - 6, y), (x + 6, y)], fill=TARGET, width=2)
        draw.line([(x, y - 6), (x, y + 6)], fill=TARGET, width=2)
        _axes(draw, basis[list(axes)], (panel * side + 22, side - 22))
        draw.text((panel * side + MARGIN, 12), title, fill=INK)
    _scale_bar(draw, scale, 2 * side - MARGIN, side - MARGIN // 2)
    draw.line([(side, 0), (side, side)], fill=POINT)
    return torch.from_numpy(np.array(picture)).float() / 255


def _basis(cameras: Cameras) -> Float[Tensor, "3 3"]:
    """Rows: two horizontal directions, the first along the longest extent of the cameras, and up;
    right-handed."""
    up = -cameras.T_cam_world[:, 1, :3].mean(dim=0)
    if float(up.norm()) < 0.3:
        up = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    up = up / up.norm()
    flat = cameras.centers - cameras.centers.mean(dim=0)
    flat = flat - (flat @ up)[:, None] * up
    first = torch.linalg.svd(torch.cat([flat, 1e-9 * torch.eye(3, dtype=torch.float64)]))[2][0]
    first = first - (first @ up) * up
    if float(first.norm()) < 1e-6:
        first = torch.linalg.svd(up[None])[2][1]
    first = first / first.norm()
    return torch.stack([first, torch.linalg.cross(up, first), up])


def _extent(
    cameras: Cameras, cloud: Float[Tensor, "P 3"], target: Float[Tensor, "3"]
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Corners of a box around all cameras, the point that they look at, and most of the points."""
    near = torch.cat([cameras.centers, target[None]])
    if len(cloud) >= 10:
        near = torch.cat([near, torch.quantile(cloud, torch.tensor([0.02, 0.98]).double(), dim=0)])
    return near.amin(dim=0), near.amax(dim=0)


def _inside(
    cloud: Float[Tensor, "P 3"], low: Float[Tensor, "3"], high: Float[Tensor, "3"]
) -> Float[Tensor, "Q 3"]:
    return cloud[((cloud >= low) & (cloud <= high)).all(dim=1)]


def _pyramids(cameras: Cameras, length: float) -> Float[Tensor, "N 5 3"]:
    """Camera centre, and the four corners of the picture at a depth `length`."""
    w, h = cameras.width, cameras.height
    corners = torch.tensor([[0.0, 0, 1], [w, 0, 1], [w, h, 1], [0, h, 1]], dtype=torch.float64)
    ahead = cameras.unproject(corners.repeat(len(cameras), 1, 1))
    center = cameras.centers[:, None]
    return torch.cat([center, center + (ahead - center) * length], dim=1)


def _pyramid(draw: ImageDraw.ImageDraw, corners: npt.NDArray[Any], color: tuple[int, int, int]) -> None:
    eye, *rim = [tuple(corner) for corner in corners.tolist()]
    draw.line([*rim, rim[0]], fill=color)
    for corner in rim:
        draw.line([eye, corner], fill=color)


def _axes(draw: ImageDraw.ImageDraw, across: Float[Tensor, "2 3"], corner: tuple[int, int]) -> None:
    """Draw the axes of the world in a panel."""
    for axis, color in enumerate(AXES):
        x, y = corner[0] + 18 * float(across[0, axis]), corner[1] - 18 * float(across[1, axis])
        draw.line([corner, (x, y)], fill=color, width=2)
        draw.text((x + 2, y - 5), "xyz"[axis], fill=color)


def _scale_bar(draw: ImageDraw.ImageDraw, scale: float, right: int, y: int) -> None:
    """Draw a scale bar with a round length in world units."""
    wanted = 150 / scale
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(step * power for step in (1, 2, 5) if step * power <= wanted)
    draw.line([(right - length * scale, y), (right, y)], fill=INK, width=2)
    draw.text((right - length * scale, y - 14), f"{length:g}", fill=INK)

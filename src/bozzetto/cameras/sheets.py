"""Pictures that show at a glance whether cameras, masks and photographs fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from ..images.io import linear_to_srgb
from .camera import Cameras
from .capture import Capture, area_resize

MASK, HULL, UNKNOWN, BOX = (255, 60, 40), (255, 220, 0), (40, 200, 80), (90, 170, 255)


def capture_sheet(
    capture: Capture,
    bounds: Float[Tensor, "2 3"] | None = None,
    hull: Bool[Tensor, "N H W"] | None = None,
    labels: Sequence[str] | None = None,
    columns: int = 4,
    width: int = 480,
) -> Float[Tensor, "height width 3"]:
    """All photographs with what is known about them drawn on top.

    Args:
        capture: The photographs. Outlines of masks are red, unknown pixels green.
        bounds: Low and high corner of a box, world; its edges are drawn in blue (`object_bounds`).
        hull: Silhouettes to outline in yellow, for instance `Comparison.hull_of_others`.
        labels: A line of text per view; by default the names.
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

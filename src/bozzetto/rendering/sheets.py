"""Turntable animations, contact sheets, and comparisons of photographs with renders."""

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..cameras import Cameras, intrinsics_from_fov, look_at
from ..errors import InputError
from ..files import atomic_path
from ..images import linear_to_srgb, save_image, srgb_to_linear
from ..shapes import Mesh
from ..shapes.offsets import NO_OFFSET
from ..steps import counted
from .lighting import Vector, axes, studio_light
from .pictures import render

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PAPER, _INK = (250, 249, 247), (60, 57, 54)
_FOV = math.radians(28)


def turntable(
    mesh: Mesh,
    path: str | os.PathLike[str],
    frames: int = 36,
    size: int = 320,
    up: Vector = (0, 1, 0),
    front: Vector = (0, 0, 1),
    elevation: float = 0.15,
    light: Float[Tensor, "9 3"] | None = None,
    background: tuple[float, float, float] = (0.96, 0.95, 0.93),
    seconds: float = 4.0,
) -> Path:
    """Write a turntable animation: a mesh that rotates once, counter-clockwise seen from above.

    Args:
        mesh: The surface; it is white if it has no colours.
        path: The suffix chooses the format: `.webp`, `.gif`, or `.png` (animated).
        frames: Number of pictures per rotation, at least 2.
        size: Width and height in pixels.
        up: Axis of the rotation, upwards in the picture.
        front: Direction from the object towards the viewer in the first picture.
        elevation: Elevation of the camera above the horizontal plane, in radians.
        light: Radiance coefficients in the axes of the first picture; None takes the studio light.
        background: sRGB colour of the background.
        seconds: Duration of a rotation in seconds.

    Raises:
        InputError: The suffix is not supported, there are fewer than two frames, or the mesh cannot be
            rendered.
    """
    path = Path(path)
    if path.suffix.lower() not in (".webp", ".gif", ".png") or frames < 2:
        raise InputError(
            f"a turntable needs 2 frames or more and a name in .webp, .gif or .png, got {frames}, {path.name}"
        )
    pictures = [
        _eight_bits(p) for p in turntable_views(mesh, frames, size, up, front, elevation, light, background)
    ]
    images = [Image.fromarray(picture) for picture in pictures]
    # Every picture is stored in full, since differences between lossy pictures cause artefacts at outlines.
    options: dict[str, Any] = (
        {"quality": 88, "method": 4, "kmax": 1} if path.suffix.lower() == ".webp" else {}
    )
    with atomic_path(path) as temporary:
        images[0].save(
            temporary,
            save_all=True,
            append_images=images[1:],
            duration=round(1000 * seconds / frames),
            loop=0,
            **options,
        )
    return path


def turntable_views(
    mesh: Mesh,
    frames: int = 4,
    size: int = 320,
    up: Vector = (0, 1, 0),
    front: Vector = (0, 0, 1),
    elevation: float = 0.15,
    light: Float[Tensor, "9 3"] | None = None,
    background: tuple[float, float, float] = (0.96, 0.95, 0.93),
) -> Float[Tensor, "N H W 3"]:
    """The pictures of a turntable in sRGB; arguments and errors as for `turntable`."""
    mesh.check()
    device = mesh.vertices.device
    x, y, z = axes(up, front)
    centre = mesh.bounds.mean(dim=0)
    local = (mesh.vertices - centre) @ torch.stack((x, y, z), dim=1).to(device)
    local = local / float(local[mesh.used].abs().max())  # independent of the size of the mesh
    radius = float(local[mesh.used].norm(dim=1).max())
    eye = torch.tensor([0.0, math.sin(elevation), math.cos(elevation)]) * radius / math.sin(_FOV / 2)
    pose = look_at(eye, torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]))
    camera = Cameras(pose, intrinsics_from_fov(_FOV, 2 * size, 2 * size)[None], 2 * size, 2 * size).to(device)
    light = (studio_light() if light is None else light).to(device)
    paper = srgb_to_linear(torch.tensor(background, device=device))
    pictures = []
    for angle in counted(torch.arange(frames) * (2 * math.pi / frames), "pictures", frames):
        cos, sin = float(angle.cos()), float(angle.sin())
        turn = local.new_tensor(
            [[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]
        )  # rows times matrix: left to right
        picture = render(replace(mesh, vertices=local @ turn, offset=NO_OFFSET), camera, light)[0].detach()
        color, coverage = picture[..., :3], picture[..., 3:]
        pictures.append(color.clamp(0, 1) + (1 - coverage.clamp(0, 1)) * paper)
    # Relief may be finer than a pixel: average 2 x 2 samples in linear light.
    fine = torch.stack(pictures).clamp(0, 1).unflatten(1, (size, 2)).unflatten(3, (size, 2))
    return linear_to_srgb(fine.mean(dim=(2, 4))).cpu()


def contact_sheet(
    pictures: Sequence[Tensor] | Tensor,
    columns: int = 0,
    gap: int = 4,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Float[Tensor, "H W 3"]:
    """A contact sheet: pictures of the same size side by side.

    Args:
        pictures: sRGB images (H, W, 3) in [0, 1].
        columns: Number of pictures per row; 0 makes the sheet about square.
        gap: Gap between pictures in pixels.
        background: sRGB colour of gaps and empty cells.

    Raises:
        InputError: There are no pictures, or their sizes differ.
    """
    shapes = {tuple(picture.shape) for picture in pictures}
    if len(shapes) != 1:
        raise InputError(f"a contact sheet needs pictures of one size, got {sorted(shapes) or 'none'}")
    height, width, _ = shapes.pop()
    columns = columns or math.ceil(math.sqrt(len(pictures) * height / width))
    rows = math.ceil(len(pictures) / columns)
    sheet = torch.tensor(background).repeat(rows * (height + gap) - gap, columns * (width + gap) - gap, 1)
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = picture.detach().cpu()
    return sheet


def mesh_sheet(meshes: Sequence[Mesh], most: int = 64, size: int = 160) -> Float[Tensor, "H W 3"]:
    """Pictures of the first meshes side by side, sRGB.

    Args:
        meshes: Meshes in the same frame, with Y up.
        most: Largest number of meshes that are drawn.
        size: Side of a picture in pixels.
    """
    return contact_sheet([turntable_views(mesh.to("cpu"), 1, size)[0] for mesh in meshes[:most]], gap=0)


def comparison_sheet(
    photos: Float[Tensor, "N H W 3"],
    renders: Float[Tensor, "M h w 3"],
    path: str | os.PathLike[str],
    names: Sequence[str] = (),
    scale: float = 0.0,
) -> Float[Tensor, "height width 3"]:
    """Write rows of photograph, render and their signed difference, with a legend.

    The difference is that of the displayed (sRGB) values, averaged over the channels: red where the render
    is brighter, blue where it is darker, white where both agree.

    Args:
        photos: Linear RGB.
        renders: Linear RGB, of the same size.
        path: Picture file.
        names: Name of every row.
        scale: Difference that is shown in full colour, in (0, 1]; 0 takes the 99th percentile of the sheet.

    Returns:
        The sheet, sRGB in [0, 1].

    Raises:
        InputError: The sizes differ or there is nothing to compare.
    """
    if photos.shape != renders.shape or len(photos) == 0:
        raise InputError(f"photographs {tuple(photos.shape)} and renders {tuple(renders.shape)} must match")
    seen, made = (linear_to_srgb(images.detach().cpu().clamp(0, 1)) for images in (photos, renders))
    signed = (made - seen).mean(dim=-1)
    scale = scale or max(0.02, float(np.quantile(signed.abs().numpy(), 0.99)))
    rows = torch.cat([seen, made, diverging(signed / scale)], dim=2)
    _, height, width, _ = rows.shape
    top, line = 26, height + 6
    sheet = Image.new("RGB", (width, top + len(rows) * line + 34), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for i, title in enumerate(("photograph", "render", "render - photograph")):
        draw.text((i * width // 3 + 6, 6), title, _INK, font)
    for i, row in enumerate(rows):
        sheet.paste(Image.fromarray(_eight_bits(row)), (0, top + i * line))
        if i < len(names):
            draw.text((6, top + i * line + 4), names[i], (150, 146, 140), font)
    _legend(sheet, draw, font, scale)
    picture = torch.from_numpy(np.array(sheet)).float() / 255
    save_image(path, picture)
    return picture


def diverging(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 3"]:
    """Diverging colour map in sRGB: blue at -1, white at 0, red at 1, with lightness falling evenly on both
    sides."""
    amount = values.clamp(-1, 1)[..., None]
    red, blue = torch.tensor([0.70, 0.09, 0.16]), torch.tensor([0.13, 0.34, 0.67])
    end = torch.where(amount > 0, red, blue)
    return 1 + amount.abs() ** 0.8 * (end - 1)


def _legend(sheet: Image.Image, draw: ImageDraw.ImageDraw, font: Font, scale: float) -> None:
    width = max(60, sheet.width // 3 - 110)
    ramp = diverging(torch.linspace(-1, 1, width)).expand(12, width, 3)
    x, y = sheet.width - sheet.width // 3 + 52, sheet.height - 24
    sheet.paste(Image.fromarray(_eight_bits(ramp)), (x, y))
    draw.text((x - 6, y - 1), f"-{scale:.2f}", _INK, font, anchor="ra")
    draw.text((x + width + 6, y - 1), f"+{scale:.2f}", _INK, font)


def _eight_bits(picture: Tensor) -> npt.NDArray[Any]:
    return (picture.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()

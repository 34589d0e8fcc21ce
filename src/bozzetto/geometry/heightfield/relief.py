"""Textured meshes of height fields: a plane or a cylinder with adaptive triangles.

Triangles are those of right-triangulated irregular networks (Evans, Kirkpatrick and Townsend 2001). Every
triangle is half a square; it is halved at the middle of its longest side as long as the surface there is
further than a tolerance from the straight line. A grid point's error includes those of the points that need
it, so neighbours always agree and no cracks appear. All triangles of a level are handled at once. Grid
points are of two kinds per step s (1, 2, 4, ...): on edges of squares of side 2 s, and at their centres.
"""

import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import trimesh
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from ...errors import InputError
from ...files import write_bytes
from ...shapes import HeightField, Mesh
from ...values import value_type
from . import normals_from_height


def split_errors(points: NDArray[Any], side: int, joined: bool = False) -> NDArray[Any]:
    """Lower bound of the distance to the surface where a grid point is left out.

    Args:
        points: (rows * side + 1, columns * side + 1, 3), a grid of rows x columns blocks.
        side: Cells along a block, a power of two.
        joined: Whether opposite borders get the same errors, so that copies fit side by side.

    Returns:
        An error per grid point; 0 at corners of blocks, which are always kept.
    """
    errors = np.zeros(points.shape[:2], points.dtype)
    step, centres = 1, None
    while step < side:
        level = points[::step, ::step]
        across = _edge_errors(level, centres)
        along = _edge_errors(level.swapaxes(0, 1), None if centres is None else centres.T).T
        if joined:
            across[[0, -1]] = np.maximum(across[0], across[-1])
            along[:, [0, -1]] = np.maximum(along[:, 0], along[:, -1])[:, None]
        centres = _centre_errors(level)
        centres = np.maximum.reduce([centres, across[:-1], across[1:], along[:, :-1], along[:, 1:]])
        coarse = 2 * step
        errors[::coarse, step::coarse] = across
        errors[step::coarse, ::coarse] = along
        errors[step::coarse, step::coarse] = centres
        step = coarse
    return errors


def tolerance_for(errors: NDArray[Any], max_faces: int, blocks: int) -> float:
    """The smallest tolerance that leaves at most the given number of triangles, or two per block if that is
    more."""
    added = np.full(errors.shape, 2)
    added[[0, -1]] = added[:, [0, -1]] = 1
    flat = errors.ravel()
    order = np.argsort(flat)[::-1]
    faces = 2 * blocks + np.cumsum(added.ravel()[order])
    allowed = int(np.searchsorted(faces, max_faces, side="right"))
    return float(flat[order[allowed]]) if allowed < flat.size else 0.0


def triangles(errors: NDArray[Any], side: int, tolerance: float) -> NDArray[np.int64]:
    """Corners (F, 3) as flat grid indices, counter-clockwise with rows running downwards.

    Args:
        errors: From `split_errors`.
        side: Cells along a block.
        tolerance: Triangles are split where the error exceeds this.
    """
    current, done = _first_triangles(errors.shape, side), []
    flat = errors.ravel()
    for _ in range(2 * int(np.log2(side))):
        apex, left, right = current.T
        middle = (left + right) // 2  # of flat indices, which are linear in the position
        split = flat[middle] > tolerance
        done.append(current[~split])
        apex, left, right, middle = (corner[split] for corner in (apex, left, right, middle))
        halves = [np.stack([middle, apex, left], axis=1), np.stack([middle, right, apex], axis=1)]
        current = np.concatenate(halves)
    return np.concatenate([*done, current])


def _first_triangles(shape: tuple[int, ...], side: int) -> NDArray[np.int64]:
    rows, columns = np.meshgrid(*(np.arange((n - 1) // side) for n in shape), indexing="ij")
    top_left = (rows * shape[1] + columns) * side
    top_right, bottom_left = top_left + side, top_left + side * shape[1]
    bottom_right = bottom_left + side
    even = (rows + columns) % 2 == 0
    # Apex first, then the ends of the diagonal.
    first = np.where(even, [bottom_left, bottom_right, top_left], [top_left, bottom_left, top_right])
    second = np.where(even, [top_right, top_left, bottom_right], [bottom_right, top_right, bottom_left])
    return np.concatenate([first.reshape(3, -1).T, second.reshape(3, -1).T]).astype(np.int64)


def _edge_errors(level: NDArray[Any], centres: NDArray[Any] | None) -> NDArray[Any]:
    """Errors of points in the middle of horizontal edges of length 2, and of the finer centres around them."""
    rows = level[::2]
    own = np.linalg.norm(rows[:, 1::2] - (rows[:, :-1:2] + rows[:, 2::2]) / 2, axis=-1)
    if centres is None:
        return own
    around = np.pad(centres, ((1, 1), (0, 0)))
    around = np.maximum(around[:, ::2], around[:, 1::2])
    return np.maximum(own, np.maximum(around[::2], around[1::2]))


def _centre_errors(level: NDArray[Any]) -> NDArray[Any]:
    """Errors of the centres of squares of side 2, from their diagonal, which alternates like a chequerboard."""
    middle, corners = level[1::2, 1::2], level[::2, ::2]
    falling = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    rising = (corners[:-1, 1:] + corners[1:, :-1]) / 2
    rows, columns = np.indices(middle.shape[:2])
    even = ((rows + columns) % 2 == 0)[..., None]
    return np.linalg.norm(middle - np.where(even, falling, rising), axis=-1)


WRAPS = ("plane", "cylinder")
MAX_SIDE = 2048
"""Cells along the short side, however large the map is."""


@value_type
class Relief:
    """A mesh over a height field.

    Attributes:
        mesh: In millimetres, x to the right, y up, z out of the surface, centred at x = y = 0; z is 0 where the
            height is 0. On a cylinder y is the axis and the middle of the map faces +z.
        uv: Texture coordinates per vertex, (0, 0) at the lower left of the map.
        normals: Unit normals of the full height field at the vertices.
        tolerance_mm: Largest allowed distance between the mesh and the height field, in millimetres.
    """

    mesh: Mesh
    uv: Float[Tensor, "V 2"]
    normals: Float[Tensor, "V 3"]
    tolerance_mm: float


def relief_mesh(
    field: HeightField, wrap: str = "plane", tolerance_mm: float | None = None, max_faces: int = 200_000
) -> Relief:
    """A mesh over a height field with few triangles where it is flat.

    Args:
        field: Heights and their size. If it tiles, copies of a plane fit together without cracks.
        wrap: `plane`; or `cylinder`, whose circumference is the width of the map, with the relief outside.
        tolerance_mm: Largest distance between mesh and field in millimetres; by default 1/500 of the range of
            heights.
        max_faces: Largest number of triangles; the tolerance is increased until it is met.

    Raises:
        InputError: The wrap is unknown, heights are not finite, a limit is not positive, or hollows are deeper
            than the cylinder's radius.
    """
    field.check()
    if wrap not in WRAPS or max_faces < 2 or (tolerance_mm is not None and tolerance_mm < 0):
        raise InputError(
            f"a relief takes wrap {' or '.join(WRAPS)}, a tolerance of 0 mm or more and 2 faces or more; "
            f"got {wrap!r}, {tolerance_mm} and {max_faces}"
        )
    side, blocks = _blocks(field)
    grid = (blocks[0] * side + 1, blocks[1] * side + 1)
    heights = _at_corners(field.in_mm()[None], grid, field.tiles)[0]
    points = _wrapped(heights.numpy(), field.size_mm, wrap)
    errors = split_errors(points, side, field.tiles)
    if tolerance_mm is None:
        tolerance_mm = float(heights.max() - heights.min()) / 500
    # Rounding of positions is no relief.
    rounding = 4 * float(np.finfo(np.float32).eps) * max(field.size_mm)
    tolerance = max(tolerance_mm, rounding, tolerance_for(errors, max_faces, blocks[0] * blocks[1]))
    kept, faces = np.unique(triangles(errors, side, tolerance), return_inverse=True)
    row, column = np.divmod(kept, grid[1])
    uv = np.stack([column / (grid[1] - 1), 1 - row / (grid[0] - 1)], axis=1)
    vertices = torch.from_numpy(points.reshape(-1, 3)[kept])
    mesh = Mesh(vertices, torch.from_numpy(faces.reshape(-1, 3).astype(np.int64)))
    normals = _normals(field, grid)[torch.from_numpy(kept)]
    uv = torch.from_numpy(uv).float()
    if wrap == "cylinder":
        normals = _turned(normals, uv[:, 0])
    return Relief(mesh, uv, normals, tolerance)


def save_relief(
    relief: Relief,
    path: str | os.PathLike[str],
    photo: Float[Tensor, "H W C"] | None = None,
    quality: int = 92,
) -> None:
    """Write a GLB, with the photo as its texture. Units are metres, as glTF requires: 1/1000 of the mesh's.

    Args:
        relief: The relief to write.
        path: A name that ends in .glb.
        photo: sRGB-encoded values in [0, 1], grey or RGB, of any size; without it the relief is plain.
        quality: JPEG quality of the photo, 1 to 100.

    Raises:
        InputError: The name ends otherwise, or the folder cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() != ".glb":
        raise InputError(f"a relief cannot be saved as {path.suffix!r}; use a name that ends in .glb")
    material = PBRMaterial(metallicFactor=0.0, roughnessFactor=0.9, doubleSided=True)
    if photo is not None:
        color = photo[..., :1].expand(-1, -1, 3) if photo.shape[-1] < 3 else photo[..., :3]
        pixels = (color.detach().cpu().clamp(0, 1) * 255).round().byte().numpy()
        material.baseColorTexture = _jpeg(pixels, quality)
    shape = trimesh.Trimesh(
        relief.mesh.vertices.double().numpy() / 1000,
        relief.mesh.faces.numpy(),
        vertex_normals=relief.normals.numpy(),
        visual=TextureVisuals(uv=relief.uv.numpy(), material=material),
        process=False,
    )
    data = shape.export(file_type="glb", include_normals=True)
    assert isinstance(data, bytes)
    write_bytes(path, data)


def _jpeg(pixels: npt.NDArray[Any], quality: int) -> Image.Image:
    """A picture that the exporter writes as JPEG and not as PNG, which would be many times as large."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return Image.open(buffer)


def _blocks(field: HeightField) -> tuple[int, tuple[int, int]]:
    """Cells along a block, and blocks along the sides: squares, one along the short side."""
    height, width = field.height.shape
    short = min(height, width)
    side = min(MAX_SIDE, 2 ** math.ceil(math.log2(max(2, short))))
    return side, (max(1, round(height / short)), max(1, round(width / short)))


def _at_corners(maps: Tensor, grid: tuple[int, int], tiles: bool) -> Tensor:
    """Maps of pixels (C, H, W) at the points of a grid whose outer ones lie on the outline of the map."""
    mode = "circular" if tiles else "replicate"
    padded = torch.nn.functional.pad(maps.cpu().float()[None], (1, 1, 1, 1), mode=mode)
    height, width = padded.shape[-2:]
    # Along a side of n pixels and 2 more, the outline is at 1 / (n + 2) and (n + 1) / (n + 2) of the length.
    y, x = (
        torch.linspace(-1 + 2 / n, 1 - 2 / n, count) for n, count in zip((height, width), grid, strict=True)
    )
    where = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    return torch.nn.functional.grid_sample(padded, where[None], align_corners=False)[0]


def _wrapped(heights: npt.NDArray[Any], size_mm: tuple[float, float], wrap: str) -> npt.NDArray[Any]:
    rows, columns = (np.linspace(0.5, -0.5, heights.shape[0]), np.linspace(-0.5, 0.5, heights.shape[1]))
    y = np.broadcast_to(rows[:, None] * size_mm[1], heights.shape)
    if wrap == "plane":
        x = np.broadcast_to(columns * size_mm[0], heights.shape)
        return np.stack([x, y, heights], axis=-1).astype(np.float32)
    radius = size_mm[0] / (2 * math.pi) + heights
    if radius.min() <= 0:
        raise InputError(
            f"hollows of {-heights.min():.3g} mm are deeper than the cylinder's radius of "
            f"{size_mm[0] / (2 * math.pi):.3g} mm; lower the depth or widen the map"
        )
    angle = columns * 2 * math.pi
    points = np.stack([radius * np.sin(angle), y, radius * np.cos(angle)], axis=-1)
    return points.astype(np.float32)


def _normals(field: HeightField, grid: tuple[int, int]) -> Tensor:
    normals = normals_from_height(field.in_pixels().float().cpu(), field.boundary)
    sampled = _at_corners(normals.movedim(-1, 0), grid, field.tiles).movedim(0, -1).reshape(-1, 3)
    return sampled / sampled.norm(dim=1, keepdim=True)


def _turned(normals: Tensor, across: Tensor) -> Tensor:
    angle = (across - 0.5) * (2 * math.pi)
    x, y, z = normals.unbind(1)
    return torch.stack([x * angle.cos() + z * angle.sin(), y, z * angle.cos() - x * angle.sin()], dim=1)

"""All parts of a room as one mesh with textures of several sizes, ready for kernels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int32, Int64, UInt8
from torch import Tensor

from ....images import srgb_to_linear
from ....values import value_type
from .panels import Piece

LEVELS = 10
"""Sizes of every texture, each half of the one before."""


@value_type
class Scene:
    """Everything there is to see, as one mesh.

    Attributes:
        vertices, faces, normals: World frame, metres.
        uv: Places in the texture of the part.
        tint: Linear factor of the texture.
        light: Irradiance at the vertices divided by pi, so that the light that leaves is albedo times it.
        part: Of every face.
        texels: All textures at all sizes, square roots of linear albedo as bytes.
        layout: Per part and size: first texel, width, height.
        settings: Per part: texels per metre, grain and its size, glow, gloss.
    """

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "F 3"]
    normals: Float[Tensor, "V 3"]
    uv: Float[Tensor, "V 2"]
    tint: Float[Tensor, "V 3"]
    light: Float[Tensor, "V 3"]
    part: Int32[Tensor, " F"]
    texels: UInt8[Tensor, "T 3"]
    layout: Int32[Tensor, "parts levels 3"]
    settings: Float[Tensor, "parts 5"]

    def lit(self, light: Float[Tensor, "V 3"]) -> "Scene":
        """The same under another light."""
        return replace(self, light=light)

    @property
    def albedo(self) -> Float[Tensor, "F 3"]:
        """Mean linear albedo of every face, roughly: the smallest size of its texture."""
        last = self.texels[self.layout[:, -1, 0].long()].float() / 255
        return (last**2)[self.part.long()] * self.tint[self.faces].mean(dim=1)


def joined_scene(pieces: Sequence[Piece]) -> Scene:
    """One scene of all parts, numbered in their order, in the dark."""
    first = np.cumsum([0, *(len(p.vertices) for p in pieces)])
    texels, layout, start = [], [], 0
    plain: dict[bytes, list[list[int]]] = {}  # the many parts in one colour share their texels
    for piece in pieces:
        key = piece.picture.tobytes() if piece.picture.size <= 12 else b""
        if key in plain:
            layout.append(plain[key])
            continue
        rows = []
        for level in _levels(piece.picture):
            texels.append(level.reshape(-1, 3))
            rows.append([start, level.shape[1], level.shape[0]])
            start += len(texels[-1])
        layout.append(rows + [rows[-1]] * (LEVELS - len(rows)))
        if key:
            plain[key] = layout[-1]
    finishes = [p.finish for p in pieces]
    vertices = torch.cat([p.vertices for p in pieces]).contiguous()
    return Scene(
        vertices=vertices,
        faces=torch.cat([p.faces + int(s) for p, s in zip(pieces, first[:-1], strict=True)]),
        normals=torch.cat([p.normals for p in pieces]).contiguous(),
        uv=torch.cat([p.uv for p in pieces]).contiguous(),
        tint=torch.cat([p.tint for p in pieces]).contiguous(),
        light=torch.zeros_like(vertices),
        part=torch.repeat_interleave(
            torch.arange(len(pieces), dtype=torch.int32), torch.tensor([len(p.faces) for p in pieces])
        ),
        texels=torch.cat(texels),
        layout=torch.tensor(layout, dtype=torch.int32),
        settings=torch.tensor([[f.per_metre, f.grain, f.grain_size, f.glow, f.gloss] for f in finishes]),
    )


def _levels(picture: npt.NDArray[Any]) -> list[UInt8[Tensor, "_h _w 3"]]:
    """The picture at up to `LEVELS` sizes, averaged in linear light."""
    image = srgb_to_linear(torch.from_numpy(np.ascontiguousarray(picture, np.float32)))
    levels = []
    while len(levels) < LEVELS and (not levels or levels[-1].shape[:2] != (1, 1)):
        levels.append((image.clamp(0, 1).sqrt() * 255 + 0.5).to(torch.uint8))
        size = [max(1, n // 2) for n in image.shape[:2]]
        shrunk = torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], size, mode="area")
        image = shrunk[0].permute(1, 2, 0)
    return levels

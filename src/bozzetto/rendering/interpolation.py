"""Attributes of vertices or corners at the covered pixels, and texture lookups, bilinear and mip-mapped."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry.launch import in_parts, launch, part_count
from . import interpolation_kernels as kernels
from .rasterization import Fragments


def interpolate(
    fragments: Fragments, attribute: Float[Tensor, "V C"] | Float[Tensor, "F 3 C"]
) -> Float[Tensor, "P C"]:
    """Interpolate an attribute across the visible triangles, perspective-correctly.

    Differentiable with respect to the attribute and, through the barycentric coordinates, the vertices.

    Args:
        fragments: The visible surface.
        attribute: Values per vertex, or per corner of every triangle (for attributes with seams, as texture
            coordinates).

    Raises:
        InputError: The attribute has neither a row per vertex nor three per triangle.
    """
    per_corner = attribute.ndim == 3
    wanted = (len(fragments.faces), 3) if per_corner else (len(fragments.vertices),)
    if attribute.shape[:-1] != wanted:
        raise InputError(
            f"the attribute has shape {tuple(attribute.shape)}, expected ({len(fragments.vertices)}, C) for "
            f"values per vertex or ({len(fragments.faces)}, 3, C) per corner"
        )
    rows = attribute.reshape(-1, attribute.shape[-1]).to(torch.float32)
    return _Interpolate.apply(rows, fragments.barycentric, fragments.face, fragments.faces, per_corner)


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, attribute: Tensor, barycentric: Tensor, face: Tensor, faces: Tensor, per_corner: bool
    ) -> Tensor:
        attribute, device = attribute.contiguous(), attribute.device
        out = attribute.new_empty(len(face), attribute.shape[1])
        kernel, values, results = kernels.GATHER[_size(attribute)], _values(attribute), _values(out)

        def run(part: int, start: int, stop: int) -> None:
            inputs = [face, barycentric, faces, values, per_corner, start, results]
            launch(kernel, stop - start, inputs, device)

        in_parts(run, len(face), device)
        ctx.save_for_backward(attribute, barycentric, face, faces)
        ctx.per_corner = per_corner
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None, None]:
        attribute, barycentric, face, faces = ctx.saved_tensors
        grad_out, device = _values(gradients[0].contiguous()), attribute.device
        wanted = ctx.needs_input_grad[0]
        parts = part_count(len(face), device) if wanted else 0
        grad_attribute = attribute.new_zeros(parts, *attribute.shape)
        grad_barycentric = torch.empty_like(barycentric)
        kernel, values = kernels.GATHER_ADJOINT[_size(attribute)], _values(attribute)
        results = [_values(grad_attribute), grad_barycentric]

        def run(part: int, start: int, stop: int) -> None:
            inputs = [face, barycentric, faces, values, ctx.per_corner, grad_out, start, part, *results]
            launch(kernel, stop - start, inputs, device)

        in_parts(run, len(face), device)
        return grad_attribute.sum(dim=0) if wanted else None, grad_barycentric, None, None, None


def _size(attribute: Tensor) -> int:
    """Number of channels that kernels process at a time."""
    return 3 if attribute.shape[-1] % 3 == 0 else 1


def _values(rows: Tensor) -> Tensor:
    """The same memory as values of `_size` channels."""
    return rows.unflatten(-1, (-1, 3)) if _size(rows) == 3 else rows


def sample_texture(
    texture: Float[Tensor, "Ht Wt C"],
    uv: Float[Tensor, "P 2"],
    level: Float[Tensor, " P"] | None = None,
    wrap: Literal["repeat", "clamp"] = "repeat",
) -> Float[Tensor, "P C"]:
    """Sample a texture, differentiably with respect to texels and texture coordinates.

    Args:
        texture: Texels; row 0 is the top of the image.
        uv: Texture coordinates; (0, 0) is the outer corner of the first texel and (1, 1) that of the last one,
            as in glTF. For OBJ files, whose v is from bottom to top, use 1 - v.
        level: Mip-map level of every point, 0 for full resolution, see `mip_level`. Fractional levels are
            interpolated (trilinear). None uses no mip-mapping. There is no gradient with respect to the level.
        wrap: Values outside of [0, 1]: `repeat` repeats the texture, `clamp` repeats its border.

    Raises:
        InputError: The texture is empty, or `wrap` is unknown.
    """
    if texture.ndim != 3 or texture.numel() == 0:
        raise InputError(
            f"a texture has shape (height, width, C), none of them 0, got {tuple(texture.shape)}"
        )
    if wrap not in ("repeat", "clamp"):
        raise InputError(f"wrap is {wrap!r}, expected 'repeat' or 'clamp'")
    pyramid = [texture] if level is None else mip_levels(texture)
    sizes, first = [], 0
    for image in pyramid:
        sizes.append([first, image.shape[1], image.shape[0]])
        first += image.shape[0] * image.shape[1]
    texels = torch.cat([image.reshape(-1, texture.shape[2]) for image in pyramid])
    layout = torch.tensor(sizes, dtype=torch.int32, device=texture.device)
    if level is None:
        level = uv.new_zeros(0)
    level = level.detach().to(torch.float32).nan_to_num(0.0).clamp(0, len(pyramid) - 1).contiguous()
    return _Sample.apply(texels, uv, layout, level, wrap == "repeat")


def mip_levels(texture: Float[Tensor, "Ht Wt C"]) -> list[Float[Tensor, "_h _w C"]]:
    """The mip-map pyramid of a texture: the texture, and averages at half the size, down to a single texel."""
    levels = [texture]
    while max(levels[-1].shape[:2]) > 1:
        height, width = (max(1, size // 2) for size in levels[-1].shape[:2])
        image = levels[-1].permute(2, 0, 1)[None]
        coarser = torch.nn.functional.interpolate(image, size=(height, width), mode="area")
        levels.append(coarser[0].permute(1, 2, 0))
    return levels


def mip_level(derivatives: Float[Tensor, "P 2 2"], texture: Float[Tensor, "Ht Wt C"]) -> Float[Tensor, " P"]:
    """Level at which a texel is as large as a pixel: log2 of the longer side of its footprint, in texels.

    Args:
        derivatives: Derivatives of (u, v) with respect to the pixel coordinates (x, y), see
            `pixel_derivatives`.
        texture: The texture, of which only the size is used.
    """
    height, width = texture.shape[:2]
    footprint = derivatives * derivatives.new_tensor([width, height])[:, None]
    return footprint.norm(dim=1).amax(dim=1).clamp(min=1e-12).log2()


@torch.no_grad()
def pixel_derivatives(
    fragments: Fragments, attribute: Float[Tensor, "V C"] | Float[Tensor, "F 3 C"]
) -> Float[Tensor, "P C 2"]:
    """Screen-space derivatives of an interpolated attribute with respect to x and y (not differentiable).

    With b_i = E_i / S, E_i = cross(p_j, p_k) of the homogeneous corners seen from the pixel centre, moving the
    pixel centre by dx moves every p_i by -w_i dx.
    """
    corners = fragments.faces[fragments.face].long()
    values = attribute[fragments.face] if attribute.ndim == 3 else attribute[corners]
    points = torch.nn.functional.pad(fragments.vertices.to(torch.float32)[corners], (0, 1), value=1.0)
    X, Y, W, _ = torch.einsum("pij,pkj->ipk", fragments.matrices[fragments.view], points)
    x, y = fragments.centers[:, :1], fragments.centers[:, 1:]
    X, Y = X - x * W, Y - y * W
    (Xj, Yj, Wj), (Xk, Yk, Wk) = ([a.roll(-i, dims=1) for a in (X, Y, W)] for i in (1, 2))
    total = (Xj * Yk - Yj * Xk).sum(dim=1, keepdim=True)
    by_x, by_y = Yj * Wk - Wj * Yk, Wj * Xk - Xj * Wk
    b = fragments.barycentric
    slopes = [(e - b * e.sum(dim=1, keepdim=True)) / total for e in (by_x, by_y)]
    return torch.stack([torch.einsum("pk,pkc->pc", slope, values) for slope in slopes], dim=2)


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, texels: Tensor, uv: Tensor, layout: Tensor, level: Tensor, repeat: bool) -> Tensor:
        texels, uv = texels.to(torch.float32).contiguous(), uv.to(torch.float32).contiguous()
        out = texels.new_zeros(len(uv), texels.shape[1])

        def run(part: int, start: int, stop: int) -> None:
            inputs = [texels, layout, uv, level, repeat, start, out]
            launch(kernels.sample, stop - start, inputs, texels.device)

        in_parts(run, len(uv), texels.device)
        ctx.save_for_backward(texels, uv, layout, level)
        ctx.repeat = repeat
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        texels, uv, layout, level = ctx.saved_tensors
        grad_out, device = gradients[0].contiguous(), texels.device
        grad_texels = texels.new_zeros(part_count(len(uv), device), *texels.shape)
        grad_uv = torch.empty_like(uv)

        def run(part: int, start: int, stop: int) -> None:
            inputs = [texels, layout, uv, level, ctx.repeat, grad_out, start, part]
            launch(kernels.sample_adjoint, stop - start, [*inputs, grad_texels, grad_uv], device)

        in_parts(run, len(uv), device)
        return grad_texels.sum(dim=0), grad_uv, None, None, None

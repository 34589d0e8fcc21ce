"""Attributes of vertices or corners at the covered pixels."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry.launch import in_parts, launch, part_count
from . import interpolation_kernels as kernels
from .fragments import Fragments


def interpolate(
    fragments: Fragments, attribute: Float[Tensor, "V C"] | Float[Tensor, "F 3 C"]
) -> Float[Tensor, "P C"]:
    """Interpolate an attribute across the visible triangles, perspective-correctly.

    Differentiable with respect to the attribute and, through the barycentric coordinates, the vertices.

    Args:
        fragments: What is seen.
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
    """How many channels the kernels take at a time."""
    return 3 if attribute.shape[-1] % 3 == 0 else 1


def _values(rows: Tensor) -> Tensor:
    """The same memory as values of `_size` channels."""
    return rows.unflatten(-1, (-1, 3)) if _size(rows) == 3 else rows

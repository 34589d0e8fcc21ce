"""Normals of faces and vertices, differentiable with respect to the positions."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from .launch import in_parts, launch, part_count
from .measures import corner_edges
from .normals_kernels import sum_angle, sum_angle_adjoint, sum_area, sum_area_adjoint, unit

KERNELS = {"area": (sum_area, sum_area_adjoint), "angle": (sum_angle, sum_angle_adjoint)}


def face_normals(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> Float[Tensor, "F 3"]:
    """Unit normals, outward for counter-clockwise faces; zero, with zero gradient, for faces without area."""
    u, v, _ = corner_edges(vertices, faces)
    # In double, because squares of areas leave the range of float32 for tiny and huge shapes.
    return _unit(torch.linalg.cross(u.double(), v.double())).to(vertices.dtype)


def vertex_normals(
    vertices: Float[Tensor, "V 3"],
    faces: Int64[Tensor, "F 3"],
    weighting: str = "area",
) -> Float[Tensor, "V 3"]:
    """Unit normals at the vertices: the normalised weighted sum of the normals of the faces around each.

    Source: Thürmer and Wüthrich 1998, weights by angle.

    Args:
        vertices: Positions. float32 runs in a kernel written for both devices, other precisions in plain
            torch; both are differentiable.
        faces: Corner indices, all in range.
        weighting: Weight of a face: its area (fastest), or its angle at the vertex (independent of the
            triangulation of flat regions; Thürmer and Wüthrich 1998).

    Returns:
        Unit vectors; zero where a vertex has no faces or they cancel exactly. Faces without area have no
        weight. Where faces are nearly slivers or nearly cancel (the sum is below 1e-4 of its largest possible
        value), the gradient is damped.

    Raises:
        InputError: The weighting is unknown.
    """
    if weighting not in KERNELS:
        raise InputError(f"weighting of vertex normals must be 'area' or 'angle', got {weighting!r}")
    if vertices.dtype != torch.float32:
        return vertex_normals_reference(vertices, faces, weighting)
    return _VertexNormals.apply(vertices.contiguous(), faces.contiguous(), weighting)


def vertex_normals_reference(
    vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"], weighting: str = "area"
) -> Float[Tensor, "V 3"]:
    """`vertex_normals` in plain torch, for any precision and without the damping of gradients."""
    u, v, w = corner_edges(vertices, faces)
    cross = torch.linalg.cross(u, v)
    if weighting == "area":
        parts = cross[:, None].expand(-1, 3, -1)
    else:
        angles = torch.stack([_angle(u, v), _angle(w, -u), _angle(-v, -w)], dim=1)
        parts = angles[:, :, None] * _unit(cross)[:, None]
    sums = torch.zeros_like(vertices).index_add(0, faces.flatten(), parts.reshape(-1, 3))
    return _unit(sums)


def _unit(vectors: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / torch.where(length > 0, length, torch.inf)


def _angle(u: Tensor, v: Tensor) -> Tensor:
    sine, cosine = torch.linalg.vector_norm(torch.linalg.cross(u, v), dim=1), (u * v).sum(dim=1)
    # Older releases of PyTorch have no gradient of atan2(0, 0).
    return torch.atan2(sine, torch.where((sine == 0) & (cosine == 0), 1, cosine))


class _VertexNormals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vertices: Tensor, faces: Tensor, weighting: str) -> Tensor:
        device, count = vertices.device, len(vertices)
        sums = vertices.new_zeros(part_count(len(faces), device), count, 4)
        kernel = KERNELS[weighting][0]

        def run(part: int, start: int, stop: int) -> None:
            launch(kernel, stop - start, [vertices, faces[start:stop], sums[part]], device)

        if len(faces):
            in_parts(run, len(faces), device)
        normals, scale = torch.empty_like(vertices), vertices.new_empty(count)
        launch(unit, count, [sums, normals, scale], device)
        ctx.save_for_backward(vertices, faces, normals, scale)
        ctx.weighting = weighting
        return normals

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides names)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None, None]:
        vertices, faces, normals, scale = ctx.saved_tensors
        gradient, device = grad_outputs[0].contiguous(), vertices.device
        results = vertices.new_zeros(part_count(len(faces), device), len(vertices), 3)
        kernel = KERNELS[ctx.weighting][1]

        def run(part: int, start: int, stop: int) -> None:
            inputs = [vertices, faces[start:stop], normals, scale, gradient]
            launch(kernel, stop - start, [*inputs, results[part]], device)

        if len(faces):
            in_parts(run, len(faces), device)
        return results.sum(dim=0) if len(results) > 1 else results[0], None, None

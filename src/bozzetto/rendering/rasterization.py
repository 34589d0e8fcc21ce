"""Differentiable rasterisation of a triangle mesh into a batch of views."""

from typing import Any

import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..geometry.launch import in_parts, launch, part_count
from . import rasterization_kernels as kernels
from .fragments import Fragments, camera_matrices, topology_of


def rasterize(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], cameras: Cameras) -> Fragments:
    """Find the visible triangle of every pixel and where the pixel centre lies in it.

    A triangle covers the pixels whose centres (at half-integers) it contains; the two triangles at an edge
    never share or lose one. Both sides of a triangle are drawn. Triangles that reach behind the camera are
    handled without clipping (Olano and Greer 1997), what is nearer than `cameras.near` is not seen. At equal
    depth the triangle with the smaller index wins.

    Barycentric coordinates and depth are differentiable with respect to the vertices. What that leaves out,
    which triangle is seen where, is the business of `antialias`.

    Source: Olano and Greer 1997, homogeneous edge functions.

    Args:
        vertices: World positions.
        faces: Vertex indices; must be in range (`Mesh.check` makes sure).
        cameras: The views; they may be on another device.

    Raises:
        InputError: The images together have 2^31 pixels or more.
    """
    settings, topology = _settings(cameras, vertices.device), topology_of(faces)
    triangle, flags, row_start, pixel, face, barycentric, depth = _Rasterize.apply(
        vertices.to(torch.float32).contiguous(), topology.faces, settings
    )
    return Fragments(
        triangle,
        pixel,
        face,
        barycentric,
        depth,
        row_start,
        flags,
        vertices,
        topology,
        cameras,
        settings[0],
    )


@torch.no_grad()
def visible_triangles(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], cameras: Cameras
) -> Int32[Tensor, "N H W"]:
    """Only the index of the visible triangle of every pixel, -1 where there is none; see `rasterize`."""
    settings = _settings(cameras, vertices.device)
    return _visible_triangles(vertices.to(torch.float32).contiguous(), topology_of(faces).faces, settings)[0]


def _settings(cameras: Cameras, device: torch.device) -> tuple[Tensor, int, int, bool, float]:
    """Matrices, width, height, perspective, near."""
    count, height, width = len(cameras), cameras.height, cameras.width
    if count * height * width >= 2**31:
        raise InputError(
            f"{count} views of {width} x {height} pixels are too many for one call; render fewer at a time"
        )
    return camera_matrices(cameras, device), width, height, not cameras.orthographic, cameras.near


def _visible_triangles(
    vertices: Tensor, faces: Tensor, camera_settings: tuple[Any, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Triangle index per pixel (N, H, W), flags per view and triangle, number of covered pixels per row."""
    matrices, width, height, perspective, near = camera_settings
    device, views = vertices.device, len(matrices)
    triangle = torch.empty(views, height, width, dtype=torch.int32, device=device)
    flags = torch.empty(views, len(faces), dtype=torch.uint8, device=device)
    counts = torch.empty(views * height, dtype=torch.int32, device=device)

    def run(part: int, start: int, stop: int) -> None:
        # One view at a time: its depth buffer and projected vertices stay in the cache.
        nearest = torch.empty(height, width, dtype=torch.int64, device=device)
        screen = torch.empty_like(vertices)
        for view in range(start, stop):
            nearest.fill_(2**63 - 1)
            projection = [vertices, matrices, view, perspective, near, screen]
            launch(kernels.project_vertices, len(vertices), projection, device)
            canvas = [view, width, height, perspective, near, nearest.view(-1), flags]
            launch(kernels.draw, len(faces), [faces, screen, *canvas], device)
            launch(kernels.resolve, height, [nearest, view, triangle, counts], device)

    in_parts(run, views, device)
    return triangle, flags, counts


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vertices: Tensor, faces: Tensor, camera_settings: tuple[Any, ...]
    ) -> tuple[Tensor, ...]:
        matrices, device = camera_settings[0], vertices.device
        triangle, flags, counts = _visible_triangles(vertices, faces, camera_settings)
        row_start = torch.zeros(len(counts) + 1, dtype=torch.int32, device=device)
        torch.cumsum(counts, dim=0, dtype=torch.int32, out=row_start[1:])
        total = int(row_start[-1])
        pixel = torch.empty(total, dtype=torch.int64, device=device)
        face = torch.empty(total, dtype=torch.int64, device=device)
        barycentric = torch.empty(total, 3, device=device)
        depth = torch.empty(total, device=device)

        def run(part: int, start: int, stop: int) -> None:
            scene = [triangle, faces, vertices, matrices, row_start, start]
            launch(kernels.fill, stop - start, [*scene, pixel, face, barycentric, depth], device)

        in_parts(run, len(counts), device)
        ctx.save_for_backward(vertices, faces, pixel, face, barycentric)
        ctx.camera_settings = camera_settings
        ctx.mark_non_differentiable(triangle, flags, row_start, pixel, face)
        ctx.set_materialize_grads(False)
        return triangle, flags, row_start, pixel, face, barycentric, depth

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        grad_barycentric, grad_depth = gradients[5:]
        if grad_barycentric is None and grad_depth is None:
            return None, None, None
        vertices, faces, pixel, face, barycentric = ctx.saved_tensors
        matrices, width, height, _, _ = ctx.camera_settings
        device = vertices.device
        grad_b = torch.zeros_like(barycentric) if grad_barycentric is None else grad_barycentric.contiguous()
        grad_z = barycentric.new_zeros(len(pixel)) if grad_depth is None else grad_depth.contiguous()
        grad_vertices = vertices.new_zeros(part_count(len(pixel), device), *vertices.shape)

        def run(part: int, start: int, stop: int) -> None:
            rows = [pixel, face, barycentric, grad_b, grad_z]
            scene = [faces, vertices, matrices, width, height, start, part, grad_vertices]
            launch(kernels.fill_adjoint, stop - start, [*rows, *scene], device)

        in_parts(run, len(pixel), device)
        return grad_vertices.sum(dim=0), None, None

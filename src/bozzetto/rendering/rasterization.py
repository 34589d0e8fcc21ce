"""Rasterisation: the visible triangle of every pixel and barycentric coordinates in it, as fragments."""

from functools import cached_property
from typing import Any
from weakref import ref

import torch
from jaxtyping import Float, Int, Int32, Int64, UInt8
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..geometry import connected_components, face_neighbours
from ..geometry.launch import in_parts, launch, part_count
from ..values import value_type
from . import rasterization_kernels as kernels


class Topology:
    """The connectivity of triangles across their edges.

    Attributes:
        faces: Vertex indices.
    """

    def __init__(self, faces: Int[Tensor, "F 3"]) -> None:
        self.faces: Int32[Tensor, "F 3"] = faces.to(torch.int32).contiguous()

    @cached_property
    def neighbours(self) -> Int32[Tensor, "F 3"]:
        """The triangle across the edge (corner k, corner k + 1), or -1.

        A neighbour n of opposite winding is stored as -2 - n, since one of the two is front-facing where the
        other is back-facing.
        """
        neighbours = face_neighbours(self.faces.long())
        start, end = self.faces, self.faces.roll(-1, dims=1)
        theirs = self.faces[neighbours.clamp(min=0).long()]  # (F, 3 edges, 3 corners)
        same_direction = (theirs == start[..., None]) & (theirs.roll(-1, dims=2) == end[..., None])
        flipped = (neighbours >= 0) & same_direction.any(dim=2)
        return torch.where(flipped, -2 - neighbours, neighbours).contiguous()

    @cached_property
    def component(self) -> Int32[Tensor, " F"]:
        """Connected component of every triangle; empty if all belong to one."""
        faces = self.faces.long()
        count = int(faces.max()) + 1 if len(faces) else 0
        labels = connected_components(faces, count)[faces[:, 0]].to(torch.int32)
        several = len(labels) > 0 and bool((labels != labels[0]).any())
        return labels.contiguous() if several else labels[:0]

    @cached_property
    def has_boundary(self) -> bool:
        """Whether some edge has a triangle on one side only, or triangles of opposite winding."""
        return bool((self.neighbours < 0).any())


_recent: list[tuple[ref, int, Topology]] = []


def topology_of(faces: Int[Tensor, "F 3"]) -> Topology:
    """The connectivity of faces; the last few results are cached as long as their tensors do not change."""
    _recent[:] = [entry for entry in _recent if entry[0]() is not None][-8:]
    for tensor, version, topology in _recent:
        if tensor() is faces and version == faces._version:
            return topology
    topology = Topology(faces)
    _recent.append((ref(faces), faces._version, topology))
    return topology


@value_type
class Fragments:
    """The visible surface of a mesh in N views, one row per covered pixel.

    Everything after rasterisation works on rows of covered pixels, so its cost depends on the object's size in
    the image instead of the image size. Rows are sorted by `pixel`. `antialias` computes images from them.

    Attributes:
        triangle: Visible triangle of every pixel, -1 where there is none.
        pixel: Flat index view * height * width + y * width + x of every covered pixel.
        face: Visible triangle of every covered pixel.
        barycentric: Perspective-correct barycentric coordinates of the pixel centre in that triangle;
            differentiable with respect to the vertices.
        depth: Camera-space depth of the surface at the pixel centre, in world units; also differentiable.
        row_start: Rows row_start[r] to row_start[r + 1] belong to image row r = view * height + y.
        flags: Per view and triangle, bit 0: it is front-facing; bit 1: it covers eight or more pixel centres.
        vertices: World positions of the vertices.
        topology: The triangles and their connectivity.
        cameras: The views.
        matrices: Matrices of the views for the kernels, see `camera_matrices`.
    """

    triangle: Int32[Tensor, "N H W"]
    pixel: Int64[Tensor, " P"]
    face: Int64[Tensor, " P"]
    barycentric: Float[Tensor, "P 3"]
    depth: Float[Tensor, " P"]
    row_start: Int32[Tensor, " R"]
    flags: UInt8[Tensor, "N F"]
    vertices: Float[Tensor, "V 3"]
    topology: Topology
    cameras: Cameras
    matrices: Float[Tensor, "N 4 4"]

    def __len__(self) -> int:
        """Number of covered pixels P."""
        return len(self.pixel)

    @property
    def faces(self) -> Int32[Tensor, "F 3"]:
        """The triangles that were rasterised."""
        return self.topology.faces

    @property
    def view(self) -> Int64[Tensor, " P"]:
        """Index of the view that every row belongs to."""
        return self.pixel // (self.cameras.width * self.cameras.height)

    @property
    def centers(self) -> Float[Tensor, "P 2"]:
        """Pixel centre (u, v) of every row, in pixels."""
        width, height = self.cameras.width, self.cameras.height
        return torch.stack([self.pixel % width, self.pixel // width % height], dim=1) + 0.5

    @property
    def covered(self) -> Float[Tensor, "N H W"]:
        """1 where the mesh covers a pixel centre, 0 elsewhere (not antialiased, not differentiable)."""
        return (self.triangle >= 0).to(torch.float32)


def camera_matrices(cameras: Cameras, device: torch.device) -> Float[Tensor, "N 4 4"]:
    """Camera matrices for the kernels: rows X, Y, W, Z with pixel (X.x / W.x, Y.x / W.x) and depth Z.x."""
    T, K = cameras.T_cam_world.to(torch.float64), cameras.K.to(torch.float64)
    if cameras.orthographic:
        W = T.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(cameras), 1, 4)
        plane = torch.cat([T[:, :2], W], dim=1)
    else:
        plane = T[:, :3]
    return torch.cat([K @ plane, T[:, 2:3]], dim=1).to(device, torch.float32).contiguous()


@value_type
class Picture:
    """Images of N views as rows of drawn pixels on a known background.

    Most pixels of most pictures show the background. `ImageLoss` makes use of this, so its cost is that of the
    drawn pixels; `images` computes dense images for everything else.

    Attributes:
        values: Colours of the drawn pixels, differentiable.
        pixel: Their flat indices view * height * width + y * width + x, each at most once.
        background: One colour, or images.
        shape: Views, height, width and channels.
    """

    values: Float[Tensor, "Q C"]
    pixel: Int64[Tensor, " Q"]
    background: Float[Tensor, " C"] | Float[Tensor, "N H W C"]
    shape: tuple[int, int, int, int]

    def images(self) -> Float[Tensor, "N H W C"]:
        """The dense images, differentiable with respect to the colours and the background."""
        rows = self.background.expand(self.shape).reshape(-1, self.shape[3])
        return rows.index_copy(0, self.pixel, self.values).view(self.shape)


def rasterize(vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], cameras: Cameras) -> Fragments:
    """Find the visible triangle of every pixel and where the pixel centre lies in it.

    A triangle covers the pixels whose centres (at half-integers) it contains; the two triangles at an edge
    never share or lose one. Both sides of a triangle are drawn. Triangles that extend behind the camera are
    handled without clipping (Olano and Greer 1997). Points nearer than `cameras.near` are not visible. At equal
    depth the triangle with the smaller index wins.

    Barycentric coordinates and depth are differentiable with respect to the vertices. Changes of visibility are
    not included; `antialias` makes them differentiable.

    Source: Olano and Greer 1997, homogeneous edge functions.

    Args:
        vertices: World positions.
        faces: Vertex indices, which must be in range (`Mesh.check` tests this).
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
    """Index of the visible triangle of every pixel, -1 where there is none; a faster part of `rasterize`."""
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

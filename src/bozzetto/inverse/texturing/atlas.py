"""Texture atlases of surfaces, and normal maps of the relief of a finer surface."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F
from torch.nn.functional import normalize

from ...cameras import Cameras
from ...errors import InputError
from ...geometry import SurfaceIndex, vertex_normals
from ...rendering import Fragments, interpolate, rasterize
from ...shapes import Mesh
from ...values import value_type

PADDING = 4  # texels between charts
_COARSE = 1024  # texels along a side; with more, packing gets slower and no better


@value_type
class Atlas:
    """Texture coordinates of the faces of a mesh, see `TexturedMesh`.

    Attributes:
        uv: Texture coordinates in [0, 1], v downwards.
        uv_faces: Index into `uv` of every corner of every face.
    """

    uv: Float[Tensor, "U 2"]
    uv_faces: Int64[Tensor, "F 3"]


def unwrap(mesh: Mesh, size: int = 2048) -> Atlas:
    """Cut a surface into charts and pack them into a square, with the package xatlas.

    Charts preserve angles (least squares conformal maps, Lévy et al. 2002) and do not overlap. The scale is
    about the same on the whole surface. 20,000 faces take some 3 seconds, and time grows faster than the number
    of faces, so surfaces are simplified first.

    Source: Levy et al. 2002, charts that keep angles.

    Args:
        mesh: The surface.
        size: Texels along a side of the image; at this size charts are `PADDING` texels apart.

    Raises:
        InputError: The mesh is empty or broken, or xatlas is not installed.
    """
    try:
        import xatlas
    except ModuleNotFoundError:
        raise InputError(
            "a texture needs another package, xatlas; run: pip install 'bozzetto[texture]'"
        ) from None
    mesh.check()
    low, high = mesh.bounds
    extent = float((high - low).max())
    positions = ((mesh.vertices - low) / (extent or 1.0)).cpu().numpy()
    packing = xatlas.PackOptions()
    packing.resolution = min(size, _COARSE)
    packing.padding = max(1, round(PADDING * packing.resolution / size))
    packing.bilinear = True
    atlas = xatlas.Atlas()
    atlas.add_mesh(positions.astype(np.float32), mesh.faces.cpu().numpy().astype(np.uint32))
    atlas.generate(xatlas.ChartOptions(), packing)
    _, faces, uv = atlas[0]
    # xatlas scales both axes to 1; one scale for both keeps texels square.
    scale = np.array([atlas.width, atlas.height]) / max(atlas.width, atlas.height)
    places = torch.from_numpy((uv * scale).astype(np.float32))
    return Atlas(places, torch.from_numpy(faces.astype(np.int64)))


@dataclass(frozen=True)
class Texels:
    """The texels of a square image whose centres lie in a chart, row by row.

    Attributes:
        size: Texels along a side of the image.
        fragments: Face and barycentric coordinates of each texel, as fragments of the flattened surface.
    """

    size: int
    fragments: Fragments

    @classmethod
    def of(cls, atlas: Atlas, size: int) -> "Texels":
        """The texels of an atlas in an image of this size."""
        flat = torch.nn.functional.pad(atlas.uv * size, (0, 1), value=1.0)
        identity = torch.eye(3, dtype=torch.float64)[None]
        pose = torch.eye(4, dtype=torch.float64)[None]
        cameras = Cameras(pose, identity, size, size, orthographic=True)
        return cls(size, rasterize(flat, atlas.uv_faces, cameras))

    def __len__(self) -> int:
        """Number of covered texels T."""
        return len(self.fragments)

    @property
    def face(self) -> Int64[Tensor, " T"]:
        """Index of the face of each covered texel."""
        return self.fragments.face

    def interpolate(self, corners: Float[Tensor, "F 3 C"]) -> Float[Tensor, "T C"]:
        """Interpolate values at the corners of faces linearly to the covered texels."""
        return interpolate(self.fragments, corners)

    def image(self, values: Float[Tensor, "T C"], elsewhere: float = 0.0) -> Float[Tensor, "H W C"]:
        """The image with these values in covered texels, and `elsewhere` in all others."""
        rows = values.new_full((self.size**2, values.shape[1]), elsewhere)
        return rows.index_copy_(0, self.fragments.pixel, values).view(self.size, self.size, -1)


_RING = 3  # texels around every chart that repeat its border


def fill_gutter(image: Float[Tensor, "H W C"], covered: Bool[Tensor, "H W"]) -> Float[Tensor, "H W C"]:
    """Fill uncovered texels: means of the chart borders next to charts, coarser means farther away.

    Push-pull interpolation (Gortler et al. 1996): unknown texels take averages of known ones at half the size,
    and so on. Mip levels then have no colour that differs much from those of nearby charts.

    Source: Gortler et al. 1996, push-pull interpolation.
    """
    if not bool(covered.any()):
        return image
    values = image.permute(2, 0, 1)[None] * covered
    known = covered[None, None].to(values)
    for _ in range(_RING):
        total = F.avg_pool2d(values, 3, 1, 1, divisor_override=1)
        count = F.avg_pool2d(known, 3, 1, 1, divisor_override=1)
        fresh = (known == 0) & (count > 0)
        values = torch.where(fresh, total / count.clamp_min(1), values)
        known = torch.where(fresh, 1.0, known)
    return _pulled(values, known)[0].permute(1, 2, 0).contiguous()


def _pulled(values: Tensor, known: Tensor) -> Tensor:
    if bool((known > 0).all()):
        return values
    size = values.shape[2:]
    half = (-(-size[0] // 2), -(-size[1] // 2))
    pads = (0, 2 * half[1] - size[1], 0, 2 * half[0] - size[0])
    total = F.avg_pool2d(torch.nn.functional.pad(values, pads), 2, divisor_override=1)
    count = F.avg_pool2d(torch.nn.functional.pad(known, pads), 2, divisor_override=1)
    coarse = _pulled(total / count.clamp_min(1), (count > 0).to(known))
    fine = F.interpolate(coarse, scale_factor=2, mode="bilinear")[..., : size[0], : size[1]]
    return torch.where(known > 0, values, fine)


_BLOCK = 1_000_000  # texels at a time
_STEEPEST = 0.2  # smallest cosine to the coarse normal; below it there are folds or the other side of a wall


def tangents_of(mesh: Mesh, atlas: Atlas, normals: Float[Tensor, "V 3"]) -> Float[Tensor, "U 4"]:
    """Tangents for every texture coordinate of an atlas, with the conventions of `TexturedMesh` and glTF.

    A tangent is the direction in which u grows: the area-weighted mean over the adjacent faces of the chart,
    made perpendicular to the normal. v grows downwards, so the bitangent points in the direction of decreasing
    v.
    """
    a, b, c = mesh.corners().double().unbind(dim=1)
    places = atlas.uv[atlas.uv_faces].double()
    (u1, v1), (u2, v2) = ((places[:, k] - places[:, 0]).unbind(dim=1) for k in (1, 2))
    turned = torch.where(u1 * v2 - u2 * v1 < 0, -1.0, 1.0).to(u1)
    along = (v2[:, None] * (b - a) - v1[:, None] * (c - a)) * turned[:, None]
    owner = torch.zeros(len(atlas.uv), dtype=torch.int64)
    owner[atlas.uv_faces.flatten()] = mesh.faces.flatten()
    sums, sides = along.new_zeros(len(atlas.uv), 3), along.new_zeros(len(atlas.uv))
    sums.index_add_(0, atlas.uv_faces.flatten(), along.repeat_interleave(3, dim=0))
    # If the image shows the outside of the surface, the rotation from u (right) to v (down) is clockwise.
    sides.index_add_(0, atlas.uv_faces.flatten(), -turned.repeat_interleave(3))
    normal = normals[owner].double()
    sums = sums - (sums * normal).sum(dim=1, keepdim=True) * normal
    helper = torch.eye(3, dtype=torch.float64)[normal.abs().argmin(dim=1)]
    any_ = torch.linalg.cross(normal, helper)
    sums = torch.where(sums.norm(dim=1, keepdim=True) > 1e-12 * along.norm(dim=1).max(), sums, any_)
    signs = torch.where(sides < 0, -1.0, 1.0)
    return torch.cat([normalize(sums, dim=1), signs[:, None].double()], dim=1).float()


def relief_map(
    mesh: Mesh,
    fine: Mesh,
    atlas: Atlas,
    texels: Texels,
    normals: Float[Tensor, "V 3"],
    tangents: Float[Tensor, "U 4"],
) -> Float[Tensor, "T 3"]:
    """Normals of a fine surface in the tangent space of a coarse one, for every covered texel.

    The normal is that of the point of the fine surface nearest to the texel. Renderers interpolate normal and
    tangent, take their cross product as bitangent and multiply the three with the map; this is the inverse
    operation.
    """
    corner_normals = normals[mesh.faces]
    corner_tangents = tangents[atlas.uv_faces]
    rows = texels.interpolate(torch.cat([mesh.corners(), corner_normals, corner_tangents[..., :3]], dim=2))
    sign = corner_tangents[texels.face, 0, 3:]
    index, fine_normals = SurfaceIndex(fine), vertex_normals(fine.vertices, fine.faces)
    shift = torch.tensor(mesh.offset, dtype=torch.float64) - torch.tensor(fine.offset, dtype=torch.float64)
    parts = []
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        found = index.closest((rows[block, :3].double() + shift).float())
        around = fine_normals[fine.faces[found.face]]
        wanted = normalize(torch.einsum("pk,pkc->pc", found.weights, around), dim=1)
        n = normalize(rows[block, 3:6], dim=1)
        t = rows[block, 6:]
        b = torch.linalg.cross(rows[block, 3:6], t) * sign[block]
        wanted = torch.where((wanted * n).sum(dim=1, keepdim=True) > _STEEPEST, wanted, n)
        frame = torch.stack([t, b, rows[block, 3:6]], dim=2).double()
        usable = torch.linalg.det(frame).abs() > 1e-3
        frame[~usable] = torch.eye(3, dtype=torch.float64)
        local = torch.linalg.solve(frame, wanted.double()[..., None])[..., 0]
        local[~usable] = local.new_tensor([0.0, 0.0, 1.0])
        parts.append(normalize(local, dim=1).float())
    return torch.cat(parts)

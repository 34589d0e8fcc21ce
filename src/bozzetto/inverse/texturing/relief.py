"""What a fine surface has and a coarse one over it lacks, as a normal map."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ...geometry import SurfaceIndex, vertex_normals
from ...shapes import Mesh
from .atlas import Atlas, Texels

_BLOCK = 1_000_000  # texels at a time
_STEEPEST = 0.2  # cosine to the coarse normal from which on fine ones are folds or the other side of a wall


def tangents_of(mesh: Mesh, atlas: Atlas, normals: Float[Tensor, "V 3"]) -> Float[Tensor, "U 4"]:
    """Tangents for every place of an atlas, as `TexturedMesh` and glTF have them.

    The mean over the faces of a chart around each place of the directions in which u grows, weighted by area
    and made perpendicular to the normal. v grows downwards, so the bitangent points against it.
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
    # Where the image shows the surface as seen from outside, u to the right and v down turn clockwise.
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

    The fine surface is met at the point nearest to the texel's. Renderers interpolate normal and tangent, take
    their cross product as bitangent and add up; the map is the inverse of that.
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

"""A reference rasteriser in plain PyTorch: slow, short, in double precision, differentiated by autograd.

Tests compare the kernels with it, in values and gradients. Nothing else uses it.
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..cameras import Cameras
from ..geometry import face_neighbours
from .lighting import spherical_harmonics


class DenseFragments(NamedTuple):
    """The visible surface in one view; rows are the covered pixels in reading order."""

    triangle: Int64[Tensor, "H W"]
    barycentric: Float[Tensor, "P 3"]
    depth: Float[Tensor, " P"]
    margin: Float[Tensor, "H W"]  # smallest |barycentric coordinate| of any triangle: 0 on an edge


def homogeneous(points: Float[Tensor, "V 3"], camera: Cameras) -> tuple[Tensor, Tensor]:
    """Image points (u w, v w, w) and depths in one view."""
    T, K = camera.T_cam_world[0].to(points), camera.K[0].to(points)
    local = points @ T[:3, :3].T + T[:3, 3]
    if camera.orthographic:
        plane = torch.cat([local[:, :2], torch.ones_like(local[:, :1])], dim=1)
    else:
        plane = local
    return plane @ K.T, local[:, 2]


def rasterize(vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"], camera: Cameras) -> DenseFragments:
    """Rasterise one view by testing every triangle at every pixel centre."""
    vertices = vertices.double()
    image, depth = homogeneous(vertices, camera)
    ys, xs = torch.meshgrid(torch.arange(camera.height), torch.arange(camera.width), indexing="ij")
    centers = torch.stack([xs, ys], dim=-1).reshape(-1, 1, 1, 2) + 0.5
    with torch.no_grad():
        b = _barycentric(image[faces], centers)  # (pixels, faces, 3)
        z = (b * depth[faces]).sum(dim=2)
        inside = (b >= 0).all(dim=2) & (z >= camera.near)
        nearest = torch.where(inside, z, math.inf).min(dim=1)
        triangle = torch.where(nearest.values.isfinite(), nearest.indices, -1)
        margin = b.abs().amin(dim=2).amin(dim=1)
    covered = (triangle >= 0).nonzero()[:, 0]
    corners = faces[triangle[covered]]
    barycentric = _barycentric(image[corners], centers[covered, 0])
    size = camera.height, camera.width
    return DenseFragments(
        triangle.view(size), barycentric, (barycentric * depth[corners]).sum(dim=1), margin.view(size)
    )


def _barycentric(corners: Float[Tensor, "*n 3 3"], centers: Float[Tensor, "*m 2"]) -> Tensor:
    """Perspective-correct barycentric coordinates (Olano and Greer 1997).

    Source: Olano and Greer 1997, homogeneous edge functions.
    """
    shifted = corners[..., :2] - centers * corners[..., 2:]
    j, k = shifted.roll(-1, dims=-2), shifted.roll(-2, dims=-2)
    e = j[..., 0] * k[..., 1] - j[..., 1] * k[..., 0]
    return e / e.sum(dim=-1, keepdim=True)


def irradiance(normals: Float[Tensor, "P 3"], coefficients: Float[Tensor, "9 3"]) -> Float[Tensor, "P 3"]:
    """Spherical harmonics convolved with the clamped cosine, band by band."""
    bands = normals.new_tensor([math.pi] + 3 * [2 * math.pi / 3] + 5 * [math.pi / 4])
    unit = normals / normals.norm(dim=1, keepdim=True)
    return spherical_harmonics(unit) * bands @ coefficients


def outside_of(vertices: Tensor, faces: Tensor, camera: Cameras) -> Tensor:
    """Whether triangles are front-facing, by the sign of the homogeneous determinant."""
    return torch.linalg.det(homogeneous(vertices, camera)[0][faces]) < 0


def antialias(
    vertices: Float[Tensor, "V 3"],
    faces: Int64[Tensor, "F 3"],
    camera: Cameras,
    image: Float[Tensor, "H W C"],
    fragments: DenseFragments,
) -> Float[Tensor, "H W C"]:
    """Blend the pixel pairs that outlines cross, of one view (without lines of intersection).

    The derivatives treat the weights as constants, and do not extrapolate colours to the crossing.

    Source: Laine et al. 2020, section 3.6. Differs: as `bozzetto.rendering.compose` does, but without
    extrapolated colours and lines of intersection.
    """
    vertices = vertices.double()
    homogeneous_points, depth = homogeneous(vertices, camera)
    points = homogeneous_points[:, :2] / homogeneous_points[:, 2:]
    front, neighbours = outside_of(vertices, faces, camera), face_neighbours(faces)
    best: dict[tuple[Any, ...], tuple[Tensor, Tensor, tuple[Any, ...], tuple[Any, ...]]] = {}
    for i, face in enumerate(faces.tolist()):
        for k in range(3):
            other = int(neighbours[i, k])
            if other >= 0 and not (front[i] and not front[other]):
                continue
            a, b, c = (face[(k + j) % 3] for j in range(3))
            for p, q, distance, weight, z in _crossings(points, depth, a, b, c, camera):
                if not _ends(vertices, faces, camera, fragments, i, p, q, distance, z):
                    continue
                pair = min(p, q), max(p, q)
                if pair not in best or distance > best[pair][0]:
                    best[pair] = distance, weight, p, q
    result = image.clone()
    for distance, weight, p, q in best.values():
        alpha = weight * (distance - 0.5)
        (y, x) = q if alpha > 0 else p
        change = alpha * (image[p] - image[q])
        result = result.index_put((torch.tensor(y), torch.tensor(x)), change, accumulate=True)
    return result


def _crossings(points: Tensor, depth: Tensor, a: int, b: int, c: int, camera: Cameras):
    """Pixel pairs (p, q) that the edge a, b crosses, with position, weight and depth of the crossing.

    c is on the side of p.
    """
    size = camera.width, camera.height
    squares = (points[b] - points[a]).detach().square()
    for along in (1, 0):  # crossings with image rows, then with columns
        across = 1 - along
        weight = squares[along] / squares.sum()
        if weight <= 1e-3:
            continue
        low, high = sorted((float(points[a, along]), float(points[b, along])))
        first, last = max(0, math.ceil(low - 0.5)), min(size[along] - 1, math.ceil(high - 0.5) - 1)
        for line in range(first, last + 1):
            t = (line + 0.5 - points[a, along]) / (points[b, along] - points[a, along])
            at = points[a, across] + t * (points[b, across] - points[a, across])
            tc = (points[c, along] - points[a, along]) / (points[b, along] - points[a, along])
            side = points[c, across] - points[a, across] - tc * (points[b, across] - points[a, across])
            rising = along == 0 and (points[b, 1] > points[a, 1]) == (points[b, 0] > points[a, 0])
            left = math.floor(float(at) - 0.5) if rising else math.ceil(float(at) - 0.5) - 1
            if left < 0 or left + 1 >= size[across]:
                continue
            inner, outer = (left + 1, left) if side > 0 else (left, left + 1)
            p, q = ((line, i) if along == 1 else (i, line) for i in (inner, outer))
            if camera.orthographic:
                z = depth[a] + t * (depth[b] - depth[a])
            else:
                z = 1 / (1 / depth[a] + t * (1 / depth[b] - 1 / depth[a]))
            yield p, q, (at - inner - 0.5).abs(), weight, z


def _ends(vertices, faces, camera, fragments, i, p, q, distance, z) -> bool:
    """Whether the outline of triangle i is in front of the plane of the triangle that q sees."""
    seen_p, seen_q = int(fragments.triangle[p]), int(fragments.triangle[q])
    if seen_p < 0 or seen_q in (seen_p, i):
        return False
    if seen_q < 0:
        return True
    p, q = (torch.tensor([pixel[1], pixel[0]], dtype=torch.float64) + 0.5 for pixel in (p, q))
    image, depth = homogeneous(vertices, camera)
    corners = faces[seen_q]
    b = _barycentric(image[corners], p + distance.detach() * (q - p))
    return bool((b * depth[corners]).sum() > z)

"""A signed distance from points with outward normals."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..geometry import distance_and_winding
from ..shapes import Mesh
from .local_fits import Support, neighbours, support_of

DENSITY_NEIGHBOURS = 12
NEIGHBOURS = 16
NEAR, FAR = (
    2.0,
    3.0,
)  # spacings from the nearest point, between which the local distance gives way to the sign
SMOOTHNESS = 1.0  # width of the weights, in spacings


class OrientedField:
    """Distance to the surface of oriented points, negative inside.

    Near the points it is a moving average of their tangent planes (implicit moving least squares, Kolluri
    2005; weights that prefer like normals, or like heights as in Oztireli et al. 2009, made surfaces less exact
    on procedural solids), far away the distance to the nearest of them, negative
    where their winding number (Barill et al. 2018) exceeds one half, which closes holes. Offsets are projected
    on the mean of the normals at both of their ends, and not on one of them, which is exact for spheres, too.
    """

    def __init__(self, points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"]) -> None:
        self.points = points
        self.normals = normalize(normals, dim=1)
        self.support: Support = support_of(points)
        reach, index = neighbours(self.support, points, DENSITY_NEIGHBOURS + 1)
        spacing = reach[:, -1] * math.sqrt(math.pi / DENSITY_NEIGHBOURS)
        self.spacing = spacing[index].median(dim=1).values  # root of the area of a point
        self.discs = _triangles(points, self.normals, self.spacing)

    def __call__(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
        """Signed distance at places."""
        distance, index = neighbours(self.support, x, NEIGHBOURS)
        nearest, spacing = distance[:, 0], self.spacing[index[:, 0]]
        value = nearest.clone()
        far = nearest > NEAR * spacing
        if bool(far.any()):
            inside = distance_and_winding(self.discs, x[far])[1] > 0.5
            value[far] = torch.where(inside, -nearest[far], nearest[far])
        near = nearest < FAR * spacing
        local = self._local(x[near], distance[near], index[near], spacing[near])
        share = ((nearest / spacing - NEAR) / (FAR - NEAR)).clamp(0, 1)[near]
        value[near] = torch.where(share > 0, torch.lerp(local, value[near], share), local)
        return value

    def _local(self, x: Tensor, distance: Tensor, index: Tensor, spacing: Tensor) -> Tensor:
        normals = self.normals[index]
        width = SMOOTHNESS * spacing[:, None]
        # The nearest has weight 1, so that weights do not vanish far away.
        weight = torch.exp((distance[:, :1] ** 2 - distance**2) / width**2)
        weight = weight / weight.sum(dim=1, keepdim=True)
        mean = normalize((weight[..., None] * normals).sum(dim=1), dim=1)
        offset = x[:, None] - self.points[index]
        heights = (offset * (normals + mean[:, None])).sum(dim=2) / 2
        return (weight * heights).sum(dim=1)

    def gaps(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, " P"]:
        """Distance to the nearest point, in spacings."""
        distance, index = neighbours(self.support, x, 1)
        return distance[:, 0] / self.spacing[index[:, 0]].clamp(min=float(self.spacing.median()))


def _triangles(points: Tensor, normals: Tensor, spacing: Tensor) -> Mesh:
    """An equilateral triangle of the area of each point, whose winding number is that of a disc from afar."""
    least = torch.eye(3).to(points)[normals.abs().argmin(dim=1)]
    u = normalize(torch.linalg.cross(normals, least), dim=1)
    v = torch.linalg.cross(normals, u)
    radius = spacing * math.sqrt(4 / (3 * math.sqrt(3)))
    corners = [
        points + radius[:, None] * (math.cos(a) * u + math.sin(a) * v)
        for a in (0.0, 2 * math.pi / 3, 4 * math.pi / 3)
    ]
    faces = torch.arange(3 * len(points), device=points.device).view(-1, 3)
    return Mesh(torch.stack(corners, dim=1).view(-1, 3), faces)

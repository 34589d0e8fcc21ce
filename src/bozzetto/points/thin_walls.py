"""Walls thinner than the points on them are apart, and the side of the wall that each point is on."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from ..values import value_type
from .local_fits import BATCH, neighbours, support_of

COUNT = 24
"""Neighbours, the point itself among them."""
ROUNDS = 6
"""Times points are divided among two sheets."""
EXPLAINED = 0.9
"""Share of what one sheet leaves over that two must explain; of normal errors two explain 0.64."""
FEWEST = 0.15
"""Share of the neighbours that must lie on either sheet."""
THINNEST = 0.25
"""Of walls, in distances to the sixth neighbour: what is thinner may be two scans of one side."""
_STIFFNESS = (1e-6, 1e-6, 1e-6, 1e-2, 1e-2, 1e-2)  # of a mean square, for 1, u, v, uu, uv, vv


@value_type
class ThinWalls:
    """Where neighbourhoods are two parallel sheets.

    Attributes:
        found: At which points.
        normals: Away from the other sheet; of any direction where none was found.
    """

    found: Bool[Tensor, " N"]
    normals: Float[Tensor, "N 3"]


def thin_walls(points: Float[Tensor, "N 3"]) -> ThinWalls:
    """Divide each neighbourhood among two sheets, the same quadratic at two heights, and see if that fits.

    Planes and quadratics through such points lie in the middle of the wall and do not tell its sides apart, nor
    do the nearest neighbours of a point, half of which lie on the other side. Heights are divided as by
    k-means with two means, between which the quadratic is fitted anew.
    """
    support = support_of(points)
    found, normals = [], []
    for part in points.split(BATCH):
        distance, index = neighbours(support, part, COUNT)
        found_here, normals_here = _two_sheets(points[index] - part[:, None], distance)
        found.append(found_here)
        normals.append(normals_here)
    return ThinWalls(torch.cat(found), torch.cat(normals))


def _two_sheets(
    around: Float[Tensor, "N K 3"], distance: Float[Tensor, "N K"]
) -> tuple[Bool[Tensor, " N"], Float[Tensor, "N 3"]]:
    """Of neighbours, the point itself first: whether they are two sheets, and normals on its own one."""
    reach = distance[:, -1:].clamp(min=1e-12)
    near = around / reach[..., None]
    centred = near - near.mean(dim=1, keepdim=True)
    axes = torch.linalg.eigh(centred.mT @ centred).eigenvectors
    height, u, v = (near @ axes).unbind(dim=-1)
    basis = torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v], dim=-1)
    penalty = torch.diag(basis.new_tensor(_STIFFNESS)) * basis.shape[1]
    fit = torch.linalg.solve(basis.mT @ basis + penalty, basis.mT)

    def left_over(values: Tensor) -> Tensor:
        return values - (basis @ (fit @ values[..., None]))[..., 0]

    single = left_over(height)
    two, half, side = single, torch.zeros_like(reach), _side(single)
    for _ in range(ROUNDS):
        free = left_over(side)
        half = (free * height).sum(dim=1, keepdim=True) / (free * side).sum(dim=1, keepdim=True).clamp(
            min=1e-6
        )
        two = single - half * free
        side = _side(two + half * side)
    share = 1 - two.square().sum(dim=1) / single.square().sum(dim=1).clamp(min=1e-24)
    upper = (side > 0).float().mean(dim=1)
    thick = 2 * half[:, 0] > THINNEST * distance[:, min(6, distance.shape[1] - 1)] / reach[:, 0]
    found = (share > EXPLAINED) & (upper > FEWEST) & (upper < 1 - FEWEST) & thick
    slope = (fit @ (height - half * side)[..., None])[:, :, 0]
    normal = torch.stack([torch.ones_like(slope[:, 0]), -slope[:, 1], -slope[:, 2]], dim=1)
    return found, side[:, :1] * normalize((axes @ normal[..., None])[..., 0], dim=1)


def _side(height: Tensor) -> Tensor:
    return torch.where(height < 0, -1.0, 1.0).to(height)

"""Normals of a cloud that all point outwards."""

import itertools

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.sparse import coo_array, csgraph
from torch import Tensor
from torch.nn.functional import normalize

from .agreed_normals import agreed_normals, normals_of
from .indicator import slopes_along_normals
from .neighbourhoods import SECTORS, spacing_of
from .outside import reached_sides
from .thin_walls import thin_walls

WIDEST = 0.8
"""Share of the points that are not farther from others than what counts as the spacing of all."""
TOLD = 0.1
"""Share of the points of a piece by which votes for one of its sides must be more, to decide."""
GRID, SIDES = 0.6, (33, 97)
"""Cells of the grid on which all normals are compared, in spacings; least and largest number of nodes."""
DOUBT, TURNS = 0.3, 4
"""Slope of the indicator against a normal, in medians, from which the normal is turned; times this is done."""
VOTE, ROUNDS = 3.0, 10
"""A point's own vote for its front in neighbours that agree fully; how often it is weighed against theirs."""
_LEAST_WEIGHT = 1e-4  # of an edge: zeros are no edges to SciPy


def outward_normals(points: Float[Tensor, "N 3"], noise: float = 0.0) -> Float[Tensor, "N 3"]:
    """Normals of a clean cloud, of quadratics through the nearest points, turned outwards.

    Cazals and Pouget 2005, "Estimating differential quantities using polynomial fitting of osculating jets".
    Where points are sparser than walls are thick, neighbours lie on both sides: `thin_walls` tells these apart
    where it can, and `agreed_normals` corrects what is left by the surface that all normals make together.

    Source: Cazals and Pouget 2005, quadrics through neighbours.

    Args:
        points: On a surface.
        noise: How far they lie beside it: neighbourhoods are wider, see `plane_neighbourhoods`.
    """
    walls = thin_walls(points)
    normals = torch.where(walls.found[:, None], walls.normals, normals_of(points, noise))
    return agreed_normals(points, orient_normals(points, normals, noise), noise)


def orient_normals(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], noise: float = 0.0
) -> Float[Tensor, "N 3"]:
    """Give normals signs that agree from neighbour to neighbour and point outwards.

    Signs spread along a minimum spanning tree of the neighbourhood graph (Hoppe et al. 1992), over edges that
    leave the least doubt. Two normals are compared after one of them is mirrored at the plane halfway between
    their points, which is right on every circle through them and so also across edges (König and Gumhold
    2009). Then each connected piece is turned such that its outermost points face outwards; walls of closed
    cavities within a solid do so, too, and not into the cavity. A tree that took a wrong way across a sharp
    edge leaves whole legs and slats inside out: where the space outside reaches one side of a point only, see
    `outside_votes`, that side is in front, and neighbours without such a vote follow. At last normals that
    disagree with what all others say together are turned, see `slopes_along_normals`.

    Source: Hoppe et al. 1992, the spanning tree.

    Source: König and Gumhold 2009, the doubt of an edge.

    Args:
        points: On a surface.
        normals: Across the surface, with any sign.
        noise: How far the points lie beside the surface.
    """
    unit = normalize(normals, dim=1)
    spacing = spacing_of(points, noise)
    i = torch.arange(len(points), device=points.device).repeat_interleave(SECTORS)
    j = spacing.beside.flatten()
    i, j = i[i != j], j[i != j]
    along = normalize(points[j] - points[i], dim=1)
    mirrored = unit[j] - 2 * (along * unit[j]).sum(dim=1, keepdim=True) * along
    agreement = (unit[i] * mirrored).sum(dim=1)
    sign, piece = _spread_signs(len(points), i, j, agreement)
    sign = sign.to(unit)
    gap = float(np.quantile(spacing.gap.cpu().numpy(), WIDEST))
    front, back = reached_sides(points, unit * sign[:, None], gap)
    votes = sign * (front.to(unit) - back.to(unit))  # for the signs themselves
    walls = thin_walls(points)
    side = torch.where((walls.normals * unit).sum(dim=1) < 0, -1.0, 1.0).to(unit)
    votes = torch.where(walls.found & front & back, side, votes)
    sign = sign * _outward(points, unit * sign[:, None], piece, votes * sign)[piece]
    sign = torch.where(votes == 0, sign, votes)
    for _ in range(ROUNDS):
        pull = torch.zeros_like(votes).index_add_(0, i, agreement * sign[j])
        sign = torch.where(VOTE * votes + pull < 0, -1.0, 1.0)
    size = (points.amax(dim=0) - points.amin(dim=0)).max()
    side = int(min(max(float(size) / (GRID * float(spacing.gap.median())), SIDES[0]), SIDES[1]))
    for _ in range(TURNS):
        slope = slopes_along_normals(points, unit * sign[:, None], spacing.area, side)
        against = slope < -DOUBT * slope.abs().median()
        sign = torch.where(against, -sign, sign)
    return unit * sign[:, None]


def _spread_signs(
    count: int, i: Int64[Tensor, " E"], j: Int64[Tensor, " E"], agreement: Float[Tensor, " E"]
) -> tuple[Tensor, Int64[Tensor, " N"]]:
    """Signs relative to the root of each piece, and the number of the piece."""
    first, second = torch.minimum(i, j).cpu().numpy(), torch.maximum(i, j).cpu().numpy()
    key, unique = np.unique(first.astype(np.int64) * count + second, return_index=True)
    # Graph routines of SciPy before 1.15 take indices of 32 bits only.
    first, second = (key // count).astype(np.int32), (key % count).astype(np.int32)
    value = agreement.cpu().numpy()[unique]
    graph = coo_array((1 - np.abs(value) + _LEAST_WEIGHT, (first, second)), shape=(count, count)).tocsr()
    pieces, piece = csgraph.connected_components(graph, directed=False)
    tree = csgraph.minimum_spanning_tree(graph).tocoo()
    rows, columns = np.minimum(tree.row, tree.col), np.maximum(tree.row, tree.col)
    opposite = value[np.searchsorted(key, rows.astype(np.int64) * count + columns)] < 0
    # One more node, joined to a node of each piece, makes the forest one tree.
    roots = np.unique(piece, return_index=True)[1]
    ends = np.append(rows, np.full(pieces, count, np.int32)), np.append(columns, roots.astype(np.int32))
    forest = coo_array((np.ones(len(ends[0])), ends), shape=(count + 1, count + 1)).tocsr()
    _, parent = csgraph.breadth_first_order(forest, count, directed=False)
    parent[count] = count
    flip = np.zeros(count + 1, dtype=bool)
    child = np.where(parent[rows] == columns, rows, columns)
    flip[child] = opposite
    while not (parent == count).all():  # every round doubles how far each node has looked up the tree
        flip ^= flip[parent]
        parent = parent[parent]
    sign = torch.from_numpy(np.where(flip[:count], -1.0, 1.0)).to(agreement)
    return sign, torch.from_numpy(piece.astype(np.int64)).to(i.device)


def _outward(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    piece: Int64[Tensor, " N"],
    seen: Float[Tensor, " N"],
) -> Float[Tensor, " K"]:
    """The sign of each piece for which it faces the space outside, as far as votes of its points tell.

    Otherwise its extreme points, in 26 directions, face outwards.
    """
    votes = points.new_zeros(int(piece.max()) + 1)
    told = torch.zeros_like(votes).index_add_(0, piece, seen)
    clear = told.abs() > TOLD * torch.bincount(piece)
    for direction in itertools.product((-1.0, 0.0, 1.0), repeat=3):
        d = points.new_tensor(direction)
        height = points @ d
        top = torch.full_like(votes, -torch.inf).scatter_reduce(0, piece, height, "amax")
        extreme = height == top[piece]
        votes.index_add_(0, piece[extreme], (normals[extreme] @ d))
    return torch.where(torch.where(clear, told, votes) < 0, -1.0, 1.0).to(points)

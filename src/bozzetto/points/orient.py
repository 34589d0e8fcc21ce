"""Normals of a cloud that all point outwards.

They agree with the indicator function that all oriented points describe together. Walls that are thinner
than the distance between their points are told apart first.
"""

import itertools
import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy.sparse import coo_array, csgraph
from torch import Tensor
from torch.nn.functional import normalize

from ..geometry.poisson import OrientedSamples, cube, eigenvalues, filtered, normal_divergence, trilinear
from ..values import value_type
from .agreed_normals import agreed_normals, normals_of
from .local_fits import BATCH, neighbours, support_of
from .neighbourhoods import SECTORS, reached_sides, spacing_of

ROOM = 1.25
"""Width of the grid over the longest side of the box of the points."""


def slopes_along_normals(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    areas: Float[Tensor, " N"],
    side: int,
) -> Float[Tensor, " N"]:
    """The slope of the blurred indicator function at each point, along its own normal.

    The function, 1 more outside than inside, has the divergence of the sum of all normals (Kazhdan et al. 2006,
    "Poisson surface reconstruction"). A normal against which it rises disagrees with what the others say
    together, near and far: Hou et al. 2022, "Iterative Poisson surface reconstruction", and Lin et al. 2024,
    "Fast and globally consistent normal orientation based on the winding number normal consistency", turn
    normals by such slopes.

    Source: Kazhdan et al. 2006, the indicator function.

    Source: Hou et al. 2022, normals from the field of all others.

    Source: Lin et al. 2024, normals from the field of all others.

    Args:
        points: On a surface.
        normals: Unit vectors across it.
        areas: Of the surface around each point.
        side: Nodes of the grid along each axis of a cube; the function is blurred by one cell.
    """
    places = points.double().cpu().numpy()
    low, high = places.min(axis=0), places.max(axis=0)
    step = ROOM * float((high - low).max()) / (side - 1)
    places = (places - (low + high) / 2) / step + (side - 1) / 2
    directions = normals.double().cpu().numpy()
    samples = OrientedSamples(
        places, directions, areas.double().cpu().numpy() / step**2, np.zeros(len(places), int)
    )
    waves = eigenvalues(side)
    blur = np.exp(-waves / 2)
    waves[0, 0, 0] = math.inf  # the mean of the function is arbitrary
    function = filtered(-normal_divergence(samples, side), blur / waves).reshape((side,) * 3)
    slope = np.zeros(len(places))
    for axis in range(3):
        steps = np.zeros_like(function)
        np.moveaxis(steps, axis, 0)[:-1] = np.moveaxis(np.diff(function, axis=axis), axis, 0)
        middle = places - 0.5 * np.eye(3)[axis]
        corner = np.floor(middle).astype(np.int64)
        rows, weights = trilinear(cube(side), corner, middle - corner)
        slope += (weights * steps.ravel()[rows]).sum(axis=1) * directions[:, axis]
    return torch.from_numpy(slope).to(points)


COUNT = 24
"""Neighbours, the point itself among them."""
WALL_ROUNDS = 6
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
    for _ in range(WALL_ROUNDS):
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

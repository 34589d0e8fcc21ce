"""Consistent orientation of the normals of a cloud, outwards.

The normals agree with the indicator function that all oriented points define together. The two sides of walls
thinner than the spacing of their points are separated first.
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
"""Width of the grid relative to the longest side of the bounding box of the points."""


def slopes_along_normals(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    areas: Float[Tensor, " N"],
    side: int,
) -> Float[Tensor, " N"]:
    """Slope of the blurred indicator function at each point, along its own normal.

    The function is larger by 1 outside than inside. Its Laplacian is the divergence of the field of all normals
    (Kazhdan et al. 2006, "Poisson surface reconstruction"). If the slope is negative, the normal disagrees with
    all others together. Hou et al. 2022, "Iterative Poisson surface reconstruction", and Lin et al. 2024, "Fast
    and globally consistent normal orientation based on the winding number normal consistency", flip normals by
    such slopes.

    Source: Kazhdan et al. 2006, the indicator function.

    Source: Hou et al. 2022, normals from the field of all others.

    Source: Lin et al. 2024, normals from the field of all others.

    Args:
        points: Points on a surface.
        normals: Unit normals.
        areas: Area of the surface around each point.
        side: Number of grid nodes along each axis of a cube; the function is blurred by one cell.
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
"""Number of neighbours, including the point itself."""
WALL_ROUNDS = 6
"""Number of iterations of assigning points to two sheets."""
EXPLAINED = 0.9
"""Fraction of the residual variance of one sheet that two sheets must explain; of Gaussian noise they explain
0.64."""
FEWEST = 0.15
"""Smallest fraction of the neighbours on either sheet."""
THINNEST = 0.25
"""Smallest thickness of walls, in distances to the sixth neighbour; thinner ones may be two scans of one
side."""
_STIFFNESS = (1e-6, 1e-6, 1e-6, 1e-2, 1e-2, 1e-2)  # of a mean square: regularisation of 1, u, v, uu, uv, vv


@value_type
class ThinWalls:
    """Points whose neighbourhoods are two parallel sheets.

    Attributes:
        found: Whether the neighbourhood of each point consists of two sheets.
        normals: Normals away from the other sheet; arbitrary where `found` is False.
    """

    found: Bool[Tensor, " N"]
    normals: Float[Tensor, "N 3"]


def thin_walls(points: Float[Tensor, "N 3"]) -> ThinWalls:
    """Detect thin walls: neighbourhoods that fit two sheets, the same quadratic at two heights.

    A plane or quadratic through the points of a thin wall lies in its middle and does not separate its sides.
    Neither do the nearest neighbours of a point, half of which lie on the other side. Heights are clustered as
    by k-means with two means, and the quadratic is refitted in every iteration.
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
    """Whether neighbours (the point itself first) are two sheets, and normals of the point's own one."""
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
"""Quantile of the spacings of the points that is taken as the spacing of the cloud."""
TOLD = 0.1
"""Majority, as a fraction of the points of a component, at which votes decide about its sign."""
GRID, SIDES = 0.6, (33, 97)
"""Grid cell for the indicator function in spacings, and smallest and largest number of nodes along an axis."""
DOUBT, TURNS = 0.3, 4
"""Negative slope of the indicator function along a normal, relative to the median, at which it is flipped;
number of rounds."""
VOTE, ROUNDS = 3.0, 10
"""Weight of a point's own vote relative to that of a fully agreeing neighbour; number of rounds of voting."""
_LEAST_WEIGHT = 1e-4  # smallest weight of an edge, since SciPy ignores zeros


def outward_normals(points: Float[Tensor, "N 3"], noise: float = 0.0) -> Float[Tensor, "N 3"]:
    """Estimate outward normals of a clean cloud by quadratic fits to the nearest points.

    The fits are those of Cazals and Pouget 2005, "Estimating differential quantities using polynomial fitting
    of osculating jets". In walls thinner than the spacing, neighbours lie on both sides: `thin_walls` separates
    these where possible, and `agreed_normals` corrects the rest by the surface of all oriented points.

    Source: Cazals and Pouget 2005, quadrics through neighbours.

    Args:
        points: Points on a surface.
        noise: Standard deviation of the distance of the points from the surface, which determines the size of
            neighbourhoods, see `plane_neighbourhoods`.
    """
    walls = thin_walls(points)
    normals = torch.where(walls.found[:, None], walls.normals, normals_of(points, noise))
    return agreed_normals(points, orient_normals(points, normals, noise), noise)


def orient_normals(
    points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], noise: float = 0.0
) -> Float[Tensor, "N 3"]:
    """Orient normals consistently and outwards.

    Signs are propagated along a minimum spanning tree of the neighbourhood graph (Hoppe et al. 1992), over the
    most reliable edges. Two normals are compared after one of them is reflected at the plane halfway between
    their points, which is right on every circle through them and so also across edges (König and Gumhold 2009).
    Then the sign of each connected component is chosen so that its outermost points face outwards; walls of
    closed cavities within a solid face outwards, too, and not into the cavity. Errors of the tree at sharp
    edges leave whole parts inside out. So where exactly one side of a point is connected to the outside, see
    `outside_votes`, this side is the front, and neighbours without such a vote follow. Finally, normals that
    disagree with all others together are flipped, see `slopes_along_normals`.

    Source: Hoppe et al. 1992, the spanning tree.

    Source: König and Gumhold 2009, the doubt of an edge.

    Args:
        points: Points on a surface.
        normals: Unit normals with arbitrary sign.
        noise: Standard deviation of the distance of the points from the surface.
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
    votes = sign * (front.to(unit) - back.to(unit))  # votes for the current signs
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
    """Signs relative to the root of each connected component, and the number of the component."""
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
    # One more node, connected to a node of each component, turns the forest into one tree.
    roots = np.unique(piece, return_index=True)[1]
    ends = np.append(rows, np.full(pieces, count, np.int32)), np.append(columns, roots.astype(np.int32))
    forest = coo_array((np.ones(len(ends[0])), ends), shape=(count + 1, count + 1)).tocsr()
    _, parent = csgraph.breadth_first_order(forest, count, directed=False)
    parent[count] = count
    flip = np.zeros(count + 1, dtype=bool)
    child = np.where(parent[rows] == columns, rows, columns)
    flip[child] = opposite
    while not (parent == count).all():  # every round doubles the number of levels up the tree
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
    """The sign of each component with which it faces outwards, by the votes of its points.

    Without a clear majority, its extreme points in 26 directions decide.
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

"""Local fits to a cloud at several scales, and the strength of its noise from what they leave over.

Around every point a plane and a quadratic height function are fitted to its nearest 16, 32, 64 and 128
neighbours (moving least squares, Levin 2003, with the frame of a weighted principal component analysis).
Small scales are noisy, large ones cut corners. Near edges and in thin walls the neighbours are of several
sheets; so the mean of those alone that are about as high as the point is a third estimate (a bilateral
filter of heights over the quadratic, Tomasi and Manduchi 1998). Which to believe, and how much, is for
others to say.

Small neighbourhoods show little of the noise, wide ones add what the shape is: curvature, edges, the other
side of a wall. What is left over is therefore collected as quantiles over the cloud, for each scale, and a
small network that has seen many shapes reads the noise from them. It knows nothing but ratios of lengths, so
that a cloud may be turned, moved and enlarged.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor, nn

from ..values import value_type

SCALES = (16, 32, 64, 128)
"""Neighbours at each scale."""
CANDIDATES = 3 * len(SCALES)
FEATURES = 12 * len(SCALES) + 1
BATCH = 8192
ALIKE = 1.5
"""Width, in noise levels, of the heights that count as those of the point's own sheet."""
_STIFFNESS = 1e-3  # of the curvatures, which leaves them zero where neighbours lie on a line


@value_type
class Support:
    """Points that neighbourhoods are made of.

    Attributes:
        points: Their places.
        mass: How many points of the cloud each stands for.
    """

    points: Float[Tensor, "M 3"]
    mass: Float[Tensor, " M"]
    _tree: KDTree


@value_type
class LocalFits:
    """Estimates for N points.

    Attributes:
        moves: From each point to where each estimate puts it: planes and quadratics of all scales.
        features: Numbers that tell how far each can be trusted; the same for a cloud turned or mirrored, moved
            or enlarged together with its noise.
        normals: Of the plane at the second scale, with an arbitrary sign.
    """

    moves: Float[Tensor, "N C 3"]
    features: Float[Tensor, "N F"]
    normals: Float[Tensor, "N 3"]


@value_type
class QuadraticFit:
    """Quadratic height functions through the neighbours of N points, with K neighbours each.

    Attributes:
        mean: Of the neighbours, as an offset from the point.
        values: Variances along the principal axes, ascending.
        axes: These axes as columns; the first is the normal of the plane.
        height: Of each neighbour along the normal, from the point.
        coefficients: Of 1, u, v, uu, uv, vv, where u and v are 1 at the reach.
        influence: Of each neighbour's height on the first coefficient.
        residual: Of each neighbour: its height less the function's.
    """

    mean: Float[Tensor, "N 3"]
    values: Float[Tensor, "N 3"]
    axes: Float[Tensor, "N 3 3"]
    height: Float[Tensor, "N K"]
    coefficients: Float[Tensor, "N 6"]
    influence: Float[Tensor, "N K"]
    residual: Float[Tensor, "N K"]


def support_of(points: Float[Tensor, "P 3"], cell: float = 0.0) -> Support:
    """A cloud to search for neighbours; means of the points in each cell of a grid if `cell` is positive."""
    mass = points.new_ones(len(points))
    if cell > 0:
        keys = ((points - points.amin(dim=0)) / cell).floor().long()
        _, index, counts = keys.unique(dim=0, return_inverse=True, return_counts=True)
        mass = counts.to(points)
        points = points.new_zeros(len(counts), 3).index_add_(0, index, points) / mass[:, None]
    return Support(points, mass, KDTree(points.cpu().double().numpy()))


def neighbours(
    support: Support, points: Float[Tensor, "N 3"], count: int
) -> tuple[Float[Tensor, "N K"], Tensor]:
    """Distances and indices of the nearest points of the support, as many as there are up to `count`."""
    count = min(count, len(support.points))
    found = support._tree.query(points.cpu().double().numpy(), k=np.arange(1, count + 1), workers=-1)
    distance, index = (torch.from_numpy(part).to(points.device) for part in found)
    return distance.float(), index


def local_fits(support: Support, points: Float[Tensor, "N 3"], noise: float) -> LocalFits:
    """Fit planes and quadratics around points.

    Args:
        support: Where neighbours are taken from; at least 4 points.
        points: Around which.
        noise: Standard deviation of the coordinates, the unit of the features.
    """
    distance, index = neighbours(support, points, SCALES[-1])
    around = support.points[index] - points[:, None]
    mass = support.mass[index]
    moves, features, normals = [], [], []
    for scale in SCALES:
        k = min(scale, index.shape[1])
        radius = distance[:, k - 1 : k].clamp(min=1e-12)
        weight = mass[:, :k] * torch.exp(-4 * (distance[:, :k] / radius) ** 2)
        fit = fit_at_scale(around[:, :k], weight, radius, mass[:, :k], noise)
        moves += fit[0]
        features.append(fit[1])
        normals.append(fit[2])
    return _without_sign(torch.stack(moves, dim=1), features, normals, noise)


def fit_at_scale(
    around: Tensor, weight: Tensor, radius: Tensor, mass: Tensor, noise: float
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Fits to weighted neighbours at one scale.

    Source: Tomasi and Manduchi 1998, a bilateral filter. Differs: of heights over the quadratic.

    Args:
        around: Offsets (N, K, 3) of the neighbours.
        weight: Of each in the fit, (N, K).
        radius: Distance (N, 1) at which coordinates along the surface become 1.
        mass: Points of the cloud that each neighbour is the mean of.
        noise: The unit of the features.

    Returns:
        Moves to the plane, to the quadratic and to the own sheet, features, and the normals of the plane.
    """
    fit = quadratic_fit(around, weight, radius)
    total, normal = weight.sum(dim=1), fit.axes[..., 0]
    rough = ((weight * fit.residual**2).sum(dim=1) / total).sqrt()
    fourth = (weight * (fit.residual / rough.clamp(min=1e-12)[:, None]) ** 4).sum(dim=1) / total
    alike = weight * torch.exp(-((fit.residual + fit.coefficients[:, :1]) / (ALIKE * noise)).square() / 2)
    sheet = (alike * fit.residual).sum(dim=1) / (alike.sum(dim=1) + 1e-6 * total)
    variance = (fit.influence**2 / mass).sum(dim=1)  # of the height, in squares of the noise
    flat, bent = (fit.mean * normal).sum(dim=1), fit.coefficients[:, 0]
    features = [
        *(fit.values.clamp(min=0).sqrt() / radius).unbind(dim=1),
        rough / noise,
        fourth.clamp(max=100),
        variance.sqrt(),
        torch.log(radius[:, 0] / noise),
        fit.coefficients[:, 3:].norm(dim=1) / noise,
        fit.mean.norm(dim=1) / radius[:, 0],
    ]
    moves = [height[:, None] * normal for height in (flat, bent, bent + sheet)]
    return moves, torch.stack(features, dim=1), normal


def quadratic_fit(around: Tensor, weight: Tensor, radius: Tensor) -> QuadraticFit:
    """A quadratic height function over the plane through weighted neighbours.

    Source: Levin 2003, moving least squares.

    Args:
        around: Offsets (N, K, 3) of the neighbours.
        weight: Of each in the fit, (N, K).
        radius: Distance (N, 1) at which coordinates along the surface become 1.
    """
    total = weight.sum(dim=1)
    mean = torch.einsum("nk,nkd->nd", weight, around) / total[:, None]
    centred = around - mean[:, None]
    spread = torch.einsum("nki,nkj->nij", weight[..., None] * centred, centred) / total[:, None, None]
    values, axes = torch.linalg.eigh(spread)
    height, u, v = (around @ axes).unbind(dim=-1)
    u, v = u / radius, v / radius
    basis = torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v], dim=-1)
    weighted = weight[..., None] * basis
    gram = weighted.mT @ basis
    diagonal = torch.tensor([1e-6, 1e-6, 1e-6] + 3 * [_STIFFNESS]).to(gram) * total[:, None]
    gram = gram + torch.diag_embed(diagonal)
    first = torch.eye(6).to(gram)[:, :1].expand(len(gram), 6, 1)
    right = torch.cat([weighted.mT @ height[..., None], first], dim=2)
    solved = torch.linalg.solve(gram, right)
    coefficients, influence = solved[..., 0], (weighted @ solved[..., 1:])[..., 0]
    residual = height - (basis @ coefficients[..., None])[..., 0]
    return QuadraticFit(mean, values, axes, height, coefficients, influence, residual)


def _without_sign(moves: Tensor, features: list[Tensor], normals: list[Tensor], noise: float) -> LocalFits:
    """Heights of all estimates along one normal whose sign is that of the largest of them."""
    reference = normals[1]
    heights = torch.einsum("ncd,nd->nc", moves, reference) / noise
    largest = heights.gather(1, heights.abs().argmax(dim=1, keepdim=True))
    signed = heights * torch.where(largest < 0, -1.0, 1.0)
    agreement = torch.stack([(normal * reference).sum(dim=1).abs() for normal in normals], dim=1)
    found = torch.cat([*features, signed, agreement.mean(dim=1, keepdim=True)], dim=1)
    return LocalFits(moves, torch.asinh(found), reference)  # which is logarithmic for large values


NOISE_SCALES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Neighbours, with the point itself."""
QUANTILES = (0.03, 0.1, 0.25, 0.5, 0.75)
PROBES = 800
"""Points whose neighbourhoods are looked at."""
FEW = 200
"""Fewer points do not tell noise from shape."""
MOST = 30_000
"""Points that are searched at first; of denser clouds more, where the noise is small beside their distances."""
FINE = 8.0
"""Noise is small if so many times of it do not reach the sixteenth neighbour."""
NOISE_FEATURES = len(NOISE_SCALES) * (3 * len(QUANTILES) + 4)
HIDDEN = 64
LEAST_SHARE = 0.03
"""Least noise that is told from none, as a share of what quadratics leave over at most points."""


class NoiseLevel(nn.Module):
    """Logarithm of the noise, in units of a length that the features come with."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(NOISE_FEATURES))
        self.register_buffer("scale", torch.ones(NOISE_FEATURES))
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(NOISE_FEATURES, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, 1),
        )

    def forward(self, features: Float[Tensor, "N F"]) -> Float[Tensor, " N"]:
        """One number per cloud."""
        whitened = ((features - self.mean) / self.scale).clamp(-4, 4)
        return self.layers(whitened)[:, 0]


@torch.no_grad()
def estimated_level(network: NoiseLevel, points: Float[Tensor, "N 3"]) -> float:
    """Standard deviation of the coordinates of a cloud; 0 if its points are too few to tell.

    Of many points a part is looked at, whose noise is the same; where it is small beside their distances, four
    times as many, until it is not.
    """
    if len(points) < FEW:
        return 0.0
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(len(points), generator=draw).to(points.device)
    count = min(MOST, len(points))
    while True:
        some = points[order[:count]]
        features, unit = noise_features(some, draw)
        noise = unit * float(network(features[None]).exp())
        if noise < 2 * unit * LEAST_SHARE:
            noise = 0.0
        if count == len(points) or spacing(some) < FINE * noise:
            return noise
        count = min(4 * count, len(points))


def spacing(points: Float[Tensor, "N 3"]) -> float:
    """Median distance to the sixteenth neighbour."""
    return float(neighbours(support_of(points), points[:PROBES], 16)[0][:, -1].median())


def noise_features(
    points: Float[Tensor, "N 3"], draw: torch.Generator, probes: int = PROBES
) -> tuple[Float[Tensor, " F"], float]:
    """What tells the noise of a cloud, and the length that is its unit."""
    chosen = points[torch.randperm(len(points), generator=draw)[:probes].to(points.device)]
    distance, index = neighbours(support_of(points), chosen, NOISE_SCALES[-1])
    around = points[index] - chosen[:, None]
    levels = torch.tensor(QUANTILES).to(points)
    rows = []
    for scale in NOISE_SCALES:
        k = min(scale, index.shape[1])
        flat, bent, fourth, width = _left_over(around[:, :k], distance[:, k - 1 : k])
        lengths = torch.stack([flat, bent, distance[:, k - 1]])
        shapes = torch.stack([fourth, width])
        rows.append((lengths.quantile(levels, dim=1).T, shapes.quantile(levels[[1, 3]], dim=1).T))
    unit = float(rows[2][0][1, 2].clamp(min=1e-12))
    lengths = torch.stack([row[0] for row in rows]).clamp(min=1e-6 * unit) / unit
    shapes = torch.stack([row[1] for row in rows])
    return torch.cat([lengths.log().flatten(), shapes.flatten()]), unit


def _left_over(around: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of K neighbours: deviation from plane and quadratic, its fourth moment, and how round they lie."""
    k = around.shape[1]
    ones, reach = torch.ones_like(around[..., 0]), reach.clamp(min=1e-12)
    fit = quadratic_fit(around, ones, reach)
    flat = (fit.values[:, 0].clamp(min=0) * k / (k - 3)).sqrt()
    rough = fit.residual.square().mean(dim=1).sqrt()
    bent = rough * (k / max(k - 6, 1)) ** 0.5
    fourth = (fit.residual / rough.clamp(min=1e-12)[:, None]).pow(4).mean(dim=1)
    width = (fit.values[:, 1] / fit.values[:, 2].clamp(min=1e-24)).clamp(min=0).sqrt()
    return flat, bent, fourth, width

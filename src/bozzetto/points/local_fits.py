"""Local fits to a cloud at several scales, and the noise level from their residuals.

Around every point a plane and a quadratic height function are fitted to its nearest 16, 32, 64 and 128
neighbours (moving least squares, Levin 2003, with the frame of a weighted principal component analysis).
Small scales are noisy, large ones are biased at curved parts. Near edges and in thin walls, neighbours lie on
several sheets. So there is a third estimate: the mean of only those neighbours that have about the height of
the point (a bilateral filter of heights over the quadratic, Tomasi and Manduchi 1998). The estimates are
combined by `FitChoice`.

Residuals of small neighbourhoods contain little of the noise, those of large ones are also due to shape:
curvature, edges, the other side of a wall. Therefore quantiles of the residuals over the cloud at all scales
are the input of a small network, trained on many shapes, which estimates the noise. Its inputs are ratios of
lengths, so it is invariant to rotation, translation and scale.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor, nn

from ..values import value_type

SCALES = (16, 32, 64, 128)
"""Number of neighbours at each scale."""
CANDIDATES = 3 * len(SCALES)
FEATURES = 12 * len(SCALES) + 1
BATCH = 8192
ALIKE = 1.5
"""Standard deviation, in noise levels, of the weight by which neighbours belong to the point's own sheet."""
_STIFFNESS = 1e-3  # regularisation of curvatures, which are then 0 if neighbours lie on a line


@value_type
class Support:
    """Points from which neighbours are taken, with a search tree.

    Attributes:
        points: Positions of the points.
        mass: Number of points of the cloud that each of them is the mean of.
    """

    points: Float[Tensor, "M 3"]
    mass: Float[Tensor, " M"]
    _tree: KDTree


@value_type
class LocalFits:
    """Local estimates for N points.

    Attributes:
        moves: Displacement of each point to each estimate: planes, quadratics and own sheets of all scales.
        features: Features of the reliability of the estimates, invariant to rotation, reflection, translation
            and common scaling of cloud and noise.
        normals: Normals of the planes at the second scale, with arbitrary sign.
    """

    moves: Float[Tensor, "N C 3"]
    features: Float[Tensor, "N F"]
    normals: Float[Tensor, "N 3"]


@value_type
class QuadraticFit:
    """Quadratic height functions fitted to K neighbours of each of N points.

    Attributes:
        mean: Mean of the neighbours, as an offset from the point.
        values: Variances along the principal axes, ascending.
        axes: Principal axes as columns; the first is the normal of the plane.
        height: Height of each neighbour above the point, along the normal.
        coefficients: Coefficients of 1, u, v, uu, uv, vv; u and v are 1 at the radius of the neighbourhood.
        influence: Derivative of the first coefficient with respect to each neighbour's height.
        residual: Height of each neighbour minus the function's value.
    """

    mean: Float[Tensor, "N 3"]
    values: Float[Tensor, "N 3"]
    axes: Float[Tensor, "N 3 3"]
    height: Float[Tensor, "N K"]
    coefficients: Float[Tensor, "N 6"]
    influence: Float[Tensor, "N K"]
    residual: Float[Tensor, "N K"]


def support_of(points: Float[Tensor, "P 3"], cell: float = 0.0) -> Support:
    """Support of a cloud: its points, or their means in the cells of a grid if `cell` is positive."""
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
    """Distances and indices of the `count` nearest points of the support, or of all if there are fewer."""
    count = min(count, len(support.points))
    found = support._tree.query(points.cpu().double().numpy(), k=np.arange(1, count + 1), workers=-1)
    distance, index = (torch.from_numpy(part).to(points.device) for part in found)
    return distance.float(), index


def local_fits(support: Support, points: Float[Tensor, "N 3"], noise: float) -> LocalFits:
    """Fit planes and quadratics around points.

    Args:
        support: Points from which neighbours are taken, at least 4.
        points: Points around which fits are computed.
        noise: Standard deviation of the noise per coordinate, the unit of the features.
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
    """Fit plane, quadratic and own sheet to weighted neighbours at one scale.

    Source: Tomasi and Manduchi 1998, a bilateral filter. Differs: of heights over the quadratic.

    Args:
        around: Offsets (N, K, 3) of the neighbours.
        weight: Weights (N, K) of the neighbours.
        radius: Distance (N, 1) at which coordinates along the surface become 1.
        mass: Number of points of the cloud that each neighbour is the mean of.
        noise: Noise level, the unit of the features.

    Returns:
        Displacements to the plane, to the quadratic and to the own sheet; features; and normals of the plane.
    """
    fit = quadratic_fit(around, weight, radius)
    total, normal = weight.sum(dim=1), fit.axes[..., 0]
    rough = ((weight * fit.residual**2).sum(dim=1) / total).sqrt()
    fourth = (weight * (fit.residual / rough.clamp(min=1e-12)[:, None]) ** 4).sum(dim=1) / total
    alike = weight * torch.exp(-((fit.residual + fit.coefficients[:, :1]) / (ALIKE * noise)).square() / 2)
    sheet = (alike * fit.residual).sum(dim=1) / (alike.sum(dim=1) + 1e-6 * total)
    variance = (fit.influence**2 / mass).sum(dim=1)  # variance of the height, in units of the squared noise
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
    """Fit a quadratic height function over the plane through weighted neighbours.

    Source: Levin 2003, moving least squares.

    Args:
        around: Offsets (N, K, 3) of the neighbours.
        weight: Weights (N, K) of the neighbours.
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
    """Make features independent of the sign of normals: heights are along the sign of the largest of them."""
    reference = normals[1]
    heights = torch.einsum("ncd,nd->nc", moves, reference) / noise
    largest = heights.gather(1, heights.abs().argmax(dim=1, keepdim=True))
    signed = heights * torch.where(largest < 0, -1.0, 1.0)
    agreement = torch.stack([(normal * reference).sum(dim=1).abs() for normal in normals], dim=1)
    found = torch.cat([*features, signed, agreement.mean(dim=1, keepdim=True)], dim=1)
    return LocalFits(moves, torch.asinh(found), reference)  # asinh is logarithmic for large values


NOISE_SCALES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Numbers of neighbours for the noise estimate, including the point itself."""
QUANTILES = (0.03, 0.1, 0.25, 0.5, 0.75)
PROBES = 800
"""Number of points whose neighbourhoods are examined."""
FEW = 200
"""Smallest number of points for the noise estimate; with fewer, noise cannot be distinguished from shape."""
MOST = 30_000
"""Number of points that are used at first; more are used if the noise is small compared with their spacing."""
FINE = 8.0
"""Noise is small if this multiple of it is less than the distance to the sixteenth neighbour."""
NOISE_FEATURES = len(NOISE_SCALES) * (3 * len(QUANTILES) + 4)
HIDDEN = 64
LEAST_SHARE = 0.03
"""Smallest noise that is not taken as 0, as a fraction of the usual residual of quadratics."""


class NoiseLevel(nn.Module):
    """Network from features to the logarithm of the noise level, in the unit of length of the features."""

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
        """Logarithm of the noise level of each cloud."""
        whitened = ((features - self.mean) / self.scale).clamp(-4, 4)
        return self.layers(whitened)[:, 0]


@torch.no_grad()
def estimated_level(network: NoiseLevel, points: Float[Tensor, "N 3"]) -> float:
    """Estimated standard deviation of the noise per coordinate of a cloud; 0 if there are too few points.

    Of large clouds a subset is used, which has the same noise. If the noise is small compared with its spacing,
    four times as many points are used, and so on.
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
    """Features of a cloud for the noise estimate, and the length that is their unit."""
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
    """Residuals of K neighbours from plane and quadratic, their fourth moment, and isotropy of the
    neighbourhood."""
    k = around.shape[1]
    ones, reach = torch.ones_like(around[..., 0]), reach.clamp(min=1e-12)
    fit = quadratic_fit(around, ones, reach)
    flat = (fit.values[:, 0].clamp(min=0) * k / (k - 3)).sqrt()
    rough = fit.residual.square().mean(dim=1).sqrt()
    bent = rough * (k / max(k - 6, 1)) ** 0.5
    fourth = (fit.residual / rough.clamp(min=1e-12)[:, None]).pow(4).mean(dim=1)
    width = (fit.values[:, 1] / fit.values[:, 2].clamp(min=1e-24)).clamp(min=0).sqrt()
    return flat, bent, fourth, width

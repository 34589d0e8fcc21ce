"""How strong the noise of a cloud is, from what planes and quadratics leave over at many scales.

Small neighbourhoods show little of the noise, wide ones add what the shape is: curvature, edges, the other side
of a wall. What is left over is therefore collected as quantiles over the cloud, for each scale, and a small
network that has seen many shapes reads the noise from them. It knows nothing but ratios of lengths, so that a
cloud may be turned, moved and enlarged.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .local_fits import neighbours, quadratic_fit, support_of

SCALES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
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
FEATURES = len(SCALES) * (3 * len(QUANTILES) + 4)
HIDDEN = 64
LEAST_SHARE = 0.03
"""Least noise that is told from none, as a share of what quadratics leave over at most points."""


class NoiseLevel(nn.Module):
    """Logarithm of the noise, in units of a length that the features come with."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 1)
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
    distance, index = neighbours(support_of(points), chosen, SCALES[-1])
    around = points[index] - chosen[:, None]
    levels = torch.tensor(QUANTILES).to(points)
    rows = []
    for scale in SCALES:
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

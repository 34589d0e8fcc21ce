"""Colours of points in many photographs: how bright each photograph is, and which of them agree."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_DARK, _BRIGHT = 0.01, 0.98  # linear light between which a pixel says something about the exposure
_SPREAD = 0.15  # logarithmic difference between views that is nothing unusual
_OUTLIER = 0.15  # sRGB-like difference from the usual colour at which the weight of a view has halved
_PRIOR = 0.02  # weight of "all exposures are alike", as a share of what an average view knows
_ROUNDS = 6


@dataclass(frozen=True)
class Samples:
    """What N photographs show of P points.

    Attributes:
        colors: Linear RGB, 0 where not seen.
        weights: How well it is seen; 0 where it is not.
    """

    colors: Float[Tensor, "P N 3"]
    weights: Float[Tensor, "P N"]


def solve_exposures(samples: Samples) -> Float[Tensor, "N 3"]:
    """Factors, per view and channel, such that colours divided by them agree where views overlap.

    Least squares in logarithms, min sum w (log I - g_view - x_point)^2 with the colours x eliminated,
    reweighted so that points on which views differ for other reasons (gloss, wrong geometry) count less. What
    overlaps do not tell stays 1, and so does the geometric mean over the views.
    """
    count = samples.colors.shape[1]
    gains = torch.zeros(count, 3, dtype=torch.float64)
    fair = ((samples.colors > _DARK) & (samples.colors < _BRIGHT)).all(dim=2)
    base = torch.where(fair, samples.weights, 0.0).double().sqrt()
    base = base * (fair.sum(dim=1, keepdim=True) >= 2)
    if float(base.sum()) == 0:
        return gains.exp().float()
    logs = samples.colors.clamp_min(_DARK).double().log()
    for channel in range(3):
        y, g = logs[..., channel], gains[:, channel]
        for _ in range(_ROUNDS):
            point = _mean(y - g, base)
            weight = base / (1 + ((y - g - point) / _SPREAD) ** 2)
            total = weight.sum(dim=1, keepdim=True).clamp_min(1e-30)
            matrix = torch.diag(weight.sum(dim=0)) - weight.T @ (weight / total)
            right = (weight * (y - _mean(y, weight))).sum(dim=0)
            prior = _PRIOR * weight.sum() / count
            g = torch.linalg.solve(matrix + prior * torch.eye(count).double(), right)
            g = g - g.mean()
        gains[:, channel] = g
    return gains.exp().float()


def usual_colors(samples: Samples) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P N"]]:
    """The colour of every point that most views agree on, and how well each view agrees with it, 0 to 1.

    A weighted median per channel, then differences to it in roughly even steps of brightness (square roots).
    Points that no view sees get 0.
    """
    even = samples.colors.clamp_min(0).sqrt()
    usual = torch.stack([_median(even[..., c], samples.weights) for c in range(3)], dim=1)
    difference = (even - usual[:, None]).norm(dim=2) / 3**0.5
    agreement = 1 / (1 + (difference / _OUTLIER) ** 2)
    weights = samples.weights * agreement
    return _mean(samples.colors.transpose(1, 2), weights[:, None]).squeeze(-1), agreement


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Over the last dimension, which stays; 0 without weight."""
    total = weights.sum(dim=-1, keepdim=True)
    return (values * weights).sum(dim=-1, keepdim=True) / total.clamp_min(1e-30)


def _median(values: Float[Tensor, "P N"], weights: Float[Tensor, "P N"]) -> Float[Tensor, " P"]:
    """Weighted median over views; 0 without weight."""
    order = torch.where(weights > 0, values, torch.inf).argsort(dim=1)
    sums = weights.gather(1, order).cumsum(dim=1)
    at = (sums < 0.5 * sums[:, -1:]).sum(dim=1, keepdim=True).clamp_max(values.shape[1] - 1)
    found = values.gather(1, order.gather(1, at)).squeeze(1)
    return torch.where(weights.sum(dim=1) > 0, found, 0.0)

"""The field that a network learns, in closed form: the log density of a cloud blurred by a Gaussian."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from ..errors import InputError


def log_density(
    points: Float[Tensor, "*batch M D"], x: Float[Tensor, "*batch N D"], sigma: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N"]:
    """log of Q_sigma(x) = (1/M) sum_i N(x; x_i, sigma^2 I), see Cai et al. 2020, section 3.1.

    Source: Cai et al. 2020, section 3.1.

    Args:
        points: The cloud, x_i.
        x: Where.
        sigma: Noise level at each of these places.

    Raises:
        InputError: The cloud is empty or a level is not positive.
    """
    count, dimensions = _check(points, sigma)
    peak = math.log(count) + dimensions * (sigma.log() + 0.5 * math.log(2 * math.pi))
    square = points.square().sum(dim=-1)[..., None, :] + x.square().sum(dim=-1)[..., :, None]
    between = (square - 2 * x @ points.transpose(-1, -2)).clamp(min=0)
    return (between / (-2 * sigma[..., None] ** 2)).logsumexp(dim=-1) - peak


def denoised(
    points: Float[Tensor, "*batch M D"], x: Float[Tensor, "*batch N D"], sigma: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N D"]:
    """Where a noisy point came from, on average: D(x) = sum_i w_i x_i, w = softmax(-|x - x_i|^2 / 2 sigma^2).

    The code that was released with the paper to draw fields forgets the 2.

    Source: Cai et al. 2020, section 3.1. Differs: the exponent has the 2 that the released drawing code
    leaves out.

    Raises:
        InputError: The cloud is empty or a level is not positive.
    """
    _check(points, sigma)
    # |x|^2 is the same for all i, so the exponent is a product of (x, -1/2) / sigma^2 and (x_i, |x_i|^2), and
    # the mean is an attention of noisy points to the cloud: one fused kernel, no table of M times N. Queries
    # and keys are filled up with zeros, because kernels are fastest at the widths that networks have.
    dimensions = points.shape[-1]
    query = torch.cat([x, torch.full_like(x[..., :1], -0.5)], dim=-1) / sigma[..., None] ** 2
    key = torch.cat([points, points.square().sum(dim=-1, keepdim=True)], dim=-1)
    query, key = (pad(part[..., None, :, :], (0, 15 - dimensions)) for part in (query, key))
    found = scaled_dot_product_attention(query, key, key, scale=1.0)
    return found[..., 0, :, :dimensions]


def score(
    points: Float[Tensor, "*batch M D"], x: Float[Tensor, "*batch N D"], sigma: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N D"]:
    """Gradient of `log_density` with respect to x: (D(x) - x) / sigma^2 (Tweedie).

    Source: Cai et al. 2020, section 3.1, the gradient of the log density.

    Raises:
        InputError: The cloud is empty or a level is not positive.
    """
    return (denoised(points, x, sigma) - x) / sigma[..., None] ** 2


def _check(points: Tensor, sigma: Tensor) -> tuple[int, int]:
    if points.shape[-2] == 0:
        raise InputError("the field of an empty cloud is not defined; give at least one point")
    if not bool((sigma > 0).all()):
        raise InputError(f"noise levels must be positive, got {float(sigma.min())}")
    return points.shape[-2], points.shape[-1]

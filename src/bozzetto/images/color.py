"""The sRGB transfer function (IEC 61966-2-1): files hold sRGB, the library computes in linear light."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..errors import warn_input

ROUNDING = 1e-3
"""How far beyond 0 and 1 colours may lie without a warning."""


def srgb_to_linear(encoded: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Linear light of sRGB values in [0, 1]; 0 and 1 stay."""
    curve = ((encoded.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(encoded <= 0.04045, encoded / 12.92, curve)


def linear_to_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sRGB values of linear light in [0, 1]; 0 and 1 stay. Differentiable at 0."""
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


def clipped_colors(colors: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Colours within [0, 1]: others are clipped, NaN becomes white, and a warning says so.

    Args:
        colors: (N, 3) numbers.
        name: What messages call them, for instance "the colours of a.obj".
    """
    values = np.array(colors, np.float64)
    unknown = ~np.isfinite(values).all(axis=1)
    if unknown.any():
        warn_input(
            f"{name} are NaN or infinite at {unknown.sum()} of {len(values)} places; these become white"
        )
        values[unknown] = 1.0
    beyond = ((values < -ROUNDING) | (values > 1 + ROUNDING)).any(axis=1)
    if beyond.any():
        warn_input(
            f"{name} run from {values.min():.3g} to {values.max():.3g} and not from 0 to 1; "
            f"{beyond.sum()} of {len(values)} are clipped"
        )
    return values.clip(0, 1)

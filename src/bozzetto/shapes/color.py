"""The sRGB transfer function (IEC 61966-2-1): files hold sRGB, the library computes in linear light."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..errors import warn_input

ROUNDING = 1e-3
"""How far beyond 0 and 1 colours may lie without a word."""
INTEGER_RANGES = (255, 65535)


def srgb_to_linear(encoded: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Linear light of sRGB values in [0, 1]; 0 and 1 stay."""
    curve = ((encoded.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(encoded <= 0.04045, encoded / 12.92, curve)


def linear_to_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sRGB values of linear light in [0, 1]; 0 and 1 stay. Differentiable at 0."""
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


def unit_colors(colors: NDArray, name: str) -> NDArray[np.float64]:
    """Colours of a file as numbers in [0, 1]; warnings say what was changed.

    Colours up to 255 or 65535 are taken for such integers, others are clipped; NaN becomes white.

    Args:
        colors: (N, 3), meant to lie in [0, 1].
        name: What messages call them, for instance "the colours of a.obj".
    """
    values = np.array(colors, np.float64)
    unknown = ~np.isfinite(values).all(axis=1)
    if unknown.any():
        warn_input(
            f"{name} are NaN or infinite at {unknown.sum()} of {len(values)} places; these become white"
        )
        values[unknown] = 1.0
    if len(values) == 0 or (values.min() >= -ROUNDING and values.max() <= 1 + ROUNDING):
        return values.clip(0, 1)
    low, high = float(values.min()), float(values.max())
    top = next((top for top in INTEGER_RANGES if 2 <= high <= top), None)
    if top is not None and low >= -ROUNDING:
        warn_input(f"{name} run from {low:.3g} to {high:.6g} and not from 0 to 1; they are divided by {top}")
        values /= top
        values[unknown] = 1.0
    else:
        warn_input(f"{name} run from {low:.3g} to {high:.3g}; those beyond 0 and 1 are clipped")
    return values.clip(0, 1)

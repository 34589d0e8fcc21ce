"""Height from a tactile sensor: a coated gel pressed onto a surface, photographed under several lights.

The coating has one colour everywhere, so brightness tells the slope, once a sample of known height has shown
how. Three things make the usual fit of a quadratic to brightness fail away from the calibrated place: the light
falls off across the pad (here divided out, per photo), its direction changes with the position (the fit may
depend on it), and a small mean error of slope becomes a large one of height (so brightness is taken relative to
flat gel, and the fit has a ridge).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry.heightfield import gradients_from_height, integrate_gradients
from ..values import value_type

POSITIONS = {"none": 0, "columns": 1, "both": 2}
SAMPLES = 10_000
"""Pixels that the falloff of the light is fitted to."""


@value_type
class TactileCalibration:
    """How brightness under each light tells the slope.

    Attributes:
        coefficients: Slopes to the right and downwards, per feature.
        falloff_degree: Degree of the polynomial that models the falloff of each light.
        position: What the fit depends on besides brightness.
        lights: How many photos it takes.
    """

    coefficients: Float[Tensor, "F 2"]
    falloff_degree: int
    position: str
    lights: int


def calibrate_tactile(
    photos: Float[Tensor, "N H W"],
    height_mm: Float[Tensor, "Hh Wh"],
    pixel_mm: float,
    falloff_degree: int = 3,
    position: str = "none",
    ridge: float = 1e-4,
) -> TactileCalibration:
    """Learn the slope from brightness, per pixel, on a sample of known height.

    Source: Yuan et al. 2017, the sensor: slopes from brightness under several lights. Differs: a polynomial
    of brightness and place instead of a table.

    Args:
        photos: One per light, linear brightness of any scale, on the pixels of `height_mm`. At least half of
            the surface should be flat.
        height_mm: Measured height in millimetres.
        pixel_mm: Side of a pixel.
        falloff_degree: Degree of the polynomial over the picture that the logarithm of each light's brightness
            on flat gel follows.
        position: `none`; `columns`, the fit may change linearly from left to right, for samples that cover all
            columns; `both`, also from top to bottom, for samples that cover the whole pad.
        ridge: Penalty on coefficients, relative to the mean square of their feature.

    Raises:
        InputError: Sizes differ, there are fewer than two photos, or an option is unknown.
    """
    if photos.shape[1:] != height_mm.shape or len(photos) < 2 or pixel_mm <= 0 or position not in POSITIONS:
        raise InputError(
            "tactile calibration needs two or more photos on the pixels of the height map, a positive "
            f"pixel size and a position of {', '.join(POSITIONS)}; got photos {tuple(photos.shape)}, "
            f"height {tuple(height_mm.shape)}, {pixel_mm} mm and {position!r}"
        )
    slopes = gradients_from_height(height_mm.double() / pixel_mm).reshape(-1, 2)
    features = _features(even_light(photos, falloff_degree), position).flatten(0, 1)
    scale = features.square().mean(dim=0).sqrt().clamp(min=1e-12)
    features = features / scale
    normal = features.T @ features
    normal.diagonal().add_(ridge * len(features))
    coefficients = torch.linalg.solve(normal, features.T @ slopes) / scale[:, None]
    return TactileCalibration(coefficients, falloff_degree, position, len(photos))


def tactile_gradients(
    photos: Float[Tensor, "N H W"], calibration: TactileCalibration
) -> Float[Tensor, "H W 2"]:
    """Slopes to the right and downwards, from photos of the same pad under the same lights.

    Raises:
        InputError: The number of photos is not that of the calibration.
    """
    if len(photos) != calibration.lights:
        raise InputError(
            f"this calibration takes {calibration.lights} photos, one per light, got {len(photos)}"
        )
    features = _features(even_light(photos, calibration.falloff_degree), calibration.position)
    return (features @ calibration.coefficients.to(features)).float()


def tactile_height(
    photos: Float[Tensor, "N H W"], calibration: TactileCalibration, pixel_mm: float
) -> Float[Tensor, "H W"]:
    """Height in millimetres, of mean zero.

    Raises:
        InputError: As `tactile_gradients`.
    """
    return integrate_gradients(tactile_gradients(photos, calibration).double()).float() * pixel_mm


def even_light(photos: Float[Tensor, "N H W"], degree: int = 3) -> Float[Tensor, "N H W"]:
    """Brightness relative to that of a flat surface at the same place: 0 on flat gel, -1 in full shadow.

    The logarithm of each light's brightness is a polynomial of the position where the surface is flat; steep
    pixels stand out from it under some light and are left out (Tukey's biweight, reweighted least squares).

    Args:
        photos: One per light. Most of the surface should be flat.
        degree: Of the polynomial.
    """
    count, height, width = photos.shape
    logs = (photos.double() / photos.double().amax(dim=(1, 2), keepdim=True)).clamp(min=1 / 255).log()
    stride = max(1, math.isqrt(height * width // SAMPLES))
    sample = logs[:, ::stride, ::stride].reshape(count, -1).T
    basis = _monomials(height, width, degree, logs.device)
    small = basis[::stride, ::stride].reshape(len(sample), -1)
    weight = sample.new_ones(len(sample), 1)
    fit = small.new_zeros(small.shape[1], count)
    for _ in range(15):
        weighted = (small * weight.square()).T
        fit = torch.linalg.solve(weighted @ small, weighted @ sample)
        off = sample - small @ fit
        spread = (1.4826 * off.abs().median(dim=0).values).clamp(min=0.01)
        weight = (1 - (off / (4 * spread)).square().amax(dim=1, keepdim=True)).clamp(min=0)
    flat = (basis @ fit).movedim(-1, 0)
    return (logs - flat).exp() - 1


def _monomials(height: int, width: int, degree: int, device: torch.device) -> Tensor:
    """Products of powers of the position in [-1, 1], up to a total degree."""
    y = torch.linspace(-1, 1, height, dtype=torch.float64, device=device)[:, None].expand(height, width)
    x = torch.linspace(-1, 1, width, dtype=torch.float64, device=device).expand(height, width)
    return torch.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], dim=-1)


def _features(relative: Tensor, position: str) -> Tensor:
    """One, every brightness and every product of two, each also times the position."""
    values = relative.movedim(0, -1)
    height, width, count = values.shape
    i, j = torch.triu_indices(count, count, device=values.device)
    parts = [torch.ones_like(values[..., :1]), values, values[..., i] * values[..., j]]
    quadratic = torch.cat(parts, dim=-1)
    places = _monomials(height, width, 1, values.device)[..., [0, 2, 1]]  # 1, x, y
    return (quadratic[..., None] * places[..., None, : POSITIONS[position] + 1]).flatten(-2)

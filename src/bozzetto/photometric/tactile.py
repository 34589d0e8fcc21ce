"""Height from a tactile sensor: a coated gel pressed onto a surface, photographed under several lights.

The coating has a uniform colour, so brightness is a function of the slope, which is calibrated with a sample of
known height. There are three reasons why the usual quadratic fit fails away from the calibrated position: the
light falls off across the pad (divided out here, per photo), its direction changes with the position (the fit
may depend on it), and a small mean error of slope becomes a large error of height (so brightness is relative to
flat gel, and the fit has a ridge penalty).

In videos the lights are red, green and blue, so one frame is three photos under a light each (Yuan, Dong and
Adelson 2017, GelSight: high-resolution robot tactile sensors). Dots that are printed on the gel to track its
motion hide the surface; they are detected as dark spots and filled in from their surroundings.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageSequence, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..geometry.heightfield import gradients_from_height, integrate_gradients
from ..images import load_image
from ..images.io import SUFFIXES
from ..values import value_type

POSITIONS = {"none": 0, "columns": 1, "both": 2}
SAMPLES = 10_000
"""Number of pixels that the falloff of the light is fitted to."""


@value_type
class TactileCalibration:
    """Calibration of a tactile sensor: the function from brightness under each light to slope.

    Attributes:
        coefficients: Coefficients of the slopes to the right and downwards, per feature.
        falloff_degree: Degree of the polynomial that models the falloff of each light.
        position: Dependence of the fit on the position, see `calibrate_tactile`.
        lights: Number of lights, one photo each.
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
    """Calibrate the slope as a function of brightness on a sample of known height.

    Source: Yuan et al. 2017, the sensor: slopes from brightness under several lights. Differs: a polynomial
    of brightness and place instead of a table.

    Args:
        photos: Photos, one per light, of linear brightness in any unit, on the pixels of `height_mm`. At least
            half of the surface should be flat.
        height_mm: Measured height in millimetres.
        pixel_mm: Side of a pixel in millimetres.
        falloff_degree: Degree of the polynomial over the picture that models the logarithm of each light's
            brightness on flat gel.
        position: `none`: no dependence on the position; `columns`: linear dependence from left to right, for
            samples that cover all columns; `both`: also from top to bottom, for samples that cover the whole
            pad.
        ridge: Ridge penalty on coefficients, relative to the mean square of their feature.

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
    """Height in millimetres, with mean zero.

    Raises:
        InputError: As for `tactile_gradients`.
    """
    return integrate_gradients(tactile_gradients(photos, calibration).double()).float() * pixel_mm


def even_light(photos: Float[Tensor, "N H W"], degree: int = 3) -> Float[Tensor, "N H W"]:
    """Brightness relative to that of a flat surface at the same position: 0 on flat gel, -1 in full shadow.

    The logarithm of each light's brightness is a polynomial of the position where the surface is flat; steep
    pixels are outliers under some light and are left out (Tukey's biweight, reweighted least squares).

    Args:
        photos: Photos, one per light. Most of the surface should be flat.
        degree: Degree of the polynomial.
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


def read_frames(path: str | os.PathLike[str], every: int = 1) -> Iterator[Float[Tensor, "H W 3"]]:
    """Frames of a video: an animated GIF, WebP, PNG or TIFF, a folder of pictures, or what imageio opens.

    Args:
        path: The file or folder.
        every: Take every n-th frame.

    Raises:
        InputError: There is nothing to read, or MP4 and the like without a plugin of imageio that reads it.
    """
    path = Path(path)
    if every < 1:
        raise InputError(f"every n-th frame means n of at least 1, got {every}")
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise InputError(f"{path} holds no frames; files must end in {', '.join(SUFFIXES)}")
        for file in files[::every]:
            yield load_image(file)[..., :3]
        return
    if not path.is_file():
        raise InputError(f"there is no video {path}; check the path")
    try:
        with Image.open(path) as image:
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                if number % every == 0:
                    yield torch.from_numpy(np.array(frame.convert("RGB"), np.float32) / 255)
    except UnidentifiedImageError:
        yield from _film(path, every)


def _film(path: Path, every: int) -> Iterator[Float[Tensor, "H W 3"]]:
    import imageio.v3 as imageio

    try:
        # Opened here, because plugins that cannot read a file do not all close it.
        with path.open("rb") as file:
            for number, frame in enumerate(imageio.imiter(file, extension=path.suffix)):
                if number % every == 0:
                    yield torch.from_numpy(np.asarray(frame)[..., :3].astype(np.float32) / 255)
    except Exception as error:  # plugins raise errors of many kinds
        raise InputError(
            f"{path} cannot be read as a video ({error}); install imageio-ffmpeg, or give a folder of frames"
        ) from None


def find_markers(
    frame: Float[Tensor, "H W 3"], radius: float = 6.0, contrast: float = 0.15
) -> Bool[Tensor, "H W"]:
    """Pixels of dark dots: clearly darker than their surroundings in every colour, and slightly dilated.

    Args:
        frame: Values in [0, 1].
        radius: Radius of the largest dot, in pixels.
        contrast: Smallest difference to the brightness of the surroundings, as a fraction of it.
    """
    colors = frame.movedim(-1, 0)[:, None]
    size = 2 * round(2 * radius) + 1
    around = _mean(colors, size)
    dark = (colors < (1 - contrast) * around).all(dim=0, keepdim=True).float()
    opened = -F.max_pool2d(-dark, 3, 1, 1)  # single pixels are noise
    return F.max_pool2d(opened, 5, 1, 2)[0, 0] > 0


def _mean(maps: Tensor, size: int) -> Tensor:
    half = min(size // 2, min(maps.shape[-2:]) - 1)
    around = F.pad(maps, (half,) * 4, mode="reflect")
    return F.avg_pool2d(F.avg_pool2d(around, (2 * half + 1, 1), 1), (1, 2 * half + 1), 1)


def filled(frame: Float[Tensor, "H W 3"], mask: Bool[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """The frame with the pixels of a mask replaced by the smoothest continuation of their surroundings.

    That is the harmonic one, each pixel the mean of its neighbours (Perez et al. 2003, Poisson image editing,
    without a guide).

    Source: Perez et al. 2003, without a guide.

    Raises:
        InputError: The mask covers everything.
    """
    if bool(mask.all()):
        raise InputError("nothing is left of a frame that is all markers; lower the radius or the contrast")
    if not bool(mask.any()):
        return frame
    height, width = mask.shape
    places = mask.nonzero()
    number = torch.full((height, width), -1)
    number[mask] = torch.arange(len(places))
    colors, diagonal = frame.double().cpu(), torch.zeros(len(places), dtype=torch.float64)
    known = torch.zeros(len(places), 3, dtype=torch.float64)
    rows, columns = [], []
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = places[:, 0] + down, places[:, 1] + right
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
        diagonal += inside
        known += torch.where((inside & ~mask[y, x])[:, None], colors[y, x], 0.0)
        linked = inside & mask[y, x]
        rows.append(linked.nonzero()[:, 0])
        columns.append(number[y, x][linked])
    row, column = torch.cat(rows).numpy(), torch.cat(columns).numpy()
    links = scipy.sparse.coo_array((np.full(len(row), -1.0), (row, column)), shape=(len(places),) * 2)
    matrix = (links + scipy.sparse.diags_array(diagonal.numpy())).tocsc()
    found = torch.from_numpy(scipy.sparse.linalg.splu(matrix).solve(known.numpy()))
    result = frame.clone()
    result[mask] = found.to(frame).clamp(0, 1)
    return result

"""Colour: the sRGB transfer function (IEC 61966-2-1) and ICC profiles (ICC.1:2022).

Files hold sRGB, the library computes in linear light. Profiles of cameras and screens are three curves and a
matrix, or one curve for grey; these are applied here in floating point, because dark tones of 16 bits or of
linear light do not survive a conversion at 8 bits.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..errors import warn_input
from ..values import value_type

ROUNDING = 1e-3
"""Distance of colours below 0 or above 1 up to which they are clipped without a warning."""


def srgb_to_linear(encoded: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Linear light of sRGB values in [0, 1]; 0 and 1 are unchanged."""
    curve = ((encoded.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(encoded <= 0.04045, encoded / 12.92, curve)


def linear_to_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sRGB values of linear light in [0, 1]; 0 and 1 are unchanged. Differentiable at 0."""
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


def clipped_colors(colors: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Colours clipped to [0, 1], with NaN replaced by white and a warning of both.

    Args:
        colors: (N, 3) numbers.
        name: Name for messages, for instance "the colours of a.obj".
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


SRGB_FROM_D50 = np.array(
    [
        [3.1341359, -1.6172206, -0.4906662],
        [-0.9787955, 1.9162544, 0.0334428],
        [0.0719554, -0.2289768, 1.4053860],
    ]
)
"""Matrix from XYZ adapted to D50 (Bradford), the connection space of profiles, to linear sRGB."""
NEAR = 2.5 / 255
"""Largest change of a colour, in [0, 1], by profiles that are treated as sRGB."""


@value_type
class LinearConversion:
    """Conversion of encoded colours to linear sRGB: a curve per channel, then a matrix.

    Attributes:
        curves: Linear values at equal steps of the encoded value from 0 to 1.
        matrix: Applied to linear colours; None for grey.
    """

    curves: list[npt.NDArray[Any]]
    matrix: npt.NDArray[Any] | None

    def tables(self, count: int = 256) -> npt.NDArray[Any]:
        """Linear values at equal steps of the encoded value from 0 to 1, one column per channel."""
        steps = np.linspace(0, 1, count)
        grid = np.linspace(0, 1, len(self.curves[0]))
        return np.stack([np.interp(steps, grid, curve) for curve in self.curves], axis=-1)


def linear_conversion(path: Path, profile: bytes, channels: int) -> LinearConversion | None:
    """The conversion of a profile; None if its colours are those of sRGB.

    A profile that cannot be used is ignored, with a warning. There is a warning for profiles other than sRGB,
    too.
    """
    try:
        conversion = LinearConversion(*_parse(profile, channels))
        steps = np.linspace(0, 1, 9)
        grid = np.stack(np.meshgrid(*[steps] * channels, indexing="ij"), axis=-1)
        change = np.abs(_converted(grid, conversion) - grid).max()
    except (ValueError, KeyError, IndexError, struct.error, FloatingPointError, OverflowError) as error:
        warn_input(f"{path} has a colour profile that cannot be used ({error}); it is taken for sRGB")
        return None
    if not change > NEAR:
        return None
    warn_input(f"{path} has the colour profile {_name(profile)}; its colours are converted to sRGB")
    return conversion


def to_srgb(path: Path, profile: bytes, color: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Convert encoded colours with a profile to sRGB: (H, W, 1 or 3) in [0, 1].

    Colours beyond sRGB are clipped. A profile that cannot be used is ignored, with a warning.
    """
    conversion = linear_conversion(path, profile, color.shape[-1])
    if conversion is None:
        return color
    rows = max(1, 1_000_000 // color.shape[1])
    parts = [_converted(color[k : k + rows], conversion) for k in range(0, len(color), rows)]
    return np.concatenate(parts).astype(np.float32)


def _converted(color: npt.NDArray[Any], conversion: LinearConversion) -> npt.NDArray[Any]:
    steps = np.linspace(0, 1, len(conversion.curves[0]))
    channels = [np.interp(color[..., k], steps, curve) for k, curve in enumerate(conversion.curves)]
    linear = np.stack(channels, axis=-1)
    if conversion.matrix is not None:
        linear = linear @ conversion.matrix.T
    return linear_to_srgb(torch.from_numpy(linear.clip(0, 1))).numpy()


def _parse(profile: bytes, channels: int) -> tuple[list[npt.NDArray[Any]], npt.NDArray[Any] | None]:
    """Curves as tables of 65537 entries from encoded to linear, and the matrix to linear sRGB."""
    tags = _tags(profile)
    space = profile[16:20]
    if channels == 1 or space == b"GRAY":
        if space != b"GRAY":  # grey pixels with the profile of an RGB picture
            return [_curve(tags[b"gTRC"])], None
        return [_curve(tags[b"kTRC"])] * channels, None
    if space != b"RGB " or b"rXYZ" not in tags:
        raise ValueError(f"it is for {space.decode('latin-1').strip()} by tables")
    columns = [
        np.array(struct.unpack(">3i", tags[name][8:20])) / 65536 for name in (b"rXYZ", b"gXYZ", b"bXYZ")
    ]
    curves = [_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return curves, SRGB_FROM_D50 @ np.stack(columns, axis=1)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    count = struct.unpack(">I", profile[128:132])[0]
    if count > 200 or profile[36:40] != b"acsp":
        raise ValueError("it is damaged")
    found = {}
    for k in range(count):
        name, start, size = struct.unpack(">4sII", profile[132 + 12 * k : 144 + 12 * k])
        found[name] = profile[start : start + size]
    return found


def _curve(tag: bytes) -> npt.NDArray[Any]:
    """A tone curve, sampled."""
    x = np.linspace(0, 1, 65537)
    if tag[:4] == b"curv":
        count = struct.unpack(">I", tag[8:12])[0]
        if count == 0:
            return x
        values = np.frombuffer(tag[12 : 12 + 2 * count], ">u2").astype(np.float64)
        if len(values) < count:
            raise ValueError("a tone curve is cut off")
        return (
            x ** (values[0] / 256) if count == 1 else np.interp(x, np.linspace(0, 1, count), values / 65535)
        )
    if tag[:4] != b"para":
        raise ValueError("a tone curve is of an unknown kind")
    kind = struct.unpack(">H", tag[8:10])[0]
    count = (1, 3, 4, 5, 7)[kind]
    numbers = np.array(struct.unpack(f">{count}i", tag[12 : 12 + 4 * count])) / 65536
    g, a, b, c, d, e, f = np.concatenate([numbers, np.zeros(7 - count)])
    if kind == 0:
        return x**g
    with np.errstate(all="ignore"):
        if kind in (1, 2):  # (a x + b)^g + c from -b / a on, else c
            c, d, e, f = 0.0, -b / a, c, c
        curve = np.where(x >= d, np.maximum(a * x + b, 0) ** g + e, c * x + f)
    if not np.isfinite(curve).all():
        raise ValueError("a tone curve is not finite")
    return curve.clip(0, 1)


def _name(profile: bytes) -> str:
    """The profile's description of itself."""
    try:
        tag = _tags(profile)[b"desc"]
        if tag[:4] == b"mluc":
            size, start = struct.unpack(">II", tag[20:28])
            return tag[start : start + size].decode("utf-16-be").strip("\0 ")[:60]
        size = struct.unpack(">I", tag[8:12])[0]
        return tag[12 : 12 + size].decode("latin-1").strip("\0 ")[:60]
    except (KeyError, ValueError, struct.error):
        return "a profile without name"


def as_rgb(photo: Float[Tensor, "H W C"]) -> Float[Tensor, "H W 3"]:
    """Three channels; grey is repeated and alpha is left out."""
    return photo[..., :1].expand(-1, -1, 3) if photo.shape[-1] < 3 else photo[..., :3]

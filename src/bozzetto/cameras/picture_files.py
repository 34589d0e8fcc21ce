"""Photographs as files: size and EXIF orientation from the header, and pixels as linear light.

Pictures are reduced during conversion, so that large photographs need little memory.
"""

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ..images.color import linear_conversion
from ..images.io import encoded_colors, load_image, read_stored, srgb_to_linear
from ..images.resizing import area_resize, area_resize_rows
from ..images.stored_picture import StoredPicture
from ..values import value_type

ORIENTATION = 274  # EXIF tag
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that exchange width and height."""


def read_header(path: Path) -> tuple[int, tuple[int, int]]:
    """EXIF orientation, 1 to 8, and stored width and height.

    (1, (1, 1)) for files that cannot be opened, for which reading them raises an error.
    """
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            return (orientation if orientation in range(1, 9) else 1), image.size
    except Exception:  # the readers behind Pillow raise errors of many kinds
        return 1, (1, 1)


def stored_size(path: Path) -> tuple[int, int]:
    """Stored width and height of a picture; it is read in full if its header is not supported.

    Raises:
        InputError: The file is not a picture.
    """
    size = read_header(path)[1]
    if size != (1, 1):
        return size
    height, width = load_image(path, orient=False).shape[:2]
    return width, height


ROWS = 256
"""Number of rows of the reduced picture that are computed at a time."""


@value_type
class LinearPicture:
    """A photograph in linear light.

    Attributes:
        light: Linear RGB times alpha, and alpha, as the file stores its rows (EXIF orientation not applied).
        size: Width and height in the file.
    """

    light: Float[Tensor, "h w 4"]
    size: tuple[int, int]


def load_linear(path: Path, max_size: int | None = None) -> LinearPicture:
    """Read a photograph as linear light.

    Args:
        path: Path of the picture, see `load_image`.
        max_size: Largest longer side in pixels; a larger picture is reduced to it by averages of linear light.
            None keeps the size.

    Raises:
        InputError: As for `load_image`.
    """
    stored = read_stored(path)
    height, width = stored.values.shape[:2]
    scale = 1.0 if max_size is None else min(1.0, max_size / max(width, height))
    new = max(1, round(width * scale)), max(1, round(height * scale))
    plain = stored.values.dtype == np.uint8 and stored.full == 255 and not stored.premultiplied
    if plain and stored.encoding in (None, "srgb"):
        return LinearPicture(_shrunk_bytes(path, stored, *new), (width, height))
    values = encoded_colors(path, stored, stored.values)
    return LinearPicture(area_resize(_layers(values)[None], *new)[0], (width, height))


def _layers(values: Float[Tensor, "H W C"]) -> Float[Tensor, "H W 4"]:
    """Linear RGB times alpha, and alpha, of sRGB-encoded colours with straight alpha."""
    has_alpha = values.shape[-1] in (2, 4)
    alpha = values[..., -1:] if has_alpha else torch.ones_like(values[..., :1])
    color = values[..., :-1] if has_alpha else values
    return torch.cat([srgb_to_linear(color).expand(-1, -1, 3) * alpha, alpha], dim=-1)


def _shrunk_bytes(path: Path, stored: StoredPicture, width: int, height: int) -> Float[Tensor, "h w 4"]:
    """The same for 8-bit values, reduced, by tables and some rows at a time; averages and colour matrices
    commute."""
    values = stored.values
    has_alpha = values.shape[-1] in (2, 4)
    channels = values.shape[-1] - has_alpha
    conversion = None
    if stored.profile is not None:
        conversion = linear_conversion(path, stored.profile, channels)
    if conversion is None:
        table = srgb_to_linear(torch.arange(256, dtype=torch.float64) / 255)[:, None].repeat(1, channels)
    else:
        table = torch.from_numpy(conversion.tables())
    table = table.float().numpy()
    scale, parts = len(values) / height, []
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        # All old rows that overlap the new ones, so that the block is averaged as part of the picture.
        first, last = math.floor(top * scale), min(len(values), math.ceil(bottom * scale))
        block = values[first:last]
        light = np.stack([table[block[..., k], k] for k in range(channels)], axis=-1)
        alpha = block[..., -1:].astype(np.float32) / 255 if has_alpha else np.ones_like(light[..., :1])
        layers = torch.from_numpy(np.concatenate([light * alpha, alpha], axis=-1))[None]
        parts.append(area_resize_rows(layers, scale, first, top, bottom))
    shrunk = area_resize(torch.cat(parts, dim=1), width, height)[0]
    light, alpha = shrunk[..., :channels], shrunk[..., channels:]
    if conversion is not None and conversion.matrix is not None:
        matrix = torch.from_numpy(conversion.matrix).float()
        light = torch.minimum((light @ matrix.T).clamp(min=0), alpha)
    return torch.cat([light.expand(-1, -1, 3), alpha], dim=-1)

"""Reading and writing height fields. Never 8 bits: they would show as terraces.

| ending | heights | keeps the size |
|---|---|---|
| .png | 16 bits, 0 to 1 | yes, as text entries |
| .exr | float32, any range, channel Y | yes, as header attributes |
| .tif, .tiff | float32, any range | no |

Reading also takes 8 bits, integer TIFF and any other grey picture.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.Image import DecompressionBombError
from PIL.PngImagePlugin import PngInfo

from ..errors import InputError
from ..files import atomic_path
from .height_field import DEPTH_MM, WIDTH_MM, HeightField

_DAMAGE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, DecompressionBombError)
KEYS = ("bozzetto_width_mm", "bozzetto_depth_mm", "bozzetto_tiles")
ENDINGS = (".png", ".exr", ".tif", ".tiff")


def save_height(field: HeightField, path: str | os.PathLike) -> None:
    """Save a height field; the ending of the name tells the format. Linear values, never sRGB-encoded.

    Raises:
        InputError: The ending is unknown, heights are not finite, heights for PNG lie outside [0, 1], or the
            folder cannot be written to.
    """
    path = Path(path)
    heights = field.check(f"the height field for {path}").height.detach().cpu().double().numpy()
    ending = path.suffix.lower()
    if ending == ".png":
        _save_png(field, heights, path)
    elif ending == ".exr":
        _save_exr(field, heights, path)
    elif ending in ENDINGS:
        with atomic_path(path) as temporary:
            Image.fromarray(heights.astype(np.float32)).save(temporary)
    else:
        raise InputError(f"{path} cannot hold heights; known endings are {', '.join(ENDINGS)}")


def load_height(
    path: str | os.PathLike,
    width_mm: float | None = None,
    depth_mm: float | None = None,
    tiles: bool | None = None,
) -> HeightField:
    """Load a height field. Integers become 0 to 1, floats stay as they are.

    Args:
        path: The file.
        width_mm: Instead of the width in the file; without either, one metre.
        depth_mm: Instead of the depth in the file; without either, 50 mm.
        tiles: Instead of what the file says; without either, no.

    Raises:
        InputError: The file is missing, damaged, coloured, or holds NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; check the path")
    heights, stored = _read_exr(path) if path.suffix.lower() == ".exr" else _read_picture(path)
    defaults = zip(KEYS, (WIDTH_MM, DEPTH_MM, 0.0), strict=True)
    width, depth, flag = (stored.get(key, default) for key, default in defaults)
    return HeightField(
        torch.from_numpy(np.array(heights, np.float32)),
        width if width_mm is None else width_mm,
        depth if depth_mm is None else depth_mm,
        bool(flag) if tiles is None else tiles,
    ).check(str(path))


def _sizes(field: HeightField) -> dict[str, float]:
    return dict(zip(KEYS, (field.width_mm, field.depth_mm, float(field.tiles)), strict=True))


def _save_png(field: HeightField, heights: np.ndarray, path: Path) -> None:
    low, high = heights.min(), heights.max()
    if low < -1e-6 or high > 1 + 1e-6:
        raise InputError(
            f"heights for {path} span {low:.4g} to {high:.4g} but PNG holds 0 to 1; "
            "stretch them first or write .exr"
        )
    text = PngInfo()
    for key, value in _sizes(field).items():
        text.add_text(key, repr(float(value)))
    levels = (heights.clip(0, 1) * 65535).round().astype(np.uint16)
    with atomic_path(path) as temporary:
        Image.fromarray(levels).save(temporary, pnginfo=text)


def _save_exr(field: HeightField, heights: np.ndarray, path: Path) -> None:
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **_sizes(field)}
    with atomic_path(path) as temporary, OpenEXR.File(header, {"Y": heights.astype(np.float32)}) as file:
        file.write(str(temporary))


def _read_exr(path: Path) -> tuple[np.ndarray, dict[str, float]]:
    import OpenEXR

    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            header, channels = dict(file.header()), file.channels()  # both are emptied at the end
            pixels = {name: np.array(channel.pixels) for name, channel in channels.items()}
    except Exception as error:  # the library raises errors of many kinds
        raise InputError(f"{path} cannot be read as EXR ({error}); export it again") from None
    layers = [pixels[name] for name in ("Y", "Z", "height", "R", "G", "B") if name in pixels]
    layers = layers or list(pixels.values())[:1]
    if not layers or layers[0].ndim != 2:
        raise InputError(f"{path} holds no channel of single heights; export one channel, for instance Y")
    colors = [layer for name, layer in pixels.items() if name in ("R", "G", "B")]
    if "Y" not in pixels and any(not np.array_equal(colors[0], other) for other in colors[1:]):
        raise _colored(path)
    return layers[0], {key: float(header[key]) for key in KEYS if key in header}


def _read_picture(path: Path) -> tuple[np.ndarray, dict[str, float]]:
    try:
        with Image.open(path) as image:
            image.load()
            kind = image.mode
            info = dict(image.info)
            if kind in ("P", "PA"):
                image, kind = image.convert("RGB"), "RGB"
            values = np.asarray(image.convert("L") if kind in ("1", "LA") else image)
    except _DAMAGE as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); export it again") from None
    if values.ndim == 3:
        values = values[..., :3]
        if kind not in ("RGB", "RGBA") or (values != values[..., :1]).any():
            raise _colored(path)
        values = values[..., 0]
    if kind == "I" and values.max(initial=0) < 65536:  # 16 bits, as older versions of Pillow keep them
        values = values.astype(np.uint16)
    if np.issubdtype(values.dtype, np.integer):
        values = values.astype(np.float64) / np.iinfo(values.dtype).max
    return values, _stored(info)


def _stored(info: dict) -> dict[str, float]:
    sizes = {}
    for key in KEYS:
        try:
            sizes[key] = float(info[key])
        except (KeyError, ValueError, TypeError):
            continue
    return sizes


def _colored(path: Path) -> InputError:
    return InputError(
        f"{path} is a colour picture; a height map has one channel (predict a height map from a photo first)"
    )

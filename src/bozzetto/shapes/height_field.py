"""Height fields: a relief over a rectangle, with its size in the world, and its files.

Files never have 8 bits, whose steps would be visible.

| ending | heights | keeps the size |
|---|---|---|
| .png | 16 bits, 0 to 1 | yes, as text entries |
| .exr | float32, any range, channel Y | yes, as header attributes |
| .tif, .tiff | float32, any range | no |

Reading also takes any other grey picture. Unsigned integers become 0 to 1, signed ones -1 to 1 (by the
largest number of their type), floats stay as they are. Tags about colour (gamma, profiles) are ignored for
heights.
"""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..errors import InputError, warn_input
from ..files import atomic_path, write_bytes
from ..images.exr import colored, height_channel, read_exr
from ..images.readers import is_exr, read_picture
from ..images.stored_picture import StoredPicture
from ..values import value_type

WIDTH_MM = 1000.0
DEPTH_MM = 50.0
"""Default depth in millimetres, for maps without a size: 5 % of a width of one metre."""


def same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes in pixels can be of the same rectangle, up to rounded sides of the smaller one."""
    (h, w), (rows, columns) = one, other
    return abs(w * rows - columns * h) <= max(w + h, columns + rows) / 2


@value_type
class HeightField:
    """Heights over a rectangle of square pixels.

    Attributes:
        height: Heights; 1 is `depth_mm` above 0. Row 0 is on top. Usually within [0, 1], which integer files
            require.
        width_mm: Width of the whole rectangle in millimetres.
        depth_mm: Elevation of height 1 in millimetres.
        tiles: Whether the map is periodic, so that opposite borders match.

    Raises:
        InputError: The heights are not floats of shape (H, W), or a size is not positive and finite.
    """

    height: Float[Tensor, "H W"]
    width_mm: float = WIDTH_MM
    depth_mm: float = DEPTH_MM
    tiles: bool = False

    def __post_init__(self) -> None:
        if self.height.ndim != 2 or not self.height.is_floating_point() or 0 in self.height.shape:
            raise InputError(
                "heights must be floats of shape (H, W) with at least one pixel, "
                f"got {self.height.dtype} {tuple(self.height.shape)}"
            )
        for name, size in (("width", self.width_mm), ("depth", self.depth_mm)):
            if not 0 < size < float("inf"):
                raise InputError(f"the {name} of a height field must be a positive number of mm, got {size}")

    def check(self, name: str = "height field") -> "HeightField":
        """Return the field itself if all its heights are finite.

        Raises:
            InputError: Some are not finite.
        """
        bad = int((~torch.isfinite(self.height)).sum())
        if bad:
            raise InputError(f"{name} has {bad} heights that are NaN or infinite; fill or crop them")
        return self

    @property
    def pixel_mm(self) -> float:
        """Side of a pixel."""
        return self.width_mm / self.height.shape[1]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of the rectangle."""
        return self.width_mm, self.pixel_mm * self.height.shape[0]

    @property
    def boundary(self) -> str:
        """The `boundary` argument of operators for this field: `periodic` if it tiles, else `free`."""
        return "periodic" if self.tiles else "free"

    def in_mm(self) -> Float[Tensor, "H W"]:
        """Heights in millimetres."""
        return self.height * self.depth_mm

    def in_pixels(self) -> Float[Tensor, "H W"]:
        """Heights in pixels, so that differences between pixels are slopes of the real surface."""
        return self.height * (self.depth_mm / self.pixel_mm)

    def stretched(self) -> "HeightField":
        """The same surface with heights from 0 to 1 and a depth to match; a flat one is unchanged."""
        low, high = self.height.min(), self.height.max()
        span = float(high - low)
        if span == 0:
            return replace(self, height=torch.zeros_like(self.height))
        height = ((self.height - low) / span).clamp(0, 1)
        return replace(self, height=height, depth_mm=self.depth_mm * span)

    def inverted(self) -> "HeightField":
        """The field upside down: hollows become hills, within the same range."""
        return replace(self, height=self.height.max() + self.height.min() - self.height)

    def exaggerated(self, strength: float) -> "HeightField":
        """The same map with its depth multiplied by `strength`.

        Raises:
            InputError: The strength is not positive and finite.
        """
        return replace(self, depth_mm=self.depth_mm * strength)

    @classmethod
    def from_mm(cls, height_mm: Float[Tensor, "H W"], pixel_mm: float, tiles: bool = False) -> "HeightField":
        """A field of heights in millimetres on pixels of this side, stretched to [0, 1].

        Raises:
            InputError: The same as for the constructor.
        """
        return cls(height_mm.float(), pixel_mm * height_mm.shape[1], 1.0, tiles).stretched()

    def to(self, device: torch.device | str) -> "HeightField":
        """The field on another device."""
        return replace(self, height=self.height.to(device))


MISSING = (-9999.0, -99999.0, -32767.0, -32768.0, 9999.0, 99999.0, 32767.0)
"""Values that elevation models use for missing heights."""
KEYS = ("bozzetto_width_mm", "bozzetto_depth_mm", "bozzetto_tiles")
ENDINGS = (".png", ".exr", ".tif", ".tiff")


def save_height(field: HeightField, path: str | os.PathLike[str]) -> None:
    """Save a height field, as linear values, in the format of the name's ending.

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
    path: str | os.PathLike[str],
    width_mm: float | None = None,
    depth_mm: float | None = None,
    tiles: bool | None = None,
) -> HeightField:
    """Load a height field. Unsigned integers become 0 to 1, signed ones -1 to 1, floats are unchanged.

    Args:
        path: The file.
        width_mm: Width in millimetres, instead of that in the file; if there is none, one metre.
        depth_mm: Depth in millimetres, instead of that in the file; if there is none, 50 mm.
        tiles: Whether the map is periodic, instead of the entry in the file; if there is none, False.

    Raises:
        InputError: The file is missing, damaged, coloured, contains NaN or values of missing heights, or its
            EXR channel is ambiguous.
    """
    path = Path(path)
    picture, stored = _read_exr(path) if is_exr(path, "height map") else _read_picture(path)
    heights = picture.upright[..., 0]
    _refuse_missing(path, heights, picture.nodata)
    if picture.full is not None:
        exact = np.float64 if heights.dtype.itemsize > 2 else np.float32
        heights = heights.astype(exact) / exact(picture.full)
    defaults = zip(KEYS, (WIDTH_MM, DEPTH_MM, 0.0), strict=True)
    width, depth, flag = (stored.get(key, default) for key, default in defaults)
    return HeightField(
        torch.from_numpy(np.ascontiguousarray(heights, np.float32)),
        width if width_mm is None else width_mm,
        depth if depth_mm is None else depth_mm,
        bool(flag) if tiles is None else tiles,
    ).check(str(path))


def _sizes(field: HeightField) -> dict[str, float]:
    return dict(zip(KEYS, (field.width_mm, field.depth_mm, float(field.tiles)), strict=True))


def _save_png(field: HeightField, heights: npt.NDArray[Any], path: Path) -> None:
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


def _save_exr(field: HeightField, heights: npt.NDArray[Any], path: Path) -> None:
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **_sizes(field)}
    with OpenEXR.File(header, {"Y": heights.astype(np.float32)}) as file:
        if str(path).isprintable():
            with atomic_path(path) as temporary:
                file.write(str(temporary))
        else:  # the library takes no names of bytes that are not text
            with TemporaryDirectory(prefix="bozzetto-") as folder:
                file.write(str(Path(folder) / "height.exr"))
                write_bytes(path, (Path(folder) / "height.exr").read_bytes())


def _read_exr(path: Path) -> tuple[StoredPicture, dict[str, float]]:
    header, channels = read_exr(path, "height map")
    heights = height_channel(path, channels)
    sizes = {key: float(header[key]) for key in KEYS if key in header}
    return StoredPicture(heights[..., None].astype(np.float32), None), sizes


def _read_picture(path: Path) -> tuple[StoredPicture, dict[str, float]]:
    picture = read_picture(path, "height map")
    values = picture.values
    if values.shape[-1] in (2, 4):
        _warn_of_transparency(path, values[..., -1], picture)
        values = values[..., :-1]
    if values.shape[-1] == 3 and (values != values[..., :1]).any():
        raise colored(path)
    if picture.frames > 1:
        warn_input(f"{path} holds {picture.frames} pictures; the first is used")
    return replace(picture, values=values), _stored(picture.text)


def _warn_of_transparency(path: Path, alpha: npt.NDArray[Any], picture: StoredPicture) -> None:
    full = 1.0 if picture.full is None else picture.full
    hidden = int((alpha < full).sum())
    if hidden:
        warn_input(f"{path} has {hidden} transparent pixels; their heights are used as stored")


def _refuse_missing(path: Path, values: npt.NDArray[Any], nodata: float | None) -> None:
    """Raise an error for values of missing heights, as declared by the file or usual in elevation models."""
    if nodata is None and values.dtype.kind != "u":
        nodata = _lonely(values[np.isfinite(values)])
    if nodata is None or (values.dtype.kind != "f" and not _fits(nodata, values.dtype)):
        return
    missing = int((values == np.asarray(nodata).astype(values.dtype)).sum())
    if missing:
        raise InputError(
            f"{path} has {missing} pixels with no height, marked as missing by {nodata:.6g}; fill or crop them"
        )


def _lonely(values: npt.NDArray[Any]) -> float | None:
    """The smallest or largest value if it is usual for missing heights and far from all others."""
    if values.size == 0:
        return None
    for end in (float(values.min()), float(values.max())):
        others = values[values != end].astype(np.float64)
        if _is_missing(end) and others.size:
            gap = np.abs(others - end).min()
            if gap > 2 * (others.max() - others.min()):
                return end
    return None


def _fits(number: float, kind: np.dtype) -> bool:
    return float(number).is_integer() and np.iinfo(kind).min <= number <= np.iinfo(kind).max


def _is_missing(value: float) -> bool:
    return value in MISSING or abs(value) > 1e15


def _stored(info: dict[str, Any]) -> dict[str, float]:
    sizes = {}
    for key in KEYS:
        try:
            sizes[key] = float(info[key])
        except (KeyError, ValueError, TypeError):
            continue
    return sizes

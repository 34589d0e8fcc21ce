"""Height fields: a relief over a rectangle, with its size in the world."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..values import value_type

WIDTH_MM = 1000.0
DEPTH_MM = 50.0
"""A texture one metre wide and 5 % as deep, for maps that do not say how large they are."""


def same_proportions(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes in pixels may be the same rectangle, sides of the smaller one rounded."""
    (h, w), (rows, columns) = one, other
    return abs(w * rows - columns * h) <= max(w + h, columns + rows) / 2


@value_type
class HeightField:
    """Heights over a rectangle of square pixels, seen from straight above.

    Attributes:
        height: White is high: what is 1 lies `depth_mm` above what is 0. Row 0 is on top. Usually within
            [0, 1], which integer files demand.
        width_mm: Width of the whole rectangle, all pixels of a row together.
        depth_mm: How much height 1 is.
        tiles: Whether opposite borders fit together.

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
            InputError: They are not.
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
        """What operators on the field call its borders: `periodic` if it tiles, else `free`."""
        return "periodic" if self.tiles else "free"

    def in_mm(self) -> Float[Tensor, "H W"]:
        """Heights in millimetres."""
        return self.height * self.depth_mm

    def in_pixels(self) -> Float[Tensor, "H W"]:
        """Heights in pixels, so that differences between pixels are slopes of the real surface."""
        return self.height * (self.depth_mm / self.pixel_mm)

    def stretched(self) -> "HeightField":
        """The same surface with heights from 0 to 1 and the depth to match; a flat one stays flat."""
        low, high = self.height.min(), self.height.max()
        span = float(high - low)
        if span == 0:
            return replace(self, height=torch.zeros_like(self.height))
        height = ((self.height - low) / span).clamp(0, 1)
        return replace(self, height=height, depth_mm=self.depth_mm * span)

    def inverted(self) -> "HeightField":
        """Hollows become hills, within the same range."""
        return replace(self, height=self.height.max() + self.height.min() - self.height)

    def exaggerated(self, strength: float) -> "HeightField":
        """The same map, `strength` times as deep.

        Raises:
            InputError: The strength is not positive and finite.
        """
        return replace(self, depth_mm=self.depth_mm * strength)

    @classmethod
    def from_mm(cls, height_mm: Float[Tensor, "H W"], pixel_mm: float, tiles: bool = False) -> "HeightField":
        """A field of heights in millimetres on pixels of this side, stretched to [0, 1].

        Raises:
            InputError: As the constructor.
        """
        return cls(height_mm.float(), pixel_mm * height_mm.shape[1], 1.0, tiles).stretched()

    def to(self, device: torch.device | str) -> "HeightField":
        """The field on another device."""
        return replace(self, height=self.height.to(device))

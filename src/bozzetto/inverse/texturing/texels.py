"""The texels that a surface covers."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...cameras import Cameras
from ...render import Fragments, interpolate, rasterize
from .atlas import Atlas


@dataclass(frozen=True)
class Texels:
    """The texels of a square image whose centres lie in a chart, row by row.

    Attributes:
        size: Texels along a side of the image.
        fragments: Where each lies on the surface, as a picture of the flattened surface.
    """

    size: int
    fragments: Fragments

    @classmethod
    def of(cls, atlas: Atlas, size: int) -> "Texels":
        """The texels of an atlas in an image of this size."""
        flat = torch.nn.functional.pad(atlas.uv * size, (0, 1), value=1.0)
        identity = torch.eye(3, dtype=torch.float64)[None]
        pose = torch.eye(4, dtype=torch.float64)[None]
        cameras = Cameras(pose, identity, size, size, orthographic=True)
        return cls(size, rasterize(flat, atlas.uv_faces, cameras))

    def __len__(self) -> int:
        """Number of covered texels T."""
        return len(self.fragments)

    @property
    def face(self) -> Int64[Tensor, " T"]:
        """The face that each lies in."""
        return self.fragments.face

    def interpolate(self, corners: Float[Tensor, "F 3 C"]) -> Float[Tensor, "T C"]:
        """Values at the corners of faces, linear over each face."""
        return interpolate(self.fragments, corners)

    def image(self, values: Float[Tensor, "T C"], elsewhere: float = 0.0) -> Float[Tensor, "H W C"]:
        """The image with these values, and another number where no chart lies."""
        rows = values.new_full((self.size**2, values.shape[1]), elsewhere)
        return rows.index_copy_(0, self.fragments.pixel, values).view(self.size, self.size, -1)

"""A place in an image for every point of a surface."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from ...cameras import Cameras
from ...errors import InputError
from ...rendering import Fragments, interpolate, rasterize
from ...shapes import Mesh
from ...values import value_type

PADDING = 4  # texels between charts
_COARSE = 1024  # texels along a side from which on packing gets slow and no better


@value_type
class Atlas:
    """Where the faces of a mesh lie in an image, see `TexturedMesh`.

    Attributes:
        uv: Places in [0, 1], v downwards.
        uv_faces: Row of `uv` of every corner of every face.
    """

    uv: Float[Tensor, "U 2"]
    uv_faces: Int64[Tensor, "F 3"]


def unwrap(mesh: Mesh, size: int = 2048) -> Atlas:
    """Cut a surface into charts and pack them into a square, with the package xatlas.

    Charts keep angles (least squares conformal maps, Lévy et al. 2002) and do not overlap; lengths in the image
    are about the same all over the surface. It takes some 3 seconds for 20,000 faces and grows faster than
    their number, so surfaces are simplified first.

    Source: Levy et al. 2002, charts that keep angles.

    Args:
        mesh: The surface.
        size: Texels along a side, for which the charts are `PADDING` texels apart.

    Raises:
        InputError: The mesh is empty or broken, or xatlas is not installed.
    """
    try:
        import xatlas
    except ModuleNotFoundError:
        raise InputError(
            "a texture needs another package, xatlas; run: pip install 'bozzetto[texture]'"
        ) from None
    mesh.check()
    low, high = mesh.bounds
    extent = float((high - low).max())
    positions = ((mesh.vertices - low) / (extent or 1.0)).cpu().numpy()
    packing = xatlas.PackOptions()
    packing.resolution = min(size, _COARSE)
    packing.padding = max(1, round(PADDING * packing.resolution / size))
    packing.bilinear = True
    atlas = xatlas.Atlas()
    atlas.add_mesh(positions.astype(np.float32), mesh.faces.cpu().numpy().astype(np.uint32))
    atlas.generate(xatlas.ChartOptions(), packing)
    _, faces, uv = atlas[0]
    # xatlas scales both axes to 1; one scale for both keeps texels square.
    scale = np.array([atlas.width, atlas.height]) / max(atlas.width, atlas.height)
    places = torch.from_numpy((uv * scale).astype(np.float32))
    return Atlas(places, torch.from_numpy(faces.astype(np.int64)))


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


_RING = 3  # texels around every chart that repeat its border


def fill_gutter(image: Float[Tensor, "H W C"], covered: Bool[Tensor, "H W"]) -> Float[Tensor, "H W C"]:
    """The image with colours everywhere: next to charts the mean of their borders, beyond them coarser means.

    Push-pull interpolation (Gortler et al. 1996): averages of what is known at half the size, and so on, fill
    what is still unknown. Mip levels then hold no colour that is far from those of the charts around.

    Source: Gortler et al. 1996, push-pull interpolation.
    """
    if not bool(covered.any()):
        return image
    values = image.permute(2, 0, 1)[None] * covered
    known = covered[None, None].to(values)
    for _ in range(_RING):
        total = F.avg_pool2d(values, 3, 1, 1, divisor_override=1)
        count = F.avg_pool2d(known, 3, 1, 1, divisor_override=1)
        fresh = (known == 0) & (count > 0)
        values = torch.where(fresh, total / count.clamp_min(1), values)
        known = torch.where(fresh, 1.0, known)
    return _pulled(values, known)[0].permute(1, 2, 0).contiguous()


def _pulled(values: Tensor, known: Tensor) -> Tensor:
    if bool((known > 0).all()):
        return values
    size = values.shape[2:]
    half = (-(-size[0] // 2), -(-size[1] // 2))
    pads = (0, 2 * half[1] - size[1], 0, 2 * half[0] - size[0])
    total = F.avg_pool2d(torch.nn.functional.pad(values, pads), 2, divisor_override=1)
    count = F.avg_pool2d(torch.nn.functional.pad(known, pads), 2, divisor_override=1)
    coarse = _pulled(total / count.clamp_min(1), (count > 0).to(known))
    fine = F.interpolate(coarse, scale_factor=2, mode="bilinear")[..., : size[0], : size[1]]
    return torch.where(known > 0, values, fine)

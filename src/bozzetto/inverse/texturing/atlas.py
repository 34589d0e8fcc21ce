"""A place in an image for every point of a surface."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...errors import InputError
from ...shapes import Mesh

PADDING = 4  # texels between charts
_COARSE = 1024  # texels along a side from which on packing gets slow and no better


@dataclass(frozen=True)
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

"""Colours for the parts of a surface that no photograph shows."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...geometry import factorise, laplacian
from ...shapes import Mesh

_SMOOTH = 1e-2  # weight of smoothness against a colour that is well known
_HOLD = 1e-6  # weight of the mean colour, for pieces without any known one
_UNKNOWN = 0.5  # linear grey, if nothing at all is known


def spread_colors(
    mesh: Mesh, colors: Float[Tensor, "V 3"], confidence: Float[Tensor, " V"]
) -> Float[Tensor, "V 3"]:
    """Colours of all vertices: the given ones where they are known, smooth between them elsewhere.

    Minimises sum confidence (x - color)^2 + smooth x^T L x with the graph Laplacian, so that unknown colours
    are means of their neighbours (harmonic): never darker, brighter or more saturated than all that is around.

    Args:
        mesh: The surface.
        colors: Linear RGB; anything where the confidence is 0.
        confidence: 0 to 1.
    """
    weight = confidence.double().clamp(0, 1)
    if float(weight.sum()) == 0:
        return torch.full_like(colors, _UNKNOWN)
    mean = (weight[:, None] * colors).sum(dim=0) / weight.sum()
    smooth = laplacian(mesh.faces, len(mesh.vertices)).double().coalesce()
    rows, columns = smooth.indices()
    values = _SMOOTH * smooth.values()
    values = values + torch.where(rows == columns, (weight + _HOLD)[rows], 0.0)
    matrix = torch.sparse_coo_tensor(smooth.indices(), values, smooth.shape, check_invariants=False)
    right = weight[:, None] * colors + _HOLD * mean
    return factorise(matrix.coalesce())(right).to(colors).clamp(0, 1)

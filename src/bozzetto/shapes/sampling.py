"""Random points on a surface."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from .mesh import Mesh


def sample_surface(
    mesh: Mesh, count: int, generator: torch.Generator | None = None
) -> tuple[Float[Tensor, "S 3"], Int64[Tensor, "S"]]:
    """Points distributed uniformly over the area of a mesh.

    Args:
        mesh: The surface; gradients flow from the points to its vertices.
        count: How many points.
        generator: Source of randomness, on the device of the mesh; torch's default if None.

    Returns:
        The points and the face that each lies on.

    Raises:
        InputError: The mesh has no area.
    """
    corners = mesh.corners()
    edges = (corners[:, 1:] - corners[:, :1]).detach().double()  # areas of tiny shapes are nothing in float32
    areas = torch.linalg.cross(edges[:, 0], edges[:, 1]).norm(dim=1)
    total = areas.cumsum(0)
    if len(total) == 0 or not total[-1] > 0:
        raise InputError("the mesh has no area to sample points from; a triangle of positive area is needed")
    # Cumulative sums in double precision: multinomial() is limited to 2**24 faces.
    u = torch.rand(3, count, dtype=torch.float64, device=areas.device, generator=generator)
    face = torch.searchsorted(total, u[0] * total[-1], right=True).clamp(max=len(total) - 1)
    # Osada et al., Shape Distributions (2002), eq. 1: the square root makes the density uniform.
    root, v = u[1].sqrt(), u[2]
    weights = torch.stack([1 - root, root * (1 - v), root * v], dim=1).to(corners.dtype)
    return torch.einsum("sk,skd->sd", weights, corners[face]), face

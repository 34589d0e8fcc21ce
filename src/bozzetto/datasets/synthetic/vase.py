"""A vase of our own, modelled from signed distances."""

import torch
from torch import Tensor

from ...geometry import largest_component
from ...geometry.implicit import Field, displace, revolution, smooth_difference, zero_set
from ...shapes import Mesh
from .bust import check_detail


def vase(detail: float = 1.0) -> Mesh:
    """A turned amphora with spiral flutes: smaller and smoother than the bust, with a hollow.

    Args:
        detail: Samples per length relative to the default (about 40 thousand faces).

    Returns:
        The mesh in metres, 0.3 high, Y up, standing on the plane y = 0.

    Raises:
        InputError: `detail` is not between 0.2 and 4.
    """
    check_detail(detail)
    height = torch.linspace(0, 1, 48)
    radius = 0.11 + 0.21 * torch.sin(torch.pi * height**0.85).clamp_min(0) ** 1.5 + 0.09 * height**9
    outline = torch.stack((radius, height), dim=-1)
    ends = torch.tensor([[0.0, 1.0], [0.0, 0.0]])

    def flutes(p: Tensor) -> Tensor:
        belly = torch.exp(-(((p[:, 1] - 0.42) / 0.22) ** 4))
        return 0.012 * belly * torch.cos(14 * torch.atan2(p[:, 0], p[:, 2]) + 9 * p[:, 1])

    inside = revolution(
        torch.cat(
            (outline[4:] - torch.tensor([0.045, 0.0]), torch.tensor([[0.155, 1.1], [0, 1.1], [0, 0.09]]))
        )
    )
    field: Field = smooth_difference(
        displace(revolution(torch.cat((outline, ends))), flutes), inside, radius=0.03
    )
    mesh = largest_component(zero_set(field, (-0.42, -0.05, -0.42), (0.42, 1.05, 0.42), 0.0095 / detail))
    return mesh.with_vertices(mesh.vertices * 0.3)

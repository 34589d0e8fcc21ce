"""Subjects of our own making, for the demo, the tests and whoever needs a shape without a licence."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...geometry import connected_components, drop_unused_vertices
from ...geometry.implicit import Field, displace, evaluate, revolution, smooth_difference, surface
from ...shapes import Mesh
from .bust_model import HIGH, LOW, bust_field, bust_parts

_METRES = 0.115  # per unit of the bust's model, so that the head has the size of a head

# Linear albedo of the bust's materials: tinted marble, as the ancients had it.
_TINTS = {
    "skin": (0.74, 0.63, 0.53),
    "hair": (0.30, 0.17, 0.10),
    "cloth": (0.22, 0.33, 0.46),
    "gold": (0.72, 0.48, 0.14),
    "stone": (0.55, 0.54, 0.52),
}


def bust(detail: float = 1.0) -> Mesh:
    """A woman's bust with braided crown, wavy hair, draped cloth and a fluted foot.

    Modelled from signed distances (`bust_model`), extracted with marching cubes. Watertight, one piece.

    Args:
        detail: Samples per length relative to the default, which gives about 85 thousand faces; the number
            of faces grows with its square. Below 0.6 the finest relief is lost, and handles may appear.

    Returns:
        The mesh in metres, life size (0.52 high), Y up, facing +Z, standing on the plane y = 0, with linear
        albedo as colours.

    Raises:
        InputError: `detail` is not between 0.2 and 4.
    """
    _check_detail(detail)
    parts = bust_parts()
    mesh = _largest_piece(surface(bust_field(parts), LOW, HIGH, 0.032 / detail))
    colors = _tinted(parts, mesh.vertices)
    base = mesh.vertices.new_tensor([0.0, float(mesh.vertices[:, 1].min()), 0.0])
    return Mesh((mesh.vertices - base) * _METRES, mesh.faces, colors)


def vase(detail: float = 1.0) -> Mesh:
    """A turned amphora with spiral flutes: smaller and smoother than the bust, with a hollow.

    Args:
        detail: Samples per length relative to the default (about 40 thousand faces).

    Returns:
        The mesh in metres, 0.3 high, Y up, standing on the plane y = 0.

    Raises:
        InputError: `detail` is not between 0.2 and 4.
    """
    _check_detail(detail)
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
    mesh = _largest_piece(surface(field, (-0.42, -0.05, -0.42), (0.42, 1.05, 0.42), 0.0095 / detail))
    return mesh.with_vertices(mesh.vertices * 0.3)


def _tinted(parts: dict[str, Field], points: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3"]:
    """Albedo of points on the bust: that of the nearest part, with soft borders and a faint marbling."""
    distance = torch.stack([evaluate(parts[name], points) for name in _TINTS], dim=-1)
    weights = torch.softmax(-distance / 0.008, dim=-1)
    colors = weights @ torch.tensor(list(_TINTS.values())).to(points)
    x, y, z = (points * 3).unbind(dim=-1)
    veins = torch.sin(x + 2.1 * torch.sin(y + 1.3 * z) + 1.7 * torch.sin(0.8 * z - 1.1 * x)) ** 8
    return colors * (1 - 0.22 * veins[:, None])


def _largest_piece(mesh: Mesh) -> Mesh:
    """The connected component with the most faces; what is dropped are crumbs and closed cavities."""
    label = connected_components(mesh.faces, len(mesh.vertices))[mesh.faces[:, 0]]
    kept = mesh.faces[label == label.bincount().argmax()]
    return drop_unused_vertices(Mesh(mesh.vertices, kept, mesh.colors))[0]


def _check_detail(detail: float) -> None:
    if not 0.2 <= detail <= 4:
        raise InputError(f"detail must be between 0.2 and 4, got {detail:g}; 1 is the default")

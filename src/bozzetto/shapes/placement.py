"""Putting a shape where viewers and printers expect it."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import InputError
from .mesh import Mesh
from .similarity import Similarity

_Z_UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)


def placed(
    mesh: Mesh,
    up: Float[Tensor, "3"],
    size_mm: float | None = None,
    front: Float[Tensor, "3"] | None = None,
) -> Similarity:
    """The similarity that stands a shape on the ground: +Y up, lowest point at y = 0, centred above the origin.

    That is the frame of glTF, whose unit is the metre and whose front is +Z.

    Args:
        mesh: The shape, in world coordinates.
        up: World direction that points up.
        size_mm: Longest side of the upright shape's bounding box, in millimetres; the result is in metres
            then. None keeps the unit of the input.
        front: World direction from which the shape is looked at; None turns it as little as possible.

    Raises:
        InputError: A direction is zero or not finite, front is parallel to up, the size is not positive, or the
            shape is a single point.
    """
    rotation = _upright(up, front)
    points = mesh.check().world_vertices.detach().cpu().double()[mesh.used.cpu()] @ rotation.T
    low, high = points.amin(dim=0), points.amax(dim=0)
    extent, scale = float((high - low).max()), 1.0
    if size_mm is not None:
        if not 0 < size_mm < float("inf"):
            raise InputError(f"the size of a shape must be a positive number of millimetres, got {size_mm:g}")
        if extent == 0:
            raise InputError("a shape of a single point has no size that could be set")
        scale = size_mm / 1000 / extent
    foot = torch.stack([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2])
    return Similarity(scale, -scale * foot, rotation)


def for_printing(place: Similarity) -> Similarity:
    """The same place as programs for 3D printers expect it: millimetres, +Z up."""
    rotation = _Z_UP if place.rotation is None else _Z_UP @ place.rotation
    return Similarity(1000 * place.scale, 1000 * (_Z_UP @ place.translation), rotation)


def _upright(up: Tensor, front: Tensor | None) -> Float64[Tensor, "3 3"]:
    """The rotation that takes up to +Y, and front as near to +Z as that allows."""
    y = _unit(up, "up")
    if front is None:
        target = torch.tensor([0.0, 1, 0], dtype=torch.float64)
        axis, cosine = torch.linalg.cross(y, target), float(y @ target)
        if cosine < -1 + 1e-12:
            return torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64))
        x, y_, z = axis.tolist()
        cross = torch.tensor([[0, -z, y_], [z, 0, -x], [-y_, x, 0]], dtype=torch.float64)
        return torch.eye(3, dtype=torch.float64) + cross + cross @ cross / (1 + cosine)
    ahead = _unit(front, "front")
    x = torch.linalg.cross(y, ahead)
    if float(x.norm()) < 1e-6:
        raise InputError(
            "the front of a shape must not lie in the direction that points up; give another one"
        )
    x = x / x.norm()
    return torch.stack([x, y, torch.linalg.cross(x, y)])


def _unit(direction: Tensor, name: str) -> Float64[Tensor, "3"]:
    direction = direction.detach().cpu().double()
    length = float(direction.norm())
    if not 0 < length < float("inf"):
        raise InputError(f"the direction {name} must be finite and not zero, got {direction.tolist()}")
    return direction / length

"""Coordinate frames: those of normalised clouds, and those that viewers and 3D printers expect."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import InputError
from ..values import value_type
from .mesh import Mesh
from .similarity import Similarity


@value_type
class Frame:
    """The map x -> rotation @ (x - center) / scale.

    Attributes:
        center: The point that is mapped to the origin.
        scale: The length that is mapped to 1.
        rotation: A rotation matrix; None for no rotation.
    """

    center: Float64[Tensor, " D"]
    scale: float
    rotation: Float64[Tensor, "D D"] | None = None

    def apply(self, points: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Transform points to the frame, in double precision, since a cloud may be far from the origin."""
        moved = (points.double() - self.center.to(points.device)) / self.scale
        if self.rotation is not None:
            moved = moved @ self.rotation.T.to(moved)
        return moved.to(points.dtype)

    def undo(self, points: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Transform points from the frame back to the original one."""
        moved = points.double()
        if self.rotation is not None:
            moved = moved @ self.rotation.to(moved)
        return (moved * self.scale + self.center.to(points.device)).to(points.dtype)


def box_frame(cloud: Float[Tensor, "N D"], name: str = "the cloud") -> Frame:
    """Bounding box centred, its longest side 2: the frame of ShapeGF.

    Raises:
        InputError: The cloud has fewer than two points, all points equal or coordinates that are not finite.
    """
    if len(cloud) < 2:
        raise InputError(f"{name} has {len(cloud)} points; at least two are needed")
    bad = int((~torch.isfinite(cloud)).any(dim=1).sum())
    if bad:
        raise InputError(f"{name} has {bad} points with NaN or infinite coordinates; repair or remove them")
    points = cloud.detach().double().cpu()
    low, high = points.amin(dim=0), points.amax(dim=0)
    scale = float((high - low).max()) / 2
    if not 0 < scale < math.inf:
        raise InputError(f"all {len(cloud)} points of {name} are equal; points that differ are needed")
    return Frame((low + high) / 2, scale)


def shared_frame(clouds: Sequence[Float[Tensor, "_ D"]], names: Sequence[str]) -> Frame:
    """One frame for a collection: its mean point becomes the origin, and all points lie in [-1, 1]^D.

    PointFlow (Yang et al. 2019) divides by the standard deviation instead, which differs by one factor for the
    whole collection. The factor used here keeps every shape within the grids of the model.

    Raises:
        InputError: The same as for `box_frame`, for any of the clouds.
    """
    for cloud, name in zip(clouds, names, strict=True):
        box_frame(cloud, name)
    center = torch.stack([cloud.double().mean(dim=0) for cloud in clouds]).mean(dim=0)
    reach = max(float((cloud.double() - center).abs().max()) for cloud in clouds)
    return Frame(center, reach)


def principal_frames(cloud: Float[Tensor, "N D"], name: str = "the cloud") -> list[Frame]:
    """Frames along the principal axes, longest first, one for each choice of signs that is a rotation.

    The first frame has positive third moments along as many axes as possible for a rotation, which is unique
    for shapes without symmetry. The others are for callers that select the best by another criterion (Puny et
    al. 2022, "Frame averaging", section 3.1). In each frame, the bounding box is centred and its longest side
    is 2.

    Source: Puny et al. 2022, section 3.1.

    Raises:
        InputError: The same as for `box_frame`.
    """
    box_frame(cloud, name)
    points = cloud.detach().double().cpu()
    middle = points.mean(dim=0)
    spread = points - middle
    axes = torch.linalg.eigh(spread.T @ spread).eigenvectors.T.flip(0)
    third = (spread @ axes.T).pow(3).mean(dim=0)
    frames = []
    for signs in itertools.product((1.0, -1.0), repeat=len(axes)):
        turn = torch.tensor(signs, dtype=torch.float64)[:, None] * axes
        if torch.linalg.det(turn) > 0:
            agreement = float((torch.tensor(signs, dtype=torch.float64) * third).sum())
            box = box_frame(points @ turn.T)
            frames.append((agreement, Frame(turn.T @ box.center, box.scale, turn)))
    return [frame for _, frame in sorted(frames, key=lambda item: -item[0])]


_Z_UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)


def placed(
    mesh: Mesh,
    up: Float[Tensor, "3"],
    size_mm: float | None = None,
    front: Float[Tensor, "3"] | None = None,
) -> Similarity:
    """The similarity to the frame of glTF: +Y up, the lowest point at y = 0, centred above the origin.

    The unit of glTF is the metre, and its front is +Z.

    Args:
        mesh: The shape, in world coordinates.
        up: World direction that points up.
        size_mm: Longest side of the upright shape's bounding box, in millimetres; the result is in metres
            then. None keeps the unit of the input.
        front: World direction from the shape to a viewer in front of it; None for the smallest rotation.

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
    """Convert a similarity to the frame of glTF to one to the frame of 3D printers: millimetres, +Z up."""
    rotation = _Z_UP if place.rotation is None else _Z_UP @ place.rotation
    return Similarity(1000 * place.scale, 1000 * (_Z_UP @ place.translation), rotation)


def _upright(up: Tensor, front: Tensor | None) -> Float64[Tensor, "3 3"]:
    """The rotation of `up` to +Y, and of `front` as near to +Z as that allows."""
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

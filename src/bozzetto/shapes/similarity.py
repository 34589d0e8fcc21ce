"""Similarities: scale, rotation and translation; how they are composed, and rotations by axis and angle."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import InputError
from ..values import value_type


@value_type
class Similarity:
    """The map x -> scale * rotation @ x + translation.

    Attributes:
        scale: A positive factor.
        translation: Added last, float64.
        rotation: A rotation matrix, float64, or None for no rotation.
    """

    scale: float
    translation: Float64[Tensor, "3"]
    rotation: Float64[Tensor, "3 3"] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise InputError(f"the scale of a similarity must be positive and finite, got {self.scale}")

    def apply(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Apply the map to points; dtype and device are kept."""
        if self.rotation is not None:
            points = points @ self.rotation.to(points).T
        return points * self.scale + self.translation.to(points)

    def inverse(self) -> "Similarity":
        """The inverse map."""
        back = -self.translation / self.scale
        if self.rotation is None:
            return Similarity(1 / self.scale, back)
        return Similarity(1 / self.scale, self.rotation.T @ back, self.rotation.T.contiguous())

    @property
    def matrix(self) -> Float64[Tensor, "4 4"]:
        """The matrix of the map in homogeneous coordinates."""
        matrix = torch.eye(4, dtype=torch.float64)
        rotation = torch.eye(3, dtype=torch.float64) if self.rotation is None else self.rotation
        matrix[:3, :3] = self.scale * rotation
        matrix[:3, 3] = self.translation
        return matrix


def normalisation(points: Float[Tensor, "P 3"], to: Literal["sphere", "box"] = "sphere") -> Similarity:
    """The similarity, without rotation, that centres points and scales them to unit size.

    Args:
        points: Finite positions, at least two of them distinct.
        to: The bound of the scaled points: the unit "sphere", or the "box" [-1, 1]^3. In both cases, the middle
            of their bounding box becomes the origin.

    Raises:
        InputError: There are no points or they all coincide.
    """
    if len(points) == 0:
        raise InputError("cannot normalise an empty set of points")
    points = points.detach().double().cpu()
    low, high = points.amin(dim=0), points.amax(dim=0)
    center = (low + high) / 2
    extent = float((points - center).norm(dim=1).max() if to == "sphere" else (high - low).max() / 2)
    if not 0 < extent < float("inf"):
        raise InputError(
            f"cannot normalise points of extent {extent}; at least two distinct finite points are needed"
        )
    return Similarity(1 / extent, -center / extent)


RADIUS = 1 / 1.03
"""Largest radius of a shape in the normalised frame."""

AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


def moved_pose(pose: Similarity, step: Float64[Tensor, " 7"]) -> Similarity:
    """The pose followed by a small move: x -> exp(s) exp([w]) x + v with step = (v, w, s)."""
    shift, turn, growth = step[:3].cpu(), step[3:6].cpu(), math.exp(float(step[6]))
    return compose_poses(Similarity(growth, shift, rotation_by(turn)), pose)


def pose_difference(a: Similarity, b: Similarity) -> Float64[Tensor, " 7"]:
    """The step of `moved_pose` from pose `a` to pose `b`."""
    change = compose_poses(b, a.inverse())
    rotation = rotation_of(change)
    angle = rotation_angle(Similarity(1.0, change.translation), change)
    skew = (rotation - rotation.T) / 2
    axis = torch.stack([skew[2, 1], skew[0, 2], skew[1, 0]])
    turn = axis * (angle / max(float(axis.norm()), 1e-12)) if angle > 1e-9 else 0 * axis
    growth = torch.tensor([math.log(change.scale)], dtype=torch.float64)
    return torch.cat([change.translation.cpu(), turn, growth])


def by_move(points: Float[Tensor, "N 3"], by_point: Float[Tensor, "N 3"]) -> Float[Tensor, "N 7"]:
    """Derivatives of values at moved points with respect to the step of `moved_pose`, at step 0."""
    turn = torch.linalg.cross(points, by_point)
    growth = (points * by_point).sum(dim=1, keepdim=True)
    return torch.cat([by_point, turn, growth], dim=1)


def compose_poses(outer: Similarity, inner: Similarity) -> Similarity:
    """The map x -> outer(inner(x))."""
    rotation = rotation_of(outer) @ rotation_of(inner)
    return Similarity(outer.scale * inner.scale, outer.apply(inner.translation), rotation)


def rotation_of(pose: Similarity) -> Float64[Tensor, "3 3"]:
    """The rotation matrix of a similarity: the identity if it is None."""
    return torch.eye(3, dtype=torch.float64) if pose.rotation is None else pose.rotation


def rotation_about(axis: Sequence[float] | Float[Tensor, "3"], angle: float) -> Float64[Tensor, "3 3"]:
    """Rotation by an angle (radians) about an axis through the origin, counter-clockwise if it points to the
    viewer."""
    direction = torch.as_tensor(axis, dtype=torch.float64)
    return rotation_by(angle * direction / direction.norm())


def rotation_by(vector: Float64[Tensor, "3"]) -> Float64[Tensor, "3 3"]:
    """Rotation about a vector by an angle of its length (radians)."""
    return torch.linalg.matrix_exp(_cross_matrix(vector))


def rotation_between(a: Sequence[float], b: Sequence[float]) -> Float64[Tensor, "3 3"]:
    """The smallest rotation that takes direction `a` to direction `b`."""
    start, end = (torch.as_tensor(v, dtype=torch.float64) / math.dist(v, (0, 0, 0)) for v in (a, b))
    axis = torch.linalg.cross(start, end)
    angle = math.atan2(float(axis.norm()), float(start @ end))
    if float(axis.norm()) < 1e-12:  # opposite directions, or equal ones: any axis across
        axis = torch.linalg.cross(start, torch.eye(3, dtype=torch.float64)[int(start.abs().argmin())])
    return rotation_about(axis, angle)


def rotation_angle(a: Similarity, b: Similarity) -> float:
    """Angle (radians) between the rotations of two poses."""
    cosine = (float((rotation_of(a).T @ rotation_of(b)).trace()) - 1) / 2
    return math.acos(max(-1.0, min(1.0, cosine)))


def turned_starts(up: str, turns: int, prior_up: str = "y") -> list[Float64[Tensor, "3 3"]]:
    """Rotations that make a scan upright in the frame of the prior, at equal angles around the vertical.

    Args:
        up: Axis of the scan that points upwards: x, y or z, perhaps with a minus in front.
        turns: Number of rotations.
        prior_up: Axis of the prior's frame that points upwards, in the same form.
    """
    stand = rotation_between(direction(up), direction(prior_up))
    return [rotation_about(direction(prior_up), 2 * math.pi * i / turns) @ stand for i in range(turns)]


def direction(axis: str) -> tuple[float, float, float]:
    """The unit vector of an axis such as y or -z."""
    sign = -1.0 if axis.startswith("-") else 1.0
    x, y, z = AXES[axis.lstrip("+-")]
    return sign * x, sign * y, sign * z


def _cross_matrix(vector: Tensor) -> Float64[Tensor, "3 3"]:
    x, y, z = vector.double().tolist()
    return torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)

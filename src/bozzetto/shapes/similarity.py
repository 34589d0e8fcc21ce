"""Similarity transforms, and the one that brings points to a standard place and size."""

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
        """Where the points go; dtype and device are those of the points."""
        if self.rotation is not None:
            points = points @ self.rotation.to(points).T
        return points * self.scale + self.translation.to(points)

    def inverse(self) -> "Similarity":
        """The map that undoes this one."""
        back = -self.translation / self.scale
        if self.rotation is None:
            return Similarity(1 / self.scale, back)
        return Similarity(1 / self.scale, self.rotation.T @ back, self.rotation.T.contiguous())

    @property
    def matrix(self) -> Float64[Tensor, "4 4"]:
        """The map on homogeneous coordinates."""
        matrix = torch.eye(4, dtype=torch.float64)
        rotation = torch.eye(3, dtype=torch.float64) if self.rotation is None else self.rotation
        matrix[:3, :3] = self.scale * rotation
        matrix[:3, 3] = self.translation
        return matrix


def normalisation(points: Float[Tensor, "P 3"], to: Literal["sphere", "box"] = "sphere") -> Similarity:
    """The similarity, without rotation, that centres points and scales them to unit size.

    Args:
        points: Finite positions, at least two of them distinct.
        to: What they then just fit into: the unit "sphere", or the "box" [-1, 1]^3. Either way the middle
            of their bounding box goes to the origin.

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

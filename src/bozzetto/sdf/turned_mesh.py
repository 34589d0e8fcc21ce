"""A mesh that is turned until a prior explains it: its code and its direction, solved for together."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..shapes import Similarity
from .fit_code import RELAXATION, TOLERANCE, ClampedL1
from .least_squares import Quadratic, Solution, levenberg_marquardt
from .objective import State
from .pose import RADIUS, rotation_by, rotation_of
from .prior import ShapePrior

ANY_AXIS = torch.eye(3, dtype=torch.float64)
UPRIGHT_AXIS = ANY_AXIS[:, 1:2]
"""Columns: axes, in the frame of the prior, about which a mesh is turned."""


class TurnedMesh:
    """The objective of `fit_code`, by code and direction.

    In every direction a mesh is normalised anew, as training shapes are; so place and size are no unknowns.

    Args:
        prior: The family of shapes.
        corners: Vertices of the convex hull of the mesh, which alone tell its place and size.
        points: Where its signed distance is known, in the frame of the corners.
        distances: This distance.
        axes: About which the mesh may be turned, as columns.
    """

    def __init__(
        self,
        prior: ShapePrior,
        corners: Float64[Tensor, "C 3"],
        points: Float[Tensor, "N 3"],
        distances: Float[Tensor, " N"],
        axes: Float64[Tensor, "3 A"] = ANY_AXIS,
    ) -> None:
        self.prior, self.corners, self.axes = prior, corners, axes
        self.points, self.distances = points, distances
        self.errors = ClampedL1(prior, distances)

    def solve(
        self, code: Float[Tensor, " K"], turn: Float64[Tensor, "3 3"], iterations: int
    ) -> Solution[State]:
        """Levenberg-Marquardt from a code and a direction."""
        return levenberg_marquardt(
            self.linearise,
            self.moved,
            State(code.double(), normalised_pose(self.corners, turn)),
            iterations,
            tolerance=TOLERANCE,
            relaxation=RELAXATION,
        )

    def moved(self, state: State, step: Float64[Tensor, " P"]) -> State:
        """The state after a step: numbers of the code, then angles about the axes."""
        size = len(state.code)
        turn = rotation_by(self.axes @ step[size:].cpu()) @ rotation_of(state.pose)
        return State(state.code + step[:size], normalised_pose(self.corners, turn))

    def linearise(self, state: State) -> Quadratic:
        """The objective and its majorising quadratic."""
        places, distances = state.pose.apply(self.points), self.distances * state.pose.scale
        values, by_code, by_point = self.prior.decoder.value_and_jacobian(state.code.float(), places)
        centre, growth = (change.to(places) for change in self._by_turn(state.pose))
        known = distances * (distances.abs() < self.prior.clamp)
        by_turn = torch.linalg.cross(places, by_point) - by_point @ centre
        by_turn = by_turn + ((by_point * places).sum(dim=1) - known)[:, None] * growth
        return self.errors.quadratic(
            state.code, values, distances, torch.cat([by_code, by_turn @ self.axes.to(places)], dim=1)
        )

    def _by_turn(self, pose: Similarity) -> tuple[Float64[Tensor, "3 3"], Float64[Tensor, " 3"]]:
        """How the centre (in rows) and the logarithm of the scale change as the posed mesh is turned.

        (w x y)_i changes with w by y x e_i. The ends y of the mesh along axis i make the centre, and the vertex
        that is farthest from it the scale.
        """
        places = pose.apply(self.corners)
        ends = (places[places.argmax(dim=0)] + places[places.argmin(dim=0)]) / 2
        centre = torch.linalg.cross(ends, torch.eye(3, dtype=torch.float64))
        farthest = places[places.norm(dim=1).argmax()]
        return centre, farthest @ centre / farthest.square().sum()


def normalised_pose(corners: Float64[Tensor, "C 3"], turn: Float64[Tensor, "3 3"]) -> Similarity:
    """The pose that turns a mesh and puts it where `shape_normalisation` would put the turned mesh."""
    places = corners @ turn.T
    centre = (places.amax(dim=0) + places.amin(dim=0)) / 2
    scale = RADIUS / float((places - centre).norm(dim=1).max())
    return Similarity(scale, -scale * centre, turn)

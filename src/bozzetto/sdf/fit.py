"""Codes of given shapes: of a mesh by its signed distance, of a scan by completion.

A mesh may be rotated: code and rotation are then solved for together.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from jaxtyping import Float, Float64
from scipy.spatial import ConvexHull
from torch import Tensor

from ..errors import warn_input
from ..shapes import Mesh, Similarity, load_shape, sample_surface
from ..shapes.offsets import NO_OFFSET
from ..shapes.similarity import (
    RADIUS,
    compose_poses,
    direction,
    rotation_between,
    rotation_by,
    rotation_of,
    turned_starts,
)
from ..steps import counted
from ..values import value_type
from .complete import require_explained, solve_scan
from .fit_code import RELAXATION, TOLERANCE, ClampedL1, balanced, fit_code
from .objective import Objective, Quadratic, SdfConstraints, Solution, State, independent, levenberg_marquardt
from .observations import Observations, Scan, as_observations, holds_depth, load_scan, observe_mesh
from .prepare import DOUBTFUL
from .prepare_shape import prepare_shape
from .prior import CodeDistribution, ShapePrior
from .released import as_prior
from .solver import CompleteConfig, family_width, misfit, require_member

ANY_AXIS = torch.eye(3, dtype=torch.float64)
UPRIGHT_AXIS = ANY_AXIS[:, 1:2]
"""Axis of the prior's frame, as a column, about which an upright mesh may be rotated."""


class TurnedMesh:
    """The objective of `fit_code` as a function of code and rotation.

    The rotated mesh is normalised as training shapes are, so position and size are not unknown.

    Args:
        prior: The family of shapes.
        corners: Vertices of the convex hull of the mesh, which determine its position and size.
        points: Points with known signed distance to the mesh, in the frame of the corners.
        distances: Signed distances of these points, negative inside.
        axes: Axes about which the mesh may be rotated, as columns.
    """

    def __init__(
        self,
        prior: ShapePrior,
        corners: Float64[Tensor, "C 3"],
        points: Float[Tensor, "N 3"],
        distances: Float[Tensor, " N"],
        axes: Float64[Tensor, "3 A"] = ANY_AXIS,
    ) -> None:
        self.prior = prior
        self.corners = corners
        self.axes = axes
        self.points = points
        self.distances = distances
        self.errors: ClampedL1 = ClampedL1(prior, distances)

    def solve(
        self, code: Float[Tensor, " K"], turn: Float64[Tensor, "3 3"], iterations: int
    ) -> Solution[State]:
        """Levenberg-Marquardt from an initial code and rotation."""
        return levenberg_marquardt(
            self.linearise,
            self.moved,
            State(code.double(), normalised_pose(self.corners, turn)),
            iterations,
            tolerance=TOLERANCE,
            relaxation=RELAXATION,
        )

    def moved(self, state: State, step: Float64[Tensor, " P"]) -> State:
        """The state after a step: change of the code, then angles about the axes in radians."""
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
        """Derivatives of the centre (in rows) and of the logarithm of the scale as the posed mesh is rotated.

        The derivative of (w x y)_i with respect to w is y x e_i. The extreme vertices y along axis i determine
        the centre, and the vertex farthest from it determines the scale.
        """
        places = pose.apply(self.corners)
        ends = (places[places.argmax(dim=0)] + places[places.argmin(dim=0)]) / 2
        centre = torch.linalg.cross(ends, torch.eye(3, dtype=torch.float64))
        farthest = places[places.norm(dim=1).argmax()]
        return centre, farthest @ centre / farthest.square().sum()


def normalised_pose(corners: Float64[Tensor, "C 3"], turn: Float64[Tensor, "3 3"]) -> Similarity:
    """The pose that rotates a mesh and then normalises it as `shape_normalisation` does."""
    places = corners @ turn.T
    centre = (places.amax(dim=0) + places.amin(dim=0)) / 2
    scale = RADIUS / float((places - centre).norm(dim=1).max())
    return Similarity(scale, -scale * centre, turn)


SAMPLES, SURFACE = 20_000, 2000
"""Numbers of samples of the signed distance, and of surface points that measure how well a code fits."""
TRIAL_SAMPLES, TRIAL_ITERATIONS = 1500, 8
"""Numbers of samples and iterations of the short fits that determine the direction of a mesh."""
SOLVED_SAMPLES, ITERATIONS = 8000, 25
"""Numbers of samples and iterations of the final fits of code and pose."""
LIKELY = 16
"""Number of most likely rotations that are tried, out of a set that covers all rotations."""
FREE_SAMPLES, FREE_WIDTHS = 4000, (0.1, 0.03, 0.01)
"""Number of samples near the surface, and widths of the error distribution, for fits of code and similarity."""
UPRIGHT_COST, FREE_GAIN = 1.05, 0.9
"""Factors on the error. An upright pose is taken if its error is at most the first times that of any other
rotation. A pose with free position and size is taken if its error is less than the second times that of a
normalised mesh."""


@value_type
class ShapeFit:
    """Result of fitting a code to a given shape.

    Attributes:
        code: Code of the nearest shape of the prior.
        misfit: Median distance of the given surface from that of the code, in radii of the shape; for a scan,
            in excess of its noise.
    """

    code: Float[Tensor, " K"]
    misfit: float


def fit(
    shape: Scan,
    prior: ShapePrior | str = "bodies",
    config: CompleteConfig | None = None,
    name: str = "the shape",
) -> ShapeFit:
    """Find the code of a given shape, from which the prior's decoder reconstructs it.

    A mesh is fitted by its signed distance, as in training, see `fit_mesh`. For a cloud or a depth map, the
    code is that of the most probable completion.

    Args:
        shape: A mesh, a cloud or the path of a file, in any frame and unit; or `Observations`.
        prior: The family of shapes: a prior, or a name or path for `open_prior`.
        config: Upright axis, number of initial directions, and whether shapes outside of the family are
            accepted; None takes the defaults of `CompleteConfig`.
        name: Name of the shape in messages; a file is named by its path.

    Raises:
        InputError: The file cannot be read, or the shape is not a member of the prior's family.
    """
    config, prior = config or CompleteConfig(), as_prior(prior)
    if isinstance(shape, str | os.PathLike):
        path = Path(shape)
        shape, name = load_scan(path) if holds_depth(path) else load_shape(path), str(path)
    if isinstance(shape, Mesh):
        return fit_mesh(shape, prior, config, name)
    return _fit_scan(as_observations(shape, name), prior, config, name)


def fit_mesh(
    mesh: Mesh, prior: ShapePrior, config: CompleteConfig | None = None, name: str = "the mesh"
) -> ShapeFit:
    """Find the code of a mesh of any orientation.

    Code and rotation are solved for together by the signed distance, as `fit_code` does for the code alone:
    briefly from several directions around the upright axis, then fully from the best of them. If this does not
    explain the mesh, all other rotations are tried. Three kinds of pose are compared: a rotation about the
    upright axis only, since a code can also represent a leaning pose; any rotation; and any rotation, position
    and size, for meshes with missing ends or additional objects. Open meshes, whose inside is ambiguous, are
    completed as scans.

    Args:
        mesh: The shape, in any frame and unit.
        prior: The family of shapes.
        config: Settings, see `fit`.
        name: Name of the mesh in messages.

    Raises:
        InputError: The mesh is broken, encloses nothing, or is not a member of the prior's family.
    """
    config = config or CompleteConfig()
    solid = _Solid(prior, mesh, config.seed)
    if solid.ambiguity > DOUBTFUL:
        warn_input(f"{name} is open, so that its inside is doubtful; it is completed as a scan")
        return _fit_scan(observe_mesh(mesh, name=name), prior, config, name)
    width = family_width(prior)
    found = [solid.standing(config)]
    if solid.misfit(found[0]) > width:
        found.append(solid.lying())
    best = min((solid.placed(state, width) for state in found), key=solid.error)
    require_member(solid.misfit(best), width, config.any_shape, "say which axis points up with --up, ", name)
    return solid.fitted(best)


class _Solid:
    """A mesh, normalised in its given orientation, with samples of its signed distance, to be fitted in any
    pose."""

    def __init__(self, prior: ShapePrior, mesh: Mesh, seed: int) -> None:
        self.prior, self.seed = prior, seed
        mesh = replace(mesh, offset=NO_OFFSET).to("cpu")
        generator = torch.Generator().manual_seed(seed)
        prepared = prepare_shape(mesh, SAMPLES, generator)
        to_unit, self.ambiguity = prepared.normalisation, prepared.ambiguity
        vertices = to_unit.apply(mesh.vertices[mesh.used].double())
        self.corners = vertices[torch.from_numpy(ConvexHull(vertices.numpy()).vertices).long()]
        device = prior.codes.device
        self.points, self.distances = (
            part.to(device) for part in (prepared.samples.points, prepared.samples.distances)
        )
        self.surface = to_unit.apply(sample_surface(mesh, SURFACE, generator)[0].double()).float().to(device)

    def standing(self, config: CompleteConfig) -> State:
        """Code and pose of the whole mesh, assuming that it is approximately upright."""
        begun = self.begun(turned_starts(config.up, config.turns))
        leaning = rotation_of(begun.pose) @ torch.tensor(direction(config.up), dtype=torch.float64)
        upright = rotation_between(leaning.tolist(), direction("y")) @ rotation_of(begun.pose)
        turned = self.turned(begun.code, rotation_of(begun.pose))
        straight = self.turned(begun.code, upright, UPRIGHT_AXIS)
        return straight if self.error(straight) < UPRIGHT_COST * self.error(turned) else turned

    def lying(self) -> State:
        """Code and pose of the whole mesh in any orientation, from those of 208 rotations that fit the mean
        shape best."""
        ups = [way for way in product((-1.0, 0.0, 1.0), repeat=3) if any(way)]
        turns = [
            turn @ rotation_between(way, direction("y")) for way in ups for turn in turned_starts("y", 8)
        ]
        mean = CodeDistribution.of(self.prior.codes).mean
        errors = [self.error(State(mean, normalised_pose(self.corners, turn))) for turn in turns]
        likely = torch.tensor(errors).argsort()[:LIKELY].tolist()
        begun = self.begun([turns[i] for i in likely])
        return self.turned(begun.code, rotation_of(begun.pose))

    def begun(self, turns: Sequence[Float64[Tensor, "3 3"]]) -> State:
        """The best of short fits from several rotations."""
        mean = CodeDistribution.of(self.prior.codes).mean
        some = self.some(TRIAL_SAMPLES)
        fits = [
            TurnedMesh(self.prior, self.corners, *some).solve(mean, turn, TRIAL_ITERATIONS)
            for turn in counted(turns, "directions")
        ]
        return min(fits, key=lambda fit: fit.model.loss).state

    def turned(
        self, code: Float[Tensor, " K"], turn: Float64[Tensor, "3 3"], axes: Float64[Tensor, "3 A"] = ANY_AXIS
    ) -> State:
        """Code and pose of the whole mesh, solved for from a rotation nearby."""
        objective = TurnedMesh(self.prior, self.corners, *self.some(SOLVED_SAMPLES), axes)
        return objective.solve(code, turn, ITERATIONS).state

    def placed(self, whole: State, width: float) -> State:
        """The state with free position and size if it fits better and is a member of the family, else `whole`.

        The second condition is needed because any shape fits a small part of a shape of the family.
        """
        free = self.freed(whole)
        better = self.error(free) < FREE_GAIN * self.error(whole) and self.misfit(free) <= width
        return free if better else whole

    def freed(self, state: State) -> State:
        """Code and pose with free position and size, fitted to the samples near the surface."""
        places, distances = state.pose.apply(self.points), self.distances * state.pose.scale
        near = (distances.abs() < self.prior.clamp).nonzero()[:FREE_SAMPLES, 0]
        places, distances = places[near], distances[near]
        weight = independent(places) / max(len(places), 1)
        constraints = SdfConstraints(
            places, distances, torch.full_like(distances, weight), distances != distances
        )
        codes, still = CodeDistribution.of(self.prior.codes), Similarity(1.0, torch.zeros(3).double())
        found = State(state.code, still)
        for width in counted(FREE_WIDTHS, "place"):
            objective = Objective(self.prior, codes, constraints, width, solve_pose=True, guess=still)
            found = objective.solve(found, ITERATIONS).state
        return State(found.code, compose_poses(found.pose, state.pose))

    def fitted(self, state: State) -> ShapeFit:
        """The code for the pose of a state, fitted to all samples."""
        points, distances = state.pose.apply(self.points), self.distances * state.pose.scale
        within = points.abs().amax(dim=1) <= 1  # the cube in which decoders are trained
        code = fit_code(self.prior, points[within], distances[within], samples=SAMPLES, seed=self.seed).code
        return ShapeFit(code, self.misfit(State(code, state.pose)))

    def misfit(self, state: State) -> float:
        """Median distance of the surface of the mesh from that of the code, in radii of the mesh."""
        return misfit(self.off(state), 0.0)

    def error(self, state: State) -> float:
        """Mean distance of the surface of the mesh from that of the code, up to the clamp."""
        return float(self.off(state).abs().clamp(max=self.prior.clamp).mean())

    def off(self, state: State) -> Float[Tensor, " N"]:
        """Signed distances of points of the mesh from the surface of the code, in the unit of the mesh."""
        places = state.pose.apply(self.surface)
        with torch.no_grad():
            return self.prior.decoder(state.code.float()[None], places[None])[0] / state.pose.scale

    def some(self, count: int) -> tuple[Float[Tensor, "N 3"], Float[Tensor, " N"]]:
        """A subset of the samples, half of them inside."""
        chosen = balanced(self.distances, count, torch.Generator().manual_seed(self.seed))
        return self.points[chosen], self.distances[chosen]


def _fit_scan(observations: Observations, prior: ShapePrior, config: CompleteConfig, name: str) -> ShapeFit:
    _, solved = solve_scan(observations, prior, config)
    require_explained(prior, solved, config, name)
    return ShapeFit(solved.state.code.float(), solved.metrics["misfit"])

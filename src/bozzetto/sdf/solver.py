"""Solver for the shape and the pose that explain a scan: many starts, from coarse to fine.

The scan is a member of the family if the misfit of the best explanation is at most the width of the family.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import InputError, warn_input
from ..shapes import Mesh, Similarity, normalisation, sample_surface
from ..shapes.similarity import RADIUS, compose_poses, turned_starts
from ..steps import counted
from ..values import value_type
from .completed_surface import completed_mesh
from .extract import extract_mesh
from .objective import POSE_SPREAD, Objective, SdfConstraints, Solution, State
from .observations import Observations
from .prior import CodeDistribution, ShapePrior

LEAST_FAMILY_WIDTH = 0.01
"""Smallest width of a family, in the normalised frame: the error of decoder and solved pose, which remains if
all training shapes are alike."""
SHAPES, NEIGHBOURS, POINTS, RESOLUTION = 24, 256, 100, 48
"""For `family_width`: numbers of training shapes, of other shapes that each is compared with, of points, and of
grid nodes along each axis for the meshes."""
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal variable."""


def family_width(prior: ShapePrior) -> float:
    """Width of a prior's family of shapes: the largest distance of a training shape to its nearest other.

    24 training shapes, spread over the collection, are compared with those other shapes whose codes are
    nearest. The distance to another shape is the median of the other's |f| over points of the surface, in the
    normalised frame. Variants of a shape do not count as others. A prior explains a new shape of its family
    better than the nearest training shape does, so the misfit of members is well below the width.

    Returns:
        The stored width of the prior if it has one, otherwise this number, which is at least 0.01. With one
        shape it is 0.01.
    """
    if prior.width is not None:
        return prior.width
    originals = [name.split("~")[0] for name in prior.names] or [str(i) for i in range(len(prior.codes))]
    chosen = torch.linspace(0, len(prior.codes) - 1, min(SHAPES, len(prior.codes))).round().long()
    root = torch.linalg.cholesky(CodeDistribution.of(prior.codes).precision)
    places = prior.codes.double() @ root
    width = LEAST_FAMILY_WIDTH
    for index in counted(chosen.tolist(), "family"):
        apart = (places - places[index]).norm(dim=1).cpu()
        apart[torch.tensor([name == originals[index] for name in originals])] = torch.inf
        near = apart.argsort()[: min(NEIGHBOURS, int(apart.isfinite().sum()))]
        surface = _surface_points(prior, index) if len(near) else None
        if surface is not None:
            with torch.no_grad():
                values = prior.decoder(prior.codes[near], surface.expand(len(near), -1, -1))
            width = max(width, float(values.abs().median(dim=1).values.min()))
    return width


def with_width(prior: ShapePrior) -> ShapePrior:
    """The prior with the width of its family stored."""
    return replace(prior, width=family_width(prior))


def misfit(residual: Float[Tensor, " N"], noise: float) -> float:
    """Distance of observed points from a shape in excess of their noise: sqrt(median^2 - (0.6745 noise)^2).

    Up to half of the points may belong to other objects, for instance a floor.

    Args:
        residual: Distances of observed points from the shape.
        noise: Standard deviation of the noise of the points, in the same unit.
    """
    middle = float(residual.abs().median())
    return math.sqrt(max(middle**2 - (NORMAL_MEDIAN * noise) ** 2, 0.0))


def require_member(
    found: float, width: float, any_shape: bool = False, advice: str = "", what: str = "the scan"
) -> None:
    """Raise an error if a scan is not a member of a prior's family.

    Args:
        found: The `misfit` of the scan to the most probable shape, in radii.
        width: The width of the family.
        any_shape: Whether to warn instead of raising an error.
        advice: Further advice in the message, followed by a space.
        what: Name of the scan in the message.

    Raises:
        InputError: The misfit is larger than the width.
    """
    if found <= width:
        return
    sentence = (
        f"{what} is no member of the prior's family: half of its points lie {100 * found:.1f} % of its radius "
        f"or more, beyond their noise, from the nearest shape of the prior, where {100 * width:.1f} % is the "
        "most between a training shape and its nearest other"
    )
    if any_shape:
        warn_input(f"{sentence}; what was not observed is a guess that means nothing")
        return
    raise InputError(
        f"{sentence}; {advice}give a prior that was trained on such shapes, or --any-shape to go on all the "
        "same"
    )


def _surface_points(prior: ShapePrior, index: int) -> Float[Tensor, "P 3"] | None:
    """Random surface points of the prior's reconstruction of a training shape; None if it has no surface."""
    try:
        mesh = extract_mesh(prior, prior.codes[index], RESOLUTION)
    except InputError:
        return None
    generator = torch.Generator(mesh.vertices.device).manual_seed(index)
    return sample_surface(mesh, POINTS, generator)[0]


WIDTHS = (0.1, 0.03)
"""Widths of the error distribution, in radii of the scan: while poses are compared, and while the best are
refined."""
LEAST_WIDTH, LARGEST_WIDTH = 0.003, 0.02
"""Bounds of the final, estimated width of the error distribution, in radii of the scan."""
KEPT, CANDIDATES = 3, 4
SETTLED_SPREAD = (0.01, 0.01, 0.01, 0.2, 1.0, 0.2, 0.01)
"""Standard deviations as `POSE_SPREAD`, after position and size have been determined by a surface."""
SETTLINGS, SETTLING_RESOLUTION, SETTLING_COST = 3, 96, 2.0
"""For `CompletionSolver.settled`: largest number of rounds; grid nodes along each axis for the surface; and the
factor on the loss above which a new pose is rejected."""


@dataclass(frozen=True)
class CompleteConfig:
    """Settings of the completion of scans."""

    pose: Literal["solve", "known"] = "solve"
    """`solve` if position, size and direction of the scan are unknown; `known` if it is in the frame of the
    prior."""
    up: str = "y"
    """Axis of the scan that points up: x, y, z, -x, -y or -z; for unknown poses."""
    turns: int = 8
    """Number of initial directions around the up axis; 1 if the scan faces the same way as the shapes of the
    prior."""
    surface: int = 1500
    """Number of surface points that are used at a time."""
    space: int = 1500
    """Number of samples of empty space that are used at a time."""
    iterations: int = 25
    """Largest number of steps of the last refinement."""
    hypotheses: int = 0
    """Number of further random shapes that explain the scan."""
    resolution: int = 256
    """Number of grid nodes along each axis for the mesh."""
    correct: bool = True
    """Whether to correct the surface so that it passes through the observed points."""
    any_shape: bool = False
    """Whether to complete scans that are not members of the prior's family as well, with a warning."""
    seed: int = 0
    """Seed of all random choices."""


@value_type
class Solved:
    """Result of the solver: code, pose from the solver's frame, curvature of the objective, width of errors,
    metrics."""

    state: State
    curvature: Float64[Tensor, "P P"]
    width: float
    metrics: dict[str, Any]


class CompletionSolver:
    """Solver for one scan, which is first moved approximately into the unit sphere."""

    def __init__(self, prior: ShapePrior, observations: Observations, config: CompleteConfig) -> None:
        self.prior = prior
        self.observations = observations
        self.config = config
        self.codes: CodeDistribution = CodeDistribution.of(prior.codes)
        self.to_internal: Similarity = robust_normalisation(observations.points)
        inside = observations.moved(self.to_internal).to(prior.codes.device)
        generator = torch.Generator().manual_seed(config.seed)
        self.coarse: SdfConstraints = SdfConstraints.of(
            inside, config.surface // 4, config.space // 4, generator
        )
        self.fine: SdfConstraints = SdfConstraints.of(inside, config.surface, config.space, generator)
        self.noise: float = inside.noise

    def standing(self) -> list[Similarity]:
        """Initial poses: the scan upright, rotated about the up axis by equal steps."""
        still = Similarity(1.0, torch.zeros(3, dtype=torch.float64))
        turns = turned_starts(self.config.up, self.config.turns)
        poses = [Similarity(1.0, still.translation, turn) for turn in turns]
        return [compose_poses(pose, self.to_internal) for pose in poses]

    def objective(
        self,
        constraints: SdfConstraints,
        width: float,
        guess: Similarity | None = None,
        solve_code: bool = True,
        spread: tuple[float, ...] = POSE_SPREAD,
    ) -> Objective:
        """The objective for a width of the error distribution."""
        solve_pose = self.config.pose == "solve"
        return Objective(self.prior, self.codes, constraints, width, solve_pose, solve_code, guess, spread)

    def solve(self, starts: Sequence[Similarity]) -> Solved:
        """The best solution from all initial poses."""
        guesses = [compose_poses(start, self.to_internal.inverse()) for start in starts]
        begun = sorted(
            ((*self.screen(guess), guess) for guess in counted(guesses, "poses")), key=lambda found: found[0]
        )
        refined = [
            (self.objective(self.fine, WIDTHS[1], guess).solve(state, 12), guess)
            for _, state, guess in counted(begun[:KEPT], "refine")
        ]
        best, guess = min(refined, key=lambda pair: pair[0].model.loss)
        width = self.error_width(best.state)
        final = self.objective(self.fine, width, guess).solve(best.state, self.config.iterations)
        if self.config.pose == "solve":
            final = self.settled(final, width)
        metrics = {
            "starts": len(starts),
            "start_losses": [loss for loss, *_ in begun],
            "refined_losses": [solution.model.loss for solution, _ in refined],
            "loss": final.model.loss,
            "iterations": final.iterations,
            "error_width": width / self.to_internal.scale,
            "code_distance": self.codes.distance(final.state.code),
            "misfit": self.misfit(final.state),
        }
        return Solved(final.state, final.model.curvature, width, metrics)

    def screen(self, guess: Similarity) -> tuple[float, State]:
        """Loss and state after a short solve: first the pose with a few known shapes, then code and pose."""
        objective = self.objective(self.coarse, WIDTHS[0], guess)
        known = torch.cat([self.codes.mean[None].to(self.prior.codes), self.prior.codes])
        likely = objective.loss_of(known, guess).argsort()[:CANDIDATES].tolist()
        states = [State(known[i].double(), guess) for i in dict.fromkeys([0, *likely])]
        if self.config.pose == "solve":
            placing = self.objective(self.coarse, WIDTHS[0], guess, solve_code=False)
            states = [placing.solve(state, 8).state for state in states]
        states.sort(key=lambda state: objective.linearise(state).loss)
        solved = [objective.solve(state, 10) for state in states[:2]]
        best = min(solved, key=lambda solution: solution.model.loss)
        return best.model.loss, best.state

    def settled(self, solution: Solution[State], width: float) -> Solution[State]:
        """Refine the pose of a solution by its surface, without parts in empty space and corrected.

        A shape that a prior represents badly is found at a wrong scale, with parts in observed empty space.
        After these are removed, centre and size of the surface determine the pose better than the decoder does.
        """
        unsettled = solution
        for _ in counted(range(SETTLINGS), "settle"):
            try:
                mesh = self.surface(solution.state, SETTLING_RESOLUTION)
            except InputError:
                return unsettled
            placed = compose_poses(solution.state.pose, self.to_internal).apply(mesh.vertices.double())
            unit = normalisation(placed)
            pose = compose_poses(unit, solution.state.pose)
            if abs(math.log(unit.scale)) < 0.02 and float(unit.translation.norm()) < 0.02:
                return solution
            objective = self.objective(self.fine, width, pose, spread=SETTLED_SPREAD)
            solution = objective.solve(State(solution.state.code, pose), self.config.iterations)
            if solution.model.loss > SETTLING_COST * unsettled.model.loss:
                return unsettled
        return solution

    def misfit(self, state: State) -> float:
        """Distance of the scan from the uncorrected surface in excess of its noise, in radii of the scan."""
        return misfit(self.surface_residuals(state), self.noise)

    def surface_residuals(self, state: State) -> Float[Tensor, " M"]:
        """Residuals of the surface observations, in radii of the scan."""
        residual, _ = self.objective(self.fine, WIDTHS[1]).residuals(state)
        return residual[~self.fine.empty]

    def error_width(self, state: State) -> float:
        """Robust standard deviation of the residuals on the surface, clamped to `LEAST_WIDTH` and
        `LARGEST_WIDTH`."""
        spread = 1.4826 * float(self.surface_residuals(state).abs().median())
        return min(max(spread, self.noise, LEAST_WIDTH), max(LARGEST_WIDTH, self.noise))

    def alternative(self, solved: Solved, generator: torch.Generator) -> State:
        """Another explanation of the scan: a sample from the posterior.

        The optimum of a problem whose prior mean and data are perturbed according to their uncertainty is such
        a sample, exactly so for a linear problem (Bardsley et al. 2014, "Randomize-then-optimize").

        Source: Bardsley et al. 2014, randomize-then-optimize.
        """
        device = self.prior.codes.device
        centre = self.codes.sample(1, generator)[0]
        error = solved.width * self.fine.weights.clamp_min(1e-9).rsqrt().cpu()
        shift = error * torch.randn(len(error), generator=generator)
        shift[self.fine.empty.cpu()] = 0
        constraints = replace(self.fine, distances=self.fine.distances + shift.to(device))
        codes = CodeDistribution(centre, self.codes.covariance)
        # The pose is kept: all hypotheses have the same one, and its variation is included in that of the code.
        objective = Objective(self.prior, codes, constraints, solved.width, solve_pose=False)
        return objective.solve(solved.state, self.config.iterations).state

    def surface(self, state: State, resolution: int | None = None) -> Mesh:
        """The mesh of a state in the frame of the scan, corrected if `CompleteConfig.correct` is set."""
        pose, code = compose_poses(state.pose, self.to_internal), state.code.float()
        observations = self.observations.moved(pose).to(code.device)
        mesh = completed_mesh(
            self.prior, code, observations, resolution or self.config.resolution, self.config.correct
        )
        return mesh.with_vertices(pose.inverse().apply(mesh.vertices.double()).float())


def robust_normalisation(points: Float[Tensor, "P 3"]) -> Similarity:
    """Normalisation as `normalisation`, ignoring a hundredth of the points at either end of every axis as
    outliers."""
    places = points.detach().double().cpu()
    ordered = places.sort(dim=0).values
    trim = len(places) // 100
    low, high = ordered[trim], ordered[len(places) - 1 - trim]
    centre = (low + high) / 2
    within = ((places >= low) & (places <= high)).all(dim=1)
    radius = float((places[within] - centre).norm(dim=1).max()) if bool(within.any()) else 0.0
    if not radius > 0:
        return normalisation(points)
    return Similarity(RADIUS / radius, -centre * RADIUS / radius)

"""Solving for the shape and the pose that explain a scan: many starts, from coarse to fine.

How badly the best explanation fits, beside how shapes of the family differ, says whether the scan is one of
them.
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
"""Of a family: what a decoder and a solved pose may be off by, also where all training shapes are alike."""
SHAPES, NEIGHBOURS, POINTS, RESOLUTION = 24, 256, 100, 48
"""Training shapes that are compared, with how many others each, at how many points, from meshes of so many
nodes along each axis."""
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal variable."""


def family_width(prior: ShapePrior) -> float:
    """How far shapes of a family may be from the nearest one that a prior knows, in the normalised frame.

    Every training shape (24 of them, spread over the collection) is left out in turn and compared with those
    others whose codes are nearest: the distance is the median of |f| of the other over points of its surface.
    The largest distance to a nearest other is the width. A prior explains a shape of its family that it has not
    seen better than the nearest training shape alone, so that members lie well within it. Variants of a shape
    are none of its others.

    Returns:
        What the prior has stored, or this number, which is at least 0.01. With one shape it is 0.01.
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
    """The prior with the width of its family, for a file."""
    return replace(prior, width=family_width(prior))


def misfit(residual: Float[Tensor, " N"], noise: float) -> float:
    """How far observed points lie from a shape beyond their noise: sqrt(median^2 - (0.6745 noise)^2).

    Half of the points may belong to something else, a floor say.

    Args:
        residual: Distances of observed points.
        noise: Their standard deviation.
    """
    middle = float(residual.abs().median())
    return math.sqrt(max(middle**2 - (NORMAL_MEDIAN * noise) ** 2, 0.0))


def require_member(
    found: float, width: float, any_shape: bool = False, advice: str = "", what: str = "the scan"
) -> None:
    """Refuse a scan that a prior cannot explain.

    Args:
        found: Its `misfit` from the most probable shape, in radii.
        width: Of the family.
        any_shape: Warn instead.
        advice: What else may be wrong, in front of what to do.
        what: What the message is about.

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
    """Random points of a training shape as the prior draws it; None if it draws nothing."""
    try:
        mesh = extract_mesh(prior, prior.codes[index], RESOLUTION)
    except InputError:
        return None
    generator = torch.Generator(mesh.vertices.device).manual_seed(index)
    return sample_surface(mesh, POINTS, generator)[0]


WIDTHS = (0.1, 0.03)
"""Of the error distribution while poses are compared and while the best are refined, in radii of the scan."""
LEAST_WIDTH, LARGEST_WIDTH = 0.003, 0.02
"""Bounds of the width estimated in the end."""
KEPT, CANDIDATES = 3, 4
SETTLED_SPREAD = (0.01, 0.01, 0.01, 0.2, 1.0, 0.2, 0.01)
"""As `POSE_SPREAD`, once a surface has told place and size."""
SETTLINGS, SETTLING_RESOLUTION, SETTLING_COST = 3, 96, 2.0
"""Times that a pose is settled, at most; nodes along each axis for the surface; and the factor of the loss
above which a scan contradicts the settled pose."""


@dataclass(frozen=True)
class CompleteConfig:
    """How to complete a scan."""

    pose: Literal["solve", "known"] = "solve"
    """Whether place, size and direction of the scan are unknown, or it is in the frame of the prior."""
    up: str = "y"
    """Axis of the scan that points upwards: x, y or z, perhaps with a minus; for unknown poses."""
    turns: int = 8
    """Directions around that axis to start from; 1 if the scan faces as the shapes of the prior do."""
    surface: int = 1500
    """Points on the surface in use at a time."""
    space: int = 1500
    """Samples of empty space in use at a time."""
    iterations: int = 25
    """Steps of the last refinement, at most."""
    hypotheses: int = 0
    """Further shapes that explain the scan, drawn at random."""
    resolution: int = 256
    """Grid for the mesh, along each axis."""
    correct: bool = True
    """Let the surface pass through the observed points instead of nearby."""
    any_shape: bool = False
    """Complete also what is no member of the prior's family, with a warning."""
    seed: int = 0
    """Of everything random."""


@value_type
class Solved:
    """Code and pose (from the solver's frame), the curvature there, the width of errors, and figures."""

    state: State
    curvature: Float64[Tensor, "P P"]
    width: float
    metrics: dict[str, Any]


class CompletionSolver:
    """One scan, moved to about the unit sphere, ready to be explained."""

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
        """Poses that stand the scan upright, turned around."""
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
        """The posterior at a width of errors."""
        solve_pose = self.config.pose == "solve"
        return Objective(self.prior, self.codes, constraints, width, solve_pose, solve_code, guess, spread)

    def solve(self, starts: Sequence[Similarity]) -> Solved:
        """The best explanation from all starts."""
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
        """Loss and state after a short solve: poses of a few known shapes, then everything."""
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
        """The solution near the pose that its own surface asks for, cut back and corrected.

        A shape that a prior knows badly is found at a wrong scale, with parts in space that was seen to be
        empty. Without those, middle and size of the surface tell the pose better than the decoder does.
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
        """How far the scan lies from the prior's own surface beyond its noise, in radii of the scan."""
        return misfit(self.surface_residuals(state), self.noise)

    def surface_residuals(self, state: State) -> Float[Tensor, " M"]:
        """Residuals of what was observed of the surface, in radii of the scan."""
        residual, _ = self.objective(self.fine, WIDTHS[1]).residuals(state)
        return residual[~self.fine.empty]

    def error_width(self, state: State) -> float:
        """Standard deviation of most residuals on the surface, within bounds."""
        spread = 1.4826 * float(self.surface_residuals(state).abs().median())
        return min(max(spread, self.noise, LEAST_WIDTH), max(LARGEST_WIDTH, self.noise))

    def alternative(self, solved: Solved, generator: torch.Generator) -> State:
        """Another explanation: a draw from the posterior.

        The optimum of a problem whose prior mean and data are perturbed as they are uncertain is a draw; for
        a linear problem exactly (Bardsley et al. 2014, "Randomize-then-optimize").

        Source: Bardsley et al. 2014, randomize-then-optimize.
        """
        device = self.prior.codes.device
        centre = self.codes.sample(1, generator)[0]
        error = solved.width * self.fine.weights.clamp_min(1e-9).rsqrt().cpu()
        shift = error * torch.randn(len(error), generator=generator)
        shift[self.fine.empty.cpu()] = 0
        constraints = replace(self.fine, distances=self.fine.distances + shift.to(device))
        codes = CodeDistribution(centre, self.codes.covariance)
        # The pose is kept: it is shared, and how it varies shows in the code as well.
        objective = Objective(self.prior, codes, constraints, solved.width, solve_pose=False)
        return objective.solve(solved.state, self.config.iterations).state

    def surface(self, state: State, resolution: int | None = None) -> Mesh:
        """The mesh in the frame of the scan, corrected if wanted."""
        pose, code = compose_poses(state.pose, self.to_internal), state.code.float()
        observations = self.observations.moved(pose).to(code.device)
        mesh = completed_mesh(
            self.prior, code, observations, resolution or self.config.resolution, self.config.correct
        )
        return mesh.with_vertices(pose.inverse().apply(mesh.vertices.double()).float())


def robust_normalisation(points: Float[Tensor, "P 3"]) -> Similarity:
    """As `normalisation`, but a hundredth of the points may be strays on either side of every axis."""
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

"""The posterior of code and pose given a scan, and Levenberg-Marquardt steps that minimise it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ..shapes import Similarity
from ..shapes.similarity import RADIUS, by_move, moved_pose, pose_difference
from ..steps import counted
from ..values import value_type
from .model import Decoder
from .observations import Observations
from .prior import CodeDistribution, ShapePrior

S = TypeVar("S")


@value_type
class Quadratic:
    """An objective near a state: loss + gradient . step + step . curvature . step / 2.

    Attributes:
        loss: The objective itself.
        gradient: Its derivative (for a robust loss, that of the majorising quadratic, which is the same).
        curvature: Gauss-Newton or majorising second derivative, positive semi-definite.
    """

    loss: float
    gradient: Float64[Tensor, " P"]
    curvature: Float64[Tensor, "P P"]


@dataclass(frozen=True)
class Solution(Generic[S]):
    """Where Levenberg-Marquardt arrived.

    Attributes:
        state: The best state found.
        model: The objective near it.
        losses: At the start and after every iteration; never increasing.
        converged: Whether it stopped because nothing was left to gain.
    """

    state: S
    model: Quadratic
    losses: tuple[float, ...]
    converged: bool

    @property
    def iterations(self) -> int:
        """Evaluations of objective and derivatives after the first."""
        return len(self.losses) - 1


def levenberg_marquardt(
    linearise: Callable[[S], Quadratic],
    move: Callable[[S, Float64[Tensor, " P"]], S],
    state: S,
    iterations: int = 15,
    damping: float = 1e-3,
    tolerance: float = 1e-4,
    relaxation: float = 1.0,
) -> Solution[S]:
    """Minimise by damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963).

    Damping is relative to the diagonal of the curvature and follows the ratio of real to predicted gain
    (Nielsen 1999, "Damping parameter in Marquardt's method"). Derivatives are computed at every trial, since
    nearly all of them are accepted and a rejected one then costs no more than an accepted one.

    Source: Levenberg 1944, the damped step.

    Source: Marquardt 1963, damping relative to the curvature.

    Source: Nielsen 1999, how damping changes.

    Args:
        linearise: The quadratic model at a state.
        move: The state that a step leads to.
        state: Where to start.
        iterations: Trials, at most.
        damping: At the start.
        tolerance: Stop when two accepted steps in a row gain less than this share of the objective.
        relaxation: How much longer than to the minimum of the model steps are after one that gained more than
            predicted. A model that lies above the objective, as in iteratively reweighted least squares, is
            lowered by any factor below 2, and close to 2 the objective falls several times as fast.
    """
    model = linearise(state)
    losses, growth, idle, reach = [model.loss], 2.0, 0, 1.0
    for _ in counted(range(iterations), "solve"):
        step = reach * damped_step(model, damping)
        predicted = -float(model.gradient @ step + step @ model.curvature @ step / 2)
        trial = move(state, step)
        at_trial = linearise(trial)
        gain = model.loss - at_trial.loss
        if gain > 0:
            idle = idle + 1 if gain < tolerance * abs(model.loss) else 0
            ratio = gain / max(predicted, 1e-300)
            damping, growth = damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2.0
            state, model, reach = trial, at_trial, relaxation if ratio > 1.2 else 1.0
        else:
            damping, growth, reach = damping * growth, growth * 2, 1.0
        losses.append(model.loss)
        if idle >= 2 or damping > 1e8:
            return Solution(state, model, tuple(losses), True)
    return Solution(state, model, tuple(losses), False)


def damped_step(model: Quadratic, damping: float) -> Float64[Tensor, " P"]:
    """The minimum of the quadratic with `damping` times its diagonal added to the curvature."""
    diagonal = model.curvature.diagonal()
    diagonal = diagonal.clamp_min(1e-9 * float(diagonal.max()) + 1e-30)
    factor = torch.linalg.cholesky(model.curvature + torch.diag(damping * diagonal + 1e-9 * diagonal))
    return -torch.cholesky_solve(model.gradient[:, None], factor)[:, 0]


NEAR = 0.06
"""Largest distance that is taken at its word: decoders are trained on distances clamped not far above."""


class NormalisationResidual:
    """How far the shape of a code is from the middle and the size that normalisation gives.

    Without it, a shape that a prior knows badly is explained by a smaller one beside the middle, at another
    scale of the scan: the map from scan to prior is determined only because the shapes are normalised.

    For any point x, a shape reaches at least as far in direction d as x . d - f(x), and from the origin at
    least as far as |x| - f(x), with equality for points straight out from where it reaches farthest. So the
    maximum over a grid of points tells both, and its derivative is that of -f at a single point.

    Args:
        decoder: The signed distance.
        spread: Standard deviation of middle and size, in the normalised frame.
        side: Grid points along each axis.
    """

    def __init__(
        self, decoder: Decoder, spread: float = 0.02, side: int = 24, device: torch.device | str = "cpu"
    ) -> None:
        self.decoder = decoder
        self.spread = spread
        axis = torch.linspace(-1, 1, side, device=device)
        grid = torch.cartesian_prod(axis, axis, axis)
        self.grid: Tensor = grid[grid.norm(dim=1) < 1 + 1 / side]
        self.extent: Tensor = torch.cat([self.grid, -self.grid, self.grid.norm(dim=1, keepdim=True)], dim=1)

    def __call__(self, code: Float[Tensor, " K"]) -> tuple[Float64[Tensor, " 4"], Float64[Tensor, "4 K"]]:
        """Middle (x, y, z) and radius less what they should be, in standard deviations; by the code.

        Zero for codes without a surface on the grid.
        """
        code = code.float()
        with torch.no_grad():
            values = self.decoder(code[None], self.grid[None])[0]
        near = (values.abs() < NEAR).nonzero()[:, 0]
        if len(near) == 0:
            return code.new_zeros(4).double(), code.new_zeros(4, len(code)).double()
        extent, at = (self.extent[near] - values[near, None]).max(dim=0)
        _, by_code, _ = self.decoder.value_and_jacobian(code, self.grid[near[at]])
        middle, middle_by = (extent[:3] - extent[3:6]) / 2, (by_code[3:6] - by_code[:3]) / 2
        offset = torch.cat([middle, extent[6:] - RADIUS]).double()
        return offset / self.spread, torch.cat([middle_by, -by_code[6:]]).double() / self.spread


CELL = 0.1
"""Errors of a decoder look alike over about this length, so points within such a cell count as one."""
POSE_SPREAD = (0.2, 0.2, 0.2, 0.2, 1.0, 0.2, 0.15)
"""Standard deviations of a pose about its guess: shift, turn about x, y (upright) and z in radians, and the
logarithm of the scale. They matter only where the evidence leaves a choice: a scan that a prior explains
badly is otherwise explained best as a small part of something else."""
REACH = 1.2
"""Radius, in units of the scan's, within which empty space is of interest."""


class State(NamedTuple):
    """What is solved for: a code, and the map from the scan to the frame of the prior."""

    code: Float64[Tensor, " K"]
    pose: Similarity


@value_type
class SdfConstraints:
    """Observations as samples of the signed distance, in a frame where the scan has about radius 1.

    Attributes:
        places: Where something is known.
        distances: What is known there: the signed distance, or for empty space its lower bound.
        weights: How many independent observations each stands for.
        empty: Which are samples of empty space.
    """

    places: Float[Tensor, "M 3"]
    distances: Float[Tensor, " M"]
    weights: Float[Tensor, " M"]
    empty: Bool[Tensor, " M"]

    @classmethod
    def of(
        cls, observations: Observations, surface: int, space: int, generator: torch.Generator
    ) -> "SdfConstraints":
        """Samples of observations: points on the surface, beside it along their normals, and in empty space.

        Args:
            observations: In the frame named above.
            surface: Points to take, at most; with normals each gives two more, at +- eta (DeepSDF, 6.3).
            space: Samples of empty space to take, at most.
            generator: Chooses them.
        """
        chosen = torch.randperm(len(observations.points), generator=generator)[:surface].to(
            observations.points.device
        )
        points, eta = observations.points[chosen], max(0.01, 2 * observations.noise)
        places, distances = [points], [torch.zeros_like(points[:, 0])]
        if observations.normals is not None:
            for offset in (eta, -eta):
                places.append(points + offset * observations.normals[chosen])
                distances.append(torch.full_like(points[:, 0], offset))
        free = empty_space(observations, space, generator)
        share = independent(points) / max(len(points), 1) / len(places)
        weights = [torch.full_like(d, share) for d in distances]
        count = sum(len(d) for d in distances)
        weights.append(torch.full_like(free[:, 0], independent(free) / max(len(free), 1)))
        return cls(
            torch.cat([*places, free]),
            torch.cat([*distances, torch.zeros_like(free[:, 0])]),
            torch.cat(weights),
            torch.arange(count + len(free), device=points.device) >= count,
        )


def independent(points: Float[Tensor, "N 3"]) -> int:
    """Cells of side `CELL` in which there are points."""
    return len(torch.unique((points / CELL).floor().long(), dim=0)) if len(points) else 0


def empty_space(observations: Observations, count: int, generator: torch.Generator) -> Float[Tensor, "M 3"]:
    """Random positions on the segments known to be empty, within `REACH` and not quite up to the surface."""
    if observations.empty_from is None or observations.empty_to is None or count == 0:
        return observations.points[:0]
    start, end = observations.empty_from, observations.empty_to
    length = (end - start).norm(dim=1, keepdim=True).clamp_min(1e-12)
    ray = (end - start) / length
    middle = -(start * ray).sum(dim=1)
    half = (REACH**2 - (start.square().sum(dim=1) - middle.square())).clamp_min(0).sqrt()
    first = (middle - half).clamp_min(0)
    last = torch.minimum(middle + half, length[:, 0] - max(0.03, 3 * observations.noise))
    usable = (last > first).nonzero()[:, 0]
    if len(usable) == 0:
        return observations.points[:0]
    random = torch.rand(2, count, generator=generator).to(start)
    pick = usable[(random[0] * len(usable)).long().clamp(max=len(usable) - 1)]
    # Half of the samples crowd towards the surface, where empty space says most about it.
    crowd = torch.arange(count, device=start.device) % 2 == 0
    share = torch.where(crowd, 1 - 0.3 * random[1].square(), random[1])
    return start[pick] + ray[pick] * (first[pick] + (last - first)[pick] * share)[:, None]


class Objective:
    """Negative logarithm of the posterior of code and pose, up to a constant.

    Residuals are distances in the unit of the scan, f(z, T x) / scale(T) - d, so that shrinking the scan to
    a point on the surface explains nothing; empty space counts only where f is negative. They have a
    Cauchy distribution of some width, which forgives strays and what the prior cannot represent. Beyond
    [-1, 1]^3, where decoders are not trained, the distance to that cube is added.

    Args:
        prior: The family of shapes.
        codes: Distribution of codes.
        constraints: What was observed.
        width: Of the Cauchy distribution.
        solve_pose: Whether the pose is unknown. Then `NormalisationResidual` holds the shape in place.
        solve_code: Whether the code is.
        guess: The pose that is most probable beforehand, if it is unknown; how far from it poses are likely
            says `POSE_SPREAD`.
        spread: Standard deviations in place of these.
    """

    def __init__(
        self,
        prior: ShapePrior,
        codes: CodeDistribution,
        constraints: SdfConstraints,
        width: float,
        solve_pose: bool,
        solve_code: bool = True,
        guess: Similarity | None = None,
        spread: tuple[float, ...] = POSE_SPREAD,
    ) -> None:
        self.prior = prior
        self.codes = codes
        self.constraints = constraints
        self.width = width
        self.solve_pose = solve_pose
        self.solve_code = solve_code
        self.guess: Similarity | None = guess if solve_pose else None
        self.spread = spread
        self.normalisation: NormalisationResidual | None = (
            NormalisationResidual(prior.decoder, device=prior.codes.device)
            if solve_pose and solve_code
            else None
        )

    def solve(self, state: State, iterations: int) -> Solution[State]:
        """Levenberg-Marquardt from a state."""
        return levenberg_marquardt(self.linearise, self.move, state, iterations, damping=1e-2, tolerance=1e-3)

    def move(self, state: State, step: Float64[Tensor, " P"]) -> State:
        """The state after a step: code first, then the seven numbers of the pose, as far as solved for."""
        size = len(state.code) * self.solve_code
        code = state.code + step[:size] if size else state.code
        return State(code, moved_pose(state.pose, step[size:]) if self.solve_pose else state.pose)

    def residuals(self, state: State) -> tuple[Tensor, Tensor]:
        """Residuals in the unit of the evidence and their derivatives, a column per solved number."""
        places = state.pose.apply(self.constraints.places)
        inside = places.clamp(-1, 1)
        beyond = places - inside
        away = beyond.norm(dim=1)
        values, by_code, by_point = self.prior.decoder.value_and_jacobian(state.code.float(), inside)
        by_point = by_point * (beyond == 0) + beyond / away.clamp_min(1e-12)[:, None]
        values = values + away
        columns = [by_code] if self.solve_code else []
        if self.solve_pose:
            change = by_move(places, by_point)
            change[:, 6] -= values
            columns.append(change)
        residual = values / state.pose.scale - self.constraints.distances
        counts = ~self.constraints.empty | (residual < 0)
        return residual * counts, torch.cat(columns, dim=1) * (counts / state.pose.scale)[:, None]

    def linearise(self, state: State) -> Quadratic:
        """The objective and its majorising quadratic."""
        residual, jacobian = self.residuals(state)
        ratio = (residual / self.width).square()
        weight = self.constraints.weights / (1 + ratio) / self.width**2
        gradient = (jacobian.T @ (weight * residual)).double()
        curvature = ((jacobian * weight[:, None]).T @ jacobian).double()
        loss = float((self.constraints.weights.double() * ratio.double().log1p()).sum()) / 2
        loss += self.codes.distance(state.code) / 2
        size = len(state.code)
        if self.solve_code:
            gradient[:size] += self.codes.precision @ (state.code - self.codes.mean)
            curvature[:size, :size] += self.codes.precision
        if self.normalisation is not None:
            offset, by_code = self.normalisation(state.code)
            loss += float(offset.square().sum()) / 2
            gradient[:size] += by_code.T @ offset
            curvature[:size, :size] += by_code.T @ by_code
        if self.guess is not None:
            offset = pose_difference(self.guess, state.pose).to(gradient.device)
            pull = 1 / torch.tensor(self.spread, dtype=torch.float64, device=gradient.device).square()
            loss += float((offset.square() * pull).sum()) / 2
            gradient[-7:] += pull * offset
            curvature[-7:, -7:] += torch.diag(pull)
        return Quadratic(loss, gradient, curvature)

    def loss_of(self, codes: Float[Tensor, "S K"], pose: Similarity) -> Float[Tensor, " S"]:
        """The objective for many codes at once, at one pose."""
        places = pose.apply(self.constraints.places)
        inside = places.clamp(-1, 1)
        away = (places - inside).norm(dim=1)
        losses = []
        with torch.no_grad():
            for code in codes:
                values = self.prior.decoder(code[None], inside[None])[0] + away
                residual = values / pose.scale - self.constraints.distances
                residual = torch.where(self.constraints.empty, residual.clamp(max=0), residual)
                terms = self.constraints.weights * (residual / self.width).square().log1p()
                losses.append(float(terms.sum()) / 2 + self.codes.distance(code) / 2)
        return torch.tensor(losses, dtype=codes.dtype)

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
        gradient: Its gradient (for a robust loss that of the majorising quadratic, which is the same).
        curvature: Gauss-Newton or majorising second derivative, positive semi-definite.
    """

    loss: float
    gradient: Float64[Tensor, " P"]
    curvature: Float64[Tensor, "P P"]


@dataclass(frozen=True)
class Solution(Generic[S]):
    """Result of Levenberg-Marquardt.

    Attributes:
        state: The best state found.
        model: The quadratic model of the objective at this state.
        losses: The objective at the start and after every iteration; it never increases.
        converged: Whether it stopped because further gains were below the tolerance.
    """

    state: S
    model: Quadratic
    losses: tuple[float, ...]
    converged: bool

    @property
    def iterations(self) -> int:
        """Number of iterations, each of which evaluates objective and derivatives once."""
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

    Damping is relative to the diagonal of the curvature and is adapted by the ratio of actual to predicted gain
    (Nielsen 1999, "Damping parameter in Marquardt's method"). Derivatives are computed at every trial step,
    since nearly all trial steps are accepted.

    Source: Levenberg 1944, the damped step.

    Source: Marquardt 1963, damping relative to the curvature.

    Source: Nielsen 1999, how damping changes.

    Args:
        linearise: Function from a state to the quadratic model of the objective there.
        move: Function from a state and a step to the new state.
        state: Initial state.
        iterations: Largest number of trial steps.
        damping: Initial damping.
        tolerance: Stop when two successive accepted steps gain less than this fraction of the objective.
        relaxation: Factor on the step to the minimum of the model, used after a step that gained more than
            predicted. If the model is an upper bound of the objective, as in iteratively reweighted least
            squares, any factor below 2 lowers the objective, and factors close to 2 lower it several times as
            fast.
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
    """The step to the minimum of the quadratic, with `damping` times its diagonal added to the curvature."""
    diagonal = model.curvature.diagonal()
    diagonal = diagonal.clamp_min(1e-9 * float(diagonal.max()) + 1e-30)
    factor = torch.linalg.cholesky(model.curvature + torch.diag(damping * diagonal + 1e-9 * diagonal))
    return -torch.cholesky_solve(model.gradient[:, None], factor)[:, 0]


NEAR = 0.06
"""Largest distance that is taken as exact, since decoders are trained on distances clamped slightly above
it."""


class NormalisationResidual:
    """Residual of centre and radius of the shape of a code: their difference from those of a normalised shape.

    The map from scan to prior is determined only because shapes are normalised. Without this residual, a shape
    that a prior represents badly is explained by a smaller one off the centre, at another scale of the scan.
    For any point x, the extent of a shape in direction d is at least x . d - f(x), and its radius is at least
    |x| - f(x), with equality for points straight outward from the extremal point. So the maximum over a grid of
    points gives both, and its derivative is that of -f at a single point.

    Args:
        decoder: The signed distance.
        spread: Standard deviation of centre and radius, in the normalised frame.
        side: Number of grid points along each axis.
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
        """Residuals of centre (x, y, z) and radius in standard deviations, and their derivatives by the code.

        Both are zero for codes without a surface on the grid.
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
"""Correlation length of the errors of a decoder, in the normalised frame; points within a cell of this size
count as one observation."""
POSE_SPREAD = (0.2, 0.2, 0.2, 0.2, 1.0, 0.2, 0.15)
"""Standard deviations of a pose from its guess: shift along three axes, rotation about x, y (upright) and z in
radians, and logarithm of the scale. They matter only where observations are ambiguous: without them, a scan
that a prior explains badly is explained best as a small part of another shape."""
REACH = 1.2
"""Radius within which empty space is sampled, in radii of the scan."""


class State(NamedTuple):
    """The unknowns: a code, and the similarity from the scan to the frame of the prior."""

    code: Float64[Tensor, " K"]
    pose: Similarity


@value_type
class SdfConstraints:
    """Observations as samples of the signed distance, in a frame in which the scan has radius about 1.

    Attributes:
        places: Positions of the samples.
        distances: Signed distance at each sample; for empty space its lower bound.
        weights: Number of independent observations that each sample counts as.
        empty: Whether a sample is one of empty space.
    """

    places: Float[Tensor, "M 3"]
    distances: Float[Tensor, " M"]
    weights: Float[Tensor, " M"]
    empty: Bool[Tensor, " M"]

    @classmethod
    def of(
        cls, observations: Observations, surface: int, space: int, generator: torch.Generator
    ) -> "SdfConstraints":
        """Sample observations: points on the surface, points offset along normals, and points in empty space.

        Args:
            observations: Observations in a frame in which the scan has radius about 1.
            surface: Largest number of surface points; with normals each gives two more samples, at +- eta
                (DeepSDF, section 6.3).
            space: Largest number of samples of empty space.
            generator: Source of randomness.
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
    """Number of cells of side `CELL` that contain points."""
    return len(torch.unique((points / CELL).floor().long(), dim=0)) if len(points) else 0


def empty_space(observations: Observations, count: int, generator: torch.Generator) -> Float[Tensor, "M 3"]:
    """Random positions on segments known to be empty, within radius `REACH` and slightly away from the
    surface."""
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
    # Half of the samples are dense near the surface, where empty space is most informative.
    crowd = torch.arange(count, device=start.device) % 2 == 0
    share = torch.where(crowd, 1 - 0.3 * random[1].square(), random[1])
    return start[pick] + ray[pick] * (first[pick] + (last - first)[pick] * share)[:, None]


class Objective:
    """Negative logarithm of the posterior of code and pose given a scan, up to a constant.

    Residuals are distances in the unit of the scan, f(z, T x) / scale(T) - d, so that shrinking the scan to a
    point on the surface does not lower them. In empty space, only negative residuals count. Residuals
    have a Cauchy distribution, which tolerates outliers and details that the prior cannot represent. Outside of
    [-1, 1]^3, where decoders are not trained, the distance to that cube is added.

    Args:
        prior: The family of shapes.
        codes: Prior distribution of codes.
        constraints: Samples of the observations.
        width: Scale of the Cauchy distribution, in the unit of the scan.
        solve_pose: Whether the pose is unknown. If pose and code are unknown, `NormalisationResidual` is added.
        solve_code: Whether the code is unknown.
        guess: Mean of the prior distribution of the pose, if it is unknown; None for no such prior.
        spread: Standard deviations of the pose from the guess, see `POSE_SPREAD`.
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
        """Minimise the objective by Levenberg-Marquardt from a state."""
        return levenberg_marquardt(self.linearise, self.move, state, iterations, damping=1e-2, tolerance=1e-3)

    def move(self, state: State, step: Float64[Tensor, " P"]) -> State:
        """The state after a step: change of the code, then the seven numbers of the pose, those that are
        unknown."""
        size = len(state.code) * self.solve_code
        code = state.code + step[:size] if size else state.code
        return State(code, moved_pose(state.pose, step[size:]) if self.solve_pose else state.pose)

    def residuals(self, state: State) -> tuple[Tensor, Tensor]:
        """Residuals in the unit of the scan and their derivatives, with one column per unknown."""
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

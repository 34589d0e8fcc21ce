"""The most probable code for known signed distances (maximum a posteriori, DeepSDF section 4.2)."""

import math
import time
from typing import Literal

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ..errors import InputError
from ..steps import counted
from ..values import value_type
from .losses import clamped_l1
from .objective import Quadratic, levenberg_marquardt
from .prior import CodeDistribution, ShapePrior

Regulariser = Literal["codes", "isotropic"]
PENALTY = 1e-4
TOLERANCE, RELAXATION = 2e-6, 1.9
"""Relative tolerance and step factor of Levenberg-Marquardt on reweighted least squares."""


@value_type
class CodeFit:
    """Result of fitting a code to signed distances.

    Attributes:
        code: The most probable code.
        covariance: Covariance of the posterior near the code (Laplace's approximation); None for the method
            `adam`.
        losses: Loss at the start and after every iteration; for `adam` the loss of every step before its
            update, on its samples.
        iterations: Number of iterations.
        seconds: Duration in seconds.
    """

    code: Float[Tensor, " K"]
    covariance: Float64[Tensor, "K K"] | None
    losses: tuple[float, ...]
    iterations: int
    seconds: float


def fit_code(
    prior: ShapePrior,
    points: Float[Tensor, "N 3"],
    distances: Float[Tensor, " N"],
    method: Literal["second_order", "adam"] = "second_order",
    regulariser: Regulariser = "codes",
    iterations: int | None = None,
    samples: int = 8000,
    seed: int = 0,
) -> CodeFit:
    """Find the code whose shape has given signed distances (maximum a posteriori).

    With r_j = clamp(f(z, x_j)) - clamp(s_j), the published objective is mean|r| + 1e-4 mean(z^2). The default
    is

        n log mean|r| + (z - m)^T C^-1 (z - m) / 2

    where the scale of the errors is unknown, n is the number of samples within the clamp, and m and C are mean
    and covariance of the training codes. Each second-order step is 1.9 times as long as the step to the minimum
    of a weighted least-squares problem that touches the objective from above (`ClampedL1`).

    Source: Park et al. 2019, section 4.2, equation 10. Differs: second-order steps, the Gaussian of the
    training codes as prior, and a scale of the errors that is found as well; `method="adam"` with
    `regulariser="isotropic"` is what was released.

    Args:
        prior: The family of shapes.
        points: Positions in the normalised frame of the prior.
        distances: Signed distances of the points, negative inside.
        method: `second_order` is Levenberg-Marquardt on the code, with the Jacobian of all samples at once,
            reweighted so that it minimises the L1 objective. `adam` is the released method: a start from N(0,
            0.01^2), 800 steps with 8,000 new random samples each, step size 5e-3 and a tenth of it after half
            of the steps.
        regulariser: `codes` makes the second-order fit a maximum a posteriori estimate: errors have Laplace's
            distribution, whose scale is found as well (n log mean|r|), and codes that of the training shapes.
            `isotropic` minimises the published mean|r| + 1e-4 mean(z^2), as Adam always does.
        iterations: Number of iterations; None takes 15 (`second_order`) or 800 (`adam`).
        samples: Number of samples that are used at a time, half of them inside if there are enough.
        seed: Seed of the choice of samples.

    Raises:
        InputError: The shapes of points and distances do not match, they are empty, or they are not finite.
    """
    check_samples(points, distances)
    start = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    device = prior.codes.device
    points, distances = points.to(device), distances.to(device)
    if method == "adam":
        code, losses = _adam(prior, points, distances, iterations or 800, samples, generator)
        return CodeFit(code, None, losses, len(losses), time.perf_counter() - start)
    chosen = balanced(distances, samples, generator)
    objective = _KnownPose(prior, points[chosen], distances[chosen], regulariser)
    solution = levenberg_marquardt(
        objective.linearise,
        torch.add,
        objective.errors.codes.mean,
        iterations or 15,
        tolerance=TOLERANCE,
        relaxation=RELAXATION,
    )
    return CodeFit(
        solution.state.float(),
        objective.covariance(solution.state),
        solution.losses,
        solution.iterations,
        time.perf_counter() - start,
    )


def check_samples(points: Tensor, distances: Tensor) -> None:
    """Raise an error for samples that no code can be fitted to.

    Raises:
        InputError: The shapes of points and distances do not match, they are empty, or they are not finite.
    """
    if points.ndim != 2 or points.shape[1] != 3 or distances.shape != points.shape[:1] or len(points) == 0:
        raise InputError(
            f"a fit needs points (N, 3) and N distances, got {tuple(points.shape)} and {tuple(distances.shape)}"
        )
    bad = int((~torch.isfinite(points)).any(dim=1).sum() + (~torch.isfinite(distances)).sum())
    if bad:
        raise InputError(f"{bad} samples have NaN or infinite numbers; drop them before the fit")


def balanced(distances: Float[Tensor, " N"], count: int, generator: torch.Generator) -> Int64[Tensor, " M"]:
    """Positions of `count` different samples, half inside and half outside if there are enough of both."""
    inside = (distances < 0).nonzero()[:, 0]
    outside = (distances >= 0).nonzero()[:, 0]
    half = min(count // 2, len(inside))
    rest = min(count - half, len(outside))
    half = min(count - rest, len(inside))
    picks = [
        group[torch.randperm(len(group), generator=generator)[:size].to(group.device)]
        for group, size in ((inside, half), (outside, rest))
    ]
    return torch.cat(picks)


def published_fit_loss(
    prior: ShapePrior, code: Float[Tensor, " K"], points: Float[Tensor, "N 3"], distances: Float[Tensor, " N"]
) -> Float[Tensor, ""]:
    """The released loss of a code, differentiable: mean clamped L1 error + 1e-4 mean(z^2).

    The clamp is that of the prior's training.

    Source: Park et al. 2019, equation 10, as released.
    """
    found = prior.decoder(code[None], points[None])[0]
    misfit = clamped_l1(found, distances, prior.clamp).mean()
    return misfit + PENALTY * code.square().mean()


def _adam(
    prior: ShapePrior,
    points: Tensor,
    distances: Tensor,
    steps: int,
    samples: int,
    generator: torch.Generator,
) -> tuple[Tensor, tuple[float, ...]]:
    device = points.device
    code = (0.01 * torch.randn(prior.codes.shape[1], generator=generator)).to(device).requires_grad_()
    optimizer = torch.optim.Adam([code], lr=5e-3)
    losses = []
    for step in counted(range(steps), "fit"):
        optimizer.param_groups[0]["lr"] = 5e-3 if step < steps // 2 else 5e-4
        chosen = balanced(distances, samples, generator)
        loss = published_fit_loss(prior, code, points[chosen], distances[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return code.detach(), tuple(losses)


class ClampedL1:
    """Clamped L1 with a Gaussian penalty of the code, as iteratively reweighted least squares.

    |r| is at most r^2 / (2 w) + w / 2 with w = |r'|, and both are equal at the current residual r', so that
    every quadratic solve lowers the L1 objective. w is at least a fraction of the median residual, since
    residuals may vanish. A large fraction gives longer steps and a small one the exact minimum, so the fraction
    decreases.

    Args:
        prior: The family of shapes.
        distances: Known signed distances; those within the clamp count as observations.
        regulariser: See `fit_code`.
    """

    FLOOR, SHRINK, LEAST_FLOOR = 3.0, 0.5, 0.01

    def __init__(
        self, prior: ShapePrior, distances: Float[Tensor, " N"], regulariser: Regulariser = "codes"
    ) -> None:
        self.clamp: float = prior.clamp
        self.codes: CodeDistribution = CodeDistribution.of(prior.codes)
        self.likelihood: bool = regulariser == "codes"
        size = len(self.codes.mean)
        # |z|^2 / (2 std^2) = 1e-4 mean(z^2)
        std = (size / (2 * PENALTY)) ** 0.5
        self.penalty: CodeDistribution = (
            self.codes if self.likelihood else CodeDistribution.isotropic(size, std, prior.codes.device)
        )
        self.floor: float = self.FLOOR
        self.unclamped: int = max(int((distances.abs() < self.clamp).sum()), 1)

    def quadratic(
        self,
        code: Float64[Tensor, " K"],
        values: Float[Tensor, " N"],
        distances: Float[Tensor, " N"],
        jacobian: Float[Tensor, "N P"],
    ) -> Quadratic:
        """The quadratic model of the objective near a code and other unknowns.

        Args:
            code: The current code.
            values: Distances that the decoder predicts.
            distances: Known distances.
            jacobian: Jacobian of the difference; the columns of the code come first.
        """
        residual = values.clamp(-self.clamp, self.clamp) - distances.clamp(-self.clamp, self.clamp)
        size = residual.abs()
        free = values.abs() < self.clamp
        floor = max(self.floor * float(size[free].median()), 1e-7) if bool(free.any()) else 1.0
        self.floor = max(self.floor * self.SHRINK, self.LEAST_FLOOR)
        weight = free / size.clamp_min(floor) / len(size)
        curvature = ((jacobian * weight[:, None]).T @ jacobian).double()
        gradient = (jacobian.T @ (weight * residual)).double()
        loss, share = float(size.double().mean()), 1.0
        if self.likelihood:  # n log mean|r|, with n the number of samples within the clamp
            loss += 1e-7
            curvature, gradient = curvature / loss, gradient / loss
            loss, share = math.log(loss), 1 / self.unclamped
        offset, penalty = code - self.penalty.mean, share * self.penalty.precision
        loss += float(offset @ penalty @ offset) / 2
        gradient[: len(code)] += penalty @ offset
        curvature[: len(code), : len(code)] += penalty
        return Quadratic(loss, gradient, curvature)


class _KnownPose:
    """The objective as a function of the code alone."""

    def __init__(
        self, prior: ShapePrior, points: Tensor, distances: Tensor, regulariser: Regulariser
    ) -> None:
        self.prior, self.points, self.distances = prior, points, distances
        self.errors = ClampedL1(prior, distances, regulariser)

    def linearise(self, code: Float64[Tensor, " K"]) -> Quadratic:
        values, by_code, _ = self.prior.decoder.value_and_jacobian(code.float(), self.points)
        return self.errors.quadratic(code, values, self.distances, by_code)

    def covariance(self, code: Float64[Tensor, " K"]) -> Float64[Tensor, "K K"]:
        """Covariance of the posterior: least absolute deviations, with the Gaussian of training codes as prior.

        An L1 estimate has the variance (J^T J)^-1 / (4 p^2), p the density of the errors at 0 (Bassett,
        Koenker 1978, "Asymptotic theory of least absolute error regression"), for any distribution of errors.
        Errors are taken as independent, which those of a network are not, so the covariance is too small.

        Source: Bassett and Koenker 1978, the covariance of a median.
        """
        values, by_code, _ = self.prior.decoder.value_and_jacobian(code.float(), self.points)
        seen = values.abs() < self.prior.clamp
        target = self.distances.clamp(-self.prior.clamp, self.prior.clamp)
        size = (values - target).abs()[seen]
        by_code = by_code[seen].double()
        width = max(float(size.median()) / 2, 1e-7) if len(size) else 1.0
        density = float((size < width).double().mean()) / (2 * width) if len(size) else 0.0
        return torch.linalg.inv(4 * density**2 * by_code.T @ by_code + self.errors.codes.precision)

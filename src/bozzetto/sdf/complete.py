"""Completion of partial scans to whole shapes, in the frame and unit of the scan."""

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ..errors import InputError
from ..shapes import Mesh, Similarity
from ..shapes.similarity import compose_poses
from ..steps import counted
from ..values import value_type
from .completed_surface import scan_misfit, support
from .observations import Observations, Scan, as_observations, require_extent
from .prior import ShapePrior
from .released import as_prior
from .solver import CompleteConfig, CompletionSolver, Solved, family_width, require_member

OBSERVED, INVENTED = (0.80, 0.58, 0.42), (0.34, 0.46, 0.66)


@value_type
class Completion:
    """Result of a completion.

    Attributes:
        mesh: The whole shape in the frame and unit of the scan; colours distinguish observed from completed
            parts.
        observed: Whether each vertex is supported by an observation, within noise and point spacing, see
            `support`.
        distance: Distance of each vertex to the nearest observation, in the unit of the scan.
        code: Code of the shape.
        covariance: Covariance of the code given the scan (Laplace's approximation, pose marginalised).
        pose: Similarity from the scan to the normalised frame of the prior.
        hypotheses: Further shapes, sampled from the posterior given the scan.
        metrics: Residuals in the unit of the scan, and statistics of the solver.
    """

    mesh: Mesh
    observed: Bool[Tensor, " V"]
    distance: Float[Tensor, " V"]
    code: Float[Tensor, " K"]
    covariance: Float64[Tensor, "K K"]
    pose: Similarity
    hypotheses: tuple[Mesh, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)


def complete(
    scan: Scan,
    prior: ShapePrior | str = "bodies",
    config: CompleteConfig | None = None,
    starts: Sequence[Similarity] | None = None,
    name: str = "the scan",
) -> Completion:
    """Complete a partial scan: find the most probable shape of a family that explains it.

    Code and pose are solved for together by Levenberg-Marquardt, from several starts and from coarse to fine
    in the width of the error distribution. Then the surface is corrected by a smooth field so that it passes
    through the observed points within their noise.

    Source: Park et al. 2019, section 6.3, completion. Differs: place, direction and scale of the scan are
    solved for with the code, by second-order steps.

    Args:
        scan: Points on the surface: a cloud, a mesh with holes, the path of a file, or `Observations`.
        prior: The family of shapes: a prior, or a name or path for `open_prior`.
        config: Settings; None takes the defaults of `CompleteConfig`.
        starts: Initial similarities from the scan to the normalised frame, instead of directions around `up`.
            With a known pose, that similarity; None takes the identity.
        name: Name of the scan in messages.

    Raises:
        InputError: There are too few points, the points do not lie in the prior's frame although the pose is
            known, or the scan is not a member of the prior's family (see `family_width` and
            `CompleteConfig.any_shape`).
    """
    config, prior = config or CompleteConfig(), as_prior(prior)
    observations = as_observations(scan, name)
    solver, solved = solve_scan(observations, prior, config, starts)
    require_explained(prior, solved, config, name)
    mesh = solver.surface(solved.state)
    generator = torch.Generator().manual_seed(config.seed + 1)
    others = [
        solver.surface(solver.alternative(solved, generator))
        for _ in counted(range(config.hypotheses), "hypotheses")
    ]
    distance, observed = support(mesh, observations)
    colors = torch.where(observed.cpu()[:, None], torch.tensor(OBSERVED), torch.tensor(INVENTED))
    size = len(solver.codes.mean)
    return Completion(
        Mesh(mesh.vertices, mesh.faces, colors.to(mesh.vertices), observations.offset),
        observed,
        distance,
        solved.state.code.float(),
        torch.linalg.inv(solved.curvature)[:size, :size],
        _from_world(compose_poses(solved.state.pose, solver.to_internal), observations),
        tuple(replace(other, offset=observations.offset) for other in others),
        {
            **solved.metrics,
            **scan_misfit(mesh, observations),
            "observed_share": float(observed.double().mean()),
        },
    )


def find_code(
    scan: Scan,
    prior: ShapePrior | str = "bodies",
    config: CompleteConfig | None = None,
    starts: Sequence[Similarity] | None = None,
    name: str = "the scan",
) -> tuple[Float[Tensor, " K"], Similarity]:
    """Find the code of the most probable shape and the pose, as `complete` does, without extracting a mesh.

    The pose is the similarity from the scan to the normalised frame. Arguments and errors are those of
    `complete`.
    """
    config, prior = config or CompleteConfig(), as_prior(prior)
    observations = as_observations(scan, name)
    solver, solved = solve_scan(observations, prior, config, starts)
    require_explained(prior, solved, config, name)
    return solved.state.code.float(), _from_world(
        compose_poses(solved.state.pose, solver.to_internal), observations
    )


def solve_scan(
    observations: Observations,
    prior: ShapePrior,
    config: CompleteConfig,
    starts: Sequence[Similarity] | None = None,
) -> tuple[CompletionSolver, Solved]:
    """Find the code and pose that explain a scan best; a bad fit is no error. For the arguments see
    `complete`."""
    require_extent(observations.points, "the scan")
    solver = CompletionSolver(prior, observations, config)
    if config.pose == "known":
        starts = starts or [Similarity(1.0, torch.zeros(3, dtype=torch.float64))]
    if starts:
        to_world = Similarity(1.0, torch.tensor(observations.offset, dtype=torch.float64))
        starts = [compose_poses(start, to_world) for start in starts]
        if config.pose == "known":
            require_normalised(starts[0].apply(observations.points.double()))
    return solver, solver.solve(starts or solver.standing())


def require_explained(prior: ShapePrior, solved: Solved, config: CompleteConfig, name: str) -> None:
    """Raise an error if a prior explains a scan badly.

    Raises:
        InputError: The scan is not a member of the prior's family, and `config.any_shape` is False.
    """
    width = solved.metrics["family_width"] = family_width(prior)
    advice = "let the pose be solved, " if config.pose == "known" else "say which axis points up with --up, "
    require_member(solved.metrics["misfit"], width, config.any_shape, advice, name)


def _from_world(pose: Similarity, observations: Observations) -> Similarity:
    """Convert a pose that takes positions relative to the offset of observations to one that takes world
    positions."""
    return compose_poses(pose, Similarity(1.0, -torch.tensor(observations.offset, dtype=torch.float64)))


def require_normalised(points: Float[Tensor, "P 3"]) -> None:
    """Raise an error for points that cannot belong to a shape in the normalised frame.

    Raises:
        InputError: Fewer than half of the points lie in the unit sphere, or the points extend over less than a
            hundredth of it.
    """
    inside = float((points.norm(dim=1) < 1.1).double().mean())
    size = float((points.amax(dim=0) - points.amin(dim=0)).max())
    if inside < 0.5 or size < 0.02:
        raise InputError(
            "with a known pose the scan must lie in the prior's frame, a sphere of radius 1 around the origin, "
            f"but it is {size:.3g} wide and {100 * inside:.0f} % of it lies there; "
            "give the right pose and unit, or let the pose be solved"
        )

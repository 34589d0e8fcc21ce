"""The code of the shape in a file: of a mesh from its signed distance, of a scan by completing it."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import warn_input
from ..shapes import Mesh, Similarity, load_shape, sample_surface
from ..shapes.offsets import NO_OFFSET
from ..steps import counted
from .complete import require_explained, solve_scan
from .data import SdfSamples
from .evidence import Evidence, Objective, State, independent
from .family import family_width, misfit, require_member
from .fit import Fit, fit_code
from .observations import Observations, holds_depth, load_scan, observe_mesh
from .pose import compose, rotation_of, turned_starts
from .prepare import DOUBTFUL
from .prepare_shape import prepare_shape, shape_normalisation
from .prior import CodeDistribution, ShapePrior
from .solver import WIDTHS, CompleteConfig

SAMPLES, SURFACE = 20_000, 2000
"""Of the signed distance, of which `fit_code` takes some, and points that tell how well a code fits."""
TRIAL_ITERATIONS, TRIAL_SAMPLES = 4, 1500
"""Of the fits that tell which way a mesh faces."""
NEAR, ITERATIONS, REFINEMENTS = 3000, 15, 3
"""Samples near the surface, and steps, when code and pose are solved for together, and how often at most."""


@dataclass(frozen=True)
class ShapeFit:
    """The code of a given shape.

    Attributes:
        code: Of the shape of the prior that is nearest to it.
        misfit: Median distance of its surface from that shape's, in radii; of a scan beyond its noise.
    """

    code: Float[Tensor, " K"]
    misfit: float


def fit_file(prior: ShapePrior, path: str | os.PathLike, config: CompleteConfig | None = None) -> ShapeFit:
    """The code of the shape in a file.

    A mesh is fitted by its signed distance, as in training, see `fit_mesh`; of a cloud or a depth map the most
    probable completion is taken.

    Args:
        prior: The family of shapes.
        path: A mesh, or a scan, see `load_scan`.
        config: Which axis points up, in how many directions the shape may face, and whether it may be no member
            of the family.

    Raises:
        InputError: The file cannot be read, or its shape is no member of the prior's family.
    """
    config, path = config or CompleteConfig(), Path(path)
    shape = None if holds_depth(path) else load_shape(path)
    if isinstance(shape, Mesh):
        return fit_mesh(prior, shape, config, str(path))
    return _fit_scan(prior, load_scan(path), config, str(path))


def fit_mesh(
    prior: ShapePrior, mesh: Mesh, config: CompleteConfig | None = None, name: str = "the mesh"
) -> ShapeFit:
    """The code of a mesh, whichever way it faces.

    It is stood upright and turned around; short fits to its signed distance tell which of these directions is
    nearest to the prior's, and a full one follows. From there code and pose are solved for together, and the
    fit is repeated in the direction found, as long as it is better there. Open meshes, whose inside is
    doubtful, are scans.

    Args:
        prior: The family of shapes.
        mesh: The shape, in any frame and unit.
        config: As of `fit_file`.
        name: What messages call it.

    Raises:
        InputError: The mesh is broken, encloses nothing, or is no member of the prior's family.
    """
    config = config or CompleteConfig()
    solid = _Solid(prior, mesh, config.seed)
    if solid.ambiguity > DOUBTFUL:
        warn_input(f"{name} is open, so that its inside is doubtful; it is completed as a scan")
        return _fit_scan(prior, observe_mesh(mesh, name=name), config, name)
    turns = turned_starts(config.up, config.turns)
    trials = [
        solid.fit(turn, TRIAL_ITERATIONS, TRIAL_SAMPLES).losses[-1] for turn in counted(turns, "directions")
    ]
    turn = turns[trials.index(min(trials))]
    best = solid.fitted(turn)
    for _ in counted(range(REFINEMENTS), "refine"):
        turn = solid.direction(best.code, turn)
        refined = solid.fitted(turn)
        if refined.misfit >= best.misfit:
            break
        best = refined
    width = family_width(prior)
    require_member(best.misfit, width, config.any_shape, "say which axis points up with --up, ", name)
    return best


class _Solid:
    """A mesh with its signed distance, to be fitted in any direction."""

    def __init__(self, prior: ShapePrior, mesh: Mesh, seed: int) -> None:
        self.prior, self.seed = prior, seed
        self.mesh = replace(mesh, offset=NO_OFFSET).to("cpu")
        generator = torch.Generator().manual_seed(seed)
        prepared = prepare_shape(self.mesh, SAMPLES, generator)
        self.ambiguity = prepared.ambiguity
        back = prepared.normalisation.inverse()
        self.points = back.apply(prepared.samples.points.double())
        self.distances = prepared.samples.distances.double() * back.scale
        self.surface = sample_surface(self.mesh, SURFACE, generator)[0].double()

    def samples(self, turn: Float64[Tensor, "3 3"]) -> SdfSamples:
        """The signed distance of the mesh in a direction, where decoders know it."""
        pose = self.pose(turn)
        points, distances = pose.apply(self.points).float(), (self.distances * pose.scale).float()
        within = points.abs().amax(dim=1) <= 1
        return SdfSamples(points[within], distances[within])

    def fit(self, turn: Float64[Tensor, "3 3"], iterations: int | None = None, samples: int = 8000) -> Fit:
        """The code of the mesh in a direction."""
        known = self.samples(turn)
        return fit_code(
            self.prior,
            known.points,
            known.distances,
            iterations=iterations,
            samples=samples,
            seed=self.seed,
        )

    def direction(self, code: Float[Tensor, " K"], turn: Float64[Tensor, "3 3"]) -> Float64[Tensor, "3 3"]:
        """A better direction near one, from a solution for code and pose."""
        known, device = self.samples(turn), code.device
        near = (known.distances.abs() < self.prior.clamp).nonzero()[:NEAR, 0]
        places, distances = known.points[near].to(device), known.distances[near].to(device)
        weight = independent(places) / max(len(places), 1)
        evidence = Evidence(places, distances, torch.full_like(distances, weight), distances != distances)
        codes, still = CodeDistribution.of(self.prior.codes), Similarity(1.0, torch.zeros(3).double())
        objective = Objective(self.prior, codes, evidence, WIDTHS[1], solve_pose=True, guess=still)
        return rotation_of(objective.solve(State(code.double(), still), ITERATIONS).state.pose) @ turn

    def fitted(self, turn: Float64[Tensor, "3 3"]) -> ShapeFit:
        """The code, and how far the surface of the mesh is from that of the code."""
        code = self.fit(turn).code
        surface = self.pose(turn).apply(self.surface).float().to(code.device)
        with torch.no_grad():
            return ShapeFit(code, misfit(self.prior.decoder(code[None], surface[None])[0], 0.0))

    def pose(self, turn: Float64[Tensor, "3 3"]) -> Similarity:
        """The mesh turned, then normalised as training shapes are."""
        rotation = Similarity(1.0, torch.zeros(3, dtype=torch.float64), turn)
        turned = self.mesh.with_vertices(rotation.apply(self.mesh.vertices.double()).float())
        return compose(shape_normalisation(turned), rotation)


def _fit_scan(prior: ShapePrior, seen: Observations, config: CompleteConfig, name: str) -> ShapeFit:
    _, solved = solve_scan(prior, seen, config)
    require_explained(prior, solved, config, name)
    return ShapeFit(solved.state.code.float(), solved.figures["misfit"])

"""Settings of the inverse engine. This file imports nothing heavy: the command line reads it for its help."""

from dataclasses import dataclass, replace
from typing import Literal

OptimizerName = Literal["adam_uniform", "vector_adam", "adam", "momentum", "gradient_descent"]
Regularizer = Literal["none", "laplacian", "bilaplacian"]


@dataclass(frozen=True)
class ContinuousRemeshing:
    """How a surface is remeshed all the time while it is optimised, after Palfinger 2022.

    Triangles shrink from coarse to fine. The moments of the optimiser are kept, and no faces cross that did not
    at the start.
    """

    last_edge: float
    """Target edge length at the end. Two to three pixels hold what pictures show."""
    first_edge: float = 0.2
    """Target edge length at the beginning."""
    decline: float = 0.6
    """Fraction of the budget in which the edge length falls, by the same factor in every step."""
    every: int = 8
    """Steps between remeshings."""
    smoothing: float = 0.05
    """Weight of the pull of every vertex towards the mean of its neighbours, beside the gradient of the
    pictures; it moves what no picture shows. Few pictures need more, 0.1; thin shapes vanish under large
    weights. See `NeighbourPull`."""

    def edge(self, progress: float) -> float:
        """Target edge length when a fraction of the budget is spent."""
        fallen = min(1.0, progress / self.decline) if self.decline > 0 else 1.0
        return self.first_edge * (self.last_edge / self.first_edge) ** fallen


@dataclass(frozen=True)
class OptimizeConfig:
    """How a mesh is optimised against images. Lengths are in units of the normalised scene (radius 1)."""

    steps: int = 500
    """Largest number of optimisation steps."""
    seconds: float = float("inf")
    """Largest time in seconds spent in steps; the optimisation ends when this or `steps` is used up."""
    step_size: float = 0.2
    """Step size at the beginning, in u. Where the surface is smooth, vertices move by up to this length in a
    step; details move less, the more so the larger lambda is. The paper takes 2e-3 to 1e-1 and several thousand
    steps."""
    final_step_size: float = 0.02
    """Step size at the end as a fraction of the first. It falls linearly in between, so that a large first step
    size does no harm. 1 keeps it constant, as in the paper."""
    smoothness: float = 2.0
    """lambda of u = (I + lambda L) x, equations 8 and 9 of Large Steps; 0 optimises the vertices directly. The
    default suits surfaces that are remeshed during optimisation. If the connectivity stays the same and the
    mesh is stretched far from its start, the paper's 19 to 49 avoid tangled triangles."""
    optimizer: OptimizerName = "adam_uniform"
    """Update rule of the vertices (in u when smoothness > 0)."""
    floor: float = 0.0
    """`VectorAdam.floor`, for `vector_adam`: keeps vertices that the pictures hardly tell about from moving as
    fast as the others. With few pictures they would grow spikes; 0.1 suits many pictures, 0.3 few."""
    regularizer: Regularizer = "none"
    """Smoothness penalty of the classical baselines: none, Laplacian or bi-Laplacian."""
    regularizer_weight: float = 0.0
    """Weight of that penalty."""
    loss: Literal["l1", "l2"] = "l1"
    """Image loss, mean over views, pixels and channels."""
    edge_gain: float = 1.0
    """Factor on the silhouette part of the gradient; 1 is the true derivative."""
    views_per_step: int = 0
    """Random views rendered in each step; 0 takes all of them."""
    remesh_at: tuple[int, ...] = ()
    """Numbers of the steps before which the surface is remeshed."""
    remesh_edge: float = 0.0
    """Target edge length of remeshing; 0 halves the mean edge length each time."""
    remesh_decay: float = 1.0
    """Factor on the step size at every remeshing. The paper takes 0.8 and has no other decay."""
    remeshing: ContinuousRemeshing | None = None
    """Continuous remeshing in place of `remesh_at`. Step sizes are then in target edge lengths: 0.5 to 1 suits
    `vector_adam`, with a smoothness of 2 and a floor of 0.3. Crossings are checked before every remeshing."""
    check_crossings: int = 0
    """Steps between checks that no faces cross: where they do, vertices go back towards where they were at the
    check before. Faces that cross each other at the start may do so later. 0 never checks, as in the paper."""
    seed: int = 0
    """Seed of the random choice of views."""


@dataclass(frozen=True)
class AppearanceConfig:
    """What is known about light and material, and how fast the rest is learned."""

    learn_light: bool = True
    """Optimise the spherical-harmonics light."""
    learn_albedo: bool = True
    """Optimise one albedo per vertex."""
    learn_exposure: bool = True
    """Optimise one brightness per photograph."""
    light_step: float = 2e-2
    """Step size of the light coefficients and exposures."""
    albedo_step: float = 2e-2
    """Step size of the albedo (Adam)."""
    albedo_smoothness: float = 0.5
    """lambda of the albedo's own preconditioner: how far colour spreads beyond what was observed."""


@dataclass(frozen=True)
class Stage:
    """One level of the coarse-to-fine schedule."""

    scale: float
    """Width and height of the photographs at this level as a fraction of the full size."""
    edge_pixels: float
    """Edge length of the mesh in pixels of this level."""
    steps: int
    """Number of optimisation steps at this level."""
    smoothness: float = 19.0
    """lambda of u = (I + lambda L) x at this level."""
    step_factor: float = 1.0
    """Factor on the step size at this level."""
    albedo: bool = True
    """Learn the albedo at this level. Without it the surface has one colour and the shape follows from shading
    alone, which cast shadows disturb."""


@dataclass(frozen=True)
class VolumeLevel:
    """One level of the fit of a volume, coarse to fine."""

    resolution: int
    """Number of cells along the longest side of the object."""
    steps: int
    """Number of steps at this level."""
    rays: int
    """Random rays in each step."""
    beta: tuple[float, float]
    """Scale of the Laplace distribution that blurs the surface, first and last value at the level, in cells."""


@dataclass(frozen=True)
class VolumeConfig:
    """Settings of the fit of a signed-distance grid by volume rendering."""

    levels: tuple[VolumeLevel, ...] = (
        VolumeLevel(32, 200, 2048, (2.0, 1.0)),
        VolumeLevel(64, 400, 4096, (1.6, 0.8)),
        VolumeLevel(128, 300, 8192, (1.2, 0.6)),
    )
    """Levels, coarse to fine."""
    distance_step: float = 0.15
    """Step size of the distances at the beginning of a level, in cells (Adam)."""
    color_step: float = 0.015
    """Step size of the colours at the beginning of a level (Adam)."""
    final_step: float = 0.1
    """Step sizes at the end of a level as a fraction of those at its beginning."""
    mask_weight: float = 0.3
    """Weight of the masks beside the colours."""
    eikonal: float = 0.01
    """Weight of the loss that keeps the gradient of the distance at length 1. Large weights keep thin parts and
    holes from appearing."""
    smoothness: float = 0.02
    """Weight of the mean curvature flow, which removes noise and shrinks what nothing shows."""
    refresh: int = 50
    """Steps between two choices of the nodes near the surface, which are learned."""

    @property
    def steps(self) -> int:
        """Number of steps of all levels."""
        return sum(level.steps for level in self.levels)

    def level_of(self, step: int) -> tuple[int, int]:
        """The level of a step, and its number in the level."""
        for number, level in enumerate(self.levels):
            if step < level.steps:
                return number, step
            step -= level.steps
        return len(self.levels) - 1, self.levels[-1].steps


@dataclass(frozen=True)
class ReconstructConfig:
    """Settings of the reconstruction of a mesh from photographs."""

    init: str = "hull"
    """First surface: `hull` (visual hull of the masks), `volume` (a grid of signed distances fitted to the
    photographs, for holes and concavities that the hull fills), `auto` (the hull, or the volume where it
    differs from the hull; see `volume.hull_or_volume`), `sphere`, or the path of a mesh."""
    hull_resolution: int = 128
    """Number of grid cells of the visual hull along the longest side."""
    volume: VolumeConfig = VolumeConfig()
    """How a volume is fitted, if it is the first surface."""
    stages: tuple[Stage, ...] = (
        Stage(scale=0.25, edge_pixels=2.5, steps=200),
        Stage(scale=0.5, edge_pixels=2.0, steps=200),
        Stage(scale=1.0, edge_pixels=2.3, steps=150, smoothness=2.0),
    )
    """Levels, coarse to fine."""
    most_faces: int = 400_000
    """Approximate largest number of faces. Where a level would need more, its edges are longer. Time grows with
    the number of faces."""
    step_size: float = 0.5
    """Step size of the vertices at the beginning of each level, in edge lengths of its mesh."""
    floor: float = 0.1
    """`OptimizeConfig.floor`. The vertices take `vector_adam`, since one step length for all of them, as in
    AdamUniform, hardly moves the bottom of grooves, where gradients are weak."""
    final_step_size: float = 0.1
    """Step size at the end of each level as a fraction of that at its beginning."""
    views_per_step: int = 5
    """Number of random photographs rendered in each step."""
    appearance: AppearanceConfig = AppearanceConfig()
    """What is learned of light and material."""
    refine_cameras: bool = False
    """Refine the cameras together with the surface."""
    refine_focal: bool = True
    """If cameras are refined, refine the focal lengths that at least three photographs share as well."""
    boundary: Literal["closed", "open", "auto"] = "closed"
    """What to do with faces that no photograph shows: `closed` keeps them, `open` leaves them out, `auto`
    leaves them out if they are many or if the object leaves the image in most photographs, see
    `ends.with_ends`."""
    check_crossings: int = 20
    """Steps between checks that no faces cross; 0 never checks."""
    seed: int = 0
    """Seed of the random choice of views."""


def _preset(effort: float, most_faces: int, levels: int = 3) -> ReconstructConfig:
    """The defaults with the steps of every stage multiplied by a factor, and some levels of the volume."""
    volume = VolumeConfig(levels=VolumeConfig().levels[:levels])
    base = ReconstructConfig(init="auto", volume=volume, most_faces=most_faces, boundary="auto")
    stages = [replace(stage, steps=max(1, round(stage.steps * effort))) for stage in base.stages]
    return replace(base, stages=tuple(stages))


PRESETS = {
    "fast": _preset(0.4, 150_000, levels=2),
    "default": _preset(1.0, 400_000),
    "fine": _preset(3.0, 2_000_000),
}
"""About 1, 3 and 8 minutes for 16 photographs of 640 x 480 on two cores."""

"""The synthetic experiment behind several benchmarks: a known mesh, seen from around, fitted from a sphere."""

import math
import time
from dataclasses import asdict, dataclass

from bozzetto import Mesh
from bozzetto.geometry import self_intersections
from bozzetto.inverse import OptimizeConfig, Targets, optimize, studio_light, synthetic_targets
from bozzetto.metrics import flipped_faces, surface_distance
from bozzetto.shapes import icosphere
from bozzetto.views import fibonacci_cameras

START_RADIUS = 0.5


@dataclass(frozen=True)
class Fit:
    """A fitted mesh and what it took."""

    mesh: Mesh
    loss: float
    steps: int
    seconds: float


def targets_around(mesh: Mesh, views: int = 25, size: int = 256) -> Targets:
    """Pictures of a mesh of radius 1 from directions spread evenly over the sphere, under the studio light."""
    cameras = fibonacci_cameras(views, distance=3.5, fov=math.radians(36), size=size)
    return synthetic_targets(mesh, cameras, studio_light())


def start_sphere(subdivisions: int = 5) -> Mesh:
    """The sphere that every fit begins with."""
    return icosphere(subdivisions, START_RADIUS)


def fit(targets: Targets, start: Mesh, config: OptimizeConfig) -> Fit:
    """Fit with the light known; the clock includes factorisations and remeshing."""
    losses: list[float] = []
    begin = time.perf_counter()
    mesh = optimize(targets, start, studio_light(), config, on_step=lambda _, loss: losses.append(loss))
    return Fit(mesh, sum(losses[-10:]) / len(losses[-10:]), len(losses), time.perf_counter() - begin)


def quality(mesh: Mesh, target: Mesh) -> dict:
    """Distances to the target in units of its bounding sphere's radius, flipped and intersecting faces."""
    distance = surface_distance(mesh, target)
    flipped = flipped_faces(mesh, target)
    return {
        "mean_distance": distance.mean,
        "hausdorff": distance.hausdorff,
        "flipped_faces": flipped.count,
        "self_intersecting_faces": int(self_intersections(mesh).sum()),
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
    }


def summary(result: Fit, config: OptimizeConfig, target: Mesh) -> dict:
    """One row of a result file."""
    figures = {"loss": result.loss, "steps": result.steps, "seconds": round(result.seconds, 2)}
    settings = {k: v for k, v in asdict(config).items() if v != getattr(OptimizeConfig(), k)}
    return {"settings": settings, **figures, **quality(result.mesh, target)}

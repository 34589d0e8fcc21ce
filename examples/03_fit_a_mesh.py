"""Fit a mesh to pictures: from a sphere to a rounded box, with the preconditioned optimiser.

The pictures are rendered here, so the answer is known and the distance to it can be printed.
"""

import torch

from bozzetto.cameras import fibonacci_cameras
from bozzetto.inverse import OptimizeConfig, optimize, synthetic_targets
from bozzetto.metrics import surface_distance
from bozzetto.shapes import Mesh, icosphere


def rounded_box() -> Mesh:
    """A superquadric: the sphere of the norm |x|^4 + |y|^4 + |z|^4."""
    sphere = icosphere(4)
    radius = (sphere.vertices**4).sum(dim=1, keepdim=True) ** -0.25
    return sphere.with_vertices(sphere.vertices * radius * 0.8)


def main() -> None:
    truth, start = rounded_box(), icosphere(4, radius=0.9)
    cameras = fibonacci_cameras(12, distance=4.0, size=96)
    light = torch.zeros(9, 3)
    light[0], light[1:4] = 3.0, torch.tensor([[0.5], [0.8], [0.3]])

    targets = synthetic_targets(truth, cameras, light)
    mesh = optimize(targets, start, light, OptimizeConfig(steps=80, step_size=3e-2, smoothness=19.0))

    for name, candidate in (("sphere", start), ("fitted", mesh)):
        distance = surface_distance(candidate, truth)
        print(f"{name}: mean distance {(distance.mean_ab + distance.mean_ba) / 2:.4f}")


if __name__ == "__main__":
    main()

"""Clean a noisy cloud, make its surface, and invent clouds with a model that comes with the package."""

import torch

from bozzetto.metrics import surface_distance
from bozzetto.points import denoise, surface
from bozzetto.score import load_cloud_prior, sample
from bozzetto.shapes import PointCloud, sample_surface, torus
from bozzetto.weights import find


def main() -> None:
    ring = torus(1.0, 0.4)
    generator = torch.Generator().manual_seed(0)
    points, _ = sample_surface(ring, 3000, generator)
    noisy = PointCloud(points + 0.02 * torch.randn(points.shape, generator=generator))

    cleaned = denoise(noisy)  # the same points, moved
    print(f"noise: {cleaned.noise:.3f} estimated, 0.020 true")
    mesh = surface(noisy, resolution=48)  # cleans by itself
    distance = surface_distance(mesh, ring)
    print(f"mean distance of its surface: {(distance.mean_ab + distance.mean_ba) / 2:.4f}")

    bodies = load_cloud_prior(find("cloud-bodies"))
    clouds = sample(bodies, shapes=2, points=1000, seed=1)
    print(f"invented: {tuple(clouds.shape)}")


if __name__ == "__main__":
    main()

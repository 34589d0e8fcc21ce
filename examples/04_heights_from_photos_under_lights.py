"""Measure a height map: photos of one surface under five lights, normals, heights.

The photos are made here, so the answer is known and the correlation with it can be printed.
"""

import torch

from bozzetto.geometry.heightfield import integrate_normals, normals_from_height
from bozzetto.photometric import photometric_stereo


def main() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 6, 96), torch.linspace(0, 8, 128), indexing="ij")
    height = 3 * x.sin() * y.cos() + 2 * (0.5 * x + y).sin()  # in pixels
    normals = normals_from_height(height)
    albedo = torch.where((4 * x).sin() > 0, 0.8, 0.3)  # stripes of paint, which are no relief
    lights = torch.tensor([[1.0, 0, 2], [-1, 0, 2], [0, 1, 2], [0, -1, 2], [0, 0, 1]])
    lights = lights / lights.norm(dim=1, keepdim=True)
    photos = albedo * torch.einsum("lc,hwc->lhw", lights, normals).clamp(min=0)

    found = photometric_stereo(photos, lights)
    heights = integrate_normals(found.normals)

    correlation = torch.corrcoef(torch.stack([heights.flatten(), height.flatten()]))[0, 1]
    print(f"correlation with the true height: {correlation:.4f}")
    print(f"largest error of the albedo: {(found.albedo - albedo).abs().max():.4f}")


if __name__ == "__main__":
    main()

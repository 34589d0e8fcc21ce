"""Render a coloured torus under a soft light from above, and write it as a PNG.

Everything here is differentiable: the gradient of any pixel reaches vertices, colours and light.
"""

import sys
from pathlib import Path

import torch

from bozzetto.cameras import orbit_cameras
from bozzetto.images import linear_to_srgb, save_image
from bozzetto.rendering import render
from bozzetto.shapes import Mesh, torus


def main(target: Path) -> None:
    ring = torus(1.0, 0.4, segments=96, sides=48)
    angle = torch.atan2(ring.vertices[:, 1], ring.vertices[:, 0])
    stripes = (6 * angle + 0.1).sin() > 0
    colors = torch.where(stripes[:, None], torch.tensor([0.8, 0.25, 0.1]), torch.tensor([0.7, 0.7, 0.65]))
    mesh = Mesh(ring.vertices, ring.faces, colors)

    cameras = orbit_cameras([0.5], 0.7, distance=5.5, size=(640, 480))  # one view, up is +Z
    light = torch.zeros(9, 3)  # radiance: the same from everywhere, and more from above (+Z)
    light[0] = 2.5
    light[2] = 1.2

    image = render(mesh, cameras, light, background=torch.tensor([1.0, 1.0, 1.0, 0.0]))[0]
    save_image(target, linear_to_srgb(image[..., :3].clamp(0, 1)))
    print(f"{image[..., 3].mean():.0%} of the picture is covered; wrote {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "torus.png"))

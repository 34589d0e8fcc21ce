"""What every shipped model makes of fixed input, as a few numbers.

    python tests/golden/outputs.py      # writes outputs.json anew, after weights were replaced on purpose

Inputs are written down as formulas, so that they depend on no random numbers.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bozzetto.heightmap import load_predictor
from bozzetto.heightmap.predict import height_map
from bozzetto.points.denoising import denoise
from bozzetto.score import load_cloud_prior
from bozzetto.sdf import load_prior
from bozzetto.shapes import PointCloud
from bozzetto.weights import find

STORED = Path(__file__).with_name("outputs.json")


def spiral(count: int, dimensions: int = 3) -> Tensor:
    """Points on an ellipsoid (in the plane: an ellipse), as a Fibonacci lattice."""
    k = torch.arange(count, dtype=torch.float64) + 0.5
    if dimensions == 2:
        angle = 2 * math.pi * k / count
        return torch.stack([0.9 * angle.cos(), 0.2 * angle.sin()], dim=1).float()
    z, angle = 1 - 2 * k / count, math.pi * (1 + 5**0.5) * k
    flat = (1 - z * z).sqrt()
    return torch.stack([0.3 * flat * angle.cos(), 0.9 * z, 0.2 * flat * angle.sin()], dim=1).float()


def shape_prior(name: str) -> Tensor:
    """Distances of the first and the last code at the points of an ellipsoid."""
    prior = load_prior(find(name))
    codes = prior.codes[[0, -1]]
    return prior.decoder(codes, spiral(12).expand(2, -1, -1))


def cloud_prior(name: str) -> Tensor:
    """Part of the code of an ellipsoid, and where the field leads from points beside it."""
    prior = load_cloud_prior(find(name))
    cloud = spiral(512, prior.model.config.dimensions)
    code = prior.model.encode(cloud[None])
    beside = 1.2 * cloud[::64][None, None]
    led = prior.model.denoise(prior.model.prepare(code), beside, torch.full((1, 1), 0.2))
    return torch.cat([code[0, :8], led.flatten()])


def denoiser(name: str) -> Tensor:
    """How points that are off an ellipsoid by sines are moved."""
    assert name == "denoiser"
    clean = spiral(1500)
    k = torch.arange(1500.0)
    shaken = clean + 0.02 * torch.stack([(k * n).sin() for n in (12.9898, 78.233, 37.719)], dim=1)
    return (denoise(PointCloud(shaken), noise=0.014).cloud.points - shaken)[::150]


def heights(name: str) -> Tensor:
    """Heights of a photo of waves, and how sure of them the network is."""
    axis = torch.linspace(0, 1, 96)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    waves = (40 * x + 3 * (9 * y).sin()).sin() * (25 * y).cos()
    photo = (0.5 + 0.3 * waves[..., None] * torch.tensor([1.0, 0.8, 0.6])).clamp(0, 1)
    found = height_map(photo, load_predictor(find(name)), tiles=False)
    coarse = torch.nn.functional.avg_pool2d(found.height[None], 24)[0]
    return torch.cat([coarse.flatten(), torch.tensor([found.upright])])


OUTPUTS: dict[str, Callable[[str], Tensor]] = {
    "bodies": shape_prior,
    "cloud-airfoils": cloud_prior,
    "cloud-bodies": cloud_prior,
    "cloud-procedural": cloud_prior,
    "denoiser": denoiser,
    "heights": heights,
    "heights-imagenet": heights,
}


@torch.no_grad()
def output(name: str) -> Tensor:
    """The numbers of one model."""
    return OUTPUTS[name](name).flatten()


if __name__ == "__main__":
    numbers = {name: [float(f"{value:.5g}") for value in output(name).tolist()] for name in OUTPUTS}
    STORED.write_text("{\n" + ",\n".join(f'"{n}": {json.dumps(v)}' for n, v in numbers.items()) + "\n}\n")

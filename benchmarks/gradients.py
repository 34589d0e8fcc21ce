"""Gradients of the rasteriser against central differences, of its own pictures and of supersampled ones.

    python -m benchmarks.gradients

A random smooth weighting of the picture is differentiated along shifts and smooth random waves of the whole
surface, by gradient and by central differences of a quarter of a pixel. "Supersampled" pictures average 8 x 8
hard samples per pixel, so they are the truth that antialiasing approximates. Reported are cosine and ratio of
norms of the vectors of derivatives; at least 0.99 and within 5 % are asked for.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import interpolate as resize
from torch.nn.functional import max_pool2d

from benchmarks.helpers.common import RESULTS, benchmark_mesh, save_results
from bozzetto import Cameras, Mesh
from bozzetto.cameras import fibonacci_cameras
from bozzetto.geometry import vertex_normals
from bozzetto.rendering import Fragments, antialias, interpolate, rasterize, render_depth, shade
from bozzetto.shapes import box, icosphere, join

SAMPLES = 8  # per pixel and axis, of the supersampled pictures
LIGHT = torch.tensor([3.0, 0.4, 0.9, -0.5, 0.2, 0.1, 0.3, -0.2, 0.4])[:, None] * torch.tensor([1, 0.8, 0.6])


def crossing_boxes() -> Mesh:
    """Two boxes that pass through each other, the second one turned."""
    first, second = box(0.95), box(0.95)
    a, b = torch.tensor(0.6), torch.tensor(0.4)
    about_z = torch.tensor([[a.cos(), -a.sin(), 0], [a.sin(), a.cos(), 0], [0, 0, 1]])
    about_x = torch.tensor([[1, 0, 0], [0, b.cos(), -b.sin()], [0, b.sin(), b.cos()]])
    moved = second.vertices @ about_z @ about_x + torch.tensor([0.3, 0.22, 0.26])
    return join([first, Mesh(moved, second.faces)])


def subjects() -> dict[str, Mesh]:
    """The shapes, all about as large as the unit sphere."""
    shapes = {"sphere": icosphere(4), "spot": benchmark_mesh("spot"), "bob": benchmark_mesh("bob")}
    return shapes | {"boxes": crossing_boxes()}


def surface_colors(mesh: Mesh) -> torch.Tensor:
    """Colours painted on the surface, so that its parts differ where one hides another."""
    if len(mesh.vertices) == 16:  # the boxes: one colour each
        return torch.tensor([[0.9, 0.25, 0.2]] * 8 + [[0.2, 0.45, 0.9]] * 8)
    return 0.5 + 0.5 * torch.sin(mesh.vertices * torch.tensor([3.0, 4.0, 5.0]))


@dataclass
class Case:
    """One question: how does sum(weights * picture) change when the surface moves?"""

    mesh: Mesh
    cameras: Cameras
    coloring: Callable[[torch.Tensor, Fragments], torch.Tensor]
    weights: torch.Tensor  # (N, H, W, C)

    def antialiased(self, vertices: torch.Tensor) -> torch.Tensor:
        fragments = rasterize(vertices, self.mesh.faces, self.cameras)
        return (antialias(fragments, self.coloring(vertices, fragments)).double() * self.weights).sum()

    def supersampled(self, vertices: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float64)
        width, height = self.cameras.width, self.cameras.height
        for i in range(len(self.cameras)):
            fine = self.cameras[[i]].resized(SAMPLES * width, SAMPLES * height)
            fragments = rasterize(vertices, self.mesh.faces, fine)
            samples = torch.zeros(SAMPLES**2 * width * height, self.weights.shape[-1])
            samples[fragments.pixel] = self.coloring(vertices, fragments)
            pixels = samples.view(height, SAMPLES, width, SAMPLES, -1).mean(dim=(1, 3))
            total += (pixels.double() * self.weights[i]).sum()
        return total


def cases(mesh: Mesh, cameras: Cameras, generator: torch.Generator) -> dict[str, Case]:
    """Silhouettes: coverage. Shading: away from all contours. Occluding: near contours on the surface."""
    colors, size = surface_colors(mesh), cameras.width
    coarse = torch.randn(len(cameras), 4, 6, 6, generator=generator)
    weights = resize(coarse, size=(size, size), mode="bicubic").permute(0, 2, 3, 1).double()
    depth = render_depth(mesh, cameras).nan_to_num(posinf=100.0)[:, None]
    far, near = max_pool2d(depth, 7, 1, 3), -max_pool2d(-depth, 7, 1, 3)
    step = max_pool2d(depth, 3, 1, 1) + max_pool2d(-depth, 3, 1, 1)
    pixel = 2.6 / size
    contour = max_pool2d((step > 8 * pixel).float(), 7, 1, 3) > 0
    inside = (far < 50).permute(0, 2, 3, 1)
    contour = contour.permute(0, 2, 3, 1)
    assert near.isfinite().all()

    def shading(vertices: torch.Tensor, fragments: Fragments) -> torch.Tensor:
        return shade(interpolate(fragments, vertex_normals(vertices, mesh.faces)), LIGHT)

    def painted(vertices: torch.Tensor, fragments: Fragments) -> torch.Tensor:
        return interpolate(fragments, colors)

    def coverage(vertices: torch.Tensor, fragments: Fragments) -> torch.Tensor:
        return vertices.new_ones(len(fragments), 1)

    found = {
        "silhouettes": Case(mesh, cameras, coverage, weights[..., :1]),
        "shading": Case(mesh, cameras, shading, weights[..., :3] * (inside & ~contour)),
        "everything, shaded": Case(mesh, cameras, shading, weights[..., :3]),
    }
    if len(mesh.vertices) == 16:  # contours and the line of intersection: all that boxes of one colour have
        found["occluding"] = Case(mesh, cameras, painted, weights[..., :3] * inside)
    elif bool((inside & contour).sum() > 100):
        found["occluding"] = Case(mesh, cameras, painted, weights[..., :3] * (inside & contour))
    return found


def moves(vertices: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Shifts along the axes, then smooth waves, each moving vertices by about 1."""
    found = [torch.eye(3)[k].expand_as(vertices) for k in range(3)]
    for _ in range(count - 3):
        waves = 1.5 * torch.randn(3, 3, generator=generator)
        found.append(torch.sin(vertices @ waves + 6 * torch.rand(3, generator=generator)))
    return torch.stack(found)


@torch.no_grad()
def differences(loss: Callable, vertices: torch.Tensor, ways: torch.Tensor, step: float) -> torch.Tensor:
    return torch.stack([(loss(vertices + step * w) - loss(vertices - step * w)) / (2 * step) for w in ways])


def agreement(gradient: torch.Tensor, expected: torch.Tensor) -> dict[str, float]:
    cosine = float(gradient @ expected / (gradient.norm() * expected.norm()))
    return {"cosine": cosine, "norm_ratio": float(gradient.norm() / expected.norm())}


def measure(case: Case, count: int, generator: torch.Generator) -> dict:
    ways = moves(case.mesh.vertices, count, generator).double()
    vertices = case.mesh.vertices.clone().requires_grad_()
    case.antialiased(vertices).backward()
    gradient = torch.einsum("kvc,vc->k", ways, vertices.grad.double())
    step, start, ways = 0.25 * 2.6 / case.cameras.width, case.mesh.vertices, ways.float()
    return {
        "supersampled": agreement(gradient, differences(case.supersampled, start, ways, step)),
        "own_pictures": agreement(gradient, differences(case.antialiased, start, ways, step)),
    }


def main() -> None:
    """Go through all shapes and questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--moves", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    results: dict[str, dict] = {}
    for name, mesh in subjects().items():
        generator = torch.Generator().manual_seed(options.seed)
        cameras = fibonacci_cameras(options.views, distance=3.2, size=options.size)
        results[name] = {}
        for question, case in cases(mesh, cameras, generator).items():
            found = results[name][question] = measure(case, options.moves, generator)
            print(f"{name:8s} {question:20s}", end="")
            for against, value in found.items():
                print(f"  {against}: cosine {value['cosine']:.4f}, ratio {value['norm_ratio']:.3f}", end="")
            print(flush=True)
    every = [v for shape in results.values() for found in shape.values() for v in found.values()]
    worst = {
        "lowest_cosine": min(v["cosine"] for v in every),
        "largest_norm_error": max(abs(v["norm_ratio"] - 1) for v in every),
    }
    print(worst)
    settings = {k: v for k, v in vars(options).items() if k != "out"}
    save_results("gradients", {"settings": settings, **worst, "gradients": results}, options.out)


if __name__ == "__main__":
    main()

"""A small family of shapes with a prior that is trained in seconds."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from bozzetto.sdf import Decoder, DecoderConfig, ShapePrior, build_decoder
from bozzetto.sdf.completed_surface import project, value_and_gradient
from bozzetto.sdf.solver import with_width

RADIUS = 1 / 1.03
SHAPES = 32


def figure(code: Tensor) -> Callable[[Tensor], Tensor]:
    """Signed distance (nearly) of an ellipsoid with a ball on its shoulder, normalised, of four numbers."""
    w, d, x, r = (float(v) for v in code)
    radii = torch.tensor([0.45 + 0.2 * w, 0.7, 0.3 + 0.15 * d])
    middle, radius = torch.tensor([0.2 + 0.1 * x, 0.75, 0.12]), 0.25 + 0.08 * r
    generator = torch.Generator().manual_seed(0)
    around = torch.nn.functional.normalize(torch.randn(4000, 3, generator=generator), dim=1)
    hull = torch.cat([around * radii, middle + around * radius])
    centre = (hull.amin(dim=0) + hull.amax(dim=0)) / 2
    scale = RADIUS / float((hull - centre).norm(dim=1).max())

    def distance(points: Tensor) -> Tensor:
        p = points / scale + centre
        k0, k1 = (p / radii).norm(dim=-1), (p / radii**2).norm(dim=-1)
        body = k0 * (k0 - 1) / k1.clamp_min(1e-6)
        head = (p - middle).norm(dim=-1) - radius
        return torch.minimum(body, head) * scale

    return distance


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """The tensors of these tests are too small to be worth sharing between threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def figures(one_thread: None) -> ShapePrior:
    """A prior over `figure`, with codes that are their parameters; shared, so leave it as it is."""
    generator = torch.Generator().manual_seed(1)
    codes = 0.35 * torch.randn(SHAPES, 4, generator=generator)
    cube = 2 * torch.rand(SHAPES, 4000, 3, generator=generator) - 1
    truth = torch.stack([figure(c)(x) for c, x in zip(codes, cube, strict=True)])
    near = truth.abs().argsort(dim=1)[:, :2000]  # half of the samples where the surface is
    cube = torch.cat([cube[:, :1000], cube.gather(1, near[..., None].expand(-1, -1, 3))], dim=1)
    truth = torch.cat([truth[:, :1000], truth.gather(1, near)], dim=1)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        decoder = build_decoder(
            DecoderConfig(code_size=4, hidden=48, layers=2, grid=6, features=8, octaves=1)
        )
    steps, optimizer = 300, torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps) + 1e-4
        shapes = torch.randint(SHAPES, (8, 1), generator=generator)
        chosen = torch.randint(cube.shape[1], (8, 384), generator=generator)
        loss = (decoder(codes[shapes[:, 0]], cube[shapes, chosen]) - truth[shapes, chosen]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    names = tuple(f"figure-{i}" for i in range(SHAPES))
    return with_width(ShapePrior(decoder.eval().requires_grad_(False), codes, names))


class Ball(Decoder):
    """The exact distance to a ball whose middle and radius are the code."""

    def __init__(self) -> None:
        super().__init__(DecoderConfig(code_size=4))

    def forward(self, codes: Tensor, points: Tensor) -> Tensor:
        return (points - codes[:, None, :3]).norm(dim=-1) - codes[:, None, 3]


@pytest.fixture(scope="session")
def balls() -> ShapePrior:
    """A prior over balls, exact."""
    codes = 0.1 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    return ShapePrior(Ball().eval(), codes + torch.tensor([0.0, 0.0, 0.0, 0.5]), ())


@pytest.fixture(scope="session")
def half_of() -> Callable[..., tuple[Tensor, Tensor]]:
    """Points of the shape of a code that face +z, spread about evenly, and their outward normals."""

    def half(prior: ShapePrior, code: Tensor, count: int = 1500, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        points = 2 * torch.rand(40 * count, 3, generator=generator) - 1
        values, _ = value_and_gradient(prior.decoder, code, points)
        points = points[values.abs().argsort()[: 4 * count]]
        points = project(prior.decoder, code, points, iterations=8, max_step=0.2)
        values, normals = value_and_gradient(prior.decoder, code, points)
        normals = torch.nn.functional.normalize(normals, dim=1)
        kept = ((normals[:, 2] > 0.1) & (values.abs() < 1e-4)).nonzero()[:, 0]
        kept = kept[torch.randperm(len(kept), generator=generator)[:count]]
        return points[kept], normals[kept]

    return half

"""A person seen from one side by a depth camera, and completed by the prior that is shipped."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, orbit_cameras
from ..images import save_image
from ..metrics import evaluate_surface
from ..render import render_depth
from ..runs import RunFolder
from ..sdf import CompleteConfig, Completion, complete, extract_mesh, interpolate, load_prior, observe_depth
from ..sdf.distribution import CodeDistribution
from ..sdf.pose import rotation_about
from ..sdf.prior import ShapePrior
from ..sdf.run import strip
from ..shapes import Mesh, Similarity, save_mesh
from ..weights import find
from .gallery import Gallery

RESOLUTION, STEPS = 160, 7
SIZE, NOISE = 160, 2.0
"""Pixels of the depth map on a side, and standard deviation of its depths in millimetres."""


def demonstrate_body(
    run: RunFolder, page: Gallery, seed: int = 0, device: torch.device | str = "cpu"
) -> dict:
    """Draw a person, scan it from one side in an unknown pose, complete the scan, and add all to a page.

    Writes under `sdf/`: the true, the completed and the in-between shapes as pictures or PLY files.

    Returns:
        Figures: distances to the true surface in millimetres.
    """
    prior = load_prior(find("bodies")).to(device)
    with run.stage("scan"):
        truth = draw_person(prior, seed)
        depth, camera = scan(truth, seed)
        save_mesh(truth, run.file("sdf/person.ply"))
    with run.stage("complete"):
        result = complete(
            prior, observe_depth(depth, camera), CompleteConfig(resolution=RESOLUTION, seed=seed)
        )
        save_mesh(result.mesh, run.file("sdf/completed.ply"))
    with run.stage("interpolate"):
        walk = strip(interpolate(prior, prior.codes[0], prior.codes[-1], STEPS))
        save_image(run.file("sdf/strip.png"), walk)
    figures = _measure(result, truth)
    _show(page, truth, depth, result, walk, figures)
    return figures


def draw_person(prior: ShapePrior, seed: int) -> Mesh:
    """A shape drawn from the distribution of codes, in millimetres, standing somewhere, turned somehow."""
    generator = torch.Generator().manual_seed(seed)
    code = CodeDistribution.of(prior.codes).sample(1, generator)[0].float()
    mesh = extract_mesh(prior, code, RESOLUTION).to("cpu")
    turn, shift = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    place = Similarity(880.0, 500 * shift, rotation_about((0, 1, 0), 2 * math.pi * float(turn[0])))
    return mesh.with_vertices(place.apply(mesh.vertices.double()).float())


def scan(mesh: Mesh, seed: int) -> tuple[Float[Tensor, "H W"], Cameras]:
    """A noisy depth map from a little above, and its camera."""
    middle = mesh.bounds.double().mean(dim=0)
    radius = float((mesh.vertices.double() - middle).norm(dim=1).max())
    camera = orbit_cameras(
        [0.7],
        0.2,
        distance=1.1 * radius / math.sin(0.3),
        target=middle.tolist(),
        up=(0, 1, 0),
        fov=0.6,
        size=SIZE,
    )
    depth = render_depth(mesh, camera)[0]
    noise = NOISE * torch.randn(depth.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(torch.isfinite(depth), depth + noise, depth), camera


def _measure(result: Completion, truth: Mesh) -> dict:
    scores = evaluate_surface(result.mesh, truth, samples=30_000)
    share = result.figures["observed_share"]
    return {
        "mean distance to the truth, both ways (mm)": scores.chamfer_mean,
        "share of the surface that was seen": share,
        "IoU": scores.iou,
    }


def _show(
    page: Gallery, truth: Mesh, depth: Tensor, result: Completion, walk: Float[Tensor, "H W 3"], figures: dict
) -> None:
    page.text(
        "A person is drawn from the prior over bodies, and a depth camera sees one side of it, from a place "
        "and at a scale that nobody tells. Shape and pose are found together. Warm: observed; blue: what the "
        "prior knows about bodies. (Drawn from the prior, so the prior can tell it; held-out people are in the "
        "benchmarks.)",
        heading="From half a scan to a whole shape",
    )
    page.picture(_picture(depth), "What the camera saw")
    page.mesh(truth, "The true person", link="person").mesh(result.mesh, "Completed", link="person")
    page.figures(figures)
    page.text("", heading="Between two people").picture(walk, "Codes along a line", wide=True)


def _picture(depth: Float[Tensor, "H W"]) -> Float[Tensor, "H W 1"]:
    """Near is light, far is dark, nothing is paper."""
    seen = torch.isfinite(depth)
    near, far = depth[seen].min(), depth[seen].max()
    shade = 0.9 - 0.7 * (depth - near) / (far - near)
    return torch.where(seen, shade, 0.96)[..., None].clamp(0, 1)

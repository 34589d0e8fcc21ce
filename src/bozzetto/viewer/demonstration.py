"""A demonstration of all engines on synthetic subjects, on one page."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, orbit_cameras
from ..datasets.synthetic.materials import make_sample
from ..geometry.heightfield import normals_from_height, relief_mesh
from ..heightmap import MapOptions, height_map, open_predictor
from ..heightmap.run import preview
from ..images import save_image, srgb_to_linear
from ..metrics import evaluate, height_scores
from ..rendering import render_depth
from ..runs import RunFolder
from ..sdf import CompleteConfig, Completion, complete, extract_mesh, interpolate, load_prior, observe_depth
from ..sdf.prior import CodeDistribution, ShapePrior
from ..sdf.run import strip
from ..shapes import HeightField, Mesh, Similarity, save_height, save_mesh
from ..shapes.similarity import rotation_about
from ..weights import find
from .gallery import Gallery
from .photo_demonstration import demonstrate_photographs


def demo(
    run: RunFolder, device: torch.device | str = "cpu", seed: int = 0, quiet: bool = False
) -> dict[str, Any]:
    """Reconstruct a bust from phone photos, complete half a scan of a person, read heights from photos.

    Writes `index.html` and a folder per engine; see `demonstrate_photographs`, `demonstrate_body` and
    `demonstrate_surfaces`.

    Args:
        run: The run folder.
        device: Device of the computation.
        seed: Seed of all random choices.
        quiet: Whether to hide progress.

    Returns:
        Metrics of all parts.
    """
    page = Gallery("bozzetto", "From what people have to shapes: photographs, half a scan, a photo.")
    figures = demonstrate_photographs(run, page, seed, device, quiet)
    figures["completion"] = demonstrate_body(run, page, seed, device)
    figures["surfaces"] = demonstrate_surfaces(run, page, device)
    seconds = {name: f"{value:.1f} s" for name, value in run.stopwatch.seconds.items()}
    page.text("", heading="Time").table(seconds, f"Seed and settings: {run.path.name}/config.json")
    page.save(run.file("index.html"))
    return figures


SUBJECTS = (("bricks", 2), ("cobbles", 5), ("weave", 3), ("debris", 7))
SIDE, FACES = 384, 12_000
SEED = 1_000_003  # none of the trainings draws from it


def demonstrate_surfaces(
    run: RunFolder, page: Gallery, device: torch.device | str = "cpu"
) -> dict[str, dict[str, float | None]]:
    """Render photos of procedural surfaces and predict their heights with the best shipped weights.

    Writes under `heightmap/`: the photos, the true and the predicted heights and pictures of them.

    Returns:
        Metrics of predicted against true heights, per surface.
    """
    predictor = open_predictor().to(device)
    page.text(
        "Photographs of surfaces that a program invented, seen from above, and the height that is read from "
        "each. Their colours have little to do with the height. Left to right: photo, predicted height, the "
        "predicted relief in grey, and how much the network trusts it.",
        heading="From one photo to a height map",
    )
    figures: dict[str, dict[str, float | None]] = {}
    with run.stage("surfaces"):
        for name, number in SUBJECTS:
            photo, truth = subject(name, number)
            result = height_map(photo, predictor, tiles=True)
            field = MapOptions(depth_mm=40.0).field(result.height, tiles=True)
            save_image(run.file(f"heightmap/{name}/photo.png"), photo)
            save_height(
                HeightField(truth, depth_mm=40.0, tiles=True), run.file(f"heightmap/{name}/truth.png")
            )
            save_height(field, run.file(f"heightmap/{name}/height.png"))
            strip = preview(
                photo, field, normals_from_height(field.in_pixels(), "periodic"), result.confidence
            )
            save_image(run.file(f"heightmap/{name}/preview.png"), strip)
            page.picture(strip, f"{name.capitalize()}: photo, height, relief, confidence", wide=True)
            page.mesh(colored_relief(HeightField(truth, depth_mm=40.0, tiles=True), photo), "True", link=name)
            page.mesh(colored_relief(field, photo), "Predicted", link=name)
            scores = height_scores(result.height, truth)
            figures[name] = {
                "correlation": scores.correlation,
                "RMS error after an affine fit (share of the range)": scores.rmse_affine,
                "F1 of edges within 2 pixels": scores.edge_f1_2,
            }
    page.table(figures)
    return figures


def subject(name: str, number: int) -> tuple[Float[Tensor, "S S 3"], Float[Tensor, "S S"]]:
    """Photo and true height of a procedural surface."""
    sample = make_sample(SEED, number, SIDE, name)
    photo = torch.from_numpy(sample.color.copy()).float() / 255
    return photo, torch.from_numpy(sample.height.astype("float32") / 65535)


def colored_relief(field: HeightField, photo: Float[Tensor, "H W 3"]) -> Mesh:
    """The relief as a mesh in metres with the photo as colours of its vertices."""
    relief = relief_mesh(field, max_faces=FACES)
    height, width = photo.shape[:2]
    column = (relief.uv[:, 0] * width).long().clamp(0, width - 1)
    row = ((1 - relief.uv[:, 1]) * height).long().clamp(0, height - 1)
    return Mesh(relief.mesh.vertices / 1000, relief.mesh.faces, srgb_to_linear(photo[row, column]))


RESOLUTION, STEPS = 160, 7
SIZE, NOISE = 160, 2.0
"""Side of the depth map in pixels, and standard deviation of the noise of its depths in millimetres."""


def demonstrate_body(
    run: RunFolder, page: Gallery, seed: int = 0, device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """Sample a person, scan it from one side in an unknown pose, complete the scan, and add all to a page.

    Writes under `sdf/`: the true, the completed and the in-between shapes as pictures or PLY files.

    Returns:
        Metrics: distances to the true surface in millimetres.
    """
    prior = load_prior(find("bodies")).to(device)
    with run.stage("scan"):
        truth = draw_person(prior, seed)
        depth, camera = scan(truth, seed)
        save_mesh(truth, run.file("sdf/person.ply"))
    with run.stage("complete"):
        result = complete(
            observe_depth(depth, camera), prior, CompleteConfig(resolution=RESOLUTION, seed=seed)
        )
        save_mesh(result.mesh, run.file("sdf/completed.ply"))
    with run.stage("interpolate"):
        walk = strip(interpolate(prior, prior.codes[0], prior.codes[-1], STEPS))
        save_image(run.file("sdf/strip.png"), walk)
    figures = _measure(result, truth)
    _show(page, truth, depth, result, walk, figures)
    return figures


def draw_person(prior: ShapePrior, seed: int) -> Mesh:
    """A random shape of the prior in millimetres, with random position and direction."""
    generator = torch.Generator().manual_seed(seed)
    code = CodeDistribution.of(prior.codes).sample(1, generator)[0].float()
    mesh = extract_mesh(prior, code, RESOLUTION).to("cpu")
    turn, shift = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    place = Similarity(880.0, 500 * shift, rotation_about((0, 1, 0), 2 * math.pi * float(turn[0])))
    return mesh.with_vertices(place.apply(mesh.vertices.double()).float())


def scan(mesh: Mesh, seed: int) -> tuple[Float[Tensor, "H W"], Cameras]:
    """A noisy depth map of a mesh from slightly above, and its camera."""
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


def _measure(result: Completion, truth: Mesh) -> dict[str, Any]:
    scores = evaluate(result.mesh, truth, samples=30_000)
    share = result.metrics["observed_share"]
    return {
        "mean distance to the truth, both ways (mm)": scores.chamfer_mean,
        "share of the surface that was seen": share,
        "IoU": scores.iou,
    }


def _show(
    page: Gallery,
    truth: Mesh,
    depth: Tensor,
    result: Completion,
    walk: Float[Tensor, "H W 3"],
    figures: dict[str, Any],
) -> None:
    page.text(
        "A person is sampled from the prior over bodies, and a depth camera observes one side of it, from an "
        "unknown position and at an unknown scale. Shape and pose are found together. Warm: observed; blue: "
        "inferred from the prior. (The person is a sample of the prior, which is an easy case; held-out people "
        "are in the benchmarks.)",
        heading="From half a scan to a whole shape",
    )
    page.picture(_picture(depth), "What the camera saw")
    page.mesh(truth, "The true person", link="person").mesh(result.mesh, "Completed", link="person")
    page.table(figures)
    page.text("", heading="Between two people").picture(walk, "Codes along a line", wide=True)


def _picture(depth: Float[Tensor, "H W"]) -> Float[Tensor, "H W 1"]:
    """Picture of a depth map: near is light, far is dark, no depth is the colour of the page."""
    seen = torch.isfinite(depth)
    near, far = depth[seen].min(), depth[seen].max()
    shade = 0.9 - 0.7 * (depth - near) / (far - near)
    return torch.where(seen, shade, 0.96)[..., None].clamp(0, 1)

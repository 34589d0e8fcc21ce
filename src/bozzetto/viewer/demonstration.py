"""Everything at work on a subject of our own: a bust is photographed, forgotten, and found again."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..cameras import (
    Cameras,
    Capture,
    fibonacci_cameras,
    load_capture,
    save_image,
    save_transforms,
    visual_hull,
)
from ..geometry import SurfaceIndex, vertex_normals
from ..inverse.config import ReconstructConfig
from ..inverse.optimize import Optimization
from ..inverse.reconstruct import Reconstruction, reconstruct
from ..metrics import mesh_report, psnr, silhouette_iou, surface_distance
from ..pipelines import bust
from ..render import comparison_sheet, contact_sheet, interpolate, rasterize, render, turntable
from ..runs import Progress, RunFolder
from ..shapes import Mesh, linear_to_srgb, normalisation, save_mesh, srgb_to_linear
from .body_demonstration import demonstrate_body
from .gallery import Gallery
from .surface_demonstration import demonstrate_surfaces

VIEWS, HELD_OUT = 25, 5
WIDTH, HEIGHT = 288, 384
SAMPLES, HULL_CELLS, FRAMES = 100_000, 128, 36  # to measure distances; the visual hull; the turntable
SCHEDULE = ReconstructConfig().stages
_SHOWN_AT = (0.08, 0.3, 0.6)  # fractions of the steps at which a stage is kept for the gallery
_PAPER = (0.96, 0.95, 0.93)
_WORST = 2e-3  # metres: full colour in the picture of distances


@dataclass(frozen=True)
class Lamps:
    """Light that spherical harmonics of order 2 cannot hold: distant lamps and a sky. Nothing casts shadows.

    Attributes:
        directions: Unit vectors towards the lamps.
        colors: Irradiance of each on a surface that faces it.
        sky: Irradiance from above, fading to `ground` below.
        ground: Irradiance from below.
    """

    directions: Float[Tensor, "L 3"]
    colors: Float[Tensor, "L 3"]
    sky: Float[Tensor, "3"]
    ground: Float[Tensor, "3"]

    @classmethod
    def random(cls, seed: int, count: int = 4) -> "Lamps":
        """A warm key from above, and weaker lamps of any tint all around."""
        generator = torch.Generator().manual_seed(seed)
        directions = normalize(torch.randn(count, 3, generator=generator), dim=1)
        directions[0] = normalize(torch.tensor([-0.5, 0.6, 0.7]) + 0.3 * directions[0], dim=0)
        colors = 0.22 + 0.16 * torch.rand(count, 3, generator=generator)
        colors[0] = torch.tensor([0.62, 0.57, 0.50])
        return cls(directions, colors, torch.tensor([0.20, 0.22, 0.26]), torch.tensor([0.11, 0.10, 0.09]))

    def radiance(self, normals: Float[Tensor, "P 3"], albedo: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """Light reflected by a diffuse surface, such that white stays about below 1."""
        lit = (normals @ self.directions.T).clamp_min(0) @ self.colors
        height = 0.5 + 0.5 * normals[:, 1:2]
        return albedo * (lit + height * self.sky + (1 - height) * self.ground)


def demo(run: RunFolder, device: torch.device | str = "cpu", seed: int = 0, quiet: bool = False) -> dict:
    """Photograph the bust under a light that the optimiser does not know, and reconstruct it from a sphere.

    Then a person is scanned from one side and completed, see `demonstrate_body`. Writes `index.html`, and
    under `inverse/`: the capture (`transforms.json` and PNG files with alpha), the true and the reconstructed
    mesh, and the pictures of the gallery.

    Args:
        run: Where everything goes.
        device: Where to compute.
        seed: Of the light and of the choice of views in each step.
        quiet: Show no progress.

    Returns:
        Figures: distances to the true surface in millimetres for sphere, visual hull and result, quality of
        the mesh, how well held-out views are predicted, and the completion.
    """
    with run.stage("subject"):
        truth = bust()
        save_mesh(truth, run.file("inverse/subject.ply"))
    with run.stage("photographs"):
        source = take_photographs(truth, Lamps.random(seed), run)
        everything = load_capture(source)
        capture, held_out = everything.split(list(range(VIEWS, VIEWS + HELD_OUT)))
    with run.stage("reconstruct"):
        config = ReconstructConfig(init="sphere", stages=SCHEDULE, seed=seed)
        result, stages = _reconstruct(capture, config, device, quiet)
        save_mesh(result.mesh, run.file("inverse/mesh.ply"))
        save_mesh(result.mesh, run.file("inverse/mesh.glb"))
    with run.stage("measure"):
        figures = _measure(truth, result, capture, held_out)
    page = Gallery("bozzetto", "From what people have to shapes: photographs, half a scan, a photo.")
    with run.stage("gallery"):
        _show(page, run, truth, capture, held_out, result, stages, figures)
    figures["completion"] = demonstrate_body(run, page, seed, device)
    figures["surfaces"] = demonstrate_surfaces(run, page, device)
    seconds = {name: f"{value:.1f} s" for name, value in run.stopwatch.seconds.items()}
    page.text("", heading="Time").figures(seconds, f"Seed and settings: {run.path.name}/config.json")
    page.save(run.file("index.html"))
    return figures


def take_photographs(subject: Mesh, light: Lamps, run: RunFolder) -> Path:
    """Write pictures of a subject with transparent background, and their cameras, as a capture.

    The first `VIEWS` are spread evenly all around it, then come `HELD_OUT` others.

    Returns:
        The `transforms.json`.
    """
    low, high = subject.bounds
    middle, radius = (low + high) / 2, float((high - low).norm() / 2)
    fov = math.radians(28)  # horizontally; the height of the picture holds almost all of the bounding sphere
    place = {"target": middle, "up": (0.0, 1.0, 0.0), "fov": fov, "size": (WIDTH, HEIGHT)}
    distance = 0.93 * radius / math.sin(math.atan(HEIGHT / WIDTH * math.tan(fov / 2)))
    rigs = [fibonacci_cameras(count, distance=distance, **place) for count in (VIEWS, HELD_OUT)]
    cameras = Cameras(
        torch.cat([rig.T_cam_world for rig in rigs]), torch.cat([rig.K for rig in rigs]), WIDTH, HEIGHT
    )
    names = [f"images/{i:02}.png" for i in range(VIEWS)] + [f"images/new-{i}.png" for i in range(HELD_OUT)]
    for i, name in enumerate(names):
        save_image(run.file(f"inverse/capture/{name}"), photograph(subject, cameras[[i]], light))
    path = run.file("inverse/capture/transforms.json")
    save_transforms(cameras, path, names)
    return path


def photograph(subject: Mesh, camera: Cameras, light: Lamps, samples: int = 3) -> Float[Tensor, "H W 4"]:
    """One picture, sRGB with straight alpha: the mean over `samples` x `samples` points in each pixel."""
    fine = camera.resized(camera.width * samples, camera.height * samples)
    fragments = rasterize(subject.vertices, subject.faces, fine)
    normals = normalize(interpolate(fragments, vertex_normals(subject.vertices, subject.faces)), dim=1)
    albedo = torch.ones_like(subject.vertices) if subject.colors is None else subject.colors
    color = light.radiance(normals, interpolate(fragments, albedo)).clamp(0, 1)
    picture = torch.zeros(fine.height * fine.width, 4)
    picture[fragments.pixel] = torch.cat([color, torch.ones_like(color[:, :1])], dim=1)
    picture = picture.view(camera.height, samples, camera.width, samples, 4).mean(dim=(1, 3))
    alpha = picture[..., 3:]
    return torch.cat([linear_to_srgb(picture[..., :3] / alpha.clamp_min(1e-6)), alpha], dim=-1)


def _reconstruct(
    capture: Capture, config: ReconstructConfig, device: torch.device | str, quiet: bool
) -> tuple[Reconstruction, list[Mesh]]:
    """The result, and meshes on the way to it in the internal frame of the optimiser."""
    steps = [stage.steps for stage in config.stages]
    moments = [round(sum(steps) * fraction) for fraction in _SHOWN_AT]
    kept: list[Mesh] = []
    with Progress(sum(steps), "reconstruct", quiet) as progress:

        def on_step(stage: int, optimization: Optimization, loss: float) -> None:
            progress.advance(loss=loss, vertices=float(len(optimization.positions.latent)))
            if sum(steps[:stage]) + optimization.steps_done in moments:
                kept.append(optimization.mesh.to("cpu"))

        result = reconstruct(capture, config, device, on_step)
    back = normalisation(result.start.vertices).inverse()
    return result, [mesh.with_vertices(back.apply(mesh.vertices)) for mesh in kept]


def _measure(truth: Mesh, result: Reconstruction, capture: Capture, held_out: Capture) -> dict:
    hull = visual_hull(capture.cameras, _coverage(capture), capture.known, resolution=HULL_CELLS)
    shapes = {"sphere (start)": result.start, "visual hull": hull, "reconstruction": result.mesh}
    distances = {}
    for name, mesh in shapes.items():
        distance = surface_distance(mesh, truth, samples=SAMPLES)
        distances[name] = {
            "mean distance (mm)": 1000 * distance.mean,
            "largest distance (mm)": 1000 * distance.hausdorff,
            "normal agreement": distance.normals,
        }
    quality = mesh_report(result.mesh)
    pictures = render(result.mesh, held_out.cameras, result.light.coefficients.detach().cpu())
    colors = pictures[..., :3] * result.light.log_exposure.detach().cpu().exp().mean()
    iou = silhouette_iou(pictures[..., 3], _coverage(held_out), held_out.known)
    seen, made = (linear_to_srgb(images.clamp(0, 1)) for images in (held_out.foreground(), colors))
    object_pixels = held_out.known & ((_coverage(held_out) > 0) | (pictures[..., 3] > 0))
    return {
        "distances": distances,
        "mesh": {
            "faces": quality.faces,
            "watertight": quality.watertight,
            "pieces": quality.components,
            "handles": (2 - quality.euler_number) // 2,
            "self-intersecting faces": quality.self_intersecting_faces,
        },
        "new views": {
            "silhouette overlap (IoU, mean)": float(iou.mean()),
            "silhouette overlap (IoU, worst)": float(iou.min()),
            "PSNR on the object (dB)": psnr(made, seen, object_pixels),
        },
    }


def _show(
    page: Gallery,
    run: RunFolder,
    truth: Mesh,
    capture: Capture,
    held_out: Capture,
    result: Reconstruction,
    stages: list[Mesh],
    figures: dict,
) -> None:
    sheet = contact_sheet(_on_paper(capture), columns=13, gap=0, background=_PAPER)
    save_image(run.file("inverse/views.png"), sheet)
    light = result.light.coefficients.detach().cpu()
    some = held_out.subset([1, 2, 3])
    pictures = render(result.mesh, some.cameras, light)[..., :3]
    comparison_sheet(some.foreground(), pictures, run.file("inverse/comparison.png"), some.names)
    spin = turntable(result.mesh, run.file("inverse/turntable.webp"), frames=FRAMES)
    page.text(
        "A bust of our own making: photographed, forgotten, and found again. "
        f"{len(capture)} photographs, their cameras, and nothing else: the optimiser knows neither the light "
        "nor the colours of the marble. It begins with a sphere.",
        heading="From photographs to a mesh",
    )
    page.mesh(truth, "The true bust", link="pair").mesh(result.mesh, "Reconstructed", link="pair")
    page.mesh(
        _distance_map(result.mesh, truth), "Distance to the true surface: white 0, red 2 mm", link="pair"
    )
    height = 1000 * float(truth.bounds[1, 1] - truth.bounds[0, 1])
    page.figures(
        figures["distances"], f"Both ways over {SAMPLES:,} points each; the bust is {height:.0f} mm tall."
    )
    page.text("", heading="What it saw").picture(sheet, f"All {len(capture)} photographs", wide=True)
    page.text("Clay on the way: the same steps move every vertex, coarse meshes first.", heading="On the way")
    for mesh, fraction in zip([result.start, *stages], (0.0, *_SHOWN_AT), strict=False):
        page.mesh(Mesh(mesh.vertices, mesh.faces), f"After {fraction:.0%} of the steps", link="stages")
    page.text(
        f"{len(held_out)} photographs were kept aside. The reconstruction, under the light that was learned "
        "with it, predicts them like this. The photographs were made with lamps that cast no shadows; the "
        "learned light is smooth, so part of the difference is light and not shape.",
        heading="Views that it never saw",
    )
    page.picture(run.file("inverse/comparison.png"), "Held-out photographs and their prediction")
    page.picture(spin, "The result under studio light")
    page.figures(figures["new views"]).figures(figures["mesh"])


def _on_paper(capture: Capture) -> Float[Tensor, "N H W 3"]:
    paper = srgb_to_linear(torch.tensor(_PAPER))
    return linear_to_srgb(capture.foreground() + (1 - _coverage(capture)[..., None]) * paper)


def _coverage(capture: Capture) -> Float[Tensor, "N H W"]:
    return capture.known.float() if capture.masks is None else capture.masks


def _distance_map(mesh: Mesh, truth: Mesh) -> Mesh:
    """The mesh coloured by how far it is from the truth, white to red."""
    share = (SurfaceIndex(truth).closest(mesh.vertices).distance / _WORST).clamp(0, 1)[:, None] ** 0.7
    colors = (1 - share) * torch.tensor([0.85, 0.85, 0.83]) + share * torch.tensor([0.62, 0.03, 0.06])
    return Mesh(mesh.vertices, mesh.faces, colors)

"""Reconstruction of a synthetic bust from simulated phone photos in a furnished room."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Capture, capture_sheet
from ..cameras.formats import PosedViews
from ..cameras.loading import load_views
from ..cameras.poses import estimate_cameras
from ..datasets.synthetic import PhonePhotos, furnished_room, phone_photos
from ..datasets.synthetic.phone import SurfaceErrors, photographed_faces, surface_errors
from ..errors import InputError, collected_warnings
from ..geometry import SurfaceIndex
from ..images import linear_to_srgb, load_image, save_image
from ..inverse.coarse_to_fine import Reconstruction, reconstruct_capture
from ..inverse.config import ReconstructConfig
from ..inverse.optimize import Optimization
from ..inverse.photo_source import masked_capture
from ..metrics import CameraErrors, camera_errors, mesh_report, psnr, silhouette_iou
from ..rendering import comparison_sheet, contact_sheet, render, turntable
from ..runs import Progress, RunFolder
from ..shapes import Mesh, Similarity, normalisation, save_mesh
from .gallery import Gallery

PHOTOS, WIDTH, HEIGHT = 20, 640, 480
HELD_OUT = (4, 10, 16)
DETAIL, RAYS = 0.6, 32  # of the room: density of textures, and rays per vertex for its light
SAMPLES, FRAMES = 100_000, 36  # points for distances; frames of the turntable
SCHEDULE = ReconstructConfig().stages
_SHOWN_AT = (0.08, 0.3, 0.6)  # fractions of the steps at which a mesh is kept for the gallery
_WORST = 2e-3  # metres: full colour in the picture of distances
_RED = (0.75, 0.10, 0.06)


@dataclass(frozen=True)
class FoundCameras:
    """Cameras of the photographs for the reconstruction.

    Attributes:
        posed: The cameras.
        why_true: Reason why the true cameras are used; empty if cameras were estimated from the photographs.
    """

    posed: PosedViews
    why_true: str = ""


def demonstrate_photographs(
    run: RunFolder, page: Gallery, seed: int = 0, device: torch.device | str = "cpu", quiet: bool = False
) -> dict[str, Any]:
    """Simulate phone photos of the bust, reconstruct it, evaluate all steps, and add the results to a page.

    Without the extra `poses` the true cameras are used, and the page says so. Writes under `inverse/`: the
    photographs, the true and the reconstructed mesh, and the pictures of the page.

    Args:
        run: The run folder.
        page: The page to add to.
        seed: Seed of the room, the photographs, and the choice of views in each step.
        device: Device of the computation.
        quiet: Whether to hide progress.

    Returns:
        Metrics: errors of cameras and masks, distances to the true surface in millimetres for visual hull and
            result, quality of the mesh, and errors of predicted held-out photographs.
    """
    with tempfile.TemporaryDirectory(prefix="bozzetto-") as name:
        return _demonstrate(run, page, Path(name), seed, device, quiet)


def _demonstrate(
    run: RunFolder, page: Gallery, folder: Path, seed: int, device: torch.device | str, quiet: bool
) -> dict[str, Any]:
    with run.stage("room"):
        room = furnished_room(seed, detail=DETAIL, rays=RAYS)
        save_mesh(room.subject, run.file("inverse/subject.ply"))
    with run.stage("photographs"):
        photos = phone_photos(folder, PHOTOS, (WIDTH, HEIGHT), seed, room)
        for photo in photos.photos:
            shutil.copyfile(photo, run.file(f"inverse/photos/{photo.name}"))
    with run.stage("cameras"):
        found = find_cameras(photos, folder / "cameras", seed)
    placed = [view.name for view in found.posed.views]
    kept_aside = [placed[i * len(placed) // PHOTOS] for i in HELD_OUT]
    with run.stage("masks"):
        # Each load warns of photographs in the folder without a camera: here these are the other part.
        with collected_warnings():
            used = masked_capture(_some(found.posed, lambda name: name not in kept_aside), seed=seed)
            new = load_views(_with_true_masks(_some(found.posed, lambda name: name in kept_aside), photos))
        save_image(run.file("inverse/masks.jpg"), capture_sheet(used, columns=6, width=250))
    with run.stage("reconstruct"):
        config = ReconstructConfig(stages=SCHEDULE, seed=seed)
        result, stages = _reconstruct(used, config, device, quiet)
        save_mesh(result.mesh, run.file("inverse/mesh.ply"))
        save_mesh(result.mesh, run.file("inverse/mesh.glb"))
    with run.stage("measure"):
        cameras = _camera_errors(found.posed, photos)
        seen = photographed_faces(photos)
        start = cameras.to_truth
        hull, mesh = (surface_errors(m, photos, seen, start, SAMPLES) for m in (result.start, result.mesh))
        figures = {
            "cameras": _camera_figures(cameras, found, photos),
            "masks": _mask_figures(used, found.posed, photos),
            "distances": {"visual hull (start)": _distances(hull), "reconstruction": _distances(mesh)},
            "mesh": _mesh_figures(result.mesh),
            "new views": _new_view_figures(result, new),
        }
    with run.stage("gallery"):
        on_the_way = [m.with_vertices(mesh.to_world.apply(m.vertices)) for m in (result.start, *stages)]
        final = result.mesh.with_vertices(mesh.to_world.apply(result.mesh.vertices))
        _show_photographs(page, run, photos, found, figures)
        page.mesh(with_cameras(final, found.posed, mesh.to_world), "Where the phone was", wide=True)
        page.picture(run.file("inverse/masks.jpg"), "Outlines of the masks that were found", wide=True)
        _show_meshes(page, photos.subject, final, on_the_way, figures)
        _show_new_views(page, run, new, result, figures)
        spin = turntable(final, run.file("inverse/turntable.webp"), frames=FRAMES, up=(0.0, 1.0, 0.0))
        page.picture(spin, "The result under studio light").table(figures["mesh"])
    return figures


def find_cameras(photos: PhonePhotos, folder: Path, seed: int) -> FoundCameras:
    """Cameras estimated from the photographs if this is possible here, otherwise the true ones."""
    true = PosedViews(tuple(replace(view, mask=None) for view in photos.views), photos.posed.source)
    if find_spec("pycolmap") is None:
        return FoundCameras(true, "the extra `poses` is not installed (pip install 'bozzetto[poses]')")
    try:
        return FoundCameras(estimate_cameras(photos.photos, None, folder, seed))
    except InputError as error:
        return FoundCameras(true, f"no cameras were found: {error}")


def with_cameras(mesh: Mesh, posed: PosedViews, to_world: Similarity, length: float = 0.08) -> Mesh:
    """A mesh together with cameras, transformed to its frame, as pyramids that open in viewing direction."""
    vertices, faces, colors = [mesh.vertices], [mesh.faces], [_albedo(mesh)]
    sides = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1], [1, 3, 2], [1, 4, 3]])
    count = len(mesh.vertices)
    for view in posed.views:
        assert view.K is not None and view.size is not None
        half = [0.5 * n / float(view.K[0, 0]) for n in view.size]
        corners = [
            (0, 0, 0),
            *((x * half[0], y * half[1], 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))),
        ]
        local = length / to_world.scale * torch.tensor(corners, dtype=torch.float64)
        R, t = view.T_cam_world[:3, :3], view.T_cam_world[:3, 3]
        vertices.append(to_world.apply((local - t) @ R).float())
        faces.append(sides + count)
        colors.append(torch.tensor(_RED).expand(5, 3))
        count += 5
    return Mesh(torch.cat(vertices), torch.cat(faces), torch.cat(colors))


def _albedo(mesh: Mesh) -> Float[Tensor, "V 3"]:
    return torch.full_like(mesh.vertices, 0.6) if mesh.colors is None else mesh.colors


def _reconstruct(
    capture: Capture, config: ReconstructConfig, device: torch.device | str, quiet: bool
) -> tuple[Reconstruction, list[Mesh]]:
    """The result, and intermediate meshes in the same frame."""
    steps = [stage.steps for stage in config.stages]
    moments = [round(sum(steps) * fraction) for fraction in _SHOWN_AT]
    kept: list[Mesh] = []
    with Progress(sum(steps), "reconstruct", quiet) as progress:

        def on_step(stage: int, optimization: Optimization, loss: float) -> None:
            progress.advance(loss=loss, vertices=float(len(optimization.positions.latent)))
            if sum(steps[:stage]) + optimization.steps_done in moments:
                kept.append(optimization.mesh.to("cpu"))

        result = reconstruct_capture(capture, config, device, on_step)
    back = normalisation(result.start.vertices[result.start.used]).inverse()
    return result, [mesh.with_vertices(back.apply(mesh.vertices)) for mesh in kept]


def _camera_errors(posed: PosedViews, photos: PhonePhotos) -> CameraErrors:
    known = {view.name: view.T_cam_world for view in photos.views}
    poses = torch.stack([view.T_cam_world for view in posed.views])
    return camera_errors(poses, torch.stack([known[view.name] for view in posed.views]))


def _camera_figures(errors: CameraErrors, found: FoundCameras, photos: PhonePhotos) -> dict[str, Any]:
    return {
        "estimated from the photographs": not found.why_true,
        "photographs with a camera": len(found.posed.views),
        "photographs": len(photos.views),
        "direction, mean error (degrees)": float(errors.rotation.mean()),
        "direction, largest error (degrees)": float(errors.rotation.max()),
        "place, mean error (% of the distance)": 100 * float(errors.centre.mean()),
    }


def _some(posed: PosedViews, wanted: Callable[[str], bool]) -> PosedViews:
    kept = [i for i, view in enumerate(posed.views) if wanted(view.name)]
    points = None if posed.points is None else posed.points.of_views(kept)
    return PosedViews(tuple(posed.views[i] for i in kept), posed.source, points)


def _with_true_masks(posed: PosedViews, photos: PhonePhotos) -> PosedViews:
    files = {view.name: view.mask for view in photos.views}
    return replace(posed, views=tuple(replace(view, mask=files[view.name]) for view in posed.views))


def _mask_figures(capture: Capture, posed: PosedViews, photos: PhonePhotos) -> dict[str, Any]:
    """Metrics of masks against the true ones, both without the estimated distortion."""
    same = _some(_with_true_masks(posed, photos), lambda name: name in capture.names)
    with collected_warnings():
        true = load_views(same).require_masks()
    overlap = silhouette_iou(capture.require_masks(), true, capture.known)
    return {"overlap (IoU, mean)": float(overlap.mean()), "overlap (IoU, worst)": float(overlap.min())}


def _distances(errors: SurfaceErrors) -> dict[str, float]:
    both = torch.cat([errors.to_result, errors.to_truth])
    return {
        "mean distance (mm)": 1000 * errors.mean,
        "95 % are closer than (mm)": 1000 * float(torch.quantile(both, 0.95)),
    }


def _mesh_figures(mesh: Mesh) -> dict[str, Any]:
    quality = mesh_report(mesh)
    return {
        "faces": quality.faces,
        "watertight": quality.watertight,
        "pieces": quality.components,
        "handles": (2 - quality.euler_number) // 2,
        "self-intersecting faces": quality.self_intersecting_faces,
    }


def _rendered(result: Reconstruction, capture: Capture) -> Float[Tensor, "N H W 4"]:
    """Render the result: linear colours in the mean exposure, and coverage."""
    pictures = render(result.mesh, capture.cameras, result.light.coefficients.detach().cpu())
    colors = pictures[..., :3] * result.light.log_exposure.detach().cpu().exp().mean()
    return torch.cat([colors, pictures[..., 3:]], dim=-1)


def _new_view_figures(result: Reconstruction, capture: Capture) -> dict[str, Any]:
    pictures, masks = _rendered(result, capture), capture.require_masks()
    overlap = silhouette_iou(pictures[..., 3], masks, capture.known)
    seen, made = (linear_to_srgb(p.clamp(0, 1)) for p in (capture.foreground(), pictures[..., :3]))
    object_pixels = capture.known & (masks > 0.5) & (pictures[..., 3] > 0.5)
    return {
        "silhouette overlap (IoU, mean)": float(overlap.mean()),
        "silhouette overlap (IoU, worst)": float(overlap.min()),
        "PSNR on the object (dB)": psnr(made, seen, object_pixels),
    }


def _show_photographs(
    page: Gallery, run: RunFolder, photos: PhonePhotos, found: FoundCameras, figures: dict[str, Any]
) -> None:
    pictures = [_in_frame(load_image(photo), 300) for photo in photos.photos]
    sheet = contact_sheet(torch.stack(pictures), columns=8, gap=2)
    save_image(run.file("inverse/photos.jpg"), sheet)
    page.text(
        "A bust of our own making stands in a room of our own making. A phone of our own making takes "
        f"{len(photos.photos)} photographs: by hand, near and far, upright and sideways, with a lens that "
        "bends, an exposure of its own for each, noise and blur. Nothing but these photographs is used: where "
        "the phone was, what is bust and what is room, the shape and its colours all have to be found.",
        heading="From phone photos to a mesh",
    )
    page.picture(run.file("inverse/photos.jpg"), f"All {len(photos.photos)} photographs", wide=True)
    if found.why_true:
        page.text(f"The true cameras are used here, not estimated ones: {found.why_true}.")
    page.table(figures["cameras"], "Cameras against the truth.")
    page.table(figures["masks"], "Masks against the truth.")


def _in_frame(picture: Float[Tensor, "H W 3"], side: int) -> Float[Tensor, "s s 3"]:
    """The picture in the middle of a white square."""
    height, width = picture.shape[:2]
    size = [max(1, round(n * side / max(height, width))) for n in (height, width)]
    small = torch.nn.functional.interpolate(
        picture.permute(2, 0, 1)[None], size, mode="bilinear", antialias=True
    )[0].permute(1, 2, 0)
    frame = torch.ones(side, side, 3)
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    frame[top : top + size[0], left : left + size[1]] = small
    return frame


def _show_meshes(
    page: Gallery, truth: Mesh, result: Mesh, on_the_way: Sequence[Mesh], figures: dict[str, Any]
) -> None:
    page.text("", heading="The mesh and the truth")
    page.mesh(truth, "The true bust", link="pair").mesh(result, "Reconstructed", link="pair")
    page.mesh(_distance_map(result, truth), "Distance to the true surface: white 0, red 2 mm", link="pair")
    height = 1000 * float(truth.bounds[1, 1] - truth.bounds[0, 1])
    page.table(
        figures["distances"],
        f"Both ways over {SAMPLES:,} points each, where two photographs or more show the bust, after the "
        f"similarity that fits best: photographs tell no scale. The bust is {height:.0f} mm tall.",
    )
    page.text("Clay on the way: the same steps move every vertex, coarse meshes first.", heading="On the way")
    for mesh, fraction in zip(on_the_way, (0.0, *_SHOWN_AT), strict=False):
        page.mesh(Mesh(mesh.vertices, mesh.faces), f"After {fraction:.0%} of the steps", link="stages")


def _show_new_views(
    page: Gallery, run: RunFolder, new: Capture, result: Reconstruction, figures: dict[str, Any]
) -> None:
    comparison_sheet(
        new.foreground(), _rendered(result, new)[..., :3], run.file("inverse/comparison.png"), new.names
    )
    page.text(
        f"{len(new)} photographs were kept aside when masks and mesh were made; of them only the cameras were "
        "found with the others. This is how the mesh predicts them, in the mean exposure of the others. The "
        "learned light is smooth and casts no shadows, that of the room does.",
        heading="Photographs that it did not learn from",
    )
    page.picture(run.file("inverse/comparison.png"), "Kept-aside photographs and their prediction")
    page.table(figures["new views"])


def _distance_map(mesh: Mesh, truth: Mesh) -> Mesh:
    """The mesh coloured by its distance from the truth, from white to red."""
    share = (SurfaceIndex(truth).closest(mesh.vertices).distance / _WORST).clamp(0, 1)[:, None] ** 0.7
    colors = (1 - share) * torch.tensor([0.85, 0.85, 0.83]) + share * torch.tensor([0.62, 0.03, 0.06])
    return Mesh(mesh.vertices, mesh.faces, colors)

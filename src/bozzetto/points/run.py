"""Denoising and surface reconstruction of clouds in run folders."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ..errors import warn_input
from ..images import save_image
from ..metrics import mesh_report
from ..rendering import cloud_pictures, contact_sheet, turntable_views
from ..runs import RunFolder
from ..shapes import PointCloud, box_frame, save_mesh, save_points
from . import denoise, estimate_noise, surface, upsample
from .cloud_cleaning import clean_cloud, is_line
from .local_fits import FEW
from .surface_mesh import Boundary

PREVIEW = 480
TOO_STRONG = 2.5
"""Ratio of given to estimated noise above which there is a warning."""


def denoise_cloud(
    run: RunFolder,
    cloud: PointCloud,
    noise: float | None = None,
    iterations: int = 2,
    count: int | None = None,
) -> dict[str, Any]:
    """Denoise a cloud, optionally upsample it to `count` points, and write the results to a run folder.

    Writes `points.ply` with normals, and `preview.png`, the cloud before and after.

    Returns:
        Metrics: number of points, and the removed noise.
    """
    sound = clean_cloud(cloud, outward=False)
    if is_line(sound.cloud):
        warn_input("all points of the cloud lie on a line; their normals are arbitrary")
    with run.stage("denoise"):
        check_given_noise(noise, sound.cloud)
        result = denoise(sound.cloud, noise, iterations)
        cleaned = result.cloud
    if count is not None:
        with run.stage("upsample"):
            cleaned = upsample(cleaned, count - len(cloud) + len(cleaned))
    cleaned = sound.restored(cloud, cleaned)
    with run.stage("write"):
        save_points(cleaned.to("cpu"), run.file("points.ply"))
        save_image(run.file("preview.png"), before_and_after(cloud.points.cpu(), cleaned.points.cpu()))
    return {"points": len(cleaned), "noise": result.noise}


def check_given_noise(noise: float | None, cloud: PointCloud) -> None:
    """Warn if the given noise is far above the estimated one."""
    if noise is None or len(cloud) < FEW:
        return
    shown = estimate_noise(cloud.points)
    if noise > TOO_STRONG * shown:
        warn_input(
            f"the noise is given as {noise:g}, but the points show about {shown:.2g}; smaller details are "
            "lost, so leave it out to have it estimated"
        )


def before_and_after(before: Tensor, after: Tensor) -> Tensor:
    """Picture of two clouds side by side, in the same frame."""
    frame = box_frame(torch.cat([before, after]))
    return contact_sheet(cloud_pictures([frame.apply(before), frame.apply(after)], PREVIEW), 2, gap=0)


def surface_cloud(
    run: RunFolder,
    cloud: PointCloud,
    resolution: int | None = None,
    boundary: Boundary = "auto",
    noise: float | None = None,
) -> dict[str, Any]:
    """Reconstruct the surface of a cloud and write the results to a run folder.

    Writes `mesh.ply`, `mesh.glb` and `preview.png`, which shows the mesh from four sides.

    Returns:
        Metrics of the mesh.
    """
    with run.stage("surface"):
        mesh = surface(cloud, resolution, boundary, noise).to("cpu")
    with run.stage("write"):
        save_mesh(mesh, run.file("mesh.ply"))
        save_mesh(mesh, run.file("mesh.glb"))
        save_image(run.file("preview.png"), contact_sheet(turntable_views(mesh, 4, PREVIEW // 2), 4, gap=0))
    return {"points": len(cloud), "mesh": asdict(mesh_report(mesh))}

"""The score engine in run folders: training a model of clouds, and writing its results."""

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..files import write_bytes
from ..geometry import is_one_solid
from ..images import save_image
from ..rendering import cloud_pictures, contact_sheet, mesh_sheet
from ..runs import RunFolder, learn
from ..shapes import PointCloud, box_frame, save_mesh, save_points
from ..shapes.offsets import NO_OFFSET, split_offset
from .data import CloudTable
from .family import fit_limits
from .latent import fit_latent_gan
from .prior import CloudPrior
from .sample import points_of, sample_meshes
from .train import Training

PREVIEWS = 6
SHOWN = 64  # clouds on a sheet


def learn_clouds(
    run: RunFolder, training: Training, quiet: bool = False, metadata: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Train a model of point clouds in a run folder, continuing from its checkpoint if it has one.

    Writes `model.safetensors` and `preview.png`: from top to bottom shapes of the collection, their
    reconstructions, and new shapes if a distribution of codes was learned.

    If the settings contain a latent GAN, it is trained afterwards, for at most a quarter of the time.

    Returns:
        Metrics: final losses, number of steps and of parameters.
    """
    config, table = training.config, training.table

    def complete(prior: CloudPrior) -> CloudPrior:
        if config.latent is not None and config.latent.kind == "gan":
            with run.stage("latent gan"):
                seconds, clock = config.seconds / 4, training.clock
                latent = fit_latent_gan(prior.codes, config.latent, config.seed, seconds, clock)
                prior = replace(prior, latent=latent)
        with run.stage("family"):
            if (limits := fit_limits(prior)) is not None:
                prior = replace(prior, limits=(limits.whole, limits.part))
        return prior

    drawn = partial(model_preview, table=table)
    prior, metrics = learn(run, training, "model.safetensors", drawn, quiet, metadata, complete)
    count = sum(p.numel() for p in prior.model.parameters())
    return {**metrics, "parameters": count, "shapes": len(table)}


def model_preview(prior: CloudPrior, table: CloudTable, points: int = 2048) -> Tensor:
    """Picture of shapes of the collection, their reconstructions, and new shapes of the model."""
    chosen = torch.linspace(0, len(table) - 1, min(PREVIEWS, len(table))).round().long()
    rows = list(table.points[chosen, :points]) + list(points_of(prior, prior.codes[chosen], points))
    if prior.latent is not None:
        rows += list(points_of(prior, prior.sample_codes(len(chosen)), points))
    return contact_sheet(cloud_pictures(rows), columns=len(chosen), gap=0)


def write_clouds(run: RunFolder, clouds: Sequence[Float[Tensor, "_ D"]], name: str = "points") -> None:
    """Write clouds as `points-1.ply` and so on (2D clouds with z = 0), and `sheet.png`.

    If all clouds have the same number of points, they are also written together as `points.npy` of shape
    (clouds, points, D), which
    `bozzetto evaluate generation` reads.
    """
    clouds = [cloud.detach().cpu() for cloud in clouds]
    for index, cloud in enumerate(clouds, start=1):
        solid = cloud if cloud.shape[1] == 3 else torch.cat([cloud, torch.zeros_like(cloud[:, :1])], dim=1)
        points, offset = (
            split_offset(solid.numpy()) if solid.dtype == torch.float64 else (solid.numpy(), NO_OFFSET)
        )
        save_points(PointCloud(torch.from_numpy(points), offset=offset), run.file(f"{name}-{index}.ply"))
    if len({len(cloud) for cloud in clouds}) == 1:
        array = io.BytesIO()
        np.save(array, torch.stack(clouds).numpy())
        write_bytes(run.file(f"{name}.npy"), array.getvalue())
    shown = clouds[:SHOWN]
    frame = box_frame(torch.cat(shown))  # one for all, so that sizes can be compared
    pictures = cloud_pictures([frame.apply(cloud) for cloud in shown])
    save_image(run.file("sheet.png"), contact_sheet(pictures, gap=0))


def invent_meshes(
    run: RunFolder,
    prior: CloudPrior,
    count: int,
    seed: int = 0,
    truncation: float = 1.0,
    resolution: int | None = None,
) -> dict[str, Any]:
    """Sample new shapes and write their meshes to a run folder.

    Writes `mesh-1.ply` and so on, and `sheet.png`.

    Returns:
        Metrics: number of shapes, and number of those that are closed and connected.
    """
    with run.stage("sample"):
        meshes = sample_meshes(prior, count, seed, truncation, resolution)
    with run.stage("write"):
        for index, mesh in enumerate(meshes, start=1):
            save_mesh(mesh, run.file(f"mesh-{index}.ply"))
        save_image(run.file("sheet.png"), mesh_sheet(meshes))
    return {"shapes": count, "one_piece": sum(is_one_solid(mesh) for mesh in meshes)}

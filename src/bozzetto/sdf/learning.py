"""From a folder of shapes to a prior: preparation, training, checkpoints, previews."""

from pathlib import Path

import torch
from torch import Tensor

from ..errors import warn_input
from ..images import save_image
from ..points import surface
from ..render import contact_sheet, turned
from ..runs import RunFolder, run_training
from ..shapes import Mesh, load_shape, save_mesh
from . import Collection, ShapePrior, TrainConfig, find_meshes, is_prepared, load_collection
from .data import sample_table
from .extract import extract_mesh
from .family import with_width
from .prepare import prepare_collection
from .prepared_folder import settings_of
from .prior import save_prior
from .train import Training

PREVIEWS = 8
PREVIEW_RESOLUTION = 96


def prepared_collection(
    run: RunFolder, data: Path, count: int, split: Path | None = None, seed: int = 0, quiet: bool = False
) -> Collection:
    """The samples of a folder: read if it is prepared, made under the run's folder if it holds meshes.

    One file is a shape of its own: a mesh, or a scan, whose closed surface is written as `surface.ply` first.

    Raises:
        InputError: The folder holds neither, or most meshes in it cannot be used.
    """
    if is_prepared(data):
        return load_collection(data, split)
    run.begin()
    folder = run.path / "prepared"
    settings = {"count": count, "seed": seed, "protocol": "released"}
    other = settings_of(folder) not in (None, settings)
    with run.stage("prepare"):
        meshes = [
            (name, _as_mesh(run, path) if data.is_file() else path) for name, path in find_meshes(data, split)
        ]
        prepare_collection(meshes, folder, count=count, seed=seed, overwrite=other, quiet=quiet)
    return load_collection(folder)


def _as_mesh(run: RunFolder, path: Path) -> Path:
    """The file itself if it is a mesh; of a cloud the file of its closed surface."""
    shape = load_shape(path)
    if isinstance(shape, Mesh):
        return path
    warn_input(f"{path} is a cloud; the closed surface of its points is learned, surface.ply")
    target = run.file("surface.ply")
    save_mesh(surface(shape, ends="closed", name=str(path)), target)
    return target


def learn_shape_prior(
    run: RunFolder,
    collection: Collection,
    config: TrainConfig,
    device: torch.device | str = "cpu",
    quiet: bool = False,
    about: dict | None = None,
) -> dict:
    """Train a prior in a run folder, continuing from its checkpoint if it has one.

    Writes `prior.safetensors`, and `preview.png` with some of the shapes as the prior has learned them.

    Returns:
        Figures: loss and share of inside samples found at the end, steps, parameters.
    """
    table = sample_table(list(collection.samples), collection.names)
    training = Training(table, config, device)
    figures = run_training(run, training, quiet)
    prior = training.prior(collection.names, {"training": run.config, **(about or {})})
    with run.stage("family"):
        prior = with_width(prior)
    with run.stage("write"):
        save_prior(prior, run.file("prior.safetensors"))
        save_image(run.file("preview.png"), preview(prior))
    count = sum(p.numel() for p in prior.decoder.parameters())
    figures = {**figures, "family_width": prior.width, "steps": training.steps_done, "parameters": count}
    return {**figures, "shapes": len(collection)}


def preview(prior: ShapePrior, count: int = PREVIEWS) -> Tensor:
    """A sheet of training shapes, spread over the collection, as the prior draws them."""
    chosen = torch.linspace(0, len(prior.codes) - 1, min(count, len(prior.codes))).round().long()
    meshes = [extract_mesh(prior, prior.codes[i], PREVIEW_RESOLUTION) for i in chosen]
    return contact_sheet([turned(mesh, frames=1, size=240, front=(0.6, 0, 1))[0] for mesh in meshes])

"""Meshes of shapes that a prior or a model of clouds invents, in run folders."""

from collections.abc import Sequence

from ..geometry import is_one_solid
from ..images import save_image
from ..render import contact_sheet, turned
from ..runs import RunFolder
from ..score import CloudPrior
from ..score.inventions import sample_meshes
from ..shapes import Mesh, save_mesh
from . import ShapePrior, save_code
from .sample import sample

SHOWN, SIZE = 64, 160
"""Meshes on a sheet, and the side of a picture in pixels."""


def invent_meshes(
    run: RunFolder,
    prior: ShapePrior | CloudPrior,
    count: int,
    seed: int = 0,
    truncation: float = 1.0,
    resolution: int | None = None,
) -> dict:
    """Write meshes of new shapes into a run folder.

    Writes `mesh-1.ply` and so on and `sheet.png`; of a prior over meshes also `code-1.safetensors` and so on.

    Returns:
        Figures: how many shapes there are, and how many of them are closed and of one piece.
    """
    with run.stage("sample"):
        if isinstance(prior, ShapePrior):
            found = sample(prior, count, seed, truncation, resolution or 128)
            codes, meshes = [code for code, _ in found], [mesh for _, mesh in found]
        else:
            codes, meshes = [], sample_meshes(prior, count, seed, truncation, resolution)
    with run.stage("write"):
        for index, mesh in enumerate(meshes, start=1):
            save_mesh(mesh, run.file(f"mesh-{index}.ply"))
        if isinstance(prior, ShapePrior):
            for index, code in enumerate(codes, start=1):
                save_code(code, prior, run.file(f"code-{index}.safetensors"))
        save_sheet(run, meshes)
    return {"shapes": count, "one_piece": sum(is_one_solid(mesh) for mesh in meshes)}


def save_sheet(run: RunFolder, meshes: Sequence[Mesh]) -> None:
    """Pictures of the first meshes side by side."""
    pictures = [turned(mesh.to("cpu"), 1, SIZE)[0] for mesh in meshes[:SHOWN]]
    save_image(run.file("sheet.png"), contact_sheet(pictures, gap=0))

"""`bozzetto reconstruct CAPTURE`: photographs with cameras to a watertight mesh."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import InputError
from .common import Options


@dataclass(frozen=True, kw_only=True)
class Reconstruct(Options):
    """Turn photographs with known cameras into a watertight mesh, in the frame and unit of the cameras.

    Writes mesh.ply, mesh.glb and renders/ (photo, render and difference side by side, and a turntable).
    """

    capture: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CAPTURE")]
    """Folder or camera file: transforms.json (Blender, instant-ngp, nerfstudio) or Middlebury *_par.txt."""
    out: Path = Path("bozzetto-out/reconstruct")
    """Folder for the results."""
    preset: Literal["fast", "default", "fine"] = "default"
    """How much work: about 2, 6 or 20 minutes for 16 photographs of 640x480 on two cores."""
    masks: Annotated[str, tyro.conf.arg(metavar="auto|alpha|DIR")] = "auto"
    """What is object: auto takes alpha or a masks folder if there is one, else the plain background."""
    init: Annotated[str, tyro.conf.arg(metavar="hull|sphere|MESH")] = "hull"
    """First surface: the visual hull of the masks, a sphere, or a mesh file."""
    hold_out: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME,...|COUNT")
    ] = ()
    """Photographs kept aside to measure the result: their names, or how many."""
    light: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Known light: a .npy file of 9 x 3 spherical-harmonics coefficients; otherwise it is learned."""
    resume: bool = False
    """Continue an interrupted run in the same folder."""

    def run(self) -> dict:
        """Reconstruct."""
        raise NotImplementedError


def choose_held_out(names: list[str], wanted: tuple[str, ...]) -> list[int]:
    """Positions of the photographs to keep aside.

    Args:
        names: All photographs.
        wanted: Names, with or without ending and several in one word when separated by commas; or one
            number, which spreads that many evenly over the list.

    Raises:
        InputError: A name is unknown or nothing would be left to reconstruct from.
    """
    words = [word for group in wanted for word in group.split(",") if word]
    if len(words) == 1 and words[0].isdigit() and words[0] not in names:
        count = int(words[0])
        chosen = sorted({(2 * i + 1) * len(names) // (2 * count) for i in range(count)})
    else:
        known = {key: i for i, name in enumerate(names) for key in (Path(name).stem, Path(name).name, name)}
        unknown = [word for word in words if word not in known]
        if unknown:
            raise InputError(
                f"--hold-out {unknown[0]}: there is no such photograph; names are {names[0]} to {names[-1]}"
            )
        chosen = sorted({known[word] for word in words})
    if len(names) - len(chosen) < 2:
        raise InputError(
            f"--hold-out keeps {len(chosen)} of {len(names)} photographs aside; at least two must remain"
        )
    return chosen

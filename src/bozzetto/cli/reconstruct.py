"""`bozzetto reconstruct CAPTURE`: photographs with cameras to a watertight mesh."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..errors import InputError, warn_input
from .common import Options

if TYPE_CHECKING:
    from torch import Tensor

    from ..inverse.config import ReconstructConfig

LARGEST_LIGHT = 1 << 16  # bytes, of which 9 x 3 numbers need few
EFFORT = {"fast": 0.4, "default": 1.0, "fine": 3.0}  # of each preset: factor on the optimisation steps


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
    """How much work: about 1, 3 or 8 minutes for 16 photographs of 640x480 on two cores."""
    masks: Annotated[str, tyro.conf.arg(metavar="auto|alpha|background|DIR")] = "auto"
    """What is object: auto takes mask files or else alpha if there are any, else the plain background."""
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
        from ..cameras import examine, load_capture
        from ..pipelines import reconstruct_photographs
        from ..runs import RunFolder, fingerprint, resolve_device, seed_everything
        from ..shapes import load_mesh

        device = resolve_device(self.device)
        seed_everything(self.seed)
        light = None if self.light is None else load_light(self.light)
        if self.masks == "none":
            raise InputError("reconstruct needs masks of the object; leave out --masks none")
        capture = load_capture(self.capture, masks=self.masks)
        examination = examine(capture)
        for finding in examination.findings:
            if not finding.fatal:
                warn_input(finding.sentence)
        if examination.fatal is not None:
            raise InputError(f"{self.capture} cannot be reconstructed: {examination.fatal}")
        used, held_out = capture.split(choose_held_out(list(capture.names), self.hold_out))
        config = self.settings()
        cameras = capture.cameras
        assert capture.masks is not None
        content = [capture.images, capture.masks, capture.known, cameras.T_cam_world, cameras.K]
        if self.init not in ("hull", "sphere"):
            content.append(
                load_mesh(self.init).world_vertices
            )  # read early, so that nothing begins with a bad file
        settings = {
            "verb": "reconstruct",
            "settings": config,
            "held_out": held_out.names,
            "light": None if light is None else light.tolist(),
            "input": fingerprint(*content),
        }
        run = RunFolder.create(
            self.out, settings, self.overwrite, self.resume, reads=[self.capture, self.init]
        )
        figures = reconstruct_photographs(run, used, config, held_out, light, device, self.quiet)
        report = run.report(figures, device, self.seed)
        self.say(f"Mesh: {run.path / 'mesh.ply'} and mesh.glb; pictures: {run.path / 'renders'}")
        return report

    def settings(self) -> "ReconstructConfig":
        """The preset with what the options change."""
        from ..inverse.config import ReconstructConfig

        base = ReconstructConfig(init=self.init, seed=self.seed)
        stages = [
            replace(stage, steps=max(1, round(stage.steps * EFFORT[self.preset]))) for stage in base.stages
        ]
        return replace(base, stages=tuple(stages))


def load_light(path: Path) -> "Tensor":
    """Spherical-harmonics coefficients from a NumPy file.

    Raises:
        InputError: The file cannot be read or does not hold nine finite RGB rows.
    """
    import numpy as np
    import torch

    from ..shapes.numpy_files import numbers_of
    from ..shapes.stored_picture import check_file

    check_file(path, "light")
    try:
        values = numbers_of(path.read_bytes()) if path.stat().st_size < LARGEST_LIGHT else np.zeros(0)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise InputError(
            f"cannot read the light {path} ({error}); give a .npy file of 9 x 3 numbers"
        ) from None
    if values.shape != (9, 3) or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise InputError(
            f"{path} holds {values.dtype} of shape {values.shape}, expected 9 x 3 finite numbers: "
            "one RGB row of radiance per spherical harmonic"
        )
    return torch.from_numpy(values.astype(np.float32))


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
    if len(words) == 1 and words[0].isdecimal() and words[0] not in names:
        count = min(int(words[0][:9]), len(names))
        chosen = sorted({(2 * i + 1) * len(names) // (2 * count) for i in range(count)})
    else:
        known = {key: i for i, name in enumerate(names) for key in (Path(name).stem, Path(name).name, name)}
        unknown = [word for word in words if word not in known]
        if unknown:
            raise InputError(
                f"--hold-out {unknown[0]}: there is no such photograph; names are {names[0]} to {names[-1]}"
            )
        chosen = sorted({known[word] for word in words})
    if chosen and len(names) - len(chosen) < 2:
        raise InputError(
            f"--hold-out keeps {len(chosen)} of {len(names)} photographs aside; at least two must remain"
        )
    return chosen

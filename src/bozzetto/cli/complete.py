"""`bozzetto complete SCAN`: a partial scan to a whole shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from .checks import LARGEST, Within, refuse_options
from .common import Options
from .denoise import check_noise

if TYPE_CHECKING:
    from ..sdf import ShapePrior


@dataclass(frozen=True, kw_only=True)
class Complete(Options):
    """Complete a partial scan with a prior over shapes, in the scan's own frame and unit.

    Writes mesh.ply and mesh.glb (colours: observed or invented), code.safetensors, pose.json and
    preview.png.
    """

    scan: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SCAN")]
    """Point cloud or mesh with holes, or an .npz with depth (H, W), K (3, 3) and perhaps T_cam_world (4, 4)."""
    out: Path = Path("bozzetto-out/complete")
    """Folder for the results."""
    prior: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "bodies"
    """Prior over shapes: one that comes with the program, or a file from training."""
    pose: Literal["solve", "known"] = "solve"
    """Find place, direction and scale of the scan, or trust that it is in the normalised frame of the prior."""
    up: Literal["x", "-x", "y", "-y", "z", "-z"] = "y"
    """Axis of the scan that points upwards, when the pose is solved."""
    turns: Annotated[int, Within(1, 1000)] = 8
    """Directions around that axis to start from; 1 if the scan faces like the shapes of the prior."""
    hypotheses: Annotated[int, Within(0, 100)] = 0
    """Number of further shapes that also explain the scan."""
    noise: Annotated[float | None, Within(0, LARGEST, above=True)] = None
    """Standard deviation of the points, in the unit of the scan; estimated without it."""
    viewpoint: Annotated[tuple[float, float, float] | None, Within(-LARGEST, LARGEST)] = None
    """Where the scanner of a point cloud stood, so that the space in between is known to be empty."""
    any_shape: bool = False
    """Complete also a scan that is no member of the prior's family, which is refused otherwise."""
    resolution: Annotated[int, Within(8, 1024)] = 256
    """Grid for the mesh, along each axis."""

    def check(self) -> None:
        """Refuse also options that only --pose solve uses."""
        super().check()
        if self.pose == "known":
            refuse_options(self, "is for --pose solve", "--up", "--turns")

    def run(self) -> dict:
        """Complete."""
        import torch

        from ..runs import RunFolder, fingerprint, resolve_device, seed_everything
        from ..sdf import CompleteConfig, complete_scan, load_scan

        device = resolve_device(self.device)
        seed_everything(self.seed)
        prior = open_prior(self.prior).to(device)
        viewpoint = None if self.viewpoint is None else torch.tensor(self.viewpoint, dtype=torch.float64)
        seen = load_scan(self.scan, self.noise, viewpoint)
        check_noise(self.noise, seen.points, str(self.scan))
        config = CompleteConfig(
            pose=self.pose,
            up=self.up,
            turns=self.turns,
            hypotheses=self.hypotheses,
            resolution=self.resolution,
            any_shape=self.any_shape,
            seed=self.seed,
        )
        settings = {"verb": "complete", "settings": config, "prior": self.prior}
        run = RunFolder.create(
            self.out,
            {**settings, "input": fingerprint(self.scan)},
            self.overwrite,
            reads=[self.scan, self.prior],
        )
        figures = complete_scan(run, prior, seen, config, str(self.scan))
        report = run.report(figures, device, self.seed)
        self.say(f"Mesh: {run.path / 'mesh.ply'} and mesh.glb; picture: {run.path / 'preview.png'}")
        return report


def open_prior(name: str) -> "ShapePrior":
    """A prior from a file, or one that comes with the program.

    Raises:
        InputError: There is none of this name, or the file holds something else.
    """
    from ..sdf import load_prior

    path = Path(name)
    if path.suffix or path.is_file():
        return load_prior(path)
    from ..weights import find

    return load_prior(find(name))

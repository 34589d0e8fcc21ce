"""`bozzetto complete SCAN`: a partial scan to a whole shape."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .checks import LARGEST, Formerly, Within, refuse_options
from .common import Options, check_noise


@dataclass(frozen=True, kw_only=True)
class Complete(Options):
    """Complete a partial scan to a whole mesh with a prior over shapes.

    The result is in the frame and unit of the scan. Writes mesh.ply and mesh.glb (coloured by what was
    observed and what was inferred), code.safetensors, pose.json and preview.png.
    """

    scan: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SCAN")]
    """Point cloud, mesh with holes, or .npz with depth (H, W), K (3, 3) and optionally T_cam_world."""
    out: Path = Path("bozzetto-out/complete")
    """Folder for the results."""
    prior: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "bodies"
    """Prior over shapes: one that comes with the program, or a file from training."""
    pose: Literal["solve", "known"] = "solve"
    """solve: estimate position, yaw and scale; known: the scan is in the normalised frame of the prior."""
    up: Literal["x", "-x", "y", "-y", "z", "-z"] = "y"
    """Axis of the scan that points up, for --pose solve."""
    yaw_starts: Annotated[int, Within(1, 1000), Formerly("--turns")] = 8
    """Yaw angles around that axis to start from; 1 if the scan faces like the shapes of the prior."""
    hypotheses: Annotated[int, Within(0, 100)] = 0
    """Number of further completions that also fit the scan."""
    noise: Annotated[float | None, tyro.conf.arg(metavar="LENGTH"), Within(0, LARGEST, above=True)] = None
    """Standard deviation of the noise, in the unit of the scan; by default it is estimated."""
    viewpoint: Annotated[
        tuple[float, float, float] | None, tyro.conf.arg(metavar="X Y Z"), Within(-LARGEST, LARGEST)
    ] = None
    """Position of the scanner: space between it and the points is then known to be empty."""
    any_shape: bool = False
    """Accept a scan that does not fit the family of the prior; refused otherwise."""
    resolution: Annotated[int, Within(8, 1024)] = 256
    """Grid cells for the mesh, along each axis."""

    def check(self) -> None:
        """Refuse also options that only --pose solve uses."""
        super().check()
        if self.pose == "known":
            refuse_options(self, "is for --pose solve", "--up", "--yaw-starts")

    def run(self) -> dict[str, Any]:
        """Complete."""
        import torch

        from ..runs import fingerprint
        from ..sdf import CompleteConfig, complete_scan, load_scan, open_prior

        device = self.begin()
        prior = open_prior(self.prior).to(device)
        viewpoint = None if self.viewpoint is None else torch.tensor(self.viewpoint, dtype=torch.float64)
        seen = load_scan(self.scan, self.noise, viewpoint)
        check_noise(self.noise, seen.points, str(self.scan))
        config = CompleteConfig(
            pose=self.pose,
            up=self.up,
            turns=self.yaw_starts,
            hypotheses=self.hypotheses,
            resolution=self.resolution,
            any_shape=self.any_shape,
            seed=self.seed,
        )
        settings = {"verb": "complete", "settings": config, "prior": self.prior}
        return self.in_folder(
            {**settings, "input": fingerprint(self.scan)},
            lambda run: complete_scan(run, prior, seen, config, str(self.scan)),
            f"Mesh: {self.out / 'mesh.ply'} and mesh.glb; picture: {self.out / 'preview.png'}",
            [self.scan, self.prior],
            device,
        )

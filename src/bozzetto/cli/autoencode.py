"""`bozzetto autoencode CLOUD`: a cloud to a code and back, dense where it was sparse."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..errors import InputError
from .checks import Within, refuse_options
from .common import Options
from .sample import open_clouds

if TYPE_CHECKING:
    from torch import Tensor

    from ..score import CloudPrior
    from ..shapes import Frame


MESH_POINTS = 8192
"""Points that a mesh is read as."""


@dataclass(frozen=True, kw_only=True)
class Autoencode(Options):
    """Encode a dense, sparse or partial point cloud and decode its shape to any number of points.

    Writes points-1.ply (and so on) and points.npy in the frame and unit of the cloud, and sheet.png.
    """

    cloud: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLOUD")]
    """Point cloud, mesh (8192 points of its faces are taken), or an .npy array of shape (points, 2 or 3)."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "cloud-bodies"
    """cloud-bodies, cloud-airfoils or cloud-procedural (shipped with the program), or a file from training."""
    out: Path = Path("bozzetto-out/autoencode")
    """Folder for the results."""
    points: Annotated[int, Within(1, 10**8)] = 2048
    """Points of the result, any number."""
    evaluations: Annotated[int, Within(1, 1000)] = 10
    """Evaluations of the network per point."""
    hypotheses: Annotated[int, Within(0, 100)] = 0
    """If the cloud is a part of a shape: number of whole shapes to return; the observed points stay."""
    known_frame: bool = False
    """The cloud is in the normalised frame of the model; otherwise its box is taken for that of the shape."""
    any_shape: bool = False
    """Go on also with a cloud that is no member of the model's family, which is refused otherwise."""
    start: Literal["gaussian", "uniform", "point"] = "gaussian"
    """Initial distribution of the points; matters for models of the published network only."""
    independent: bool = False
    """Draw points independently, and not evenly."""

    def check(self) -> None:
        """Refuse also options that --hypotheses does not use."""
        super().check()
        if self.hypotheses:
            refuse_options(self, "is not used with --hypotheses", "--evaluations", "--start", "--independent")

    def run(self) -> dict:
        """Auto-encode."""
        from ..points.cloud_cleaning import clean_points
        from ..runs import RunFolder, fingerprint, resolve_device, seed_everything
        from ..score import hinted_flow, write_clouds
        from ..score.family import require_member

        device = resolve_device(self.device)
        seed_everything(self.seed)
        prior = open_clouds(self.model).to(device)
        cloud = clean_points(read_cloud(self.cloud), str(self.cloud))
        # These complain before anything is written.
        fit = require_member(prior, cloud, str(self.cloud), self._frame(cloud), self.any_shape)
        if self.hypotheses:
            hinted_flow(prior)
        settings = {"verb": "autoencode", "model": self.model, "points": self.points, "start": self.start}
        settings |= {"evaluations": self.evaluations, "independent": self.independent, "seed": self.seed}
        settings |= {"hypotheses": self.hypotheses, "known_frame": self.known_frame}
        run = RunFolder.create(
            self.out,
            {**settings, "input": fingerprint(self.cloud)},
            self.overwrite,
            reads=[self.cloud, self.model],
        )
        with run.stage("autoencode"):
            made = self._whole(prior, cloud) if self.hypotheses else [self._again(prior, cloud)]
        with run.stage("write"):
            write_clouds(run, made)
        report = run.report(
            {"shapes": len(made), "points": self.points, "seen": len(cloud), **fit}, device, self.seed
        )
        self.say(f"Cloud: {run.path / 'points-1.ply'}; picture: {run.path / 'sheet.png'}")
        return report

    def _again(self, prior: "CloudPrior", cloud: "Tensor") -> "Tensor":
        from ..score import autoencode

        even = not self.independent
        frame = self._frame(cloud)
        return autoencode(
            prior, cloud, self.points, self.seed, self.evaluations, even, self.start, frame=frame
        )

    def _whole(self, prior: "CloudPrior", cloud: "Tensor") -> "list[Tensor]":
        from ..score import CompleteConfig, complete

        config = CompleteConfig(hypotheses=self.hypotheses, points=self.points, seed=self.seed)
        return [one.points for one in complete(prior, cloud, config, self._frame(cloud), str(self.cloud))]

    def _frame(self, cloud: "Tensor") -> "Frame | None":
        import torch

        from ..shapes import Frame

        return Frame(torch.zeros(cloud.shape[1], dtype=torch.float64), 1.0) if self.known_frame else None


def read_cloud(path: Path) -> "Tensor":
    """Points of a file in two or three dimensions, float64 where they are far from the origin.

    Of a mesh they are random points of its faces, as in training: its vertices lie where it is fine.

    Raises:
        InputError: It cannot be read or holds no points.
    """
    import torch

    from ..shapes import Mesh, load_shape, sample_surface
    from ..shapes.offsets import in_world
    from .evaluate_files import load_array

    if path.suffix.lower() != ".npy":
        shape = load_shape(path)
        if isinstance(shape, Mesh):
            shape.check(str(path))
            generator = torch.Generator().manual_seed(0)
            return in_world(sample_surface(shape, MESH_POINTS, generator)[0], shape.offset)
        return shape.world_points
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file; check the path")
    cloud = load_array(path)
    if cloud.ndim != 2 or cloud.shape[1] not in (2, 3):
        raise InputError(f"{path} has shape {tuple(cloud.shape)}, expected (points, 2 or 3)")
    return cloud

"""`bozzetto autoencode CLOUD`: a cloud to a latent code and back, at any density."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .checks import Formerly, Within, refuse_options
from .common import Options

if TYPE_CHECKING:
    from torch import Tensor

    from ..runs import RunFolder
    from ..score import CloudPrior
    from ..shapes import Frame


@dataclass(frozen=True, kw_only=True)
class Autoencode(Options):
    """Encode a point cloud with a model of point clouds and decode it to any number of points.

    The cloud may be sparse, or partial with --hypotheses. Writes points-1.ply and so on, points.npy with all
    of them, and sheet.png. The result is in the frame and unit of the cloud.
    """

    cloud: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CLOUD")]
    """Point cloud, mesh (8192 points are sampled on it), or .npy array of shape (points, 2 or 3)."""
    model: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "cloud-bodies"
    """Model: cloud-bodies, cloud-airfoils, cloud-procedural (shipped), or a file from training."""
    out: Path = Path("bozzetto-out/autoencode")
    """Folder for the results."""
    points: Annotated[int, Within(1, 10**8)] = 2048
    """Number of points to decode."""
    evaluations: Annotated[int, Within(1, 1000)] = 10
    """Evaluations of the network per point."""
    hypotheses: Annotated[int, Within(0, 100)] = 0
    """For a partial cloud: number of completions to return; observed points are kept."""
    known_frame: bool = False
    """The cloud is in the normalised frame of the model; by default its bounding box is normalised."""
    any_shape: bool = False
    """Accept a cloud that does not fit the family of the model; refused otherwise."""
    start: Literal["gaussian", "uniform", "point"] = "gaussian"
    """Noise that points start from; it matters only for models trained with --preset reference."""
    iid: Annotated[bool, Formerly("--independent")] = False
    """Draw points independently (i.i.d.) instead of evenly."""

    def check(self) -> None:
        """Check options, including those that --hypotheses does not use."""
        super().check()
        if self.hypotheses:
            refuse_options(self, "is not used with --hypotheses", "--evaluations", "--start", "--iid")

    def run(self) -> dict[str, Any]:
        """Auto-encode."""
        from ..runs import fingerprint
        from ..score import hinted_flow, load_cloud, open_cloud_prior, write_clouds
        from ..score.family import require_member

        device = self.begin()
        prior = open_cloud_prior(self.model).to(device)
        cloud = load_cloud(self.cloud)
        # These may raise errors, before anything is written.
        fit = require_member(prior, cloud, str(self.cloud), self._frame(cloud), self.any_shape)
        if self.hypotheses:
            hinted_flow(prior)
        settings = {"verb": "autoencode", "model": self.model, "points": self.points, "start": self.start}
        settings |= {"evaluations": self.evaluations, "independent": self.iid, "seed": self.seed}
        settings |= {"hypotheses": self.hypotheses, "known_frame": self.known_frame}

        def work(run: "RunFolder") -> dict[str, Any]:
            with run.stage("autoencode"):
                made = self._whole(prior, cloud) if self.hypotheses else [self._again(prior, cloud)]
            with run.stage("write"):
                write_clouds(run, made)
            return {"shapes": len(made), "points": self.points, "seen": len(cloud), **fit}

        told = f"Cloud: {self.out / 'points-1.ply'}; picture: {self.out / 'sheet.png'}"
        reads = [self.cloud, self.model]
        return self.in_folder({**settings, "input": fingerprint(self.cloud)}, work, told, reads, device)

    def _again(self, prior: "CloudPrior", cloud: "Tensor") -> "Tensor":
        from ..score import autoencode

        even = not self.iid
        frame = self._frame(cloud)
        return autoencode(
            prior, cloud, self.points, self.seed, self.evaluations, even, self.start, frame=frame
        )

    def _whole(self, prior: "CloudPrior", cloud: "Tensor") -> "list[Tensor]":
        from ..score import CompleteConfig, complete

        config = CompleteConfig(hypotheses=self.hypotheses, points=self.points, seed=self.seed)
        return [one.points for one in complete(cloud, prior, config, self._frame(cloud), str(self.cloud))]

    def _frame(self, cloud: "Tensor") -> "Frame | None":
        import torch

        from ..shapes import Frame

        return Frame(torch.zeros(cloud.shape[1], dtype=torch.float64), 1.0) if self.known_frame else None

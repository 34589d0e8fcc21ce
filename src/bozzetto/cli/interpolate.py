"""`bozzetto interpolate A B`: interpolation between two shapes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .checks import Within, refuse_options
from .common import Options

if TYPE_CHECKING:
    from ..runs import RunFolder

CLOUD_POINTS = 4096
"""Number of points of each cloud."""


@dataclass(frozen=True, kw_only=True)
class Interpolate(Options):
    """Interpolate between two shapes in the latent space of a model.

    Results are in the normalised frame of the model. With a prior over shapes: mesh-1.ply and so on,
    morph.glb and strip.png. With a model of point clouds: points-1.ply and so on, where point i of one cloud
    becomes point i of the next, and sheet.png.
    """

    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """First shape: name of a training shape, latent code (.safetensors, .npy), mesh, or scan or cloud."""
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Last shape, likewise."""
    out: Path = Path("bozzetto-out/interpolate")
    """Folder for the results."""
    prior: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "bodies"
    """Prior over shapes (bodies) or model of point clouds (cloud-bodies, ...), or a file from training."""
    count: Annotated[int, Within(2, 1000)] = 9
    """Number of shapes, both ends included."""
    path: Literal["straight", "spherical"] = "straight"
    """Path between the codes of a prior over shapes: a straight line, or an arc around the mean code."""
    up: Literal["x", "-x", "y", "-y", "z", "-z"] = "y"
    """Axis of meshes and scans that points up, with a prior over shapes."""
    any_shape: bool = False
    """Accept a mesh, scan or cloud that does not fit the family of the model; refused otherwise."""
    resolution: Annotated[int, Within(8, 1024)] = 128
    """Grid cells for meshes, along each axis, with a prior over shapes."""

    def run(self) -> dict[str, Any]:
        """Interpolate."""
        from ..score import is_cloud_prior

        if is_cloud_prior(self.prior):
            refuse_options(self, "is for priors over meshes", "--path", "--up", "--resolution")
            return self._clouds()
        return self._meshes()

    def _meshes(self) -> dict[str, Any]:
        from ..sdf import CompleteConfig, find_shape, interpolate_codes, open_prior
        from ..sdf.interpolate import needs_fit

        device = self.begin()
        prior = open_prior(self.prior).to(device)
        if not any(needs_fit(word, prior) for word in (self.a, self.b)):
            refuse_options(self, "is for meshes and scans, and both shapes have codes", "--up", "--any-shape")
        config = CompleteConfig(up=self.up, any_shape=self.any_shape, seed=self.seed)
        (a, b), misfits = zip(*(find_shape(word, prior, config) for word in (self.a, self.b)), strict=True)
        settings = {"verb": "interpolate", "count": self.count, "path": self.path, "prior": self.prior}
        settings |= {"resolution": self.resolution, "codes": [a.tolist(), b.tolist()]}

        def work(run: "RunFolder") -> dict[str, Any]:
            figures = interpolate_codes(run, prior, a, b, self.count, self.path, self.resolution)
            return {**figures, "misfit_of_ends": misfits}

        told = f"Animation: {self.out / 'morph.glb'}; picture: {self.out / 'strip.png'}"
        return self.in_folder(settings, work, told, [self.a, self.b, self.prior], device)

    def _clouds(self) -> dict[str, Any]:
        from ..score import find_shape, interpolate, open_cloud_prior, write_clouds

        device = self.begin()
        prior = open_cloud_prior(self.prior).to(device)
        a, b = (find_shape(word, prior, self.seed, self.any_shape) for word in (self.a, self.b))
        clouds = interpolate(prior, a, b, self.count, CLOUD_POINTS, self.seed)
        settings = {"verb": "interpolate", "count": self.count, "prior": self.prior}
        settings |= {"codes": [a.tolist(), b.tolist()]}

        def work(run: "RunFolder") -> dict[str, Any]:
            with run.stage("write"):
                write_clouds(run, list(clouds))
            return {"shapes": self.count, "points": CLOUD_POINTS}

        told = f"Clouds: {self.out / 'points-1.ply'} and so on; picture: {self.out / 'sheet.png'}"
        return self.in_folder(settings, work, told, [self.a, self.b, self.prior], device)

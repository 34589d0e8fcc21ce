"""`bozzetto interpolate A B`: shapes between two shapes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ..errors import InputError
from .checks import Within, refuse_options
from .common import Options
from .complete import open_prior

if TYPE_CHECKING:
    from torch import Tensor

    from ..sdf import CompleteConfig, ShapePrior


@dataclass(frozen=True, kw_only=True)
class Interpolate(Options):
    """Interpolate between two shapes, through shapes of the same kind.

    Writes mesh-1.ply and so on, morph.glb and strip.png, in the normalised frame of the prior; with a model of
    point clouds points-1.ply and so on, where point i of one cloud becomes point i of the next, and sheet.png.
    """

    a: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="A")]
    """First shape: a mesh (fitted by its signed distance), a scan (completed), a code (.safetensors, .npy), or
    the name of a training shape."""
    b: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="B")]
    """Last shape, likewise."""
    out: Path = Path("bozzetto-out/interpolate")
    """Folder for the results."""
    prior: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = "bodies"
    """Prior over shapes or model of point clouds: one that comes with the program, or a file from training."""
    count: Annotated[int, Within(2, 1000)] = 9
    """Number of shapes, both ends included."""
    path: Literal["straight", "spherical"] = "straight"
    """Straight between the codes, or an arc around the average shape."""
    up: Literal["x", "-x", "y", "-y", "z", "-z"] = "y"
    """Axis of meshes and scans that points upwards."""
    any_shape: bool = False
    """Go on also with a mesh or scan that is no member of the prior's family, which is refused otherwise."""
    resolution: Annotated[int, Within(8, 1024)] = 128
    """Grid for the meshes, along each axis."""

    def run(self) -> dict:
        """Interpolate."""
        from .interpolate_clouds import interpolate_clouds, is_cloud_model

        if is_cloud_model(self.prior):
            refuse_options(self, "is for priors over meshes", "--path", "--up", "--resolution")
            return interpolate_clouds(self)
        return self._meshes()

    def _meshes(self) -> dict:
        from ..runs import RunFolder, resolve_device, seed_everything
        from ..sdf import CompleteConfig, interpolate_codes

        device = resolve_device(self.device)
        seed_everything(self.seed)
        prior = open_prior(self.prior).to(device)
        if not any(is_scan(word, prior) for word in (self.a, self.b)):
            refuse_options(self, "is for meshes and scans, and both shapes have codes", "--up", "--any-shape")
        config = CompleteConfig(up=self.up, any_shape=self.any_shape, seed=self.seed)
        (a, b), misfits = zip(*(find_shape(word, prior, config) for word in (self.a, self.b)), strict=True)
        settings = {"verb": "interpolate", "count": self.count, "path": self.path, "prior": self.prior}
        codes = [a.tolist(), b.tolist()]
        run = RunFolder.create(
            self.out,
            {**settings, "resolution": self.resolution, "codes": codes},
            self.overwrite,
            reads=[self.a, self.b, self.prior],
        )
        figures = interpolate_codes(run, prior, a, b, self.count, self.path, self.resolution)
        report = run.report({**figures, "misfit_of_ends": misfits}, device, self.seed)
        self.say(f"Animation: {run.path / 'morph.glb'}; picture: {run.path / 'strip.png'}")
        return report


def find_shape(
    word: str, prior: "ShapePrior", config: "CompleteConfig | None" = None
) -> "tuple[Tensor, float | None]":
    """The code of a training shape, of a file with a code, or of the shape in a file, and its misfit there.

    A training shape may be called by the last part of its name if no other ends in the same.

    Raises:
        InputError: There is no such shape or file, or it cannot be used.
    """
    from ..sdf import fit_file, load_code
    from ..sdf.prior import ENDINGS

    named = _named(word, prior)
    if len(named) == 1:
        return prior.codes[named[0]], None
    path = Path(word)
    if not path.is_file():
        known = f"{prior.names[0]} to {prior.names[-1]}" if prior.names else "none"
        raise InputError(f"{word} is neither a file nor a training shape of this prior; names are {known}")
    if path.suffix.lower() in ENDINGS:
        return load_code(path, prior), None
    found = fit_file(prior, path, config)
    return found.code, found.misfit


def is_scan(word: str, prior: "ShapePrior") -> bool:
    """Whether `find_shape` reads a shape from a file and looks for its code."""
    from ..sdf.prior import ENDINGS

    path = Path(word)
    return len(_named(word, prior)) != 1 and path.is_file() and path.suffix.lower() not in ENDINGS


def _named(word: str, prior: "ShapePrior") -> list[int]:
    return [i for i, name in enumerate(prior.names) if word in (name, name.rsplit("/", 1)[-1])]

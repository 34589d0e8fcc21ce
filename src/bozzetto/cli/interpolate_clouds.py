"""`bozzetto interpolate A B` with a model of point clouds."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .autoencode import read_cloud
from .sample import open_clouds

if TYPE_CHECKING:
    from torch import Tensor

    from ..score import CloudPrior
    from .interpolate import Interpolate

POINTS = 4096


def is_cloud_model(name: str) -> bool:
    """Whether a name or file is that of a model of point clouds.

    Raises:
        InputError: It is a file and damaged.
    """
    from ..runs import read_checkpoint
    from ..weights import find

    path = Path(name)
    path = path if path.suffix or path.is_file() else find(name)
    return path.is_file() and read_checkpoint(path)[1].get("kind") == "score model"


def interpolate_clouds(options: "Interpolate") -> dict:
    """Write clouds from one shape to another."""
    from ..runs import RunFolder, resolve_device, seed_everything
    from ..score import interpolate, write_clouds

    device = resolve_device(options.device)
    seed_everything(options.seed)
    prior = open_clouds(options.prior).to(device)
    a, b = (_code(word, prior, options.seed, options.any_shape) for word in (options.a, options.b))
    clouds = interpolate(prior, a, b, options.count, POINTS, options.seed)
    settings = {"verb": "interpolate", "count": options.count, "prior": options.prior}
    codes = [a.tolist(), b.tolist()]
    run = RunFolder.create(
        options.out,
        {**settings, "codes": codes},
        options.overwrite,
        reads=[options.a, options.b, options.prior],
    )
    with run.stage("write"):
        write_clouds(run, list(clouds))
    report = run.report({"shapes": options.count, "points": POINTS}, device, options.seed)
    options.say(f"Clouds: {run.path / 'points-1.ply'} and so on; picture: {run.path / 'sheet.png'}")
    return report


def _code(word: str, prior: "CloudPrior", seed: int, any_shape: bool) -> "Tensor":
    """The code of a training shape, or of the cloud in a file."""
    from ..points.cloud_cleaning import clean_points
    from ..score import encode
    from ..score.family import require_member

    if word in prior.names:
        return prior.codes[prior.names.index(word)]
    path = Path(word)
    if not path.is_file():
        known = f"{prior.names[0]} to {prior.names[-1]}" if prior.names else "none"
        raise InputError(f"{word} is neither a file nor a training shape of this model; names are {known}")
    cloud = clean_points(read_cloud(path), word)
    require_member(prior, cloud, word, any_shape=any_shape)
    return encode(prior, cloud, word, seed).code

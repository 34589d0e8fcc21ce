"""Interpolation between two shapes."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..steps import counted
from .autoencode import encode
from .family import require_member
from .prior import CloudPrior
from .sample import points_of
from .sources import load_cloud


def great_circle(a: Float[Tensor, " K"], b: Float[Tensor, " K"], count: int) -> Float[Tensor, "{count} K"]:
    """Codes from `a` to `b` along a great circle, since codes lie on a sphere.

    Raises:
        InputError: `count` is less than 2.
    """
    if count < 2:
        raise InputError(f"the number of shapes must be 2 or more, got {count}")
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1)
    angle = cosine.acos()
    t = torch.linspace(0, 1, count, device=a.device)[:, None]
    if float(angle.sin()) < 1e-4:
        return torch.lerp(a, b, t)
    return (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / angle.sin()


def interpolate(
    prior: CloudPrior,
    a: Float[Tensor, " K"],
    b: Float[Tensor, " K"],
    count: int = 9,
    points: int = 2048,
    seed: int = 0,
    evaluations: int = 10,
) -> Float[Tensor, "{count} {points} D"]:
    """Interpolate between two shapes: clouds from one to the other, in the frame of `sample`.

    All clouds start from the same noise, so that point i of one cloud corresponds to point i of the next (a
    morph).

    Raises:
        InputError: `count` is less than 2, or `points` is less than 1.
    """
    clouds = [
        points_of(prior, code[None], points, seed, evaluations)[0]
        for code in counted(great_circle(a, b, count), "shapes")
    ]
    made = torch.stack(clouds)
    return made if prior.frame is None else prior.frame.undo(made)


def find_shape(word: str, prior: CloudPrior, seed: int = 0, any_shape: bool = False) -> Float[Tensor, " K"]:
    """The code of a training shape, by its name, or of the cloud in a file.

    Args:
        word: Name of a training shape, or path of a file.
        prior: The model of the code.
        seed: Seed of the random subset of points for the encoder.
        any_shape: Whether to accept clouds that are not members of the family, with a warning.

    Raises:
        InputError: There is no such training shape or file, or the cloud cannot be used.
    """
    if word in prior.names:
        return prior.codes[prior.names.index(word)]
    path = Path(word)
    if not path.is_file():
        known = f"{prior.names[0]} to {prior.names[-1]}" if prior.names else "none"
        raise InputError(f"{word} is neither a file nor a training shape of this model; names are {known}")
    cloud = load_cloud(path)
    require_member(prior, cloud, word, any_shape=any_shape)
    return encode(prior, cloud, word, seed).code

"""Shapes between two shapes."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..steps import counted
from .prior import CloudPrior
from .sample import points_of


def between(a: Float[Tensor, " K"], b: Float[Tensor, " K"], count: int) -> Float[Tensor, "{count} K"]:
    """Codes from a to b along the great circle: codes lie on a sphere, and a chord would leave it.

    Raises:
        InputError: Fewer than two codes are asked for.
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
    """Clouds from one shape to another, in the frame that `sample` gives them in.

    All begin as the same noise, so that point i of one cloud becomes point i of the next: a morph.

    Raises:
        InputError: Fewer than two shapes or no points are asked for.
    """
    clouds = [
        points_of(prior, code[None], points, seed, evaluations)[0]
        for code in counted(between(a, b, count), "shapes")
    ]
    made = torch.stack(clouds)
    return made if prior.frame is None else prior.frame.undo(made)

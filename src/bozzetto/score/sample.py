"""New shapes: codes from the prior, points from the field."""

from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from .inventions import invented_codes
from .points import Start, points_of
from .prior import CloudPrior


def sample(
    prior: CloudPrior,
    shapes: int,
    points: int = 2048,
    seed: int = 0,
    truncation: float = 1.0,
    evaluations: int = 10,
    stratified: bool = True,
    start: Start = "gaussian",
) -> Float[Tensor, "{shapes} {points} D"]:
    """Shapes that the prior invents, in its normalised frame, or that of its collection if that had one frame.

    Their codes are those that the model recognises, see `invented_codes`.

    Args:
        prior: A trained model.
        shapes: How many.
        points: Points of each, any number.
        seed: The same seed gives the same shapes; shape i does not depend on how many there are.
        truncation: In (0, 1]; smaller gives more typical shapes of less variety.
        evaluations: Of the field, per point.
        stratified: See `start_noise`.
        start: See `points_of`.

    Raises:
        InputError: A number is out of range, or the model cannot invent shapes.
    """
    if shapes < 1:
        raise InputError(f"at least one shape must be asked for, got {shapes}")
    codes = invented_codes(prior, shapes, seed, truncation)
    made = points_of(prior, codes, points, seed, evaluations, stratified, start)
    return made if prior.frame is None else prior.frame.undo(made)

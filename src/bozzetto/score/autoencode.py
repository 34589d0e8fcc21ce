"""A cloud to its code and back, in the cloud's own frame and unit."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..shapes.frames import Frame, box_frame, principal_frames
from ..values import value_type
from .model import ScoreModel
from .prior import CloudPrior
from .sample import Start, points_of

SEEN = 2048
"""Points that the encoder looks at; as many as it has seen in training, at most."""
PROBE = 0.03
"""Noise level at which a field tells whether a code explains a cloud."""


@value_type
class Encoding:
    """A shape as the model knows it.

    Attributes:
        code: What shape it is.
        frame: From the cloud's frame to the normalised one.
    """

    code: Float[Tensor, " K"]
    frame: Frame


def encode(
    prior: CloudPrior,
    cloud: Float[Tensor, "N D"],
    name: str = "the cloud",
    seed: int = 0,
    frame: Frame | None = None,
) -> Encoding:
    """Code and frame of a cloud.

    A model of principal frames tries all choices of their signs and takes the one whose field moves the points
    of the cloud least, so that the result turns with the cloud.

    Args:
        prior: A trained model.
        cloud: Points of a shape, from 2 to millions: a random part of them is looked at.
        name: How messages call the cloud.
        seed: Of that choice.
        frame: To the normalised frame, if it is known.

    Raises:
        InputError: The cloud has points of other dimensions than the model, or cannot be normalised.
    """
    config = prior.model.config
    check_dimensions(prior, cloud, name)
    own = box_frame(cloud, name)
    choices = principal_frames(cloud, name) if config.frame == "principal" else [prior.frame or own]
    frames = choices if frame is None else [frame]
    order = torch.randperm(len(cloud), generator=torch.Generator().manual_seed(seed))[:SEEN]
    some = cloud[order.to(cloud.device)].to(prior.codes.device)
    places = torch.stack([frame.apply(some).to(prior.codes) for frame in frames])
    codes = prior.model.encode(places)
    best = 0 if len(frames) == 1 else int(field_misfit(prior.model, codes, places).argmin())
    return Encoding(codes[best], frames[best])


def field_misfit(
    model: ScoreModel, codes: Float[Tensor, "B K"], points: Float[Tensor, "B N D"], sigma: float = PROBE
) -> Float[Tensor, " B"]:
    """How far points lie from the shapes of codes: the mean squared way to where the field sends them."""
    level = points.new_full((len(points), 1), sigma)
    clean = model.denoise(model.prepare(codes), points[:, None], level)[:, 0]
    return (clean - points).square().sum(dim=-1).mean(dim=-1)


def autoencode(
    prior: CloudPrior,
    cloud: Float[Tensor, "N D"],
    points: int = 2048,
    seed: int = 0,
    evaluations: int = 10,
    stratified: bool = True,
    start: Start = "gaussian",
    name: str = "the cloud",
    frame: Frame | None = None,
) -> Float[Tensor, "{points} D"]:
    """The shape of a cloud, dense or sparse, as any number of new points, in the cloud's frame and unit.

    Raises:
        InputError: As `encode`.
    """
    found = encode(prior, cloud, name, seed, frame)
    made = points_of(prior, found.code[None], points, seed, evaluations, stratified, start)[0]
    return found.frame.undo(made.to(cloud.dtype))


def check_dimensions(prior: CloudPrior, cloud: Float[Tensor, "N D"], name: str = "the cloud") -> None:
    """Refuse clouds that the model is not for.

    Raises:
        InputError: The points have another number of coordinates than the model's.
    """
    expected = prior.model.config.dimensions
    if cloud.shape[1] != expected:
        raise InputError(
            f"{name} has points with {cloud.shape[1]} coordinates, but this model is for {expected}; "
            "use a model that was trained on such clouds"
        )

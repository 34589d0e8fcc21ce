"""Encoding of clouds to codes, and autoencoding, in the cloud's own frame and unit."""

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
"""Number of points for the encoder, at most as many as in training."""
PROBE = 0.03
"""Noise level of `field_misfit`, in the normalised frame."""


@value_type
class Encoding:
    """Code and frame of a shape.

    Attributes:
        code: Code of the shape.
        frame: Map from the cloud's frame to the normalised one.
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
    """Compute code and frame of a cloud.

    With principal frames, all choices of the signs of the axes are tried, and the one with the smallest
    `field_misfit` is taken, so that the result does not depend on the rotation of the cloud.

    Args:
        prior: A trained model.
        cloud: At least 2 points of a shape, in any unit; a random subset of them is encoded.
        name: Name of the cloud in messages.
        seed: Seed of the random subset.
        frame: Map to the normalised frame if it is known; None computes it from the cloud.

    Raises:
        InputError: The points have another dimension than those of the model, or the cloud cannot be
            normalised.
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
    """Mean squared distance between points and their denoised positions: small if the code explains the
    points."""
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
    """Encode a cloud and sample any number of new points of its shape, in the cloud's frame and unit.

    Raises:
        InputError: As for `encode`.
    """
    found = encode(prior, cloud, name, seed, frame)
    made = points_of(prior, found.code[None], points, seed, evaluations, stratified, start)[0]
    return found.frame.undo(made.to(cloud.dtype))


def check_dimensions(prior: CloudPrior, cloud: Float[Tensor, "N D"], name: str = "the cloud") -> None:
    """Raise an error if a cloud has another dimension than the model.

    Raises:
        InputError: The points have another number of coordinates than the model's.
    """
    expected = prior.model.config.dimensions
    if cloud.shape[1] != expected:
        raise InputError(
            f"{name} has points with {cloud.shape[1]} coordinates, but this model is for {expected}; "
            "use a model that was trained on such clouds"
        )

"""Whether a cloud is a shape of a model's family, by its distance from its reconstruction by the model."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError, warn_input
from ..shapes.frames import Frame
from ..steps import counted
from .autoencode import Encoding, encode
from .data import LEAST_CROP, cropped_clouds
from .prior import CloudPrior
from .sample import points_of

SHAPES, NEIGHBOURS, POINTS, LOOKED_AT = 48, 8, 2048, 512
"""For `fit_limits`: numbers of training shapes, of shapes with similar codes that each is compared with, of
points of each shape, and of points whose distances are measured."""
MARGIN = 2.0
"""Factor between the largest misfit of a part of a training shape and the largest accepted misfit."""


@dataclass(frozen=True)
class FitLimits:
    """Largest misfits, as measured by `fit_of`, of shapes of a model's family.

    Attributes:
        whole: Largest distance between a training shape and its nearest other.
        part: Twice the largest distance between a part of a training shape, normalised by its own box, and its
            reconstruction by the model.
    """

    whole: float
    part: float


@torch.no_grad()
def fit_of(prior: CloudPrior, cloud: Float[Tensor, "N D"], found: Encoding) -> float:
    """Misfit: median distance of a cloud from 2,048 points of its reconstruction, in the normalised frame.

    It includes the effect of the spacing of these points.
    """
    made = points_of(prior, found.code[None], POINTS)[0]
    order = torch.randperm(len(cloud), generator=torch.Generator().manual_seed(0))[:LOOKED_AT]
    return _median_distance(found.frame.apply(cloud[order.to(cloud.device)]), made)


@torch.no_grad()
def fit_limits(prior: CloudPrior) -> FitLimits | None:
    """The stored limits of a model, or limits computed from 48 reconstructed training shapes.

    None for the published network, whose sampling takes too long, and for a model of a single shape.
    """
    if prior.limits is not None:
        return FitLimits(*prior.limits)
    if prior.model.config.architecture == "residual" or len(prior.codes) < 2:
        return None
    chosen = torch.linspace(0, len(prior.codes) - 1, min(SHAPES, len(prior.codes))).round().long()
    codes = prior.codes[chosen.to(prior.codes.device)]
    clouds = points_of(prior, codes, POINTS).cpu()
    alike = torch.nn.functional.cosine_similarity(codes[:, None], codes, dim=2).fill_diagonal_(-2)
    nearest = alike.topk(min(NEIGHBOURS, len(codes) - 1)).indices.tolist()
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(POINTS, generator=generator)
    whole = part = 0.0
    for index, others in enumerate(nearest):
        some = clouds[index, order[:LOOKED_AT]]
        whole = max(whole, min(_median_distance(some, clouds[other]) for other in others))
    for index in counted(range(SHAPES), "family"):
        share = LEAST_CROP + (1 - LEAST_CROP) * torch.rand(1, generator=generator)
        some = clouds[index % len(clouds), order][None]
        piece = cropped_clouds(some, share, POINTS // 2, generator)[0].to(codes)
        part = max(part, fit_of(prior, piece, encode(prior, piece)))
    return FitLimits(whole, max(MARGIN * part, whole))


def require_member(
    prior: CloudPrior,
    cloud: Float[Tensor, "N D"],
    name: str = "the cloud",
    frame: Frame | None = None,
    any_shape: bool = False,
) -> dict[str, float]:
    """Raise an error for a cloud that is neither a shape of a model's family nor a part of one.

    There is a warning if the misfit of the cloud is above the limit for whole shapes: the cloud is not a member
    of the family, or it is a part whose box is not that of the whole. There is an error if the misfit is above
    the limit for parts.

    Args:
        prior: The model.
        cloud: The points.
        name: Name of the cloud in messages.
        frame: Map to the model's normalised frame if it is known.
        any_shape: Whether to warn instead of raising an error.

    Returns:
        Metrics: `misfit`, and the limits `whole` and `part`; empty if there are no limits.

    Raises:
        InputError: The cloud is not a shape of the family or a part of one, or cannot be encoded.
    """
    limits = fit_limits(prior)
    if limits is None:
        return {}
    found = fit_of(prior, cloud, encode(prior, cloud, name, frame=frame))
    if found > limits.whole:
        sentence = (
            f"the model makes another shape of {name}: half of its points lie {found:.3g} or more from it, in "
            f"half longest sides, where {limits.whole:.3g} is the most between a training shape and its "
            "nearest other"
        )
        if found > limits.part and not any_shape:
            raise InputError(
                f"{sentence}, and {limits.part:.3g} the most for a part of one; give a model that was "
                "trained on such shapes, or --any-shape to go on all the same"
            )
        warn_input(
            f"{sentence}; it is no member of the model's family, noisy, or a part whose box is not that of the "
            "whole (see --known-frame)"
        )
    return {"misfit": found, "misfit_limit_whole": limits.whole, "misfit_limit_part": limits.part}


def _median_distance(points: Float[Tensor, "N D"], others: Float[Tensor, "M D"]) -> float:
    return float(np.median(KDTree(others.cpu().numpy()).query(points.cpu().numpy())[0]))

"""Whether a cloud is a shape of a model's family, told by how far it lies from what the model makes of it."""

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
"""Training shapes that limits come from, others of like codes that each is compared with, points of each, and
points whose distances are measured."""
MARGIN = 2.0
"""So much worse than any part of a training shape a part of an unseen one may be explained."""


@dataclass(frozen=True)
class FitLimits:
    """How badly a model explains shapes of its family, at most, as `fit_of` measures it.

    Attributes:
        whole: The largest distance between a training shape and its nearest other.
        part: Twice the largest distance between a part of a training shape, whose box is taken for that of the
            whole, and what the model makes of it.
    """

    whole: float
    part: float


@torch.no_grad()
def fit_of(prior: CloudPrior, cloud: Float[Tensor, "N D"], found: Encoding) -> float:
    """Median distance of points of a cloud from 2,048 points of the shape of its code, in the normalised frame.

    The spacing of these points is part of it.
    """
    made = points_of(prior, found.code[None], POINTS)[0]
    order = torch.randperm(len(cloud), generator=torch.Generator().manual_seed(0))[:LOOKED_AT]
    return _median_distance(found.frame.apply(cloud[order.to(cloud.device)]), made)


@torch.no_grad()
def fit_limits(prior: CloudPrior) -> FitLimits | None:
    """What the model has stored, or limits from 48 training shapes as it draws them.

    None for the published network, whose points take too long, and for a model of a single shape.
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
    """Refuse a cloud that is neither a shape of a model's family nor a part of one.

    A cloud that a model explains worse than a training shape is explained by its nearest other gets a warning:
    it is a stranger, or a part whose box is not that of the whole. One that is explained worse than any such
    part is refused.

    Args:
        prior: The model.
        cloud: The points.
        name: What messages call it.
        frame: To the model's frame, if it is known.
        any_shape: Warn only.

    Returns:
        Figures: `misfit`, and the limits `whole` and `part`; none where there are no limits.

    Raises:
        InputError: The cloud is no shape of the family, or `encode` refuses it.
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

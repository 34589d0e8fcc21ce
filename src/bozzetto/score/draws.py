"""A step's worth of noisy points, their targets, and the clouds that the encoder sees."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .analytic import denoised
from .config import TrainConfig
from .data import CloudTable, cropped

SUPPORT = 1024
"""Points of a shape whose field is the target, at most."""
LEAST_CROP = 0.35
"""Least part of a cloud that a crop keeps."""


class Batch(NamedTuple):
    """What a step learns from.

    Attributes:
        seen: Clouds for the encoder, whole or cropped, of a random number of points.
        whole: Which of them are not cropped.
        noisy: Noisy points of the shapes: G levels of N points.
        sigma: The levels.
        clean: What the field should answer.
    """

    seen: Float[Tensor, "B M D"]
    whole: Bool[Tensor, " B"]
    noisy: Float[Tensor, "B G N D"]
    sigma: Float[Tensor, "B G"]
    clean: Float[Tensor, "B G N D"]

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device."""
        return Batch(*(part.to(device) for part in self))


def draw_batch(
    table: CloudTable, shapes: Int[Tensor, " B"], config: TrainConfig, generator: torch.Generator
) -> Batch:
    """Everything random of a step.

    Points of the encoder are drawn apart from those that noise is added to. The published target is the point x
    that was made noisy; its mean over all points that could have been, the analytic denoiser of a larger sample
    of the shape, is what the network learns in the end, and is free of the noise of that choice (Xu, Tong,
    Jaakkola 2023, "Stable target field").

    Source: Xu et al. 2023, the target. Differs: the mean is over a sample of the shape.
    """
    b, g = len(shapes), config.levels
    part = max(config.points // g, 1)
    wanted = g * part if config.target == "sample" else max(SUPPORT, g * part)
    support = table.draw(shapes, wanted, generator)
    points = support[:, : g * part].view(b, g, part, -1)
    sigma = draw_levels(config, b, generator)
    noisy = points + sigma[..., None, None] * torch.randn(points.shape, generator=generator)
    clean = points
    if config.target == "field":
        levels = sigma.repeat_interleave(part, dim=1)
        clean = denoised(support, noisy.flatten(1, 2), levels).view_as(points)
    seen, whole = draw_inputs(table, shapes, config, generator)
    return Batch(seen, whole, noisy, sigma, clean)


def draw_levels(config: TrainConfig, shapes: int, generator: torch.Generator) -> Float[Tensor, "{shapes} G"]:
    """Noise levels: an even spread over the logarithm for every shape, or steps of the published ladder.

    Source: Cai et al. 2020, the geometric ladder. Differs: by default levels are continuous and stratified.
    """
    low, high = config.model.low, config.model.high
    if config.ladder:
        step = torch.randint(config.ladder, (shapes, config.levels), generator=generator)
        position = step / max(config.ladder - 1, 1)
    else:
        random = torch.rand(shapes, config.levels, generator=generator)
        position = (torch.arange(config.levels) + random) / config.levels
    return low * (high / low) ** position


def draw_inputs(
    table: CloudTable, shapes: Int[Tensor, " B"], config: TrainConfig, generator: torch.Generator
) -> tuple[Float[Tensor, "B M D"], Bool[Tensor, " B"]]:
    """Clouds for the encoder, and which are whole; their number of points is even in its logarithm."""
    least, most = config.inputs
    if least == most and config.cropped == 0:
        return table.draw(shapes, most, generator), torch.ones(len(shapes), dtype=torch.bool)
    random = float(torch.rand(1, generator=generator))
    count = round(least * (most / least) ** random)
    chance = torch.rand(2, len(shapes), generator=generator)
    share = torch.where(chance[0] < config.cropped, LEAST_CROP + (1 - LEAST_CROP) * chance[1], 1.0)
    pool = table.draw(shapes, min(2 * count, max(count, table.points.shape[1])), generator)
    return cropped(pool, share, count, generator), share == 1

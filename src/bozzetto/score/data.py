"""Clouds of a collection, batches for training, and the gradient field of a cloud in closed form.

The field is the gradient of the log density of a cloud blurred by a Gaussian, which networks learn.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from ..errors import InputError
from ..shapes.frames import Frame, box_frame, principal_frames, shared_frame
from ..values import value_type
from .config import FrameKind, TrainConfig


def log_density(
    points: Float[Tensor, "*batch M D"], x: Float[Tensor, "*batch N D"], sigma: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N"]:
    """log of Q_sigma(x) = (1/M) sum_i N(x; x_i, sigma^2 I), see Cai et al. 2020, section 3.1.

    Source: Cai et al. 2020, section 3.1.

    Args:
        points: The cloud, x_i.
        x: Points at which the log density is evaluated.
        sigma: Noise level at each of these points.

    Raises:
        InputError: The cloud is empty or a level is not positive.
    """
    count, dimensions = _check(points, sigma)
    peak = math.log(count) + dimensions * (sigma.log() + 0.5 * math.log(2 * math.pi))
    square = points.square().sum(dim=-1)[..., None, :] + x.square().sum(dim=-1)[..., :, None]
    between = (square - 2 * x @ points.transpose(-1, -2)).clamp(min=0)
    return (between / (-2 * sigma[..., None] ** 2)).logsumexp(dim=-1) - peak


def denoised(
    points: Float[Tensor, "*batch M D"], x: Float[Tensor, "*batch N D"], sigma: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N D"]:
    """The analytic denoiser: the mean origin of a noisy point, D(x) = sum_i w_i x_i.

    The weights are w = softmax(-|x - x_i|^2 / (2 sigma^2)). The released code for plotting fields lacks the 2.

    Source: Cai et al. 2020, section 3.1. Differs: the exponent has the 2 that the released drawing code
    leaves out.

    Raises:
        InputError: The cloud is empty or a level is not positive.
    """
    _check(points, sigma)
    # |x|^2 is the same for all i, so the exponent is a product of (x, -1/2) / sigma^2 and (x_i, |x_i|^2), and
    # the mean is an attention of noisy points to the cloud: one fused kernel, no matrix of size M x N. Queries
    # and keys are padded with zeros, because kernels are fastest at the usual widths of networks.
    dimensions = points.shape[-1]
    query = torch.cat([x, torch.full_like(x[..., :1], -0.5)], dim=-1) / sigma[..., None] ** 2
    key = torch.cat([points, points.square().sum(dim=-1, keepdim=True)], dim=-1)
    query, key = (pad(part[..., None, :, :], (0, 15 - dimensions)) for part in (query, key))
    found = scaled_dot_product_attention(query, key, key, scale=1.0)
    return found[..., 0, :, :dimensions]


def score(
    points: Float[Tensor, "*batch M D"], x: Float[Tensor, "*batch N D"], sigma: Float[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N D"]:
    """Gradient of `log_density` with respect to x: (D(x) - x) / sigma^2 (Tweedie).

    Source: Cai et al. 2020, section 3.1, the gradient of the log density.

    Raises:
        InputError: The cloud is empty or a level is not positive.
    """
    return (denoised(points, x, sigma) - x) / sigma[..., None] ** 2


def _check(points: Tensor, sigma: Tensor) -> tuple[int, int]:
    if points.shape[-2] == 0:
        raise InputError("the field of an empty cloud is not defined; give at least one point")
    if not bool((sigma > 0).all()):
        raise InputError(f"noise levels must be positive, got {float(sigma.min())}")
    return points.shape[-2], points.shape[-1]


@value_type
class CloudTable:
    """Normalised clouds with equally many points each.

    Attributes:
        points: Points of all shapes; batches contain random subsets of a shape's points.
        names: Names of the shapes.
        frame: The common frame of all shapes; None if each has its own.
    """

    points: Float[Tensor, "S P D"]
    names: tuple[str, ...]
    frame: Frame | None = None

    def __len__(self) -> int:
        return len(self.points)

    def draw(
        self, shapes: Int[Tensor, " B"], count: int, generator: torch.Generator
    ) -> Float[Tensor, "B {count} D"]:
        """Random points of the given shapes, without repetition if there are enough."""
        size = self.points.shape[1]
        if count > size:
            index = torch.randint(size, (len(shapes), count), generator=generator)
        else:  # a stride without a common factor with the size visits all points before any twice
            start = torch.randint(size, (len(shapes), 1), generator=generator)
            strides = _strides(size)
            chosen = torch.randint(len(strides), (len(shapes), 1), generator=generator)
            index = (start + strides[chosen] * torch.arange(count)) % size
        return self.points[shapes[:, None], index]

    def split(self, fraction: float, seed: int = 0) -> tuple["CloudTable", "CloudTable"]:
        """Split off a random fraction of the shapes; return the rest and the fraction.

        Raises:
            InputError: There is only one shape.
        """
        if len(self) < 2:
            raise InputError("a single shape cannot be held out; give more shapes or no validation")
        count = min(max(1, round(fraction * len(self))), len(self) - 1)
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).tolist()
        held, kept = (
            CloudTable(self.points[rows], tuple(self.names[row] for row in rows), self.frame)
            for rows in (sorted(order[:count]), sorted(order[count:]))
        )
        return kept, held


@lru_cache
def _strides(size: int) -> Tensor:
    return torch.tensor([k for k in range(1, size) if math.gcd(k, size) == 1] or [1])


def cropped_clouds(
    points: Float[Tensor, "B N D"], fraction: Float[Tensor, " B"], count: int, generator: torch.Generator
) -> Float[Tensor, "B {count} D"]:
    """Crop each cloud to one side of a random plane, and take `count` points of the rest.

    Args:
        points: Clouds in random order.
        fraction: Fraction of the points to keep, in (0, 1]; 1 keeps all.
        count: Number of points per result; points are repeated if fewer are kept.
        generator: Source of randomness.
    """
    b, n, d = points.shape
    if n >= count and bool((fraction == 1).all()):
        return points[:, :count]
    direction = torch.randn(b, d, 1, generator=generator)
    height = (points @ direction)[..., 0]
    order = torch.where(fraction[:, None] < 1, height, torch.rand(b, n, generator=generator)).argsort(dim=1)
    kept = (fraction * n).long().clamp(min=1)[:, None]
    chosen = torch.rand(b, count, generator=generator)
    # Stratified over the kept points, so that no point is taken twice before all are.
    index = ((torch.arange(count) + chosen) / count * kept).long().clamp(max=n - 1)
    return points.gather(1, order.gather(1, index)[..., None].expand(-1, -1, d))


def cloud_table(
    clouds: Sequence[Float[Tensor, "_ D"]],
    names: Sequence[str],
    points: int = 2048,
    frame: FrameKind = "box",
) -> CloudTable:
    """Build a table of normalised clouds from clouds with any numbers of points.

    Args:
        clouds: At least one cloud; points of clouds with fewer than `points` points are repeated.
        names: Names of the clouds.
        points: Number of points to keep of each.
        frame: `box` as in ShapeGF: bounding box centred, longest side 2. `principal`: rotated to the principal
            axes first, so that the model does not depend on the rotation of shapes. `shared`: one frame for the
            whole collection as in PointFlow, so that sizes and positions of shapes are learned as well.

    Raises:
        InputError: There are no clouds, or one has no extent or coordinates that are not finite.
    """
    if not clouds:
        raise InputError("there are no shapes to learn from")
    generator = torch.Generator().manual_seed(0)
    rows = []
    shared = shared_frame(clouds, names) if frame == "shared" else None
    for cloud, name in zip(clouds, names, strict=True):
        own = principal_frames(cloud, name)[0] if frame == "principal" else box_frame(cloud, name)
        chosen = own if shared is None else shared
        order = torch.randperm(len(cloud), generator=generator).repeat(-(-points // len(cloud)))
        rows.append(chosen.apply(cloud)[order[:points]].float())
    return CloudTable(torch.stack(rows), tuple(names), shared)


SUPPORT = 1024
"""Largest number of points of a shape whose analytic denoiser is the target."""
LEAST_CROP = 0.35
"""Smallest fraction of a cloud that a crop keeps."""


class Batch(NamedTuple):
    """Random input and targets of a training step.

    Attributes:
        encoder_input: Clouds for the encoder, whole or cropped, of a random number of points.
        whole: Whether each cloud for the encoder is not cropped.
        noisy: Noisy points of the shapes: N points at each of G noise levels.
        sigma: The noise levels.
        clean: Targets of the denoiser.
    """

    encoder_input: Float[Tensor, "B M D"]
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
    """Sample the random input and targets of a training step.

    The encoder's points are sampled independently of those that noise is added to. The published target is the
    point before the noise. Its mean over all possible points, the analytic denoiser of a larger sample of the
    shape, has the same minimum and less variance (Xu, Tong, Jaakkola 2023, "Stable target field").

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
    encoder_input, whole = draw_inputs(table, shapes, config, generator)
    return Batch(encoder_input, whole, noisy, sigma, clean)


def draw_levels(config: TrainConfig, shapes: int, generator: torch.Generator) -> Float[Tensor, "{shapes} G"]:
    """Random noise levels: stratified in the logarithm for every shape, or from the published sequence.

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
    """Random clouds for the encoder, and whether each is whole; the number of points is log-uniform."""
    least, most = config.inputs
    if least == most and config.cropped == 0:
        return table.draw(shapes, most, generator), torch.ones(len(shapes), dtype=torch.bool)
    random = float(torch.rand(1, generator=generator))
    count = round(least * (most / least) ** random)
    chance = torch.rand(2, len(shapes), generator=generator)
    fraction = torch.where(chance[0] < config.cropped, LEAST_CROP + (1 - LEAST_CROP) * chance[1], 1.0)
    pool = table.draw(shapes, min(2 * count, max(count, table.points.shape[1])), generator)
    return cropped_clouds(pool, fraction, count, generator), fraction == 1

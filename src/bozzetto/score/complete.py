"""Completion of partial clouds: several whole shapes, which keep the observed points unchanged."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError
from ..shapes.frames import Frame, box_frame
from ..steps import counted
from ..values import value_type
from .autoencode import SEEN, check_dimensions
from .latent import LatentFlow
from .prior import CloudPrior
from .sample import points_of

COMPARED, APART = 1024, 512
"""Numbers of points of candidate shapes for comparison with observed points, and with each other."""
LARGEST = 100_000
"""Largest number of observed points that are used, unless more are to be returned."""
COVERED = 2.5
"""A new point counts as observed if an observed point is nearer than this multiple of their median spacing."""


@dataclass(frozen=True)
class CompleteConfig:
    """Settings of the completion of partial clouds."""

    hypotheses: int = 8
    """Number of shapes to return."""
    points: int = 2048
    """Number of points of each shape."""
    candidates: int = 64
    """Number of shapes to sample. The half that fits the observed points best is kept, and of these the most
    representative ones are returned."""
    guidance: float = 1.5
    """Guidance scale of the encoder's code of the partial cloud, see `LatentFlow.sample`."""
    noise: float = 0.02
    """Standard deviation of the noise of observed points and of details that the model cannot represent, in the
    normalised frame."""
    seed: int = 0
    """Seed of shapes and points."""


@value_type
class Completed:
    """One completed shape.

    Attributes:
        points: Points in the frame and unit of the partial cloud, including unchanged observed points.
        observed: Whether each point is an observed one.
        code: Code of the shape.
        misfit: Root mean square distance of the observed points from points of the shape, in the normalised
            frame.
    """

    points: Float[Tensor, "N D"]
    observed: Bool[Tensor, " N"]
    code: Float[Tensor, " K"]
    misfit: float


@torch.no_grad()
def complete(
    cloud: Float[Tensor, "N D"],
    prior: CloudPrior,
    config: CompleteConfig | None = None,
    frame: Frame | None = None,
    name: str = "the cloud",
) -> list[Completed]:
    """Complete a partial cloud: several different shapes that explain it, the best fit first.

    The encoder's code of a part is a compromise between all shapes with such a part. It is the condition (hint)
    of the flow, which was trained on pairs of codes of parts and of whole shapes. Samples of the flow are then
    samples of the posterior. Those that fit the observed points worst are left out, and the most representative
    of the others are returned. The alternative, optimisation of the noise by gradients through the flow
    (Ben-Hamu et al. 2024, "D-Flow"), fits the observed points better and the rest worse.

    Args:
        cloud: Points of a part of a shape.
        prior: A model with a flow, such as one of the default preset.
        config: Settings; None takes the defaults of `CompleteConfig`.
        frame: Map to the model's normalised frame if it is known. None takes the bounding box of the part for
            that of the whole, which is rarely right, so give the frame if possible.
        name: Name of the cloud in messages.

    Raises:
        InputError: The cloud cannot be used, the model has no flow, or a setting is out of range.
    """
    config = config or CompleteConfig()
    check_dimensions(prior, cloud, name)
    flow = hinted_flow(prior)
    if config.hypotheses < 1 or config.points < 1:
        raise InputError("hypotheses and points must be at least 1")
    if not 0 <= config.guidance < math.inf:
        raise InputError(f"the guidance must not be negative, got {config.guidance}")
    own = box_frame(cloud, name)
    frame = frame or prior.frame or own
    generator = torch.Generator().manual_seed(config.seed)
    most = max(LARGEST, config.points)
    if len(cloud) > most:
        cloud = cloud[torch.randperm(len(cloud), generator=generator)[:most].to(cloud.device)]
    seen = frame.apply(cloud).to(prior.codes)
    some = seen[torch.randperm(len(seen), generator=generator)[:SEEN].to(seen.device)]
    count = max(config.candidates, config.hypotheses)
    noise = torch.randn(count, flow.noise_size, generator=generator).to(some)
    codes = flow.sample(noise, prior.model.encode(some[None]).expand(count, -1), config.guidance)
    drawn = points_of(prior, codes, COMPARED, config.seed)
    off = torch.stack(
        [torch.cdist(some, one).amin(dim=1).square().mean().sqrt() for one in counted(drawn, "compare")]
    )
    kept = off.argsort()[: max(count // 2, config.hypotheses)]
    best = kept[representatives(drawn[kept, :APART], config.hypotheses)]
    best = best[off[best].argsort()]
    made = points_of(prior, codes[best], 2 * config.points, config.seed)
    return [
        Completed(*joined_clouds(cloud, frame, seen, points, config), codes[index], float(off[index]))
        for index, points in zip(best, made, strict=True)
    ]


def representatives(clouds: Float[Tensor, "C N D"], count: int) -> Int64[Tensor, " {count}"]:
    """Choose representative clouds: every cloud is near to one of them by the Chamfer distance.

    They are chosen one after the other, each the one that lowers the sum of all distances most (greedy
    k-medoids).
    """
    rows = []
    for cloud in counted(clouds, "compare"):
        apart = torch.cdist(clouds, cloud[None])
        rows.append(sum(apart.amin(dim=dim).square().mean(dim=1) for dim in (1, 2)))
    table = torch.stack(rows)  # type: ignore[arg-type]
    chosen: list[int] = []
    nearest = torch.full_like(table[0], torch.inf)
    for _ in range(count):
        sums = torch.minimum(nearest[:, None], table).sum(dim=0)
        sums[chosen] = torch.inf
        chosen.append(int(sums.argmin()))
        nearest = torch.minimum(nearest, table[:, chosen[-1]])
    return torch.tensor(chosen, device=clouds.device)


def hinted_flow(prior: CloudPrior) -> LatentFlow:
    """The flow of a model, if it was trained with hints.

    Raises:
        InputError: The model has no flow, or the flow was trained without hints.
    """
    if not isinstance(prior.latent, LatentFlow) or not prior.latent.takes_hints:
        raise InputError(
            "completion needs a model whose flow has seen parts in training; train longer, or with the default "
            "preset"
        )
    return prior.latent


def joined_clouds(
    cloud: Float[Tensor, "N D"],
    frame: Frame,
    normalised: Float[Tensor, "N D"],
    generated: Float[Tensor, "M D"],
    config: CompleteConfig,
) -> tuple[Float[Tensor, "P D"], Bool[Tensor, " P"]]:
    """Join observed points with new ones where there are no observed points, at similar density.

    New points near observed ones are dropped and replaced by as many observed ones, or by all if there are
    fewer.
    """
    tree = KDTree(normalised.cpu().numpy())
    usual = float(torch.from_numpy(tree.query(normalised.cpu().numpy(), k=2)[0][:, 1]).median())
    distance = torch.from_numpy(tree.query(generated.cpu().numpy())[0])
    near = distance < max(COVERED * usual, config.noise)
    generator = torch.Generator().manual_seed(config.seed)
    new = generated[~near.to(generated.device)]
    kept = min(len(cloud), max(1, round(config.points * float(near.float().mean()))))
    chosen = torch.randperm(len(cloud), generator=generator)[:kept].to(cloud.device)
    wanted = torch.randperm(len(new), generator=generator)[: config.points - kept].to(new.device)
    invented = frame.undo(new[wanted].double()).to(cloud)
    observed = torch.arange(kept + len(invented)) < kept
    return torch.cat([cloud[chosen], invented]), observed

"""Partial clouds to whole shapes: several, where what is seen leaves room; what was seen stays where it is."""

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
"""Points of shapes that are compared with observed ones, and with each other."""
LARGEST = 100_000
"""Observed points that are looked at, at most, unless more are to be returned."""
COVERED = 2.5
"""A new point counts as seen if an observed one is nearer than so many of their usual distances."""


@dataclass(frozen=True)
class CompleteConfig:
    """How a partial cloud is completed."""

    hypotheses: int = 8
    """Shapes to return."""
    points: int = 2048
    """Points of each."""
    candidates: int = 64
    """Shapes to draw. The half that agrees best with the observed points is kept, and of these as many are
    returned as stand for all of them."""
    guidance: float = 1.5
    """How far shapes follow the hint of the encoder, see `LatentFlow.sample`."""
    noise: float = 0.02
    """Standard deviation of the observed points and of what the model cannot represent, in its unit."""
    seed: int = 0
    """Of shapes and points."""


@value_type
class Completed:
    """One whole shape.

    Attributes:
        points: In the frame and unit of the partial cloud; observed points are among them, unmoved.
        observed: Which of them those are.
        code: The shape as the model knows it.
        misfit: Root mean square distance of the observed points from points of the shape, in the unit of the
            model.
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
    """Whole shapes that explain a partial cloud and differ, the one that fits best first.

    The encoder's code of a part is a compromise between all shapes that have such a part. Given as a hint to
    the flow, which has met such codes beside those of the whole shapes in training, it becomes samples of the
    posterior: shapes that the collection could hold. Those that miss the observed points most are left out, and
    of the rest as many are returned as stand for all: what is asked for is what the whole could be. Search for
    noise whose shape agrees with the points, by gradients through the flow (Ben-Hamu et al. 2024, "D-Flow"),
    fits the points better and the rest worse.

    Args:
        cloud: Points of a part of a shape.
        prior: A model with a flow, as the default preset leaves it.
        config: How.
        frame: To the model's normalised frame, if it is known; otherwise the box of the part is taken for that
            of the whole, which it hardly is: say it where you know better.
        name: How messages call the cloud.

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
    """Of many clouds those that stand for all: every cloud is near to one of them, by the Chamfer distance.

    Chosen one after the other, each the one that brings the sum of all distances down most (greedy k-medoids).
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
    """The distribution of codes, if it knows what parts say of them.

    Raises:
        InputError: It does not, or there is none.
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
    """Observed points where there are any, new ones elsewhere, in about equal density.

    New points near observed ones are dropped; as many observed ones as that are kept, or all if they are fewer.
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

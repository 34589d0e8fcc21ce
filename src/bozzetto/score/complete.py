"""Partial clouds to whole shapes: several, where what is seen leaves room; what was seen stays where it is."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError
from .autoencode import SEEN, check_dimensions, misfit
from .frames import Frame, box_frame
from .latent import LatentFlow, on_sphere
from .prior import CloudPrior
from .sample import points_of

FLOW_STEPS = 8
"""Heun steps from noise to code while noise is sought: enough for its gradient."""
COVERED = 2.5
"""A new point counts as seen if an observed one is nearer than so many of their usual distances."""


@dataclass(frozen=True)
class CompleteConfig:
    """How a partial cloud is completed."""

    hypotheses: int = 8
    """Shapes to return."""
    points: int = 2048
    """Points of each."""
    steps: int = 60
    """Steps of the search for noise whose shape agrees with the observed points."""
    step_size: float = 0.05
    """Step size (Adam)."""
    noise: float = 0.02
    """Standard deviation of the observed points and of what the model cannot represent, in its unit."""
    trust: float = 200.0
    """How many independent observations the points count as."""
    spread: float = 1.2
    """Angle, in radians, by which the farthest first guess is turned away from what the encoder says."""
    seed: int = 0
    """Of first guesses and points."""


@dataclass(frozen=True)
class Completed:
    """One whole shape.

    Attributes:
        points: In the frame and unit of the partial cloud; observed points are among them, unmoved.
        observed: Which of them those are.
        code: The shape as the model knows it.
        misfit: Root mean square distance of the observed points from the shape, in the unit of the model.
        probability: Logarithm of the prior density of the noise behind the code, without its constant.
    """

    points: Float[Tensor, "N D"]
    observed: Bool[Tensor, " N"]
    code: Float[Tensor, " K"]
    misfit: float
    probability: float


def complete(
    prior: CloudPrior,
    cloud: Float[Tensor, "N D"],
    config: CompleteConfig | None = None,
    frame: Frame | None = None,
    name: str = "the cloud",
) -> list[Completed]:
    """Whole shapes that explain a partial cloud, the best explanation first.

    The encoder, which has seen parts in training, gives a code: the first hypothesis. The flow turns it to the
    noise behind it. The others begin as that noise, turned away from it more and more; each is then moved to
    where the observed points lie on its shape and the noise stays probable: a local maximum of the posterior
    over the noise of the prior (Ben-Hamu et al. 2024, "D-Flow"), from different starts. What the flow does not
    know of the first code is added to theirs, the less the farther they are turned.

    Args:
        prior: A model with a flow, as the default preset leaves it.
        cloud: Points of a part of a shape.
        config: How.
        frame: To the model's normalised frame, if it is known; otherwise the box of the part is taken for that
            of the whole, which it hardly is: say it where you know better.
        name: How messages call the cloud.

    Raises:
        InputError: The cloud cannot be used, the model has no flow, or a setting is out of range.
    """
    config = config or CompleteConfig()
    check_dimensions(prior, cloud, name)
    flow = prior.latent
    if not isinstance(flow, LatentFlow):
        raise InputError("completion needs a model whose codes have a flow; train with the default preset")
    if config.hypotheses < 1 or config.points < 1 or config.steps < 0:
        raise InputError("hypotheses and points must be at least 1 and steps at least 0")
    own = box_frame(cloud, name)
    frame = frame or prior.frame or own
    seen = frame.apply(cloud).to(prior.codes)
    order = torch.randperm(len(seen), generator=torch.Generator().manual_seed(config.seed))[:SEEN]
    some = seen[order.to(seen.device)]
    code = prior.model.encode(some[None])
    angle = torch.linspace(0, config.spread, config.hypotheses)[:, None].to(code)
    noise = first_guesses(flow, code, angle, config.seed)
    unknown = angle.cos() * (code - flow.sample(noise[:1]))
    if config.hypotheses > 1:
        noise = torch.cat([noise[:1], _agree(prior, flow, noise[1:], unknown[1:], some, config)])
    with torch.no_grad():
        codes = on_sphere(flow.sample(noise) + unknown)
        off = misfit(prior.model, codes, some.expand(len(codes), -1, -1)).sqrt()
        made = points_of(prior, codes, 2 * config.points, config.seed)
    results = []
    for index in range(config.hypotheses):
        points, observed = joined(cloud, frame, seen, made[index], config)
        probability = -0.5 * float(noise[index].square().sum())
        results.append(Completed(points, observed, codes[index], float(off[index]), probability))
    return sorted(results, key=lambda one: one.misfit)


def first_guesses(
    flow: LatentFlow, code: Float[Tensor, "1 K"], angle: Float[Tensor, "H 1"], seed: int = 0
) -> Float[Tensor, "H K"]:
    """Noise behind a code, turned away by angles in random directions."""
    middle = flow.noise_of(code)
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(len(angle), flow.noise_size, generator=generator)
    return angle.cos() * middle + angle.sin() * random.to(middle)


def _agree(
    prior: CloudPrior,
    flow: LatentFlow,
    noise: Float[Tensor, "H K"],
    unknown: Float[Tensor, "H K"],
    seen: Float[Tensor, "N D"],
    config: CompleteConfig,
) -> Float[Tensor, "H K"]:
    """Noise whose shapes pass through the observed points; all hypotheses at once."""
    noise = noise.clone().requires_grad_()
    optimizer = torch.optim.Adam([noise], lr=config.step_size, betas=(0.9, 0.95))
    generator = torch.Generator().manual_seed(config.seed)
    with torch.enable_grad():
        for step in range(config.steps):
            progress = (step + 1) / config.steps
            chosen = torch.randint(len(seen), (256,), generator=generator).to(seen.device)
            sigma = 0.15 * (0.02 / 0.15) ** progress  # far shapes attract first, details last
            part = seen[chosen].expand(len(noise), -1, -1)
            codes = on_sphere(flow.sample(noise, FLOW_STEPS) + unknown)
            off = misfit(prior.model, codes, part, sigma)
            loss = (config.trust * off / (2 * config.noise**2) + noise.square().sum(dim=1) / 2).sum()
            optimizer.param_groups[0]["lr"] = config.step_size * (1 - 0.9 * progress)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return noise.detach()


def joined(
    cloud: Float[Tensor, "N D"],
    frame: Frame,
    seen: Float[Tensor, "N D"],
    made: Float[Tensor, "M D"],
    config: CompleteConfig,
) -> tuple[Float[Tensor, "P D"], Bool[Tensor, " P"]]:
    """Observed points where there are any, new ones elsewhere, in about equal density.

    New points near observed ones are dropped; as many observed ones as that are kept, or all if they are fewer.
    """
    tree = KDTree(seen.cpu().numpy())
    usual = float(torch.from_numpy(tree.query(seen.cpu().numpy(), k=2)[0][:, 1]).median())
    distance = torch.from_numpy(tree.query(made.cpu().numpy())[0])
    near = distance < max(COVERED * usual, config.noise)
    generator = torch.Generator().manual_seed(config.seed)
    new = made[~near.to(made.device)]
    kept = min(len(cloud), max(1, round(config.points * float(near.float().mean()))))
    chosen = torch.randperm(len(cloud), generator=generator)[:kept].to(cloud.device)
    wanted = torch.randperm(len(new), generator=generator)[: config.points - kept].to(new.device)
    invented = frame.undo(new[wanted]).to(cloud)
    observed = torch.arange(kept + len(invented)) < kept
    return torch.cat([cloud[chosen], invented]), observed

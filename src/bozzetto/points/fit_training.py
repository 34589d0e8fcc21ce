"""Training of the networks that denoise: procedural shapes, noise of any level, exact distances."""

from collections.abc import Callable
from dataclasses import asdict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import InputError
from ..steps import counted
from ..values import value_type
from .denoiser import Denoiser, DenoiserRecipe
from .denoising import one_pass, spread
from .fit_choice import FitChoice
from .local_fits import local_fits, neighbours, support_of
from .noise_level import LEAST_SHARE, NoiseLevel, noise_features
from .training_clouds import Distance, noisy_cloud, training_shape

Log = Callable[[dict], None]
EVERY = 100
"""Steps whose mean loss is one line of the log."""
PROBES = 500
"""Neighbourhoods of a cloud that the estimate of noise learns from; later it has more."""


@value_type
class TrainingNeighbourhoods:
    """Points of one cloud to learn from: those around several places, of each those nearest to it.

    Attributes:
        points: Where they are.
        before: Where the inner ones were without noise, by which a cloud that covers its surface is known.
        moves: Candidates of all points, see `LocalFits`.
        features: Of all points.
        distance: To the surface that they are of.
        noise: The unit of the loss.
    """

    points: Float[Tensor, "P K 3"]
    before: Float[Tensor, "P I 3"]
    moves: Float[Tensor, "_ C 3"]
    features: Float[Tensor, "_ F"]
    distance: Distance
    noise: float

    def loss(self, network: FitChoice, far: float) -> Float[Tensor, ""]:
        """Of the moved points: how far they are off the surface, and how far it is from points to them."""
        moved = self.points + network(self.moves, self.features).view_as(self.points)
        off = self.distance(moved.view(-1, 3)) / self.noise
        gaps = torch.cdist(self.before, moved).amin(dim=2) / self.noise
        return distance_loss(off, far) + distance_loss(gaps.flatten(), far)


def train_denoiser(recipe: DenoiserRecipe | None = None, log: Log | None = None) -> Denoiser:
    """Train one network for each pass, and the estimate of how strong the noise is.

    Every pass sees clouds that the passes before have worked on, and minimises squared distances, in units of
    the noise: from its points to the surface, and from clean points to its.

    Args:
        recipe: What is trained, on what and for how long.
        log: Called every 100 steps with the network's name, the step and the mean loss since.

    Raises:
        InputError: The recipe has no shapes or no steps.
    """
    recipe = recipe or DenoiserRecipe()
    for name in ("passes", "shapes", "steps", "level_shapes", "level_clouds", "level_steps"):
        if getattr(recipe, name) < 1:
            raise InputError(f"{name} of a recipe must be at least 1, got {getattr(recipe, name)}")
    passes: list[FitChoice] = []
    for index in range(recipe.passes):
        clouds = [_places(recipe, index, shape, passes) for shape in counted(range(recipe.shapes), "clouds")]
        passes.append(_fitted(clouds, recipe, index, log))
    return Denoiser(tuple(passes), train_level(recipe, log), {"recipe": asdict(recipe)})


def _places(
    recipe: DenoiserRecipe, index: int, shape: int, passes: list[FitChoice]
) -> TrainingNeighbourhoods:
    """Parts of a cloud that the passes before have worked on."""
    number = shape + recipe.shapes * (index + recipe.passes * recipe.seed)
    draw = torch.Generator().manual_seed(2**32 + number)
    low, high = recipe.sizes
    count = int(_between(draw, low, high))
    noise = _between(draw, *recipe.levels)
    clean, distance = training_shape(number, count)
    points, before = noisy_cloud(clean, noise, count, draw)
    told = noise * float(torch.exp(recipe.mistake * torch.randn(1, generator=draw)))
    for network in passes:
        with torch.no_grad():
            points, normals = one_pass(network, points, told)
            points = spread(points, normals, noise)  # other disorder than a first pass leaves
    support, kept = support_of(points), support_of(points[: len(before)])  # of which strays are no rows
    centres = kept.points[torch.randperm(len(before), generator=draw)[: recipe.places]]
    rows = neighbours(kept, centres, recipe.rows)[1]
    fits = local_fits(support, points[rows].view(-1, 3), told)
    inner = before[rows[:, : recipe.rows // 3]]
    return TrainingNeighbourhoods(points[rows], inner, fits.moves, fits.features, distance, noise)


def distance_loss(left: Float[Tensor, " N"], far: float) -> Float[Tensor, ""]:
    """Mean of what grows with the square of distances up to about `far`, and slower beyond: few are so far."""
    return (far**2 + left.square()).sqrt().mean()


def quantile_loss(above: Float[Tensor, " N"], quantile: float) -> Float[Tensor, ""]:
    """Least where this share of the truth is below the estimate (Koenker and Bassett 1978).

    Source: Koenker and Bassett 1978, the loss.

    Args:
        above: Truths less estimates.
        quantile: 0.5 is the median; the loss is then the mean absolute error, halved.
    """
    return torch.maximum(quantile * above, (quantile - 1) * above).mean()


def _fitted(
    clouds: list[TrainingNeighbourhoods], recipe: DenoiserRecipe, index: int, log: Log | None
) -> FitChoice:
    torch.manual_seed(recipe.seed + index)
    network = FitChoice()

    def loss(step: int) -> Tensor:
        return clouds[step % len(clouds)].loss(network, recipe.far)

    _minimise(network, loss, recipe.steps, recipe, f"pass {index + 1}", log)
    return network.eval().requires_grad_(False)


def train_level(recipe: DenoiserRecipe, log: Log | None = None) -> NoiseLevel:
    """Train the network that estimates how strong the noise is.

    It estimates a quantile of the logarithm.
    """
    rows = [row for shape in counted(range(recipe.level_shapes), "clouds") for row in _levels(recipe, shape)]
    features = torch.stack([row[0] for row in rows])
    truth = torch.tensor([row[1] for row in rows])
    torch.manual_seed(recipe.seed)
    network = NoiseLevel()
    network.mean.copy_(features.mean(dim=0))
    network.scale.copy_(features.std(dim=0).clamp(min=1e-3))

    def loss(_: int) -> Tensor:
        some = torch.randint(len(truth), (recipe.level_batch,))
        return quantile_loss(truth[some] - network(features[some]), recipe.level_quantile)

    _minimise(network, loss, recipe.level_steps, recipe, "level", log)
    return network.eval().requires_grad_(False)


def _levels(recipe: DenoiserRecipe, shape: int) -> list[tuple[Tensor, float]]:
    """Features and logarithms of the noise of clouds of one shape."""
    number = shape + recipe.level_shapes * recipe.seed
    draw = torch.Generator().manual_seed(2**33 + number)
    clean = training_shape(2**20 + number, recipe.level_sizes[1])[0]
    rows = []
    for _ in range(recipe.level_clouds):
        count = int(_between(draw, *recipe.level_sizes))
        noise = _between(draw, *recipe.level_levels) * float(torch.rand(1, generator=draw) > 0.05)
        features, unit = noise_features(noisy_cloud(clean, noise, count, draw)[0], draw, PROBES)
        rows.append((features, float(torch.tensor(max(noise / unit, LEAST_SHARE)).log())))
    return rows


def _minimise(
    network: nn.Module,
    loss_at: Callable[[int], Tensor],
    steps: int,
    recipe: DenoiserRecipe,
    name: str,
    log: Log | None,
) -> None:
    """One cycle of AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate / 2, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps)
    since = []
    for step in counted(range(1, steps + 1), name):
        loss = loss_at(step - 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        since.append(float(loss.detach()))
        if log is not None and (step % EVERY == 0 or step == steps):
            log({"network": name, "step": step, "loss": sum(since) / len(since)})
            since = []


def _between(draw: torch.Generator, low: float, high: float) -> float:
    """A random number, uniform in its logarithm."""
    return low * (high / low) ** float(torch.rand(1, generator=draw))

"""Training of the denoising networks on procedural shapes with known signed distance, at all noise levels."""

from collections.abc import Callable
from dataclasses import asdict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..datasets.synthetic.solids import chair_boxes, machined_part, union_distance, union_points
from ..errors import InputError
from ..geometry import implicit
from ..shapes import normalisation, sample_surface
from ..steps import counted
from ..values import value_type
from .denoiser import Denoiser, DenoiserRecipe, FitChoice
from .denoising import one_pass, spread
from .local_fits import LEAST_SHARE, NoiseLevel, local_fits, neighbours, noise_features, support_of

Distance = Callable[[Tensor], Tensor]
FAMILIES = ("blob", "chair", "part", "limbs")
SIZES = (1500, 8000)


def training_shape(
    seed: int, points: int | None = None, family: str | None = None
) -> tuple[Float[Tensor, "N 3"], Distance]:
    """Random procedural shape within the unit sphere: points on its surface, and its signed distance.

    Args:
        seed: Seed of all random choices.
        points: Number of points; None takes a random number within `SIZES`.
        family: `chair`: boxes; `blob`: rounded cones, a ring and a block; `part`: machined parts; `limbs`: thin
            and round limbs. None chooses by the seed, in turn.
    """
    draw = torch.Generator().manual_seed(seed)
    low, high = SIZES
    random = int(low * (high / low) ** float(torch.rand(1, generator=draw)))
    count = points or random
    family = family or FAMILIES[seed % len(FAMILIES)]
    if family == "chair":
        boxes = chair_boxes(7, seed)
        return _normalised(union_points(boxes, count, draw), lambda x: union_distance(boxes, x))
    if family == "part":
        part = machined_part(seed)
        return _normalised(part.points(count, draw), part.distance)
    field = _blob(draw) if family == "blob" else _limbs(draw)
    mesh = implicit.zero_set(field, (-2, -2, -2), (2, 2, 2), 0.06 if family == "blob" else 0.05)
    return _normalised(_settled(field, sample_surface(mesh, count, draw)[0]), field)


def noisy_cloud(
    clean: Float[Tensor, "N 3"], level: float, count: int, draw: torch.Generator
) -> tuple[Float[Tensor, "M 3"], Float[Tensor, "K 3"]]:
    """Random subset of points with Gaussian noise, half of the time with uneven density, sometimes with
    outliers.

    Returns:
        The cloud, K noisy points followed by outliers, and the K points without noise.
    """
    rows = torch.randperm(len(clean), generator=draw)
    if float(torch.rand(1, generator=draw)) < 0.5:
        slope = 1.5 * torch.randn(3, generator=draw)
        rows = torch.multinomial((clean @ slope).exp() + 1e-3, min(count, len(clean)), generator=draw)
    before = clean[rows[:count]]
    points = before + level * torch.randn(before.shape, generator=draw)
    if float(torch.rand(1, generator=draw)) < 0.15:
        strays = 2 * torch.rand(len(points) // 50, 3, generator=draw) - 1
        points = torch.cat([points, strays])
    return points, before


def _normalised(points: Tensor, distance: Distance) -> tuple[Tensor, Distance]:
    to = normalisation(points)
    return to.apply(points), lambda x: distance(to.inverse().apply(x)) * to.scale


def _number(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(1, generator=draw))


def _blob(draw: torch.Generator) -> implicit.Field:
    def number(low: float, high: float) -> float:
        return _number(draw, low, high)

    def place() -> list[float]:
        return [number(-0.8, 0.8) for _ in range(3)]

    parts = [implicit.rounded_cone(place(), place(), number(0.08, 0.4), number(0.08, 0.4)) for _ in range(3)]
    ring = implicit.torus(number(0.4, 0.8), number(0.08, 0.2))
    parts.append(implicit.rotate(ring, [number(0.1, 1) for _ in range(3)], number(0, 360)))
    block = implicit.rounded_box([number(0.2, 1) for _ in range(3)], 0.02)
    parts.append(implicit.rotate(block, [number(0.1, 1) for _ in range(3)], number(0, 360)))
    return implicit.smooth_union(*parts, radius=number(0.02, 0.2))


def _limbs(draw: torch.Generator) -> implicit.Field:
    """A body with thin limbs, like animals and plants."""
    places = [torch.zeros(3)]
    radii = [_number(draw, 0.15, 0.4)]
    parts = [implicit.ellipsoid([_number(draw, 0.2, 0.6) for _ in range(3)])]
    for _ in range(4 + int(_number(draw, 0, 5.999))):
        parent = int(_number(draw, 0, len(places) - 0.001))
        way = torch.randn(3, generator=draw)
        end = (places[parent] + _number(draw, 0.4, 0.9) * way / way.norm()).clamp(-1.5, 1.5)
        start, thick, tip = places[parent], min(radii[parent], 0.2), 0.04 * 4 ** _number(draw, 0, 1)
        parts.append(implicit.rounded_cone(start.tolist(), end.tolist(), max(0.6 * thick, tip), tip))
        places.append(end)
        radii.append(tip)
    return implicit.smooth_union(*parts, radius=_number(draw, 0.01, 0.08))


def _settled(field: implicit.Field, points: Tensor) -> Tensor:
    """Project points of a mesh to the exact surface by Newton steps."""
    for _ in range(2):
        x = points.detach().requires_grad_()
        with torch.enable_grad():
            value = field(x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        points = (x - slope * (value / slope.square().sum(dim=1).clamp(min=0.5))[:, None]).detach()
    return points


Log = Callable[[dict], None]
EVERY = 100
"""Number of steps between calls of the log, each with the mean loss."""
PROBES = 500
"""Number of neighbourhoods per cloud in the training of the noise estimate; the trained network takes more."""


@value_type
class TrainingNeighbourhoods:
    """Training data of one cloud: the points nearest to each of several places.

    Attributes:
        points: Positions of the points.
        before: Positions of the inner points before the noise, from which coverage of the surface is measured.
        moves: Candidate displacements of all points, see `LocalFits`.
        features: Features of all points.
        distance: Signed distance to the true surface.
        noise: Noise level, the unit of the loss.
    """

    points: Float[Tensor, "P K 3"]
    before: Float[Tensor, "P I 3"]
    moves: Float[Tensor, "_ C 3"]
    features: Float[Tensor, "_ F"]
    distance: Distance
    noise: float

    def loss(self, network: FitChoice, far: float) -> Float[Tensor, ""]:
        """Loss of the moved points: their distance from the surface, and the distance from clean points to
        them."""
        moved = self.points + network(self.moves, self.features).view_as(self.points)
        off = self.distance(moved.view(-1, 3)) / self.noise
        gaps = torch.cdist(self.before, moved).amin(dim=2) / self.noise
        return distance_loss(off, far) + distance_loss(gaps.flatten(), far)


def train_denoiser(recipe: DenoiserRecipe | None = None, log: Log | None = None) -> Denoiser:
    """Train one network for each pass, and the network that estimates the noise level.

    Every pass is trained on the results of the previous passes. It minimises squared distances, in units of the
    noise, from its points to the surface and from clean points to its points.

    Args:
        recipe: Settings of the training; None takes the default ones.
        log: Function that is called every 100 steps with name of the network, step and mean loss since the last
            call.

    Raises:
        InputError: A number of the recipe, such as that of shapes or steps, is less than 1.
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
    """Training data of one cloud after the previous passes."""
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
            points = spread(points, normals, noise)  # another irregularity than that after a first pass
    support, kept = support_of(points), support_of(points[: len(before)])  # outliers are not training points
    centres = kept.points[torch.randperm(len(before), generator=draw)[: recipe.places]]
    rows = neighbours(kept, centres, recipe.rows)[1]
    fits = local_fits(support, points[rows].view(-1, 3), told)
    inner = before[rows[:, : recipe.rows // 3]]
    return TrainingNeighbourhoods(points[rows], inner, fits.moves, fits.features, distance, noise)


def distance_loss(left: Float[Tensor, " N"], far: float) -> Float[Tensor, ""]:
    """Mean of a robust loss, quadratic up to about `far` and growing more slowly beyond."""
    return (far**2 + left.square()).sqrt().mean()


def quantile_loss(above: Float[Tensor, " N"], quantile: float) -> Float[Tensor, ""]:
    """Quantile (pinball) loss: minimal if this fraction of the truth is below the estimate.

    Source: Koenker and Bassett 1978, the loss.

    Args:
        above: Differences, true values minus estimates.
        quantile: The quantile, in (0, 1); for 0.5, the median, the loss is half the mean absolute error.
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
    """Train the network that estimates the noise level.

    It estimates a quantile of the logarithm of the noise level.
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
    """Features and logarithmic noise levels of random clouds of one shape."""
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
    """Minimise a loss by AdamW with the 1cycle schedule."""
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
    """A log-uniform random number."""
    return low * (high / low) ** float(torch.rand(1, generator=draw))

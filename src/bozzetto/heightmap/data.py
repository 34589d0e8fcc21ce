"""Training data of networks: random crops of pairs, with augmentations that do not change the height."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..datasets.synthetic.materials import MaterialSample, make_samples
from ..errors import InputError, Interrupted, warn_input
from ..files import atomic_path
from ..images.resizing import resized
from ..runs import Progress
from ..shapes.readers import read_arrays
from ..values import value_type
from .pairs import PROCEDURAL, Pair

FLATTEST = 0.02
"""Smallest standard deviation of the heights of a crop, as a fraction of the material's range; flatter crops
contain little but rounding errors."""
STORED = 8
"""Number of procedural samples in a file of a store."""


@value_type
class Batch:
    """A batch of crops.

    Attributes:
        photos: sRGB in [0, 1].
        heights: Heights, each crop with mean 0 and standard deviation 1.
        kinds: Kind of every crop: scanned, painted or procedural.
        tiles: Whether all crops are periodic.
    """

    photos: Float[Tensor, "B 3 S S"]
    heights: Float[Tensor, "B S S"]
    kinds: Int[Tensor, " B"]
    tiles: bool


class Crops:
    """Random batches of crops. Batch k of a seed is always the same, so continuing a training needs no state.

    Args:
        pairs: Real pairs.
        samples: Procedural samples.
        shares: Fractions of scanned, painted and procedural crops; the fraction of a missing kind is divided
            among the others.
        side: Side of a crop in pixels.
        relight: Fraction of real crops that are shaded by a random light.
        recolor: Fraction of crops with augmented colours.
        seed: Seed of all random choices.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        samples: Sequence[Pair],
        shares: Sequence[float],
        side: int = 256,
        relight: float = 0.1,
        recolor: float = 0.3,
        seed: int = 0,
    ) -> None:
        everything = [*pairs, *samples]
        self._groups = [[p for p in everything if p.kind == kind] for kind in range(3)]
        weights = np.array([fraction * bool(g) for fraction, g in zip(shares, self._groups, strict=True)])
        self._shares = weights / weights.sum()
        self.side = side
        self.relight = relight
        self.recolor = recolor
        self.seed = seed

    def split(self, fraction: float) -> tuple["Crops", "Crops"]:
        """Split off a random fraction of the materials of each kind; return crops of the rest and of these.

        Raises:
            InputError: There are too few materials to split off any.
        """
        rng, kept, held = np.random.default_rng(self.seed), [], []
        for group in self._groups:
            order, count = rng.permutation(len(group)), round(fraction * len(group))
            held += [group[index] for index in order[:count]]
            kept += [group[index] for index in order[count:]]
        if not held or not kept:
            raise InputError("there are too few materials to hold some out; give more or no validation")
        shares, changes = self._shares.tolist(), (self.side, self.relight, self.recolor, self.seed)
        return Crops(kept, [], shares, *changes), Crops(held, [], shares, *changes)

    def draw(self, step: int, count: int, quarters: bool = False, tiles_fraction: float = 0.15) -> Batch:
        """The random batch of a step.

        Args:
            step: Number of the step.
            count: Number of crops; there are four times as many quarters.
            quarters: Whether to return quarters of crops.
            tiles_fraction: Fraction of the steps with periodic crops.
        """
        rng = np.random.default_rng([self.seed, step])
        tiles = bool(rng.random() < tiles_fraction) and not quarters
        kinds = rng.choice(3, 4 * count if quarters else count, p=self._shares)
        crops = [self._crop(rng, int(kind), tiles, quarters) for kind in kinds]
        both = torch.stack(crops)
        photos, heights = both[:, :3], both[:, 3]
        heights = heights - heights.mean(dim=(1, 2), keepdim=True)
        heights = heights / heights.square().mean(dim=(1, 2), keepdim=True).sqrt()
        kinds = torch.from_numpy(kinds)
        photos = relit(photos, heights, rng, torch.where(kinds == PROCEDURAL, 0.0, self.relight))
        changed = torch.from_numpy(rng.random(len(photos)) < self.recolor)[:, None, None, None]
        photos = torch.where(changed, recolored(photos, rng), photos)
        return Batch(photos, heights, kinds, tiles)

    def _crop(self, rng: np.random.Generator, kind: int, tiles: bool, quarter: bool) -> Tensor:
        group, part = self._groups[kind], 2 if quarter else 1
        for _ in range(20):
            pair = group[rng.integers(len(group))]
            if tiles and not pair.tiles:
                continue
            crop = cropped_pair(pair, self.side, rng, tiles, part)
            if crop[3].std() > FLATTEST:
                break
        else:
            crop = cropped_pair(
                self._groups[PROCEDURAL][0] if self._groups[PROCEDURAL] else group[0],
                self.side,
                rng,
                tiles,
                part,
            )
        return random_symmetry(crop, rng)


def cropped_pair(
    pair: Pair, side: int, rng: np.random.Generator, whole: bool = False, part: int = 1
) -> Float[Tensor, "4 S S"]:
    """Random crop of a pair at a random scale; periodic pairs are shifted first. Channels: colour, height.

    Args:
        pair: The pair.
        side: Side of the crop in pixels.
        rng: Source of randomness.
        whole: Whether to take the whole pair instead of a part.
        part: Return only one of `part` x `part` equal parts of the crop.
    """
    rows, columns = pair.height.shape
    size = np.array([rows, columns])
    if not (whole or rng.random() < 0.4):
        scale = np.exp(rng.uniform(np.log(min(1.0, 0.8 * side / size.min())), 0))
        size = size * scale if rng.random() < 0.5 else np.repeat(size.min() * scale, 2)
    size = np.maximum(1, np.round(size)).astype(int)
    side, size = side // part, size // part
    if pair.half is not None and size.min() >= 2 * side:
        return _taken(pair.half, size // 2, side, rng)
    return _taken(pair, size, side, rng)


def _taken(pair: Pair, size: npt.NDArray[Any], side: int, rng: np.random.Generator) -> Tensor:
    shape = np.array(pair.height.shape)
    room = shape if pair.tiles else shape - size + 1
    row, column = rng.integers(0, np.maximum(room, 1))
    window = np.ix_((row + np.arange(size[0])) % shape[0], (column + np.arange(size[1])) % shape[1])
    color = torch.from_numpy(pair.color[window].astype(np.float32) / 255).movedim(-1, 0)
    height = torch.from_numpy(pair.height[window].astype(np.float32) / 65535)
    return resized(torch.cat([color, height[None]]), (side, side))


def random_symmetry(crop: Tensor, rng: np.random.Generator) -> Tensor:
    """Apply a random one of the eight symmetries of the square."""
    crop = torch.rot90(crop, int(rng.integers(4)), (-2, -1))
    return crop.flip(-1) if rng.random() < 0.5 else crop


def relit(photos: Tensor, heights: Tensor, rng: np.random.Generator, fraction: Tensor) -> Tensor:
    """Shade a fraction of the photos by a random sun and sky, as diffuse surfaces with the photo as albedo."""
    count, side = len(photos), photos.shape[-1]
    numbers = torch.from_numpy(rng.random((6, count)).astype(np.float32))
    chosen = numbers[0] < fraction
    if not chosen.any():
        return photos
    azimuth, elevation = 2 * torch.pi * numbers[1], 0.45 + 0.9 * numbers[2]
    depth = side * 0.006 * (8 ** numbers[3])
    right = torch.gradient(heights, dim=2)[0] * depth[:, None, None]
    down = torch.gradient(heights, dim=1)[0] * depth[:, None, None]
    flat = elevation.cos()
    x, y, z = (flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin())
    facing = z[:, None, None] - right * x[:, None, None] - down * y[:, None, None]
    facing = facing.clamp(min=0) / (1 + right.square() + down.square()).sqrt() / z[:, None, None]
    ambient = (0.15 + 0.6 * numbers[4])[:, None, None]
    light = (ambient + (1 - ambient) * facing)[:, None] * (0.8 + 0.3 * numbers[5])[:, None, None, None]
    lit = (photos.square() * light).clamp(1e-6, 1).sqrt()  # fast approximation of sRGB
    return torch.where(chosen[:, None, None, None], lit, photos)


def recolored(photos: Float[Tensor, "B 3 S S"], rng: np.random.Generator) -> Float[Tensor, "B 3 S S"]:
    """Change colour, contrast and exposure at random, and blend some photos with another one."""
    count = len(photos)

    def random(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (count, *shape)).astype(np.float32))

    matrix = torch.eye(3) * random(0.5, 1.0, 1, 1) + random(-0.4, 0.4, 3, 3) * random(0, 1, 1, 1).square()
    matrix = matrix / matrix.sum(dim=2, keepdim=True).clamp(min=0.3)
    gain = random(0.85, 1.15, 3, 1, 1)
    photos = torch.einsum("bij,bjhw->bihw", matrix, photos) * gain
    photos = photos.clamp(1e-3, 1) ** torch.exp(random(-0.5, 0.5, 1, 1, 1))
    middle = photos.mean(dim=(1, 2, 3), keepdim=True)
    photos = middle + (photos - middle) * torch.exp(random(-0.7, 0.5, 1, 1, 1)) + random(-0.15, 0.15, 1, 1, 1)
    trace = random(-0.9, 0.3, 1, 1, 1).clamp(min=0)
    other = photos[torch.from_numpy(rng.permutation(count))]
    photos = photos + trace * (other - photos)
    noise = random(-0.02, 0.02, 1, 1, 1).clamp(min=0)
    grain = torch.randn(photos.shape, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))
    return (photos + noise * grain).clamp(0, 1)


def sample_pair(sample: MaterialSample) -> Pair:
    """Convert a procedural sample to a pair."""
    return Pair(sample.color, sample.height, PROCEDURAL, True)


def procedural_pairs(
    count: int,
    seed: int,
    side: int = 256,
    workers: int | None = None,
    store: Path | None = None,
    quiet: bool = True,
) -> list[Pair]:
    """Generate procedural pairs in parallel, or read them if they have been stored before.

    Args:
        count: Number of pairs.
        seed: Seed of the samples.
        side: Side of a sample in pixels.
        workers: Number of processes; None takes one per core.
        store: Folder in which the samples are stored, so that they are not generated again after an
            interruption.
        quiet: Whether to hide the progress bar.

    Raises:
        Interrupted: A signal arrived; the message has the number of stored samples.
    """
    parts = [range(first, min(first + STORED, count)) for first in range(0, count, STORED)]
    found = {part: _stored(store, seed, side, part) for part in parts}
    missing = [number for part in parts if found[part] is None for number in part]
    if missing:
        done = count - len(missing)
        made = make_samples(seed, missing, side, workers)
        with Progress(count, "materials", quiet, "material", done=done) as progress, closing(made):
            try:
                for part in parts:
                    if found[part] is None:
                        found[part] = samples = [_counted(next(made), progress) for _ in part]
                        _keep(store, seed, side, part, samples)
            except KeyboardInterrupt as error:
                kept = sum(len(part) for part in parts if found[part] is not None and store is not None)
                raise Interrupted(
                    f"interrupted while materials were made; {kept} of {count} are kept", error
                ) from None
    return [sample_pair(sample) for part in parts for sample in found[part] or ()]


def _counted(sample: MaterialSample, progress: Progress) -> MaterialSample:
    progress.advance()
    return sample


def _part_path(store: Path, seed: int, side: int, part: range) -> Path:
    return store / f"procedural-{seed}-{side}-{part.start}-{part.stop}.npz"


def _keep(store: Path | None, seed: int, side: int, part: range, samples: Sequence[MaterialSample]) -> None:
    if store is not None:
        with atomic_path(_part_path(store, seed, side, part)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                colors=np.stack([sample.color for sample in samples]),
                heights=np.stack([sample.height for sample in samples]),
            )


def _stored(store: Path | None, seed: int, side: int, part: range) -> list[MaterialSample] | None:
    """The samples of a part; None if they are not stored, or the file is damaged."""
    path = None if store is None else _part_path(store, seed, side, part)
    if path is None or not path.is_file():
        return None
    try:
        stored = read_arrays(path)
        colors, heights = stored["colors"], stored["heights"]
    except (InputError, KeyError):
        colors, heights = np.empty(0), np.empty(0)
    if colors.shape != (len(part), side, side, 3) or heights.shape != (len(part), side, side):
        warn_input(f"{path} is damaged; its materials are made anew")
        return None
    return [MaterialSample(colors[k], heights[k]) for k in range(len(part))]

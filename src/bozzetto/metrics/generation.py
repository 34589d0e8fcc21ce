"""Metrics of sets of generated point clouds: MMD, COV, 1-NNA and JSD, under the protocols of the literature.

Values under different protocols are not comparable, not even in rank, so each result names its protocol.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Float64
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError
from .nearest_clouds import (
    EarthMoverSearch,
    SearchCost,
    SetNeighbours,
    nearest_means,
    neighbours_from_distances,
)

RESOLUTION = 28


def occupancy_divergence(
    pred: Float[Tensor, "S n 3"], ref: Float[Tensor, "R m 3"], resolution: int = RESOLUTION
) -> float:
    """Jensen-Shannon divergence, in bits, between the distributions of all points of two sets.

    As in Achlioptas et al. 2018: a grid of 28^3 nodes over the cube of side 1 around the origin, of which those
    within 0.5 of the origin are kept. Each point counts for its nearest node. The divergence is 0 if both
    distributions are equal, 1 if they have no node in common.

    Source: Achlioptas et al. 2018, the Jensen-Shannon divergence.

    Args:
        pred: Clouds of one set, scaled into the sphere of radius 0.5; points outside count for the nearest
            node.
        ref: Clouds of the other set, in the same frame.
        resolution: Number of nodes along each side.

    Raises:
        InputError: The points are not three-dimensional.
    """
    if pred.shape[-1] != 3 or ref.shape[-1] != 3:
        raise InputError(
            f"occupancy needs points in 3D, got {pred.shape[-1]} and {ref.shape[-1]} coordinates"
        )
    axis = np.linspace(-0.5, 0.5, resolution)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    nodes = nodes[np.linalg.norm(nodes, axis=1) <= 0.5]
    tree = KDTree(nodes)
    counts = [_shares(tree, clouds.detach().double().cpu()) for clouds in (pred, ref)]
    mixed = (counts[0] + counts[1]) / 2
    return float(_entropy(mixed) - (_entropy(counts[0]) + _entropy(counts[1])) / 2)


def _shares(tree: KDTree, clouds: Float64[Tensor, "N n 3"]) -> npt.NDArray[Any]:
    node = np.asarray(tree.query(clouds.reshape(-1, 3).numpy())[1])
    return np.bincount(node, minlength=tree.n) / node.size


def _entropy(shares: npt.NDArray[Any]) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())


INTERVAL = 0.95
RESAMPLINGS = 2000


@dataclass(frozen=True)
class ScoreInterval:
    """A mean over clouds with its 95 % bootstrap interval.

    The interval is computed by resampling the averaged clouds, each with its given neighbour. It measures the
    effect of another sample of evaluated clouds, not of another training.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SetScores:
    """Comparison of a generated set S with a reference set R under one distance between clouds.

    Attributes:
        mmd: Minimum matching distance: mean over R of the distance to the nearest cloud of S. Not multiplied.
        cov: Coverage: fraction of the clouds of R that are nearest to some cloud of S, in [0, 1].
        one_nna: Leave-one-out accuracy of the nearest-neighbour classifier of S against R, in [0, 1]; 1/2 if
            they cannot be told apart. A cloud equally near to both sets counts one half.
    """

    mmd: ScoreInterval
    cov: ScoreInterval
    one_nna: ScoreInterval


@dataclass(frozen=True)
class GenerationScores:
    """All metrics of one generated set.

    Attributes:
        protocol: How clouds were normalised before they were compared.
        generated: Number of clouds in S.
        references: Number of clouds in R.
        points: Number of points per cloud.
        chamfer: Scores by mean squared distance to the nearest point, both directions summed.
        earth_mover: Scores by the exact mean distance of the optimal matching; None if it was left out.
        jsd: Jensen-Shannon divergence of occupancy in bits, on a 28^3 grid; None for clouds in 2D.
        search: Cost of the exact search for neighbours by earth mover's distance.
    """

    protocol: str
    generated: int
    references: int
    points: int
    chamfer: SetScores
    earth_mover: SetScores | None
    jsd: float | None
    search: SearchCost | None


def evaluate_generation(
    pred: Float[Tensor, "S n D"],
    ref: Float[Tensor, "R m E"],
    protocol: str = "none",
    earth_mover: bool = True,
    seed: int = 0,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> GenerationScores:
    """Compare generated clouds with reference clouds as sets, exactly.

    The distances: Chamfer is mean squared distance to the nearest point, summed over both directions; earth
    mover's is the mean unsquared distance of the optimal matching, solved and not approximated. Papers often
    mix in approximate matchers, which changes neighbours and with them COV and 1-NNA.

    Source: Achlioptas et al. 2018, coverage and minimum matching distance.

    Source: Yang et al. 2019, the 1-nearest-neighbour accuracy.

    Args:
        pred: Generated clouds.
        ref: Reference clouds with the same number of points, in two or three dimensions.
        protocol: Normalisation of clouds: `none`, `pointflow` or `shapegf`, see `normalise`.
        earth_mover: Whether to evaluate also by earth mover's distance, which takes most of the time.
        seed: Seed of the bootstrap.
        progress: Function that is called with the name of a stage and the fraction of it that is done.

    Raises:
        InputError: Fewer than two clouds in a set, clouds of one point, of other sizes, not finite or with
            all points equal.
    """
    _check(pred, "generated")
    _check(ref, "reference")
    if pred.shape[1:] != ref.shape[1:]:
        raise InputError(
            f"generated clouds are {tuple(pred.shape[1:])} and references {tuple(ref.shape[1:])} "
            "(points, dimensions); both need the same"
        )
    pred, ref = normalise(pred, protocol), normalise(ref, protocol)
    clouds = torch.cat([pred, ref.to(pred)])
    progress("nearest points", 0.0)
    means = nearest_means(clouds)
    chamfer = neighbours_from_distances(means.squared + means.squared.T, len(pred))
    search = EarthMoverSearch(clouds, len(pred), means, progress) if earth_mover else None
    flat = clouds.shape[2] != 3
    return GenerationScores(
        protocol=protocol,
        generated=len(pred),
        references=len(ref),
        points=pred.shape[1],
        chamfer=_figures(chamfer, seed),
        earth_mover=None if search is None else _figures(search.run(), seed),
        jsd=None if flat else occupancy_divergence(*into_sphere(pred, ref)),
        search=None if search is None else search.cost,
    )


def normalise(clouds: Float[Tensor, "N n D"], protocol: str) -> Float[Tensor, "N n D"]:
    """Normalise clouds by a protocol.

    * `shapegf` (Cai et al. 2020): every cloud by itself: bounding-box centre to 0, longest side to 2.
    * `pointflow` (Yang et al. 2019): the network's input is normalised by one global mean and standard
    deviation, but the released code undoes this before evaluation. So clouds are compared as they are in the
    files, which must have the same frame and unit. Neighbours are the same with and without such a global
    normalisation.
    * `none`: clouds are not changed.

    Source: Cai et al. 2020, the protocol `shapegf`.

    Source: Yang et al. 2019, the protocol `pointflow`.

    Raises:
        InputError: The protocol is unknown.
    """
    if protocol in ("pointflow", "none"):
        return clouds
    if protocol != "shapegf":
        raise InputError(f"protocol must be pointflow, shapegf or none, got {protocol!r}")
    low, high = clouds.amin(dim=1, keepdim=True), clouds.amax(dim=1, keepdim=True)
    return (clouds - (low + high) / 2) * 2 / (high - low).amax(dim=2, keepdim=True)


def into_sphere(
    pred: Float[Tensor, "S n D"], ref: Float[Tensor, "R m D"]
) -> tuple[Float[Tensor, "S n D"], Float[Tensor, "R m D"]]:
    """Transform both sets by the similarity that maps the bounding box of all references to side 1, centred.

    The divergence is defined there. Papers differ in this normalisation, and some have none.
    """
    flat = ref.reshape(-1, ref.shape[2])
    low, high = flat.amin(dim=0), flat.amax(dim=0)
    scale = (high - low).max()
    return tuple((clouds - (low + high) / 2) / scale for clouds in (pred, ref))  # type: ignore[return-value]


def bootstrap(values: npt.NDArray[Any], seed: int = 0) -> ScoreInterval:
    """The mean of values and its 95 % percentile bootstrap interval over 2000 resamplings."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(RESAMPLINGS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return ScoreInterval(float(values.mean()), float(low), float(high))


def _figures(found: SetNeighbours, seed: int) -> SetScores:
    covered = np.zeros(len(found.distance_from_r))
    covered[found.nearest_to_s.numpy()] = 1
    return SetScores(
        mmd=bootstrap(found.distance_from_r.numpy(), seed),
        cov=bootstrap(covered, seed),
        one_nna=bootstrap(found.same_set.numpy(), seed),
    )


def _check(clouds: Float[Tensor, "N n D"], name: str) -> None:
    count, points, dimensions = clouds.shape
    if count < 2:
        raise InputError(f"the {name} set has {count} clouds; at least two are needed")
    if points < 2 or dimensions not in (2, 3):
        raise InputError(
            f"{name} clouds have {points} points in {dimensions} dimensions; "
            "at least two points in two or three dimensions are needed"
        )
    bad = int((~torch.isfinite(clouds)).any(dim=(1, 2)).sum())
    if bad:
        raise InputError(f"{bad} {name} clouds have NaN or infinite coordinates; repair or remove them")
    flat = int((clouds.amax(dim=1) == clouds.amin(dim=1)).all(dim=1).sum())
    if flat:
        raise InputError(f"in {flat} {name} clouds all points are equal; remove these clouds")

"""Cleaning point clouds: outliers far away, repeated points, and normals that are wrong.

Every command that reconstructs a surface from points begins with it. An `InputWarning` reports everything that
is left out or changed.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError, warn_input
from ..shapes import PointCloud
from ..values import value_type
from .neighbourhoods import outside_votes

TRIM, GAP = 0.02, 1.0
"""Largest fraction of the points that are outliers at either end of every axis, and the gap that separates
them, as a multiple of the size of the rest."""
CLOSE, ALONE, RARE = 8, 5.0, 0.05
"""Isolated points: number of neighbours that are considered; ratio of the distance of half of them to their own
spacing at which a point is isolated; and largest fraction of isolated points that are left out, since more
belong to the shape."""
SAMPLE, PROBES, OUTLINE, FEW = 50_000, 2000, 5000, 20
"""Tests of normals: largest number of points that are used as neighbours, for planes, and for visibility from
outside; and smallest number of points for which there are tests."""
NEIGHBOURHOODS = (12, 48, 192)
FLAT, BROAD = 0.05, 0.02
"""A neighbourhood is planar if the ratio of its smallest to its middle variance is at most the first, and the
ratio of its middle to its largest variance at least the second."""
JUDGED = 0.2
"""Smallest fraction of planar neighbourhoods at which normals are tested by them."""
ASKEW = 0.1
"""Largest accepted fraction of normals that are 60 degrees or more off these planes; for 25 real shapes it is
below 0.03."""
MIXED, BESIDE, DEPTH = 0.04, 0.2, 0.02
"""Opposite normals of neighbours: their largest accepted fraction; the largest fraction of these that do not
lie behind the point, as those of a thin wall do; and the smallest depth that counts as behind, relative to the
distance."""
SEEN = 0.5
"""Smallest fraction of points with outside space on exactly one side at which the orientation is tested."""
INWARD, INVERTED = 0.2, 0.8
"""Largest accepted fraction of normals that point inward (of 300 points of thin shapes, 0.11 seem to), and
smallest fraction at which all normals are reversed."""


@value_type
class CleanCloud:
    """The usable part of a cloud.

    Attributes:
        cloud: The points without outliers and duplicates, and unit normals if they are reliable.
        row: Index in `cloud` of every point of the original, -1 for outliers.
    """

    cloud: PointCloud
    row: Int64[Tensor, " N"]

    def restored(self, whole: PointCloud, changed: PointCloud) -> PointCloud:
        """All points of the original in their order, with the changed positions of the used ones.

        Outliers do not change.

        Args:
            whole: The original cloud.
            changed: The points of `cloud` in their order, moved, with or without normals, followed by any
                further points, which are appended to the result.
        """
        count, used = len(self.cloud), self.row >= 0
        points, row = whole.points.clone(), self.row[used]
        points[used] = changed.points[row]
        points = torch.cat([points, changed.points[count:]])
        normals = changed.normals
        if normals is not None:
            own = torch.zeros_like(whole.points)  # 0 means unknown
            own[used] = normals[row]
            normals = torch.cat([own, normals[count:]])
        colors = whole.colors if len(points) == len(whole) else None
        return replace(whole, points=points, normals=normals, colors=colors)


def clean_cloud(cloud: PointCloud, name: str = "the cloud", outward: bool = True) -> CleanCloud:
    """Remove outliers, duplicates and unreliable normals of a cloud; warnings report what is changed.

    | finding | action |
    |---|---|
    | a few points far away from all others | left out |
    | isolated points, at most 5 % | left out |
    | points with equal coordinates | used once |
    | normals that are zero, at most points | no normals are used |
    | normals that are zero, at some points | taken from neighbouring points |
    | normals that are not perpendicular to the surface | no normals are used |
    | normals whose signs differ from neighbour to neighbour | no normals are used |
    | normals that all point into a closed surface | reversed, if `outward` is True |

    If neighbourhoods are not planar, because of noise or few points, normals are not tested.

    Args:
        cloud: Any points.
        name: Name of the cloud in messages.
        outward: Whether normals have to point outward; False only requires consistent signs.

    Raises:
        InputError: The cloud is empty or not finite, or all of its points are equal.
    """
    cloud.check(name)
    points = cloud.points.detach().double().cpu().numpy()
    first, row = _unique(points, name)
    first, row = _drop(_outliers(points[first], len(points), name), first, row)
    first, row = _drop(_isolated(points[first], len(points), name), first, row)
    index = torch.from_numpy(first).to(cloud.points.device)
    parts = [None if part is None else part[index] for part in (cloud.normals, cloud.colors)]
    used = replace(cloud, points=cloud.points[index], normals=parts[0], colors=parts[1])
    if used.normals is not None:
        used = replace(used, normals=_clean_normals(points[first], used.normals, name, outward))
    return CleanCloud(used, torch.from_numpy(row).to(cloud.points.device))


def clean_points(points: Float[Tensor, "N D"], name: str = "the cloud") -> Float[Tensor, "M D"]:
    """Remove outliers and duplicates from points of any dimension; warnings report what is left out.

    Raises:
        InputError: All points are equal.
    """
    places = points.detach().double().cpu().numpy()
    first, row = _unique(places, name)
    first, _ = _drop(_outliers(places[first], len(places), name), first, row)
    return points[torch.from_numpy(first).to(points.device)]


def _drop(
    outliers: NDArray[np.bool_], first: NDArray[Any], row: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Remove outliers from the positions of the used points and from rows."""
    kept = np.where(outliers, -1, np.cumsum(~outliers) - 1)
    return first[~outliers], np.where(row < 0, -1, kept[row])


def _outliers(points: NDArray[Any], total: int, name: str) -> NDArray[np.bool_]:
    """Outliers: points beyond a gap as wide as the extent of all others; the cloud has `total` points."""
    some = points[:: max(len(points) // SAMPLE, 1)]
    low, high = np.quantile(some, [TRIM, 1 - TRIM], axis=0)
    size = (high - low).max()
    away = np.maximum(low - points, points - high).max(axis=1)
    outer = np.sort(away[away > 0])
    wide = np.nonzero(np.diff(outer, prepend=0.0) > GAP * size)[0]
    if size == 0 or len(wide) == 0:
        return np.zeros(len(points), dtype=bool)
    outliers = away >= outer[wide[0]]
    count, far = int(outliers.sum()), away[outliers].max()
    warn_input(
        f"{name} has {count} of its {total} points far away, up to {far:.3g} from the others, "
        f"which are {size:.3g} large; what is far away is left out"
    )
    return outliers


def _isolated(points: NDArray[Any], total: int, name: str) -> NDArray[np.bool_]:
    """Isolated points: those whose neighbours are much farther away than the neighbours' own spacing, if they
    are few."""
    if len(points) <= CLOSE + 1:
        return np.zeros(len(points), dtype=bool)
    distance, index = KDTree(points).query(points, CLOSE + 1, workers=-1)
    reach = np.asarray(distance)[:, CLOSE // 2]
    nearest = np.asarray(index)[:, 1:]
    alone = reach > ALONE * np.median(reach[nearest], axis=1)
    alone[nearest[~alone]] = False  # neighbours of points that are not isolated, as at the end of a cable
    count = int(alone.sum())
    if not 0 < count <= RARE * len(points):
        return np.zeros(len(points), dtype=bool)
    warn_input(
        f"{name} has {count} of its {total} points alone, {ALONE:g} times as far from others as these are from "
        "each other; they are left out"
    )
    return alone


def _unique(points: NDArray[Any], name: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the distinct points, and for every point its index among these."""
    numbers = np.ascontiguousarray(points + 0.0).view(np.uint64)  # + 0.0 turns -0 into 0
    key = np.zeros(len(points), np.uint64)
    for column in numbers.T:
        key = (key ^ column ^ (column >> np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(32)
    order = np.argsort(key, kind="stable")
    again = np.zeros(len(points), dtype=bool)
    again[1:] = (points[order[1:]] == points[order[:-1]]).all(axis=1)
    starts = np.maximum.accumulate(np.where(again, 0, np.arange(len(points))))
    original = np.empty(len(points), np.int64)
    original[order] = order[starts]
    chosen = original == np.arange(len(points))
    count = len(points) - int(chosen.sum())
    if count and count == len(points) - 1:
        raise InputError(f"all {len(points)} points of {name} are equal; points that differ are needed")
    if count:
        warn_input(
            f"{name} has {count} of its {len(points)} points in the same place as others; "
            "each place is used once"
        )
    return np.nonzero(chosen)[0], (np.cumsum(chosen) - 1)[original]


def require_width(cloud: PointCloud, name: str = "the cloud") -> None:
    """Raise an error if all points of a cloud lie on a line.

    Raises:
        InputError: All points lie on a line.
    """
    if is_line(cloud):
        raise InputError(f"all points of {name} lie on a line; points of a surface are needed")


def is_line(cloud: PointCloud) -> bool:
    """Whether all points lie on a line."""
    some = cloud.points[:: max(len(cloud) // SAMPLE, 1)].detach().double().cpu()
    spread = torch.linalg.svdvals(some - some.mean(dim=0))
    return not float(spread[1]) > 1e-6 * float(spread[0])


def _clean_normals(points: NDArray[Any], normals: Tensor, name: str, outward: bool) -> Tensor | None:
    given = normals.detach().double().cpu().numpy()
    length = np.linalg.norm(given, axis=1)
    missing = ~(length > 1e-12 * length.max())
    count = int(missing.sum())
    about = f"the normals of {name}"
    if 2 * count > len(points):
        warn_input(f"{about} are zero at {count} of {len(points)} points; they are estimated instead")
        return None
    unit = given / np.where(missing, 1.0, length)[:, None]
    if count:
        warn_input(
            f"{about} are zero at {count} of {len(points)} points; there, normals of neighbouring "
            "points are used"
        )
        near = KDTree(points[~missing]).query(points[missing], min(3, len(points) - count))[1]
        mean = unit[~missing][near.reshape(count, -1)]
        unit[missing] = mean[:, 0] + 0.5 * mean.mean(axis=1)
        unit[missing] /= np.linalg.norm(unit[missing], axis=1, keepdims=True)
    planes = _planes(points)
    if planes is None:
        return torch.from_numpy(unit).to(normals)
    if (doubt := _doubt(planes, points[planes.some], unit[planes.some])) is not None:
        warn_input(f"{about} {doubt}; they are estimated instead")
        return None
    inward = _inward(points, unit, round(len(planes.some) / planes.crowd))
    if inward >= INVERTED and outward:
        warn_input(f"{about} point into the solid that its points enclose; they are reversed")
        unit = -unit
    elif INWARD < inward < INVERTED:
        warn_input(f"{about} point into the solid at {inward:.0%} of the points; they are estimated instead")
        return None
    return torch.from_numpy(unit).to(normals)


@dataclass(frozen=True)
class _Planes:
    """Planes fitted to planar neighbourhoods of some points.

    Attributes:
        some: Positions (M,) of the points that neighbours are taken from.
        probe: Those of them (P,) with a planar neighbourhood.
        beside: Their nearest other points (P, 6).
        across: Normals (P, 3) of the planes.
        crowd: Size of the neighbourhoods, as a multiple of the smallest, which is larger for noisy points.
    """

    some: NDArray[np.int64]
    probe: NDArray[np.int64]
    beside: NDArray[np.int64]
    across: NDArray[np.float64]
    crowd: float


def _planes(points: NDArray[Any]) -> _Planes | None:
    """Planes of the smallest neighbourhoods of which enough are planar; None if there are none, or few
    points."""
    some = np.arange(0, len(points), max(len(points) // SAMPLE, 1))
    places = points[some]
    probe = np.arange(0, len(some), max(len(some) // PROBES, 1))
    tree = KDTree(places)
    for size in NEIGHBOURHOODS:
        if size > len(some):
            break
        index = np.asarray(tree.query(places[probe], size)[1])
        around = places[index] - places[index].mean(axis=1, keepdims=True)
        spread, axes = np.linalg.eigh(around.transpose(0, 2, 1) @ around)
        flat = (spread[:, 0] < FLAT * spread[:, 1]) & (spread[:, 1] > BROAD * spread[:, 2])
        if flat.sum() >= max(FEW, JUDGED * len(probe)):
            crowd = size / NEIGHBOURHOODS[0]
            return _Planes(some, probe[flat], index[flat, 1:7], axes[flat, :, 0], crowd)
    return None


def _doubt(planes: _Planes, points: NDArray[Any], unit: NDArray[Any]) -> str | None:
    """The reason why unit normals are unreliable, tested against planes; None if they are reliable."""
    own = unit[planes.probe]
    cosine = np.abs((planes.across * own).sum(axis=1))
    askew = float((cosine < 0.5).mean())
    if askew > ASKEW:
        return f"are not perpendicular to the surface of the points at {askew:.0%} of them"
    alike = (own[:, None] * unit[planes.beside]).sum(axis=2)
    clear = (np.abs(alike) > 0.7) & (cosine > 0.7)[:, None]
    against = clear & (alike < 0)
    # Opposite normals lie behind in a thin wall; with random signs, they lie beside or in front as well.
    way = points[planes.beside] - points[planes.probe, None]
    behind = (way * own[:, None]).sum(axis=2) < -DEPTH * np.linalg.norm(way, axis=2)
    share = float(against.sum() / max(clear.sum(), 1))
    if share > MIXED and float((~behind[against]).mean()) > BESIDE:
        return f"point to different sides at {share:.0%} of neighbouring points"
    return None


def _inward(points: NDArray[Any], unit: NDArray[Any], most: int) -> float:
    """Fraction of normals that point inward, of those that can be tested; 0 if these are few.

    At most `most` points are used, since noise must be much smaller than their spacing.
    """
    chosen = _thinned(points, min(most, OUTLINE))
    votes = outside_votes(torch.from_numpy(points[chosen]), torch.from_numpy(unit[chosen]))
    judged = int((votes != 0).sum())
    return float((votes < 0).sum()) / judged if judged > max(FEW, SEEN * len(votes)) else 0.0


def _thinned(points: NDArray[Any], most: int) -> NDArray[np.int64]:
    """Positions of about `most` evenly distributed points: one for each cell of a grid."""
    low = points.min(axis=0)
    size = float((points.max(axis=0) - low).max())
    side, chosen = 128, np.arange(len(points))
    while len(chosen) > most:
        key = ((points[chosen] - low) * (side / size)).astype(np.int64) @ [1, 1 << 20, 1 << 40]
        chosen = chosen[np.sort(np.unique(key, return_index=True)[1])]
        side = side * 3 // 4
    return chosen

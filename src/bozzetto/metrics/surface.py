"""Distances between surfaces, and the metrics of surfaces in the literature."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError
from ..geometry import SurfaceIndex, distance_and_winding, face_normals
from ..shapes import Mesh, PointCloud, sample_surface
from ..shapes.offsets import in_one_frame
from ..values import value_type
from .earth_mover import earth_mover


@dataclass(frozen=True)
class SurfaceDistance:
    """Distances between surfaces A and B in the unit of the meshes.

    Attributes:
        mean_ab: Mean distance from points uniform over A to B.
        mean_ba: The same from B to A.
        rms_ab: Root mean square distance from points uniform over A to B.
        rms_ba: The same from B to A.
        hausdorff_ab: Largest distance from A to B, over the samples and all vertices of A: a lower bound of
            the supremum, short of it by less than the spacing of the samples.
        hausdorff_ba: The same from B to A.
        normals_ab: Normal consistency, the mean over the samples of A of the cosine between the normals there
            and at the nearest point of B; 1 is perfect, -1 inside out.
        normals_ba: The same from B to A.
        samples: Points sampled on each surface.
    """

    mean_ab: float
    mean_ba: float
    rms_ab: float
    rms_ba: float
    hausdorff_ab: float
    hausdorff_ba: float
    normals_ab: float
    normals_ba: float
    samples: int

    @property
    def mean(self) -> float:
        """Symmetric mean distance: (mean_ab + mean_ba) / 2."""
        return (self.mean_ab + self.mean_ba) / 2

    @property
    def rms(self) -> float:
        """sqrt((rms_ab^2 + rms_ba^2) / 2), the form used by Palfinger 2022 (there over vertices)."""
        return ((self.rms_ab**2 + self.rms_ba**2) / 2) ** 0.5

    @property
    def hausdorff(self) -> float:
        """The Hausdorff distance: max(hausdorff_ab, hausdorff_ba)."""
        return max(self.hausdorff_ab, self.hausdorff_ba)

    @property
    def hausdorff_sum(self) -> float:
        """hausdorff_ab + hausdorff_ba, as plotted in figures 7 and 8 of Nicolet et al. 2021.

        Their figure 9 shows half of it.

        Source: Nicolet et al. 2021, figures 7 and 8.
        """
        return self.hausdorff_ab + self.hausdorff_ba

    @property
    def normals(self) -> float:
        """Symmetric normal consistency: (normals_ab + normals_ba) / 2."""
        return (self.normals_ab + self.normals_ba) / 2


def surface_distance(a: Mesh, b: Mesh, samples: int = 200_000, seed: int = 0) -> SurfaceDistance:
    """Compare two surfaces by points sampled uniformly over each.

    Distances go to the nearest point of the other surface itself, not to samples of it, so they are exact for
    each sample; only the means depend on the number of samples, with a relative error of about
    1 / sqrt(samples).

    Args:
        a: One surface, with triangles of positive area.
        b: The other surface, in the same frame and on the same device.
        samples: Number of points per surface.
        seed: Seed of the sampling.

    Raises:
        InputError: A mesh is empty, broken or without area, or `samples` is not positive.
    """
    if samples < 1:
        raise InputError(f"samples must be at least 1, got {samples}")
    a, b = in_one_frame(a.check(), b.check())
    index_a, index_b = SurfaceIndex(a), SurfaceIndex(b)
    ab = _one_way(a, index_b, samples, seed)
    ba = _one_way(b, index_a, samples, seed)
    pairs = {f"{key}_{way}": value for way, one in (("ab", ab), ("ba", ba)) for key, value in one.items()}
    return SurfaceDistance(**pairs, samples=samples)


def vertex_rms(a: Mesh, b: Mesh) -> float:
    """sqrt((mean d_ab^2 + mean d_ba^2) / 2) over the vertices of each mesh.

    The measure of Palfinger 2022, "Continuous remeshing for inverse rendering", for comparison with that
    paper; unlike `SurfaceDistance.rms` it has more weight where vertices are dense.

    Source: Palfinger 2022, the distance.
    """
    a, b = in_one_frame(a.check(), b.check())
    to_b = SurfaceIndex(b).closest(a.vertices.detach()).distance.double()
    to_a = SurfaceIndex(a).closest(b.vertices.detach()).distance.double()
    return float(((to_b.square().mean() + to_a.square().mean()) / 2).sqrt())


def _one_way(source: Mesh, target: SurfaceIndex, samples: int, seed: int) -> dict[str, float]:
    device = source.vertices.device
    points, face = sample_surface(source, samples, torch.Generator(device).manual_seed(seed))
    found = target.closest(points.detach())
    vertices = target.closest(source.vertices.detach()[torch.unique(source.faces)])
    distance = found.distance.double()
    return {
        "mean": float(distance.mean()),
        "rms": float(distance.square().mean().sqrt()),
        "hausdorff": float(max(distance.max(), vertices.distance.double().max())),
        "normals": float(_cosines(_normals(source)[face], _normals(target.mesh)[found.face]).mean()),
    }


def _normals(mesh: Mesh) -> Float[Tensor, "F 3"]:
    return face_normals(mesh.vertices.detach(), mesh.faces)


def _cosines(a: Float[Tensor, "N 3"], b: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
    return (a.double() * b.double()).sum(dim=1).clamp(-1, 1)


RELATIVE_THRESHOLD = 0.01  # fraction of the reference's radius; DeepSDF: 0.01 for radius about 1
ACCURACY_SHARE = 0.9
EARTH_MOVER_POINTS = 500


@dataclass(frozen=True)
class SurfaceScores:
    """Metrics of a predicted surface P against a reference R; lengths in the unit of the files.

    d(p, R) is the distance from a point p, uniform over P, to the nearest point of the surface R itself, not
    to samples of it. If P is a point cloud, d(r, P) is the distance to its nearest point.

    Source: Park et al. 2019, the measures of its tables, as released: `deepsdf_chamfer`.

    Source: Knapitsch et al. 2017, the F-score.

    Attributes:
        chamfer_sum: mean d(p, R) + mean d(r, P), unsquared.
        chamfer_squared_sum: mean d(p, R)^2 + mean d(r, P)^2.
        deepsdf_chamfer: The protocol of DeepSDF (Park et al. 2019) and its released code: `samples` points on
            each side, mean squared distance from each sample to the nearest *sample* of the other side, both
            directions summed. Printed times 10^3 in tables. Never 0: samples of one surface differ.
        earth_mover: Mean unsquared distance of the optimal assignment between 500 points of each (or fewer,
            for a smaller cloud), solved exactly. Never 0 either.
        accuracy_90: Mesh accuracy: the distance from R within which 90 % of P lies.
        completeness: Fraction of R within `threshold` of P, in [0, 1].
        precision: Fraction of P within `threshold` of R, in [0, 1].
        f_score: Harmonic mean of precision and completeness (Tanks and Temples, Knapitsch et al. 2017).
        normal_consistency: Mean cosine between normals at p and at its nearest point of R, averaged with the
            mean from R to P; signed, so that -1 is inside out. None for a cloud without normals.
        normal_cosine_ref_to_pred: The part from R to P only, the metric of DeepSDF.
        iou: Volume of the intersection over volume of the union, where points with a winding number above one
            half are inside; None for a point cloud, or if neither encloses anything.
        threshold: The distance of `completeness`, `precision` and `f_score`.
        samples: Number of points per surface.
    """

    chamfer_sum: float
    chamfer_squared_sum: float
    deepsdf_chamfer: float
    earth_mover: float
    accuracy_90: float
    completeness: float
    precision: float
    f_score: float
    normal_consistency: float | None
    normal_cosine_ref_to_pred: float | None
    iou: float | None
    threshold: float
    samples: int

    @property
    def chamfer_mean(self) -> float:
        """Half of `chamfer_sum`: the mean of both directions instead of their sum."""
        return self.chamfer_sum / 2

    @property
    def chamfer_squared_mean(self) -> float:
        """Half of `chamfer_squared_sum`."""
        return self.chamfer_squared_sum / 2


def evaluate(
    prediction: Mesh | PointCloud,
    reference: Mesh,
    samples: int = 30_000,
    seed: int = 0,
    threshold: float | None = None,
) -> SurfaceScores:
    """Compare a predicted surface, or points of one, with a reference mesh.

    Args:
        prediction: Mesh or cloud, in the frame and unit of the reference. Of a cloud with more than `samples`
            points a random subset of this size is used.
        reference: The true surface, wound outwards for normals and IoU.
        samples: Number of points on each surface.
        seed: Seed of the sampling.
        threshold: Distance for completeness, precision and F-score in the unit of the files. None takes 1 % of
            the distance from the centre of the reference's bounding box to its farthest vertex.

    Raises:
        InputError: A shape is empty, broken or without extent, or an option is out of range.
    """
    if samples < 1:
        raise InputError(f"samples must be at least 1, got {samples}")
    reference.check("the reference")
    prediction.check("the prediction")
    ref, pred = in_one_frame(reference, prediction)
    radius = _radius(ref.corners().reshape(-1, 3))
    _radius(pred.corners().reshape(-1, 3) if isinstance(pred, Mesh) else pred.points)
    limit = RELATIVE_THRESHOLD * radius if threshold is None else threshold
    if not (limit > 0 and math.isfinite(limit)):
        raise InputError(f"threshold must be a positive distance, got {threshold}")
    device = ref.vertices.device
    generator = torch.Generator(device).manual_seed(seed)
    p, r = _Side(pred, samples, generator), _Side(ref, samples, generator)
    to_ref, to_pred = r.nearest(p.points), p.nearest(r.points)
    precision = _share(to_ref.distance <= limit)
    completeness = _share(to_pred.distance <= limit)
    backward = _cosine(r.normals, to_pred)
    forward = _cosine(p.normals, to_ref)
    return SurfaceScores(
        chamfer_sum=float(to_ref.distance.mean() + to_pred.distance.mean()),
        chamfer_squared_sum=float(to_ref.distance.square().mean() + to_pred.distance.square().mean()),
        deepsdf_chamfer=_between_samples(p.points, r.points),
        earth_mover=_earth_mover(p.points, r.points, generator),
        accuracy_90=float(to_ref.distance.quantile(ACCURACY_SHARE)),
        completeness=completeness,
        precision=precision,
        f_score=2 * precision * completeness / max(precision + completeness, 1e-30),
        normal_consistency=None if forward is None or backward is None else (forward + backward) / 2,
        normal_cosine_ref_to_pred=backward,
        iou=intersection_over_union(pred, ref, samples, seed) if isinstance(pred, Mesh) else None,
        threshold=limit,
        samples=samples,
    )


def intersection_over_union(a: Mesh, b: Mesh, points: int = 100_000, seed: int = 0) -> float | None:
    """Intersection over union of two solids by volume, estimated by points in their common bounding box.

    Points with a generalised winding number above one half are inside (`distance_and_winding`), also for open
    and self-intersecting meshes. Faces are not reoriented: an inverted mesh has no inside. The standard error
    is below 0.5 / sqrt(points in the union).

    Args:
        a: One solid, wound outwards.
        b: The other solid, on the same device.
        points: Number of points to test.
        seed: Seed of these points.

    Returns:
        The ratio in [0, 1], or None if no point was inside either.
    """
    a, b = in_one_frame(a.check(), b.check())
    box = torch.stack([a.bounds, b.bounds]).detach()
    low, high = box[:, 0].amin(dim=0), box[:, 1].amax(dim=0)
    generator = torch.Generator(low.device).manual_seed(seed)
    x = low + (high - low) * torch.rand(points, 3, device=low.device, generator=generator)
    in_a, in_b = (distance_and_winding(mesh, x)[1] > 0.5 for mesh in (a, b))
    union = int((in_a | in_b).sum())
    return int((in_a & in_b).sum()) / union if union else None


def summarise(scores: Sequence[SurfaceScores]) -> dict[str, dict[str, float | None]]:
    """Mean and median over a set of shapes, by field; None if no shape has the value.

    DeepSDF reports both for the Chamfer distance, because a few failures dominate its mean.
    """
    names = [field.name for field in fields(SurfaceScores) if field.name not in ("threshold", "samples")]
    table = {}
    for name in names:
        values = [value for one in scores if (value := getattr(one, name)) is not None]
        table[name] = {
            "mean": float(np.mean(values)) if values else None,
            "median": float(np.median(values)) if values else None,
        }
    return table


@value_type
class _Nearest:
    """Distances to the other shape, and its normals at the nearest points."""

    distance: Float[Tensor, "P"]
    normals: Float[Tensor, "P 3"] | None


class _Side:
    """One of two shapes to compare: uniform points on it, their normals, and nearest-point queries."""

    def __init__(self, shape: Mesh | PointCloud, samples: int, generator: torch.Generator) -> None:
        self.shape = shape
        if isinstance(shape, Mesh):
            self.points, face = sample_surface(shape, samples, generator)
            self._face_normals = face_normals(shape.vertices.detach(), shape.faces)
            self.normals = self._face_normals[face]
            self.points = self.points.detach()
        else:
            chosen = _draw(len(shape), samples, generator)
            self.points = shape.points.detach()[chosen]
            unit = None if shape.normals is None else torch.nn.functional.normalize(shape.normals, dim=1)
            self.normals = None if unit is None else unit[chosen]

    def nearest(self, queries: Float[Tensor, "P 3"]) -> _Nearest:
        if isinstance(self.shape, Mesh):
            found = SurfaceIndex(self.shape).closest(queries)
            return _Nearest(found.distance.double(), self._face_normals[found.face])
        distance, index = _nearest_points(queries, self.points)
        return _Nearest(distance, None if self.normals is None else self.normals[index])


def _radius(points: Float[Tensor, "P 3"]) -> float:
    """Distance of the farthest point from the centre of the bounding box.

    Raises:
        InputError: All points coincide.
    """
    points = points.detach().double()
    centre = (points.amin(dim=0) + points.amax(dim=0)) / 2
    radius = float((points - centre).norm(dim=1).max())
    if not radius > 0:
        raise InputError(f"all {len(points)} points of a shape are equal; a surface needs points that differ")
    return radius


def _draw(count: int, wanted: int, generator: torch.Generator) -> Int64[Tensor, "N"]:
    return torch.randperm(count, device=generator.device, generator=generator)[:wanted]


def _share(condition: Bool[Tensor, "P"]) -> float:
    return float(condition.double().mean())


def _cosine(normals: Float[Tensor, "P 3"] | None, there: _Nearest) -> float | None:
    if normals is None or there.normals is None:
        return None
    return float((normals.double() * there.normals.double()).sum(dim=1).clamp(-1, 1).mean())


def _nearest_points(
    queries: Float[Tensor, "P 3"], points: Float[Tensor, "Q 3"]
) -> tuple[Float[Tensor, "P"], Int64[Tensor, "P"]]:
    distance, index = KDTree(points.double().cpu().numpy()).query(queries.double().cpu().numpy())
    return torch.from_numpy(distance).to(queries.device), torch.from_numpy(index).to(queries.device)


def _between_samples(p: Float[Tensor, "P 3"], r: Float[Tensor, "R 3"]) -> float:
    return sum(float(_nearest_points(a, b)[0].square().mean()) for a, b in ((p, r), (r, p)))


def _earth_mover(p: Float[Tensor, "P 3"], r: Float[Tensor, "R 3"], generator: torch.Generator) -> float:
    count = min(EARTH_MOVER_POINTS, len(p), len(r))
    return earth_mover(*(x[_draw(len(x), count, generator)] for x in (p, r))).distance

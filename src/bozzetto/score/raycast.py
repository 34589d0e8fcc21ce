"""Ray casting of the implicit surfaces of gradient fields, of clouds and of models."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from ..points.local_fits import Support, neighbours, support_of
from ..values import value_type
from .model import ScoreModel

NEIGHBOURS = 48
MODEL_BATCH = 1 << 16


@runtime_checkable
class PointField(Protocol):
    """A gradient field at one noise level, given by its denoiser D: the score is (D(x) - x) / sigma^2."""

    sigma: float

    def denoised(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """D at points."""
        ...

    def jacobian(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3 3"]:
        """The Jacobian J of D; the Hessian of the log density is (J - I) / sigma^2."""
        ...


class CloudField:
    """The analytic field of a cloud from the nearest points only, which makes N evaluations O(N) instead of
    O(N^2)."""

    def __init__(self, points: Float[Tensor, "N 3"], sigma: float) -> None:
        self.sigma = sigma
        self.points = points
        self.support: Support = support_of(points)

    def _near(self, x: Tensor) -> tuple[Tensor, Tensor]:
        distance, index = neighbours(self.support, x, NEIGHBOURS)
        weight = ((distance[:, :1] ** 2 - distance**2) / (2 * self.sigma**2)).exp()
        return weight / weight.sum(dim=1, keepdim=True), self.points[index]

    def denoised(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """Mean of the points, weighted by the probability that x is a noisy version of each."""
        weight, near = self._near(x)
        return (weight[..., None] * near).sum(dim=1)

    def jacobian(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3 3"]:
        """Covariance of the points under these weights, divided by sigma^2 (the second-order formula of
        Tweedie)."""
        weight, near = self._near(x)
        centred = near - (weight[..., None] * near).sum(dim=1, keepdim=True)
        return (weight[..., None] * centred).mT @ centred / self.sigma**2


class ModelField:
    """The learned field of a model for one code, by default at its smallest noise level."""

    def __init__(self, model: ScoreModel, code: Float[Tensor, " K"], sigma: float | None = None) -> None:
        self.model = model
        self.sigma: float = model.config.low if sigma is None else sigma
        with torch.no_grad():
            self.prepared: tuple[Tensor, ...] = model.prepare(code[None])

    def denoised(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """The output of the denoiser at points."""
        level = x.new_full((1, 1), self.sigma)
        parts = [self.model.denoise(self.prepared, part[None, None], level) for part in x.split(MODEL_BATCH)]
        return torch.cat([part[0, 0] for part in parts])

    def jacobian(self, x: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3 3"]:
        """Jacobian by central differences over half of sigma."""
        step = self.sigma / 2
        columns = []
        for axis in torch.eye(3).to(x):
            ahead, behind = self.denoised(x + step * axis), self.denoised(x - step * axis)
            columns.append((ahead - behind) / (2 * step))
        return torch.stack(columns, dim=2)


STEPS = 160
CLOSEST = 0.35  # the shortest step, in sigma
STRIDE = 0.9  # step length as a fraction of the distance |D(x) - x|
NEAR = 2.0  # distance from the surface, in sigma, within which a crossing is searched for
BISECTIONS = 8
STEEP = -0.5  # largest eigenvalue, times sigma^2, of the Hessian across a surface: -1 if it is thin and flat
LEVEL = (
    -0.8,
    1.2,
)  # range of both others: near 0 along a surface up to sampling noise, larger on medial axes
AGREE = 0.5  # cosine of normals on both sides of a hit


@value_type
class RayHits:
    """Intersections of rays with a surface.

    Attributes:
        hit: Whether a ray hits the surface.
        depth: Ray parameter of the hit, in lengths of the direction; infinite without a hit.
        points: Positions of the hits; arbitrary without a hit.
        normals: Unit normals at the hits, towards the origin of the ray.
        rejected: Whether a ray met a zero of the field that is not on a surface, and continued.
    """

    hit: Bool[Tensor, " R"]
    depth: Float[Tensor, " R"]
    points: Float[Tensor, "R 3"]
    normals: Float[Tensor, "R 3"]
    rejected: Bool[Tensor, " R"]


@torch.no_grad()
def cast_rays(
    field: PointField, origins: Float[Tensor, "R 3"], directions: Float[Tensor, "R 3"], max_depth: float
) -> RayHits:
    """March rays through a field until its gradient vanishes (Cai et al. 2020, section 4.1).

    The gradient also vanishes on medial axes and at saddles between parts. So a hit counts only where the
    Hessian of the log density has exactly one strongly negative eigenvalue, across the surface, and two near 0.
    The step length is |D(x) - x|, the estimated distance from the surface. Near the surface it is a third of
    sigma, and the point where the normal component of D(x) - x changes sign is then found by bisection.

    Times sigma^2, the eigenvalues at a hit are below `STEEP` across the surface (-1 if it is thin and flat) and
    within `LEVEL` along it. Normals on both sides of the hit agree to a cosine of at least `AGREE`.

    Source: Cai et al. 2020, section 4.1. Differs: only sheets count as hits, by the eigenvalues of the
    Hessian, since the gradient also vanishes on medial axes.

    Args:
        field: The field of a cloud (`CloudField`) or of a model (`ModelField`) at one noise level.
        origins: Origins of the rays.
        directions: Directions of the rays, unit vectors.
        max_depth: Largest length of a ray.
    """
    sigma, count = field.sigma, len(origins)
    hit = torch.zeros(count, dtype=torch.bool, device=origins.device)
    rejected, depth = hit.clone(), origins.new_zeros(count)
    points, normals = torch.zeros_like(origins), torch.zeros_like(origins)
    active = torch.arange(count, device=origins.device)
    before = torch.full_like(depth, torch.nan)  # previous depth, nan if it was not near
    for _ in range(STEPS):
        place = origins[active] + depth[active, None] * directions[active]
        way = field.denoised(place) - place
        distance = way.norm(dim=1)
        near = distance < NEAR * sigma
        both = near & ~before[active].isnan()
        crossed = _crossing(field, origins, directions, active[both], before, depth)
        rays, at, normal, sheet = crossed
        rejected[rays[~sheet]] = True
        hit[rays[sheet]], points[rays[sheet]], normals[rays[sheet]] = True, at[sheet], normal[sheet]
        before[active] = torch.where(near, depth[active], torch.nan)
        stride = torch.where(near, CLOSEST * sigma, (STRIDE * distance).clamp(min=CLOSEST * sigma))
        depth[active] += stride.clamp(max=max_depth / 8)
        active = active[~hit[active] & (depth[active] < max_depth)]
        if len(active) == 0:
            break
    depth = ((points - origins) * directions).sum(dim=1)
    facing = (normals * directions).sum(dim=1, keepdim=True) > 0
    normals = torch.where(facing, -normals, normals)
    return RayHits(hit, torch.where(hit, depth, torch.inf), points, normals, rejected & ~hit)


def field_picture(
    field: PointField, size: int = 320, azimuth: float = 0.6, elevation: float = 0.25, extent: float = 1.2
) -> Float[Tensor, "{size} {size} 3"]:
    """Render the surface of a field in parallel projection, shaded by its normals, as `cloud_picture`; y is up.

    Args:
        field: Field of a shape within [-1, 1]^3.
        size: Pixels along each side.
        azimuth: Azimuth of the viewer around y, from +z, in radians.
        elevation: Elevation of the viewer above the horizontal plane, in radians.
        extent: Half the side length of the visible square, in units of the field.
    """
    a, e = torch.tensor(azimuth), torch.tensor(elevation)
    right = torch.stack([a.cos(), torch.zeros(()), -a.sin()])
    back = torch.stack([a.sin() * e.cos(), e.sin(), a.cos() * e.cos()])
    up = torch.linalg.cross(back, right)
    line = ((torch.arange(size) + 0.5) / size * 2 - 1) * extent
    grid = line[None, :, None] * right - line[:, None, None] * up
    origins = (grid + 2 * back).reshape(-1, 3)
    hits = cast_rays(field, origins, (-back).expand(len(origins), 3), 4.0)
    shade = (0.25 + 0.75 * (hits.normals @ normalize(back + up - 0.5 * right, dim=0)).clamp(0, 1))[:, None]
    clay = shade * torch.tensor([0.86, 0.72, 0.6])
    paper = torch.tensor([0.96, 0.95, 0.93])
    return torch.where(hits.hit[:, None], clay, paper).view(size, size, 3)


def _crossing(
    field: PointField, origins: Tensor, directions: Tensor, rays: Tensor, start: Tensor, stop: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rays that cross a zero of the field between two depths, the depth, the normal, and whether it is on a
    surface."""
    first, second = start[rays], stop[rays]

    def at(depth: Tensor) -> Tensor:
        return origins[rays] + depth[:, None] * directions[rays]

    _, normal = _hessian(field, at((first + second) / 2))
    height = ((field.denoised(at(first)) - at(first)) * normal).sum(dim=1)
    other = ((field.denoised(at(second)) - at(second)) * normal).sum(dim=1)
    crosses = height * other <= 0
    rays, first, second, normal, height = (v[crosses] for v in (rays, first, second, normal, height))
    for _ in range(BISECTIONS):
        middle = (first + second) / 2
        value = ((field.denoised(at(middle)) - at(middle)) * normal).sum(dim=1)
        beyond = value * height <= 0
        first, second = torch.where(beyond, first, middle), torch.where(beyond, middle, second)
    place = at((first + second) / 2)
    eigenvalues, there = _hessian(field, place)
    left = (field.denoised(place) - place).norm(dim=1)
    sheet = (eigenvalues[:, 0] < STEEP) & (eigenvalues[:, 1] > LEVEL[0]) & (eigenvalues[:, 2] < LEVEL[1])
    sheet &= (left < field.sigma / 2) & ((there * normal).sum(dim=1).abs() > AGREE)
    return rays, place, there, sheet


def _hessian(field: PointField, x: Float[Tensor, "P 3"]) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """Eigenvalues of the Hessian of the log density, times sigma^2, and the eigenvector of the smallest one."""
    jacobian = field.jacobian(x)
    values, vectors = torch.linalg.eigh((jacobian + jacobian.mT) / 2 - torch.eye(3).to(x))
    return values, normalize(vectors[..., 0], dim=1)

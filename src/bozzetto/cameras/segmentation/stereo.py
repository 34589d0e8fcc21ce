"""Multi-view stereo by a plane sweep: whether a pixel shows a point inside of a region or outside of it."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from ...steps import counted
from ...values import value_type
from ..camera import Cameras
from .space import Region

PARTNERS = 6
"""Number of views that each view is compared with."""
BEST = 3
"""Number of best views that are used per pixel, since the point may be occluded in the others."""
ANGLES = (3.0, 40.0)
"""Smallest and largest angle in degrees between views that are compared, seen from the region."""
WINDOW = 5
"""Side of the windows that are compared, in pixels."""
NOISE = 0.012
"""Standard deviation of sRGB-encoded grey in a window below which it is hardly informative."""
POOR, GOOD = 0.4, 0.8
"""Correlation of the best position up to which its weight is 0, and from which it is 1."""
BEFORE, INSIDE, BEHIND = 16, 56, 40
"""Numbers of positions on each ray in front of the region, inside of it and behind it."""
NEAREST = 0.35
"""Distance of the first position from the camera, as a fraction of the distance of the region."""
THINNEST = 0.3
"""Smallest extent of the positions inside, in radii, for rays that miss the region or meet its rim."""
CLEAR = 0.025
"""Height above the ground, in radii of the region, below which the best position counts as ground."""
SWEPT = 1.25
"""Radius of the ball whose pixels are compared, in radii of the region, since the region may grow."""
BATCH = 16
"""Number of positions that are processed together."""
SCALE = 100.0
"""Scale with which correlations are stored as integers."""


@value_type
class RaySamples:
    """Positions on rays: uniform in 1/distance before and behind a region, uniform inside, and on the ground.

    Attributes:
        near: Distance at which each ray enters the region.
        far: Distance at which it leaves the region.
        ground: Distance of the ground, by which it is distinguished from objects on it; None without ground.
    """

    near: Float[Tensor, "h w"]
    far: Float[Tensor, "h w"]
    ground: Float[Tensor, "h w"] | None

    @classmethod
    def on(
        cls, region: Region, origins: Float[Tensor, "h w 3"], directions: Float[Tensor, "h w 3"]
    ) -> "RaySamples":
        """Positions on the rays of pixels."""
        enter, leave = replace(region, ground=None).chord(origins, directions)
        middle = ((region.center - origins) * directions).sum(dim=-1)
        thin = THINNEST * region.radius
        near = torch.minimum(enter, middle - thin).clamp(min=1e-2 * region.radius)
        far = torch.maximum(leave, middle + thin).clamp(min=2e-2 * region.radius)
        if region.ground is None:
            return cls(near.float(), far.float(), None)
        on = -region.ground.above(origins) / (directions @ region.ground.normal).clamp(max=-1e-6)
        return cls(near.float(), far.float(), on.clamp(0, BEHIND * float(far.amax())).float())

    @property
    def distances(self) -> Float[Tensor, "S h w"]:
        """Distances of all positions along the rays; computed on every call, to save memory."""
        near, far = self.near, self.far
        shares = [torch.arange(n)[:, None, None] / n for n in (BEFORE, INSIDE, BEHIND)]
        before = 1 / ((1 - shares[0]) / (NEAREST * near) + shares[0] / near)
        inside = near + (shares[1] + 0.5 / INSIDE) * (far - near)
        ground = [] if self.ground is None else [self.ground[None]]
        return torch.cat([before, inside, far / (1 - shares[2]), *ground])


@value_type
class Sweep:
    """Matching scores of positions on the rays of one view's pixels with other views.

    Attributes:
        part: Rows and columns of the picture that were compared.
        places: Positions on the rays of these pixels.
        scores: Mean correlation of the best other views at each position, times `SCALE`.
        weight: Weight by contrast of the window: 0 for a plain one, towards 1 for one with contrast.
    """

    part: tuple[slice, slice]
    places: RaySamples
    scores: Int8[Tensor, "S h w"]
    weight: Float[Tensor, "h w"]


@dataclass(frozen=True)
class Stereo:
    """Matching scores of positions on the rays of pixels with other views, for all views.

    Attributes:
        cameras: Cameras of the compared pictures, on the CPU.
        sweeps: Matching scores of each view.
    """

    cameras: Cameras
    sweeps: tuple[Sweep, ...]

    def preference(self, region: Region) -> Float[Tensor, "N H W"]:
        """Best score inside a region minus the best score outside, times the weight; 0 for rays that miss it.

        Object and background compete as in Kowdle et al. 2012.
        """
        found = torch.zeros(len(self.cameras), self.cameras.height, self.cameras.width)
        above = region
        if ground := region.ground:
            above = replace(region, ground=replace(ground, height=ground.height + CLEAR * region.radius))
        lowest = torch.tensor(-SCALE, dtype=torch.int8)
        for view, sweep in enumerate(self.sweeps):
            enter, leave = above.chord(*_rays(self.cameras, view, sweep.part))
            distances = sweep.places.distances
            can_be = (distances > enter.float()) & (distances < leave.float())
            inside = torch.where(can_be, sweep.scores, lowest).amax(dim=0)
            outside = torch.where(can_be, lowest, sweep.scores).amax(dim=0)
            better = (inside.float() - outside.float()) / SCALE
            fits = (torch.maximum(inside, outside).float() / SCALE - POOR) / (GOOD - POOR)
            found[view][sweep.part] = sweep.weight * torch.where(leave > enter, better * fits.clamp(0, 1), 0)
        return found

    def points(self, correlation: float, weight: float) -> Float[Tensor, "P 3"]:
        """World positions, float64, of pixels whose best position is in the region with enough correlation and
        weight."""
        found = []
        for view, sweep in enumerate(self.sweeps):
            origins, directions = _rays(self.cameras, view, sweep.part)
            best, index = sweep.scores.max(dim=0)
            sure = (best > SCALE * correlation) & (sweep.weight > weight)
            sure &= (index >= BEFORE) & (index < BEFORE + INSIDE)
            distance = sweep.places.distances.gather(0, index[None])[0]
            found.append((origins + distance[..., None] * directions)[sure])
        return torch.cat(found)


def _rays(cameras: Cameras, view: int, part: tuple[slice, slice]) -> tuple[Tensor, Tensor]:
    origins, directions = cameras[[view]].rays()
    return origins[0][part], directions[0][part]


def plane_sweep(
    grey: Float[Tensor, "N H W"], known: Bool[Tensor, "N H W"], cameras: Cameras, region: Region
) -> Stereo:
    """Compare pixels with other views at positions along their rays (plane sweep, Collins 1996).

    A window of pixels is compared by normalised cross-correlation with its projection into neighbouring views
    for every hypothetical position.

    Source: Collins 1996, the sweep.

    Args:
        grey: Grey pictures, sRGB-encoded.
        known: Whether each pixel is known.
        cameras: Cameras of the pictures, on the CPU.
        region: Region around which positions are sampled; only pixels that show it and some around them are
            compared.
    """
    wide = replace(region, radius=SWEPT * region.radius, ground=None)
    seen = wide.depth(cameras) > 0
    sweeps = []
    for view, others in enumerate(counted(partners(cameras, region.center), "depth")):
        part = _around(seen[view])
        origins, directions = _rays(cameras, view, part)
        mine = grey[view][part]
        mean = _box(mine[None])
        variance = (_box(mine[None] ** 2) - mean**2).clamp(min=0)
        lines = [_lines(cameras, o, origins, directions) for o in others]
        pictures = [torch.stack([grey[o], known[o].float()]) for o in others]
        places = RaySamples.on(region, origins, directions)
        batches = places.distances.split(BATCH)
        found = [_scores(mine, mean, variance, batch, lines, pictures) for batch in batches]
        scores = torch.cat([(SCALE * f).round().to(torch.int8) for f in found])
        weight = (variance / (variance + NOISE**2))[0] * known[view][part]
        sweeps.append(Sweep(part, places, scores, weight))
    return Stereo(cameras, tuple(sweeps))


def _around(seen: Bool[Tensor, "H W"]) -> tuple[slice, slice]:
    """Rows and columns of the bounding box of all true pixels; one pixel if there are none."""
    bounds = []
    for axis in (1, 0):
        index = torch.nonzero(seen.any(dim=axis))[:, 0]
        bounds.append(slice(int(index[0]), int(index[-1]) + 1) if len(index) else slice(0, 1))
    return bounds[0], bounds[1]


def partners(cameras: Cameras, place: Float[Tensor, "3"]) -> list[list[int]]:
    """For each view, the views to compare it with: the nearest ones by the angle at a point, but not too
    near."""
    toward = torch.nn.functional.normalize(cameras.centers - place, dim=1)
    if cameras.orthographic:
        toward = -cameras.forward
    angles = torch.rad2deg(torch.arccos((toward @ toward.T).clamp(-1, 1)))
    chosen = []
    for row in angles:
        order = [i for i in row.argsort().tolist() if float(row[i]) >= ANGLES[0]]
        near = [i for i in order if float(row[i]) <= ANGLES[1]]
        chosen.append((near or order[:2])[:PARTNERS])
    return chosen


def _scores(
    mine: Float[Tensor, "h w"],
    mean: Float[Tensor, "1 h w"],
    variance: Float[Tensor, "1 h w"],
    distances: Float[Tensor, "S h w"],
    lines: list[tuple[Tensor, Tensor, bool]],
    pictures: list[Float[Tensor, "2 H W"]],
) -> Float[Tensor, "S h w"]:
    """Mean correlation of one view with the best other views, at all positions."""
    best = [torch.full_like(distances, -1) for _ in range(min(BEST, len(lines)))]
    for (start, slope, perspective), other in zip(lines, pictures, strict=True):
        height, width = other.shape[1:]
        u, v, z = (start + distances[..., None] * slope).unbind(dim=-1)
        depth = z.clamp(min=1e-9) if perspective else torch.ones_like(z)
        grid = torch.stack([2 * u / (depth * width) - 1, 2 * v / (depth * height) - 1], dim=-1)
        seen = torch.nn.functional.grid_sample(
            other[None].expand(len(grid), -1, -1, -1), grid.clamp(-4, 4), align_corners=False
        )
        moved, shown = seen[:, 0], (seen[:, 1] > 0.99) & (z > 0)
        moved_mean = _box(moved)
        moved_variance = (_box(moved**2) - moved_mean**2).clamp(min=0)
        common = _box(mine * moved) - mean * moved_mean
        value = common / ((variance + NOISE**2) * (moved_variance + NOISE**2)).sqrt()
        value = torch.where(shown, value.clamp(-1, 1), -1)
        for rank, so_far in enumerate(best):  # the best stay sorted
            best[rank], value = torch.maximum(so_far, value), torch.minimum(so_far, value)
    return torch.stack(best).mean(dim=0) if best else torch.zeros_like(distances)


def _lines(
    cameras: Cameras, other: int, origins: Float[Tensor, "h w 3"], directions: Float[Tensor, "h w 3"]
) -> tuple[Tensor, Tensor, bool]:
    """Projections of rays into another view: homogeneous pixels `start + distance * slope`, and whether to
    divide by depth."""
    pose, K = cameras.T_cam_world[other], cameras.K[other]
    start, slope = origins @ pose[:3, :3].T + pose[:3, 3], directions @ pose[:3, :3].T
    if not cameras.orthographic:
        return (start @ K.T).float(), (slope @ K.T).float(), True
    flat = torch.zeros_like(K)
    flat[:2, :2], flat[2, 2] = K[:2, :2], 1.0
    shift = torch.cat([K[:2, 2], K.new_zeros(1)])
    return (start @ flat.T + shift).float(), (slope @ flat.T).float(), False


def _box(pictures: Float[Tensor, "S h w"]) -> Float[Tensor, "S h w"]:
    """Means over squares of `WINDOW` pixels; the border is repeated."""
    for axis in (1, 2):
        length, reach = pictures.shape[axis], WINDOW // 2
        first, last = pictures.narrow(axis, 0, 1), pictures.narrow(axis, length - 1, 1)
        padded = torch.cat([first] * reach + [pictures] + [last] * reach, dim=axis)
        total = padded.narrow(axis, 0, length)
        for shift in range(1, WINDOW):
            total = total + padded.narrow(axis, shift, length)
        pictures = total / WINDOW
    return pictures

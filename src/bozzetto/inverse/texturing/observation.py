"""Colours of a surface in single photographs, their reliability, and exposures that make them consistent."""

import math

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_cdt, gaussian_filter
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate, max_pool2d, normalize

from ...cameras import Cameras, Capture
from ...images.resizing import area_resize
from ...rendering import rasterize
from ...shapes import Mesh
from ...values import value_type

_FEATHER = 0.01  # distance to edges at which a photograph has its full weight, as a fraction of its diagonal
_JUMP = 8.0  # depth difference between neighbouring pixels at an edge, in pixel footprints
_BEHIND = 10.0  # depth tolerance of visible points, in pixel footprints
_GRAZING, _FACING = 0.1, 0.5  # cosines between which a photograph gains its full weight
_BROAD = 0.01  # standard deviation of the blur that splits the bands, as a fraction of the diagonal
_COVERED = 0.9  # smallest coverage of a pixel that shows almost only the object
_MARGIN = 4  # pixels around the surface
_FINE = 3.0  # standard deviation in pixels, after reduction, at which the blur is computed


@value_type
class Sight:
    """Projections of surface points into a camera.

    Attributes:
        place: Homogeneous pixel coordinates (x w, y w, w), which are linear over flat faces.
        depth: Depth along the viewing direction, in world units.
        quality: Pixels per surface area, 0 at grazing angles.
    """

    place: Float[Tensor, "P 3"]
    depth: Float[Tensor, " P"]
    quality: Float[Tensor, " P"]


@value_type
class Observation:
    """One photograph and the depth of the surface in its camera, cropped to the surface.

    Attributes:
        camera: The camera, relative to the offset of the mesh.
        corner: Column and row of the first pixel of the crop.
        depth: Depth of the surface in every pixel, infinite where there is none.
        layers: Eight channels: the photograph's low-frequency band (linear RGB) and its difference from the
            photograph (3 channels), both 0 where they must not be used, which is at outlines, depth edges,
            outside of the mask and in unknown pixels; trust, which is 0 there and 1 far from these pixels; and
            whether the pixel may be used.
    """

    camera: Cameras
    corner: tuple[int, int]
    depth: Float[Tensor, "h w"]
    layers: Float[Tensor, "8 h w"]

    @classmethod
    def of(cls, mesh: Mesh, capture: Capture, view: int, split: bool = True) -> "Observation":
        """A view of a capture; without `split` the low-frequency band is the whole photograph."""
        camera = capture.cameras[[view]].relative_to(mesh.offset)
        fragments = rasterize(mesh.vertices, mesh.faces, camera)
        shown = fragments.triangle[0].cpu() >= 0
        depth = torch.full(shown.shape, torch.inf)
        depth[shown] = fragments.depth.cpu()
        rows, columns = (_span(shown.any(dim=axis)) for axis in (1, 0))
        part = (slice(*rows), slice(*columns))
        depth, clear = depth[part], capture.known[view].cpu()[part]
        clear = clear & ~_edges(depth, footprint(camera, depth))
        if capture.masks is not None:
            clear &= capture.masks[view].cpu()[part] > _COVERED
        diagonal = math.hypot(camera.width, camera.height)
        # The outermost pixels have a small weight: on thin parts there may be no others.
        distance = torch.from_numpy(distance_transform_cdt(clear.numpy(), "chessboard")).float() - 0.5
        trust = (distance / (_FEATHER * diagonal)).clamp(0, 1)
        image = capture.images[view].cpu()[part]
        broad = _blurred(image, clear, _BROAD * diagonal) if split else image
        usable = clear[..., None].to(image)
        layers = torch.cat([broad * usable, (image - broad) * usable, trust[..., None], usable], dim=2)
        return cls(camera, (columns[0], rows[0]), depth, layers.permute(2, 0, 1).contiguous())

    def sight(self, points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"]) -> Sight:
        """Project points with normals, ignoring occlusion; `look_up` handles occlusion."""
        T, K = self.camera.T_cam_world[0].cpu(), self.camera.K[0].cpu()
        local = points.cpu().double() @ T[:3, :3].T + T[:3, 3]
        depth = local[:, 2].clone()
        parallel = self.camera.orthographic
        toward = local.new_tensor([0.0, 0, -1]).expand_as(local) if parallel else -normalize(local, dim=1)
        cosine = (toward * (normals.cpu().double() @ T[:3, :3].T)).sum(dim=1)
        ramp = ((cosine - _GRAZING) / (_FACING - _GRAZING)).clamp(0, 1)
        quality = cosine * ramp / footprint(self.camera, depth.clamp_min(1e-12)).square()
        if parallel:
            local = torch.cat([local[:, :2], torch.ones_like(local[:, :1])], dim=1)
        visible = depth > self.camera.near
        return Sight((local @ K.T).float(), depth.float(), (quality * visible).float())

    def look_up(
        self, pixels: Float[Tensor, "P 2"], depth: Float[Tensor, " P"]
    ) -> tuple[Float[Tensor, "P 6"], Float[Tensor, " P"]]:
        """Interpolate both bands and the trust at pixel positions; the trust is 0 where the surface occludes
        the point."""
        height, width = self.depth.shape
        pixels = pixels - pixels.new_tensor(self.corner)
        column, row = pixels.nan_to_num(-1.0).clamp(-1, max(width, height)).floor().long().unbind(dim=1)
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
        nearest = self.depth.reshape(-1)[row.clamp(0, height - 1) * width + column.clamp(0, width - 1)]
        seen = inside & (depth <= nearest + _BEHIND * footprint(self.camera, depth))
        grid = (2 * pixels / pixels.new_tensor([width, height]) - 1)[None, None]
        found = grid_sample(self.layers[None], grid, align_corners=False, padding_mode="border")[0, :, 0].T
        return found[:, :6] / found[:, 7:].clamp_min(1e-6), found[:, 6] * seen


def footprint(camera: Cameras, depth: Tensor) -> Tensor:
    """Side length of a pixel at this depth, in world units."""
    focal = float(camera.K[0, :2, :2].det().abs().sqrt())
    return torch.ones_like(depth) / focal if camera.orthographic else depth / focal


def _span(shown: Bool[Tensor, " n"]) -> tuple[int, int]:
    """First and last true index, with a margin; a single index if there are none."""
    places = torch.nonzero(shown).flatten()
    if len(places) == 0:
        return 0, 1
    return max(int(places[0]) - _MARGIN, 0), min(int(places[-1]) + 1 + _MARGIN, len(shown))


def _edges(depth: Float[Tensor, "h w"], step: Float[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Pixels beside the surface, and those on both sides of a jump of its depth."""
    beside = ~torch.isfinite(depth)
    known = torch.where(beside, 0.0, depth)[None, None]
    highest = max_pool2d(known, 3, 1, 1)
    lowest = -max_pool2d(-torch.where(beside, torch.inf, depth)[None, None], 3, 1, 1)
    return beside | ((highest - lowest)[0, 0] > _JUMP * step)


def _blurred(
    image: Float[Tensor, "h w 3"], clear: Bool[Tensor, "h w"], spread: float
) -> Float[Tensor, "h w 3"]:
    """Mean of the surrounding clear pixels, with Gaussian weights; the picture itself where there are none."""
    height, width = clear.shape
    shrink = max(1, int(spread / _FINE))
    stacked = torch.cat([image * clear[..., None], clear[..., None].to(image)], dim=2)
    small = area_resize(stacked[None], max(1, width // shrink), max(1, height // shrink))[0]
    sums = torch.from_numpy(gaussian_filter(small.numpy(), (spread / shrink, spread / shrink, 0), truncate=3))
    sums = interpolate(sums.permute(2, 0, 1)[None], (height, width), mode="bilinear")[0].permute(1, 2, 0)
    weight = sums[..., 3:]
    return torch.where(weight > 1e-3, sums[..., :3] / weight.clamp_min(1e-3), image)


_DARK, _BRIGHT = 0.01, 0.98  # linear values of pixels that are used for exposures: neither dark nor clipped
_SPREAD = 0.15  # usual difference between views, in logarithms
_OUTLIER = 0.15  # sRGB-like difference from the usual colour at which the weight of a view has halved
_PRIOR = 0.02  # weight of the prior that exposures are equal, as a fraction of the weight of an average view
_ROUNDS = 6


@value_type
class PointObservations:
    """Colours of P points in N photographs.

    Attributes:
        colors: Linear RGB, 0 where the point is not visible.
        weights: Reliability of the colour; 0 where the point is not visible.
    """

    colors: Float[Tensor, "P N 3"]
    weights: Float[Tensor, "P N"]


def solve_exposures(samples: PointObservations) -> Float[Tensor, "N 3"]:
    """Estimate exposure factors, per view and channel: colours divided by them agree where views overlap.

    Least squares in logarithms, min sum w (log I - g_view - x_point)^2 with the colours x eliminated,
    reweighted so that points on which views differ for other reasons (gloss, wrong geometry) count less.
    Factors that overlaps do not determine are 1, and the geometric mean over the views is 1.
    """
    count = samples.colors.shape[1]
    gains = torch.zeros(count, 3, dtype=torch.float64)
    fair = ((samples.colors > _DARK) & (samples.colors < _BRIGHT)).all(dim=2)
    base = torch.where(fair, samples.weights, 0.0).double().sqrt()
    base = base * (fair.sum(dim=1, keepdim=True) >= 2)
    if float(base.sum()) == 0:
        return gains.exp().float()
    logs = samples.colors.clamp_min(_DARK).double().log()
    for channel in range(3):
        y, g = logs[..., channel], gains[:, channel]
        for _ in range(_ROUNDS):
            point = _mean(y - g, base)
            weight = base / (1 + ((y - g - point) / _SPREAD) ** 2)
            total = weight.sum(dim=1, keepdim=True).clamp_min(1e-30)
            matrix = torch.diag(weight.sum(dim=0)) - weight.T @ (weight / total)
            right = (weight * (y - _mean(y, weight))).sum(dim=0)
            prior = _PRIOR * weight.sum() / count
            g = torch.linalg.solve(matrix + prior * torch.eye(count).double(), right)
            g = g - g.mean()
        gains[:, channel] = g
    return gains.exp().float()


def usual_colors(samples: PointObservations) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P N"]]:
    """The colour of every point that most views agree on, and the agreement of each view with it, 0 to 1.

    The colour is a weighted median per channel. Agreement depends on the difference of square roots, which are
    roughly perceptually uniform. Points that no view sees get 0.
    """
    even = samples.colors.clamp_min(0).sqrt()
    usual = torch.stack([_median(even[..., c], samples.weights) for c in range(3)], dim=1)
    difference = (even - usual[:, None]).norm(dim=2) / 3**0.5
    agreement = 1 / (1 + (difference / _OUTLIER) ** 2)
    weights = samples.weights * agreement
    return _mean(samples.colors.transpose(1, 2), weights[:, None]).squeeze(-1), agreement


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the last dimension, which is kept; 0 where all weights are 0."""
    total = weights.sum(dim=-1, keepdim=True)
    return (values * weights).sum(dim=-1, keepdim=True) / total.clamp_min(1e-30)


def _median(values: Float[Tensor, "P N"], weights: Float[Tensor, "P N"]) -> Float[Tensor, " P"]:
    """Weighted median over views; 0 where all weights are 0."""
    order = torch.where(weights > 0, values, torch.inf).argsort(dim=1)
    sums = weights.gather(1, order).cumsum(dim=1)
    at = (sums < 0.5 * sums[:, -1:]).sum(dim=1, keepdim=True).clamp_max(values.shape[1] - 1)
    found = values.gather(1, order.gather(1, at)).squeeze(1)
    return torch.where(weights.sum(dim=1) > 0, found, 0.0)

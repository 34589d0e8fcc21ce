"""Refinement of cameras on a surface: Levenberg-Marquardt steps on poses and shared focal lengths.

The surface is optimised by preconditioned descent. In between, the few unknowns of the cameras take
second-order steps, as the outlook of Large Steps suggests. Residuals are distances between the outlines of
surface and mask, and differences of colour between surface and photograph. Each residual belongs to a point of
the surface and is a function of the pixel at which the camera sees that point. Its derivative with respect to
the camera follows from the gradient in the picture by the chain rule (`camera_motion.motion_derivatives`).
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree
from torch import Tensor

from ..cameras import Cameras, Capture
from ..cameras.carving import silhouette_distance
from ..rendering import Fragments, rasterize
from ..values import value_type
from .camera_motion import Motion, focal_groups, motion_between, motion_derivatives

FARTHEST = 0.15
"""Largest distance between corresponding outlines of mask and surface, as a fraction of the picture's longer
side."""
SAMPLES = 3000
"""Largest number of pixels per view whose colours are compared."""


@value_type
class Residuals:
    """Differences of one kind (outline or colour) between the surface in one view and its picture.

    Attributes:
        points: Points of the surface.
        value: Difference at each point, in pixels or in brightness.
        slope: Derivative of the difference with respect to the pixel (u, v) of the point.
        weight: Weight of each difference; the weights sum to 1.
    """

    points: Float[Tensor, "P 3"]
    value: Float[Tensor, " P"]
    slope: Float[Tensor, "P 2"]
    weight: Float[Tensor, " P"]


@value_type
class Outline:
    """The outline of a mask.

    Attributes:
        distance: Signed distance in pixels at the pixel centres, positive inside.
        trusted: Pixels that are nearer to the outline than to any unknown pixel or the image border.
        points: Points (u, v) on the outline.
        normals: Unit normals there, into the object.
    """

    distance: Float[Tensor, "H W"]
    trusted: Bool[Tensor, "H W"]
    points: Float[Tensor, "Q 2"]
    normals: Float[Tensor, "Q 2"]

    @classmethod
    def of(cls, mask: Float[Tensor, "H W"], known: Bool[Tensor, "H W"]) -> "Outline":
        """The outline of a soft mask, left out next to unknown pixels and the image border."""
        coverage, seen = mask.cpu().numpy(), known.cpu().numpy()
        distance = torch.from_numpy(silhouette_distance(coverage, seen))
        ends = np.pad(seen, 1)
        to_unknown = distance_transform_edt(ends)
        assert isinstance(to_unknown, np.ndarray)
        trusted = torch.from_numpy(to_unknown[1:-1, 1:-1]).float() > distance.abs() + 1.5
        slope = gradient(distance)
        length = torch.linalg.vector_norm(slope, dim=2)
        near = (distance.abs() < 0.75) & trusted & (length > 0.5)
        v, u = torch.nonzero(near, as_tuple=True)
        normals = slope[v, u] / length[v, u, None]
        points = torch.stack([u, v], dim=1) + 0.5 - distance[v, u, None] * normals
        return cls(distance, trusted, points, normals)


def gradient(image: Float[Tensor, "H W"]) -> Float[Tensor, "H W 2"]:
    """Derivatives of an image along u and v, per pixel, by central differences."""
    v, u = torch.gradient(image)
    return torch.stack([u, v], dim=2)


def bilinear(image: Float[Tensor, "H W C"], pixels: Float[Tensor, "P 2"]) -> Float[Tensor, "P C"]:
    """Bilinear interpolation at pixel coordinates (u, v); outside of the image the border values continue."""
    height, width, _ = image.shape
    places = (2 * pixels / pixels.new_tensor([width, height]) - 1).to(image)[None, None]
    found = torch.nn.functional.grid_sample(
        image.permute(2, 0, 1)[None], places, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found[0, :, 0].T


def outline_points(
    fragments: Fragments,
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 2"], Float[Tensor, " P"]]:
    """Points on the outline of a surface in one view: midpoints of the edges between front and back faces.

    Returns:
        Positions, pixels (u, v) and edge lengths in pixels, of the edges that border the background.
    """
    front = (fragments.flags[0] & 1).bool()
    neighbours = fragments.topology.neighbours
    across = torch.where(neighbours < -1, -2 - neighbours, neighbours).long()
    hidden = torch.where(neighbours == -1, True, ~front[across.clamp(min=0)])
    face, corner = torch.nonzero(front[:, None] & hidden, as_tuple=True)
    faces = fragments.faces.long()
    ends = fragments.vertices[torch.stack([faces[face, corner], faces[face, (corner + 1) % 3]])]
    points = ends.mean(dim=0)
    camera = fragments.cameras
    seen = camera.project(torch.cat([points, ends[0], ends[1]]))[0]
    pixels, first, second = seen[:, :2].split(len(points))
    length = torch.linalg.vector_norm(first - second, dim=1)
    empty = (fragments.triangle < 0).float()
    beside = torch.nn.functional.max_pool2d(empty, 3, stride=1, padding=1)[0]
    size = pixels.new_tensor([camera.width, camera.height])
    inside = ((pixels > 1) & (pixels < size - 1)).all(dim=1)
    u, v = pixels.nan_to_num(0).long().clamp(min=0).unbind(dim=1)
    kept = inside & (beside[v.clamp(max=camera.height - 1), u.clamp(max=camera.width - 1)] > 0)
    return points[kept].double(), pixels[kept], length[kept]


def outline_residuals(fragments: Fragments, outline: Outline) -> list[Residuals]:
    """Distances in pixels from the outline of the surface to that of the mask, and the other way round."""
    points, pixels, length = outline_points(fragments)
    if len(points) < 3 or len(outline.points) < 3:
        return []
    farthest = FARTHEST * max(outline.distance.shape)
    fields = torch.cat([outline.distance[..., None], gradient(outline.distance)], dim=2)
    found = bilinear(fields, pixels).double()
    u, v = pixels.long().unbind(dim=1)
    counts = outline.trusted[v, u] & (found[:, 0].abs() < farthest)
    there = Residuals(points[counts], found[counts, 0], found[counts, 1:], _shares(length[counts]))
    away, nearest = KDTree(pixels.numpy()).query(outline.points.numpy(), distance_upper_bound=farthest)
    near = torch.from_numpy(np.isfinite(away))
    nearest = torch.from_numpy(nearest)[near]
    normals = outline.normals[near].double()
    value = (normals * (pixels[nearest] - outline.points[near])).sum(dim=1)
    back = Residuals(points[nearest], value, normals, _shares(torch.ones_like(value)))
    return [residuals for residuals in (there, back) if len(residuals.value)]


def color_residuals(
    fragments: Fragments,
    colors: Float[Tensor, "P 3"],
    picture: Float[Tensor, "H W 3"],
    trusted: Bool[Tensor, "H W"],
) -> Residuals | None:
    """Brightness of the picture minus that of the rendered surface, at pixels inside both silhouettes.

    The slope is the mean of the gradients of picture and rendering, as in efficient second-order minimisation
    (Benhimane and Malis 2004). With it steps converge from farther away.

    Source: Benhimane and Malis 2004, the mean of both gradients.

    Args:
        fragments: What one view sees.
        colors: Colours of its covered pixels.
        picture: What the photograph shows of the object.
        trusted: Known pixels well inside the mask.
    """
    height, width = trusted.shape
    drawn = torch.zeros(height * width)
    brightness = colors.mean(dim=1)
    drawn[fragments.pixel] = brightness
    shown = picture.mean(dim=2)
    empty = (fragments.triangle < 0).float()
    inner = (torch.nn.functional.max_pool2d(empty, 5, stride=1, padding=2)[0] == 0) & trusted
    rows = torch.nonzero(inner.view(-1)[fragments.pixel])[:, 0]
    if len(rows) < 10:
        return None
    rows = rows[:: -(-len(rows) // SAMPLES)]
    pixel = fragments.pixel[rows]
    slopes = (gradient(drawn.view(height, width)) + gradient(shown)).view(-1, 2)[pixel] / 2
    value = shown.reshape(-1)[pixel] - brightness[rows]
    corners = fragments.vertices[fragments.faces.long()[fragments.face[rows]]]
    points = torch.einsum("pk,pkc->pc", fragments.barycentric[rows], corners)
    return Residuals(points.double(), value.double(), slopes.double(), _shares(torch.ones_like(value)))


def _shares(weights: Tensor) -> Float[Tensor, " P"]:
    return (weights / weights.sum().clamp(min=1e-12)).double()


def inner_pixels(outline: Outline, known: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Known pixels at least two pixels inside the mask."""
    return known & (outline.distance > 2)


LARGEST = 640
"""Cameras are refined in pictures with a longer side of at most this many pixels."""
OBSERVATIONS = 200.0
"""Number of independent observations that the outlines of a view count as; the same for its colours."""
EXPECTED = (0.05, 0.05, 0.05, 0.05)
"""Expected size of changes: rotation in radians, shifts across and along the line of sight as fractions of the
distance, logarithm of the focal length."""
SMALLEST_SCALES = (0.5, 0.01)
"""Lower bounds of the scales of the residuals: outlines in pixels, brightness in linear units."""

BEND = 0.1
"""Expected size of the coefficients of `displacements`, in the unit of the frame. It is large, so that bending
the surface costs little compared with moving the cameras."""

Painter = Callable[[Fragments, int], Float[Tensor, "P 3"]]
"""Function from the fragments and the number of a view to the colours of its covered pixels."""


@value_type
class CameraPictures:
    """Reduced pictures with the outlines of their masks, on which cameras are refined.

    Attributes:
        start: The given cameras, in the frame of the object, with intrinsics for the reduced pictures.
        pictures: The object in each picture, in linear RGB, on black.
        outlines: Outlines of the masks.
        inner: Known pixels more than two pixels inside the mask.
    """

    start: Cameras
    pictures: list[Float[Tensor, "H W 3"]]
    outlines: list[Outline]
    inner: list[Tensor]

    @classmethod
    def of(cls, capture: Capture, largest: int = LARGEST) -> "CameraPictures":
        """Reduced pictures of a capture whose cameras are in the frame of the object."""
        scale = min(1.0, largest / max(capture.cameras.width, capture.cameras.height))
        cameras, pictures, outlines, inner = capture.cameras, [], [], []
        for view in range(len(capture)):
            small = capture.subset([view]).resized(scale).to("cpu")
            outline = Outline.of(small.require_masks()[0], small.known[0])
            outlines.append(outline)
            pictures.append(small.foreground()[0])
            inner.append(inner_pixels(outline, small.known[0]))
        height, width = outlines[0].distance.shape
        return cls(cameras.to("cpu").resized(width, height), pictures, outlines, inner)

    def sized(self, cameras: Cameras) -> Cameras:
        """The cameras with intrinsics for pictures of the reduced size."""
        return cameras.resized(self.start.width, self.start.height)

    def residuals(
        self, cameras: Cameras, vertices: Tensor, faces: Tensor, paint: Painter | None
    ) -> list[list[Residuals | None]]:
        """Residuals of every view: outlines in both directions, then colours (None where there are none)."""
        found = []
        for view, outline in enumerate(self.outlines):
            fragments = rasterize(vertices, faces, cameras[[view]])
            kinds: list[Residuals | None] = [*outline_residuals(fragments, outline), None, None][:2]
            colors = None
            if paint is not None and len(fragments):
                colors = color_residuals(
                    fragments, paint(fragments, view), self.pictures[view], self.inner[view]
                )
            found.append([*kinds, colors])
        return found


@value_type
class Refined:
    """Cameras after some refinement steps.

    Attributes:
        cameras: Refined cameras for the reduced pictures.
        cost: Robust cost that remains.
        outline: Median distance of the outlines, in pixels of the reduced pictures.
        accepted: Number of steps that lowered the cost.
        bend: Coefficients for `displacements` of the surface; empty if it does not bend.
    """

    cameras: Cameras
    cost: float
    outline: float
    accepted: int
    bend: Float[Tensor, "M 3"]


def refine_cameras(
    pictures: CameraPictures,
    cameras: Cameras,
    vertices: Float[Tensor, "V 3"],
    faces: Tensor,
    paint: Painter | None = None,
    focal: bool = True,
    steps: int = 2,
    expected: tuple[float, float, float, float] = EXPECTED,
    bends: bool = False,
) -> Refined:
    """Refine cameras by Levenberg-Marquardt steps, so that a surface fits outlines and colours of the pictures.

    The loss is robust (Cauchy), with the median size of the residuals as its scale. A step is accepted only if
    it lowers the cost, which includes a quadratic penalty on the distance from the given cameras.

    Args:
        pictures: Pictures and outlines of the masks.
        cameras: The cameras to begin with, for pictures of this size.
        vertices: The surface, in the frame of the cameras.
        faces: Its triangles.
        paint: Colours of the surface; None compares outlines only.
        focal: Whether to refine shared focal lengths as well.
        steps: Largest number of steps.
        expected: Expected size of the changes from the given cameras, see `EXPECTED`.
        bends: Whether to solve for displacements of the surface by quadratic polynomials as well. For a surface
            that is not final: otherwise cameras zoom in on one that is a little too small.
    """
    vertices, faces = vertices.detach().cpu(), faces.cpu()
    group = focal_groups(pictures.start) if focal else torch.full((len(cameras),), -1)
    prior = _Prior(pictures.start, group, expected)
    now = pictures.residuals(cameras, vertices, faces, paint)
    scales = _scales(now)
    bend = torch.zeros(10 if bends else 0, 3, dtype=torch.float64)
    cost, damping, accepted = _cost(now, scales) + prior.cost(cameras), 1e-3, 0
    for _ in range(steps):
        matrix, vector = _normal_equations(cameras, group, now, scales, prior, bend)
        for _ in range(4):
            system = matrix + damping * torch.diag(matrix.diagonal() + 1e-9)
            change = torch.linalg.solve(system, -vector)
            new_bend = bend + change[len(change) - bend.numel() :].view_as(bend)
            moved = _motion(change[: len(change) - bend.numel()], group).applied(cameras)
            found = pictures.residuals(moved, vertices + displacements(vertices, new_bend), faces, paint)
            new_cost = _cost(found, scales) + prior.cost(moved) + float((new_bend / BEND).square().sum())
            if new_cost < cost:
                break
            damping *= 10
        else:
            break
        gain = cost - new_cost
        cameras, bend, now, cost = moved, new_bend, found, new_cost
        damping, accepted = damping / 10, accepted + 1
        if gain < 1e-3 * cost:
            break
    distances = [r.value.abs() for kinds in now for r in kinds[:2] if r is not None]
    outline = float(torch.cat(distances).median()) if distances else 0.0
    return Refined(cameras, cost, outline, accepted, bend)


def _scales(residuals: list[list[Residuals | None]]) -> tuple[float, float]:
    """Robust scales of the residuals of outlines and of colours: medians of their sizes."""
    scales = []
    for kinds, least in zip((slice(0, 2), slice(2, 3)), SMALLEST_SCALES, strict=True):
        values = [r.value.abs() for view in residuals for r in view[kinds] if r is not None]
        median = float(torch.cat(values).median()) if values else 0.0
        scales.append(max(1.5 * median, least))
    return scales[0], scales[1]


def _scale_of(kind: int, scales: tuple[float, float]) -> tuple[float, float]:
    """Scale of a kind of residual, and the number of observations that it counts as."""
    return (scales[0], OBSERVATIONS / 2) if kind < 2 else (scales[1], OBSERVATIONS)


def _cost(residuals: list[list[Residuals | None]], scales: tuple[float, float]) -> float:
    total = 0.0
    for view in residuals:
        for kind, found in enumerate(view):
            scale, worth = _scale_of(kind, scales)
            if found is None:
                total += worth  # a surface that is not visible costs as much as one far away from its outline
            else:
                total += worth * float((found.weight * ((found.value / scale) ** 2).log1p()).sum())
    return total


def _normal_equations(
    cameras: Cameras,
    group: Tensor,
    residuals: list[list[Residuals | None]],
    scales: tuple[float, float],
    prior: "_Prior",
    bend: Float[Tensor, "M 3"],
) -> tuple[Float[Tensor, "U U"], Float[Tensor, " U"]]:
    """Gauss-Newton matrix and gradient of half the cost.

    Unknowns: 6 per view, one per group of focal lengths, then the coefficients of the displacements.
    """
    of_cameras, pulls = prior.equations(cameras)
    matrix = torch.block_diag(of_cameras, torch.eye(bend.numel(), dtype=bend.dtype) / BEND**2)
    vector = torch.cat([pulls, bend.reshape(-1) / BEND**2])
    count, last = len(cameras), len(pulls)
    for view, kinds in enumerate(residuals):
        columns = list(range(6 * view, 6 * view + 6))
        if group[view] >= 0:
            columns.append(6 * count + int(group[view]))
        columns += range(last, last + bend.numel())
        index = torch.tensor(columns)
        for kind, found in enumerate(kinds):
            if found is None:
                continue
            scale, worth = _scale_of(kind, scales)
            _, pose, zoom = motion_derivatives(cameras[[view]], found.points)
            rows = torch.einsum("pi,pij->pj", found.slope, pose)
            if group[view] >= 0:
                rows = torch.cat([rows, (found.slope * zoom).sum(dim=1, keepdim=True)], dim=1)
            if len(bend):
                by_place = rows[:, 3:6] @ cameras.T_cam_world[view, :3, :3]
                by_bend = _monomials(found.points)[:, :, None] * by_place[:, None, :]
                rows = torch.cat([rows, by_bend.flatten(1)], dim=1)
            weight = worth * found.weight / (scale**2 + found.value**2)
            matrix[index[:, None], index] += rows.T @ (weight[:, None] * rows)
            vector[index] += rows.T @ (weight * found.value)
    return matrix, vector


def _monomials(points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 10"]:
    """Monomials of degree 0 to 2 of the coordinates."""
    x, y, z = points.double().unbind(dim=1)
    return torch.stack([torch.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, y * z, z * x], dim=1)


def displacements(vertices: Float[Tensor, "V 3"], bend: Float[Tensor, "M 3"]) -> Float[Tensor, "V 3"]:
    """Displacements of vertices by quadratic polynomials with the coefficients `bend`."""
    return (_monomials(vertices) @ bend.to(vertices.device)).to(vertices) if len(bend) else 0 * vertices


def _motion(change: Float[Tensor, " U"], group: Tensor) -> Motion:
    count = len(group)
    return Motion(change[: 6 * count].view(count, 6), change[6 * count :], group)


class _Prior:
    """Quadratic penalty on the distance of cameras from the given ones."""

    def __init__(self, start: Cameras, group: Tensor, expected: tuple[float, float, float, float]) -> None:
        self.start, self.group = start, group
        distance = torch.linalg.vector_norm(start.T_cam_world[:, :3, 3], dim=1, keepdim=True)
        rotation = torch.full((len(start), 3), 1 / expected[0], dtype=torch.float64)
        across, along = (1 / (share * distance) for share in expected[1:3])
        self.poses = torch.cat([rotation, across, across, along], dim=1)
        self.zoom = torch.full((int(group.max()) + 1,), 1 / expected[3], dtype=torch.float64)

    def _pulls(self, cameras: Cameras) -> tuple[Tensor, Tensor]:
        motion = motion_between(self.start, cameras, self.group)
        values = torch.cat([motion.poses.reshape(-1), motion.zoom])
        return values, torch.cat([self.poses.reshape(-1), self.zoom])

    def cost(self, cameras: Cameras) -> float:
        """Half the sum of squared changes, each in units of its expected size."""
        values, inverse = self._pulls(cameras)
        return float(((values * inverse) ** 2).sum())

    def equations(self, cameras: Cameras) -> tuple[Tensor, Tensor]:
        """The matrix and the gradient that the penalty adds to the normal equations."""
        values, inverse = self._pulls(cameras)
        return torch.diag(inverse**2), values * inverse**2


def moved_pixels(start: Cameras, cameras: Cameras, points: Float[Tensor, "P 3"]) -> Float[Tensor, "N"]:
    """Distance in pixels by which a change of cameras moves points, per view: median over the points."""
    difference = cameras.project(points)[..., :2] - start.project(points)[..., :2]
    return torch.linalg.vector_norm(difference, dim=2).median(dim=1).values

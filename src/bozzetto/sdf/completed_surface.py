"""The surface of a completion: the prior's surface, corrected by observations, and its support by them.

The correction is a smooth field of residuals, so that the surface passes through the observed points.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import warp as wp
from jaxtyping import Bool, Float, Int64
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components as graph_components
from scipy.spatial import KDTree
from torch import Tensor

from ..geometry import (
    SurfaceIndex,
    connected_components,
    drop_unused_vertices,
    vertex_normals,
    without_specks,
)
from ..geometry.launch import in_parts, launch, stream
from ..geometry.sparse_marching_cubes import sparse_isosurface
from ..shapes import Mesh
from .extract import Evaluator
from .grid_kernels import wendland_sum
from .model import Decoder
from .objective import empty_space
from .observations import Observations
from .prior import ShapePrior

WIDTHS = (0.2, 0.08, 0.03)
DENSITY = 4  # centres per width along each axis, for all widths but the finest


class ResidualField:
    """The most probable smooth error of a decoder, given its error at observed points.

    One Gaussian process per width, from coarse to fine, each fitted to the residuals of the previous ones
    (kriging; the covariance is Wendland's compactly supported C2 function, Wendland 1995, table 1). All but the
    finest are fitted to means over cells of points. The field fades to 0 within the largest width from the
    nearest observation, since nothing contradicts the prior there.

    Source: Wendland 1995, table 1.

    Args:
        points: Positions of the residuals, in the frame of the decoder.
        residuals: Error of the decoder at these points: for a point on the surface the value, which should be
            0.
        noise: Standard deviation of the noise of the residuals.
        widths: Support radii of the covariance functions, from coarse to fine.
    """

    def __init__(
        self,
        points: Float[Tensor, "P 3"],
        residuals: Float[Tensor, " P"],
        noise: float,
        widths: tuple[float, ...] = WIDTHS,
    ) -> None:
        self.parts: list[tuple[_Functions, Tensor]] = []
        rest = residuals.detach().float()
        for width in widths:
            cell, count = _cells(points, width / DENSITY if width > widths[-1] else 0.0)
            functions = _Functions(_means(points, cell, count), width)
            # The variance of the residuals in excess of the noise is the prior variance of this width.
            strength = max(float(rest.square().mean()) - noise**2, 1e-16)
            ridge = (noise**2 / strength / count).clamp(1e-3, 100.0)
            weights = _solve(functions, ridge, _means(rest[:, None], cell, count)[:, 0])
            self.parts.append((functions, weights))
            rest = rest - functions(points, weights)

    def __call__(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """Expected error of the decoder at points."""
        total = torch.zeros_like(points[:, 0], dtype=torch.float32)
        for functions, weights in self.parts:
            total += functions(points, weights)
        return total.to(points.dtype)


class _Functions:
    """Covariance functions of one width around centres, evaluated with a hash grid."""

    def __init__(self, centres: Float[Tensor, "C 3"], width: float) -> None:
        self.centres, self.width = centres.detach().float().contiguous(), width
        with stream(centres.device):
            self._grid = wp.HashGrid(64, 64, 64, device=str(centres.device))
            self._grid.build(wp.from_torch(self.centres, dtype=wp.vec3), width)

    def __call__(self, points: Float[Tensor, "N 3"], weights: Float[Tensor, " C"]) -> Float[Tensor, " N"]:
        points, weights = points.detach().float().contiguous(), weights.contiguous()
        total = torch.empty_like(points[:, 0])

        def run(_: int, start: int, stop: int) -> None:
            arguments = [self._grid.id, self.centres, weights, self.width]
            ends = [points[start:stop], total[start:stop]]
            launch(wendland_sum, stop - start, [*arguments, *ends], points.device)

        if len(points):
            in_parts(run, len(points), points.device)
        return total


def _cells(points: Float[Tensor, "P 3"], side: float) -> tuple[Int64[Tensor, " P"], Float[Tensor, " C"]]:
    """The cell of each point and the number of points of each cell; a side of 0 gives every point its own
    cell."""
    if side == 0:
        return torch.arange(len(points), device=points.device), torch.ones_like(points[:, 0])
    _, cell, count = torch.unique(
        (points / side).floor().long(), dim=0, return_inverse=True, return_counts=True
    )
    return cell, count.to(points.dtype)


def _means(
    values: Float[Tensor, "P D"], cell: Int64[Tensor, " P"], count: Float[Tensor, " C"]
) -> Float[Tensor, "C D"]:
    total = values.new_zeros(len(count), values.shape[1]).index_add_(0, cell, values)
    return total / count[:, None]


def _solve(
    functions: _Functions,
    ridge: Float[Tensor, " C"],
    right: Float[Tensor, " C"],
    iterations: int = 200,
    tolerance: float = 1e-4,
) -> Float[Tensor, " C"]:
    """Solve (functions + ridge) weights = right by conjugate gradients (Hestenes, Stiefel 1952)."""
    solution, residual = torch.zeros_like(right), right.clone()
    way, power = residual, float(residual.square().sum())
    goal = tolerance**2 * power
    for _ in range(iterations):
        if power <= goal:
            break
        image = functions(functions.centres, way) + ridge * way
        step = power / float((way * image).sum())
        solution, residual = solution + step * way, residual - step * image
        before, power = power, float(residual.square().sum())
        way = residual + power / before * way
    return solution


def project(
    decoder: Decoder,
    code: Float[Tensor, " K"],
    vertices: Float[Tensor, "V 3"],
    field: ResidualField | None = None,
    iterations: int = 6,
    max_step: float = 0.02,
) -> Float[Tensor, "V 3"]:
    """Project vertices onto the zero level of a decoder minus a residual field, along the decoder's gradient.

    Args:
        decoder: The decoder, a signed distance.
        code: Code of the shape.
        vertices: Points near its surface, in the frame of the decoder.
        field: Residual field that is subtracted from the distance; None subtracts nothing.
        iterations: Number of Newton steps.
        max_step: Largest length of a step, since steps are very long where the gradient is small.
    """
    for _ in range(iterations):
        values, by_point = value_and_gradient(decoder, code, vertices)
        if field is not None:
            values = values - field(vertices)
        slope = by_point.norm(dim=1).clamp_min(0.3)
        step = (values / slope).clamp(-max_step, max_step)
        vertices = vertices - step[:, None] * by_point / slope[:, None]
    return vertices


def value_and_gradient(
    decoder: Decoder, code: Float[Tensor, " K"], points: Float[Tensor, "N 3"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N 3"]]:
    """Signed distances of a shape, and their gradients with respect to the point."""
    with torch.enable_grad():
        places = points.detach().clone().requires_grad_()
        values = decoder(code[None].to(places), places[None])[0]
        (by_point,) = torch.autograd.grad(values.sum(), places)
    return values.detach(), by_point


CORRECTED, STRAY = 0.1, 8.0
"""Largest residuals that are corrected: in the normalised frame, and in units of the robust standard deviation
of the residuals. Larger ones are outliers or other objects."""
PART = 0.01, 0.2
"""Smallest and largest fraction of all points at which adjacent outliers count as a part that the prior does
not know, for instance a handle."""
MARGIN = 0.005
"""Signed distance that the corrected shape has at points in empty space, in the normalised frame."""


def residual_field(
    prior: ShapePrior, code: Float[Tensor, " K"], observations: Observations, most: int = 8000
) -> ResidualField | None:
    """The correction of a shape by observations; None if no observation is near its surface.

    With normals, the distance is also corrected slightly outside and inside of the points, so that the sign is
    right. A shape that fills space known to be empty is corrected there.

    Args:
        prior: The family of shapes.
        code: Code of the shape.
        observations: Observations in the normalised frame.
        most: Largest number of points that are used.
    """
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(observations.points), generator=generator)[:most]
    chosen = chosen.to(observations.points.device)
    points, targets = observations.points[chosen], observations.points.new_zeros(len(chosen))
    values, _ = value_and_gradient(prior.decoder, code, points)
    spread = 1.4826 * float(values.abs().median())
    near = values.abs() < min(max(STRAY * spread, 3 * observations.noise), CORRECTED)
    if not bool(near.any()):
        return None
    near |= unknown_parts(points, ~near)
    points, targets = points[near], targets[near]
    if observations.normals is not None:
        eta = max(0.015, 3 * observations.noise)
        shift = eta * observations.normals[chosen][near]
        points = torch.cat([points, points + shift, points - shift])
        targets = torch.cat([targets, targets + eta, targets - eta])
    free = empty_space(observations, most, generator)
    filled = free[value_and_gradient(prior.decoder, code, free)[0] < 0]
    points = torch.cat([points, filled])
    targets = torch.cat([targets, torch.full_like(filled[:, 0], MARGIN)])
    values, _ = value_and_gradient(prior.decoder, code, points)
    return ResidualField(points, values - targets, observations.noise)


def unknown_parts(points: Float[Tensor, "P 3"], stray: Bool[Tensor, " P"]) -> Bool[Tensor, " P"]:
    """Outliers that form connected parts of significant size, see `PART`."""
    tree = KDTree(points.detach().cpu().double().numpy())
    spacing = float(np.median(tree.query(tree.data[:: max(1, len(points) // 2000)], k=2)[0][:, 1]))
    places = stray.cpu().nonzero()[:, 0].numpy()
    pairs = KDTree(tree.data[places]).query_pairs(4 * spacing, output_type="ndarray") if len(places) else None
    found = torch.zeros_like(stray)
    if pairs is None or len(pairs) == 0:
        return found
    size = len(places)
    graph = coo_array((np.ones(len(pairs)), pairs.T), (size, size))
    label = graph_components(graph, directed=False)[1]
    share = np.bincount(label)[label] / len(points)
    found[torch.from_numpy(places[(share > PART[0]) & (share < PART[1])]).to(found.device)] = True
    return found


def completed_mesh(
    prior: ShapePrior,
    code: Float[Tensor, " K"],
    observations: Observations,
    resolution: int,
    correct: bool = True,
) -> Mesh:
    """The surface of a code, corrected to pass through observed points and to leave observed empty space.

    Args:
        prior: The family of shapes.
        code: Code of the shape.
        observations: Observations in the normalised frame, which is the frame of the mesh, too.
        resolution: Number of grid nodes along each axis.
        correct: Whether to correct the prior's surface.

    Raises:
        InputError: The code has no surface.
    """
    shape = evaluate = Evaluator(prior.decoder, code)
    residuals = residual_field(prior, code, observations) if correct else None
    if residuals is not None:
        shape = lambda points: evaluate(points) - residuals(points)  # noqa: E731
    hollow = cut(shape, observations) if correct else None
    solid = shape if hollow is None else lambda points: torch.maximum(shape(points), hollow(points))
    corners = (-1.0,) * 3, (1.0,) * 3
    mesh = sparse_isosurface(solid, resolution, *corners, trusted=prior.clamp, device=code.device).mesh
    if hollow is not None:
        mesh = without_unobserved_pieces(mesh, observations)
    return without_specks(mesh)


def without_unobserved_pieces(mesh: Mesh, observations: Observations) -> Mesh:
    """The mesh without connected components that were not observed at all; the whole mesh if none was."""
    label = connected_components(mesh.faces, len(mesh.vertices))
    backed = torch.zeros(int(label.max()) + 1, dtype=torch.bool, device=label.device)
    backed[label[support(mesh, observations)[1]]] = True
    kept = backed[label[mesh.faces[:, 0]]]
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[kept]))[0] if bool(kept.any()) else mesh


def support(mesh: Mesh, observations: Observations) -> tuple[Float[Tensor, " V"], Bool[Tensor, " V"]]:
    """Distance of vertices to the nearest observed point, and whether they count as observed.

    A vertex counts as observed if this distance is at most three times the noise, or twice the spacing of the
    observed points if that is larger. It does not if the observed normal points the other way, since the point
    then belongs to the other side of a thin part.
    """
    tree = KDTree(observations.points.detach().cpu().double().numpy())
    own, _ = tree.query(tree.data[:: max(1, len(tree.data) // 2000)], k=4)
    reach = max(3 * observations.noise, 2 * float(np.median(own[:, -1])))
    found, index = tree.query(mesh.vertices.detach().cpu().double().numpy())
    distance = torch.from_numpy(np.asarray(found)).to(mesh.vertices)
    observed = distance <= reach
    if observations.normals is not None:
        nearest = observations.normals[
            torch.from_numpy(np.asarray(index)).to(observations.normals.device)
        ].to(mesh.vertices)
        places = mesh.vertices / float(
            mesh.vertices.abs().max()
        )  # stays in the range of float32 for any unit
        observed &= (vertex_normals(places, mesh.faces) * nearest).sum(dim=1) > 0
    return distance, observed


def scan_misfit(mesh: Mesh, observations: Observations) -> dict[str, Any]:
    """Metrics of the distances of observed points from a mesh, in the unit of the scan and in units of the
    noise."""
    distance = SurfaceIndex(mesh).closest(observations.points.to(mesh.vertices)).distance
    return {
        "noise": observations.noise,
        "observed_median": float(distance.median()),
        "observed_95": float(distance.double().quantile(0.95)),
        "within_two_noise": float((distance <= 2 * observations.noise).double().mean()),
    }


CLEARANCE = 0.02
"""Smallest distance of a cut from an observed point, in the normalised frame."""
VIEWPOINTS = 64
"""Largest number of distinct start points of segments that are treated as viewpoints with bundles of rays."""
Field = Callable[[Tensor], Tensor]


class RayBundle:
    """Rays from one viewpoint, each through empty space up to its end.

    Args:
        origin: The viewpoint.
        ends: Ends of the rays.
    """

    def __init__(self, origin: Float[Tensor, "3"], ends: Float[Tensor, "Q 3"]) -> None:
        rays = (ends - origin).double().cpu().numpy()
        self.origin: np.ndarray = origin.double().cpu().numpy()
        self.length: np.ndarray = np.linalg.norm(rays, axis=1)
        self._tree = KDTree(rays / np.maximum(self.length, 1e-12)[:, None])
        sample = self._tree.data[:: max(1, len(rays) // 2000)]
        self.spacing: float = (
            float(np.median(self._tree.query(sample, k=2)[0][:, -1])) if len(rays) > 1 else 0.0
        )

    def passes(self, points: npt.NDArray[Any], clearance: float) -> npt.NDArray[Any]:
        """Whether the rays on all sides of points (N, 3) extend beyond the points by at least a clearance."""
        way = points - self.origin
        distance = np.linalg.norm(way, axis=1)
        angle, ray = self._tree.query(way / np.maximum(distance, 1e-12)[:, None], k=min(4, len(self.length)))
        angle, ray = angle.reshape(len(points), -1), ray.reshape(len(points), -1)
        beyond = (self.length[ray] > distance[:, None] + clearance).all(axis=1)
        return beyond & (angle.max(axis=1) < 2.5 * self.spacing)


def ray_bundles(observations: Observations) -> list[RayBundle]:
    """The rays of every viewpoint; an empty list if there are more than `VIEWPOINTS` or no empty space is
    known."""
    if observations.empty_from is None or observations.empty_to is None or len(observations.empty_from) < 4:
        return []
    origins, index = torch.unique(observations.empty_from, dim=0, return_inverse=True)
    if len(origins) > VIEWPOINTS:
        return []
    return [RayBundle(origin, observations.empty_to[index == i]) for i, origin in enumerate(origins)]


def cut(field: Field, observations: Observations, side: int = 128) -> Field | None:
    """Signed distance to the observed empty space that a shape fills, positive within.

    The maximum of this and `field` is the shape without the parts in empty space. The result is None if the
    shape fills no empty space.

    Args:
        field: The shape's signed distance in the normalised frame, negative inside.
        observations: Observations in the normalised frame.
        side: Number of nodes along each axis of the grid over [-1, 1]^3 on which empty space is computed.
    """
    bundles = ray_bundles(observations)
    if not bundles:
        return None
    device = observations.points.device
    axis = torch.linspace(-1, 1, side, device=device)
    nodes = torch.cartesian_prod(axis, axis, axis)
    filled = (field(nodes) < 0).nonzero()[:, 0]
    empty = _known_empty(nodes[filled], bundles, max(CLEARANCE, 3 * observations.noise))
    if not bool(empty.any()):
        return None
    mask = np.zeros(side**3, dtype=bool)
    mask[filled[empty].cpu().numpy()] = True
    return _sampled(_signed_distance(mask.reshape(side, side, side)).to(device))


def _known_empty(
    points: Float[Tensor, "N 3"], bundles: list[RayBundle], clearance: float
) -> Bool[Tensor, " N"]:
    places = points.double().cpu().numpy()
    empty = np.zeros(len(places), dtype=bool)
    for bundle in bundles:
        empty |= bundle.passes(places, clearance)
    return torch.from_numpy(empty).to(points.device)


def _signed_distance(mask: npt.NDArray[Any]) -> Float[Tensor, "X Y Z"]:
    """Signed distance, positive within the mask, in a frame in which the grid spans [-1, 1]^3."""
    within, without = distance_transform_edt(mask), distance_transform_edt(~mask)
    spacing = 2 / (len(mask) - 1)
    return torch.from_numpy(spacing * (np.asarray(within) - np.asarray(without))).float()


def _sampled(values: Float[Tensor, "X Y Z"]) -> Field:
    """Trilinear interpolation of a grid over [-1, 1]^3, as a function of points."""

    def at(points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        places = points.flip(-1).reshape(1, 1, 1, -1, 3)
        found = torch.nn.functional.grid_sample(
            values[None, None], places, padding_mode="border", align_corners=True
        )
        return found.reshape(-1)

    return at

"""The surface of a completion: the prior's, corrected by what was observed, and how well it is supported.

The correction is a smooth field of residuals, so that the surface passes through what was observed.
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
DENSITY = 4  # centres per width, along each axis, for all but the finest


class ResidualField:
    """The most probable smooth error of a decoder, given its error at observed points.

    A Gaussian process per width, coarse to fine, each on what the ones before leave (kriging; Wendland's
    compactly supported C2 function as covariance, Wendland 1995, table 1). Wide ones take the mean over cells
    of the points. The field fades to 0 within the largest width of the nearest observation, where nothing
    speaks against the prior.

    Source: Wendland 1995, table 1.

    Args:
        points: Where the decoder was observed to be wrong, in its frame.
        residuals: By how much: the value that should have been 0.
        noise: Standard deviation of that.
        widths: Radii of the functions.
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
            # What is left beyond the noise is the strength of the error that this width shall explain.
            strength = max(float(rest.square().mean()) - noise**2, 1e-16)
            ridge = (noise**2 / strength / count).clamp(1e-3, 100.0)
            weights = _solve(functions, ridge, _means(rest[:, None], cell, count)[:, 0])
            self.parts.append((functions, weights))
            rest = rest - functions(points, weights)

    def __call__(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """The error expected at points."""
        total = torch.zeros_like(points[:, 0], dtype=torch.float32)
        for functions, weights in self.parts:
            total += functions(points, weights)
        return total.to(points.dtype)


class _Functions:
    """Functions of one width around centres, found by a hash grid."""

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
    """The cell that each point lies in, and how many points each cell has; a side of 0 keeps points apart."""
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
    """Weights with (functions + ridge) weights = right, by conjugate gradients (Hestenes, Stiefel 1952)."""
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
    """Move vertices along the gradient of the decoder to where it, less a field of residuals, is 0.

    Args:
        decoder: The signed distance.
        code: Of the shape.
        vertices: Near its surface, in the frame of the decoder.
        field: Subtracted from the distance.
        iterations: Newton steps.
        max_step: Longest step, so that a flat spot of the decoder throws nothing away.
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
    """Distances of a shape and their derivatives with respect to the point."""
    with torch.enable_grad():
        places = points.detach().clone().requires_grad_()
        values = decoder(code[None].to(places), places[None])[0]
        (by_point,) = torch.autograd.grad(values.sum(), places)
    return values.detach(), by_point


CORRECTED, STRAY = 0.1, 8.0
"""Residuals beyond this, in the normalised frame or in units of most residuals, are strays or other objects and
correct nothing."""
PART = 0.01, 0.2
"""Strays that lie together are a part that the prior does not know, a handle say, if they are such a share of
all points: at least, at most."""
MARGIN = 0.005
"""Distance to which a shape is pushed out of empty space, in the normalised frame."""


def residual_field(
    prior: ShapePrior, code: Float[Tensor, " K"], observations: Observations, most: int = 8000
) -> ResidualField | None:
    """The correction that observations ask for; None without any nearby.

    With normals, the distance a little outside and inside is corrected as well, so that the side is right.
    Where space is known to be empty, a shape that is there nevertheless is pushed out.

    Args:
        prior: The family of shapes.
        code: The shape.
        observations: In the normalised frame.
        most: Points in use, at most.
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
    """Which strays lie together in numbers that are no accident."""
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
    """The surface of a code, through the observed points and out of space seen to be empty.

    Args:
        prior: The family of shapes.
        code: The shape.
        observations: In the normalised frame, where the mesh will be, too.
        resolution: Nodes along each axis.
        correct: False leaves the prior's surface as it is.

    Raises:
        InputError: There is none.
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
    """The mesh without pieces that nothing was observed of; all of it if that is true of every piece."""
    label = connected_components(mesh.faces, len(mesh.vertices))
    backed = torch.zeros(int(label.max()) + 1, dtype=torch.bool, device=label.device)
    backed[label[support(mesh, observations)[1]]] = True
    kept = backed[label[mesh.faces[:, 0]]]
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[kept]))[0] if bool(kept.any()) else mesh


def support(mesh: Mesh, observations: Observations) -> tuple[Float[Tensor, " V"], Bool[Tensor, " V"]]:
    """Distance of vertices to the nearest observation, and whether they count as observed.

    They do up to three times the noise, or twice the distance of neighbouring observations if that is more,
    unless the observed normal points the other way: then it belongs to the far side of something thin.
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
        )  # in the range of float32, whatever the unit
        observed &= (vertex_normals(places, mesh.faces) * nearest).sum(dim=1) > 0
    return distance, observed


def scan_misfit(mesh: Mesh, observations: Observations) -> dict[str, Any]:
    """How far observed points are from a mesh in the frame of the scan, also in units of the noise."""
    distance = SurfaceIndex(mesh).closest(observations.points.to(mesh.vertices)).distance
    return {
        "noise": observations.noise,
        "observed_median": float(distance.median()),
        "observed_95": float(distance.double().quantile(0.95)),
        "within_two_noise": float((distance <= 2 * observations.noise).double().mean()),
    }


CLEARANCE = 0.02
"""Nothing is cut nearer to what was observed, in units of the normalised frame."""
VIEWPOINTS = 64
"""Segments that start in more places than these are no bundles of rays."""
Field = Callable[[Tensor], Tensor]


class RayBundle:
    """Rays from one place, each empty up to some length.

    Args:
        origin: Where they start.
        ends: Where they stop.
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
        """Whether rays all around points (N, 3) go on beyond them by a clearance."""
        way = points - self.origin
        distance = np.linalg.norm(way, axis=1)
        angle, ray = self._tree.query(way / np.maximum(distance, 1e-12)[:, None], k=min(4, len(self.length)))
        angle, ray = angle.reshape(len(points), -1), ray.reshape(len(points), -1)
        beyond = (self.length[ray] > distance[:, None] + clearance).all(axis=1)
        return beyond & (angle.max(axis=1) < 2.5 * self.spacing)


def ray_bundles(observations: Observations) -> list[RayBundle]:
    """The rays of every viewpoint; none if emptiness was not observed from a few places."""
    if observations.empty_from is None or observations.empty_to is None or len(observations.empty_from) < 4:
        return []
    origins, index = torch.unique(observations.empty_from, dim=0, return_inverse=True)
    if len(origins) > VIEWPOINTS:
        return []
    return [RayBundle(origin, observations.empty_to[index == i]) for i, origin in enumerate(origins)]


def cut(field: Field, observations: Observations, side: int = 128) -> Field | None:
    """The distance to space that a shape fills although it was seen to be empty, positive within.

    The larger of it and the field is the shape without what cannot be there. None where a shape fills no
    empty space.

    Args:
        field: The shape's signed distance in the normalised frame, negative inside.
        observations: In the normalised frame.
        side: Nodes along each axis of the grid over [-1, 1]^3 on which emptiness is decided.
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
    """Positive within the mask, in units of a frame in which the grid spans [-1, 1]."""
    within, without = distance_transform_edt(mask), distance_transform_edt(~mask)
    spacing = 2 / (len(mask) - 1)
    return torch.from_numpy(spacing * (np.asarray(within) - np.asarray(without))).float()


def _sampled(values: Float[Tensor, "X Y Z"]) -> Field:
    """A grid over [-1, 1]^3 as a function of points."""

    def at(points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        places = points.flip(-1).reshape(1, 1, 1, -1, 3)
        found = torch.nn.functional.grid_sample(
            values[None, None], places, padding_mode="border", align_corners=True
        )
        return found.reshape(-1)

    return at

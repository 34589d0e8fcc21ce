"""The released DeepSDF sampler's way to a signed distance, to compare with: render the shape, then vote.

100 orthographic views of 400 x 400 pixels from a spherical Fibonacci lattice; every covered pixel is a point
of the visible surface with the normal of its triangle, turned to the viewer. The distance of a sample is the
one to the nearest of these points, or to its tangent plane when nearer than the first perturbation; each of the
11 nearest points votes for the side of its tangent plane, and a sample without a unanimous vote is dropped.
"""

from dataclasses import dataclass

import torch
from scipy.spatial import KDTree

from bozzetto import Mesh
from bozzetto.cameras import fibonacci_cameras
from bozzetto.geometry import face_normals
from bozzetto.rendering import interpolate, rasterize
from bozzetto.sdf import SdfSamples

VIEWS, SIZE, VOTES, SLANTED = 100, 400, 11, 1e-3
NEAR_PLANE = 0.005**0.5


@dataclass(frozen=True)
class Vote:
    """What the rule says about samples.

    Attributes:
        kept: Whether all votes agree; the sampler drops the others.
        distances: Signed distances, meaningful where kept.
        pixels: How many surface points voted.
    """

    kept: torch.Tensor
    distances: torch.Tensor
    pixels: int


def visible_surface(mesh: Mesh) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of all pixels and their normals, of a mesh within the unit sphere."""
    cameras = fibonacci_cameras(VIEWS, distance=1.1, up=(0.0, 1.0, 0.0), extent=2.0, size=SIZE)
    fragments = rasterize(mesh.vertices, mesh.faces, cameras)
    points = interpolate(fragments, mesh.vertices)
    normals = face_normals(mesh.vertices, mesh.faces)[fragments.face]
    towards = -(normals * cameras.forward.float()[fragments.view]).sum(dim=1)
    seen = towards.abs() >= SLANTED
    return points[seen], (normals * towards.sign()[:, None])[seen]


def render_and_vote(mesh: Mesh, points: torch.Tensor) -> Vote:
    """The rule at some points, for a mesh within the unit sphere."""
    surface, normals = visible_surface(mesh)
    tree = KDTree(surface.numpy(), leafsize=32, compact_nodes=False, balanced_tree=False)
    nearest = torch.from_numpy(tree.query(points.numpy(), k=VOTES, workers=-1)[1])
    rays = points[:, None] - surface[nearest]
    heights = (rays * normals[nearest]).sum(dim=2)
    length = rays[:, 0].norm(dim=1)
    distance = torch.where(length < NEAR_PLANE, heights[:, 0].abs(), length)
    outside = (heights > 0).sum(dim=1)
    kept = (outside == 0) | (outside == VOTES)
    return Vote(kept, torch.where(outside == 0, -distance, distance), len(surface))


def compare(samples: SdfSamples, vote: Vote) -> dict[str, float]:
    """Shares and errors of the rule against exact distances with winding-number signs."""
    exact, kept = samples.distances, vote.kept
    other = (vote.distances < 0) != (exact < 0)
    error = (vote.distances.abs() - exact.abs()).abs()[kept]
    near = exact.abs() < 0.02
    return {
        "dropped": mean(~kept),
        "dropped_within_0.02": mean(~kept[near]),
        "sign_differs_of_kept": mean(other[kept]),
        "sign_differs_of_kept_beyond_0.01": mean(other[kept & (exact.abs() > 0.01)]),
        "distance_error_mean": float(error.mean()),
        "distance_error_95_percent": float(error.quantile(0.95)),
    }


def mean(mask: torch.Tensor) -> float:
    """The share of a mask that is set."""
    return float(mask.double().mean()) if len(mask) else 0.0

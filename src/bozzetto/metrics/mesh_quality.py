"""Quality of a mesh: topology, edges, angles, intersections, and flipped faces."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry import (
    SurfaceIndex,
    boundary_edges,
    connected_components,
    edge_lengths,
    euler_number,
    face_areas,
    face_normals,
    is_consistently_wound,
    is_manifold,
    is_watertight,
    self_intersections,
    unique_edges,
)
from ..shapes import Mesh
from ..shapes.offsets import in_one_frame

FLAT = 1e-6  # ratio of height to longest edge below which a face is degenerate


@dataclass(frozen=True)
class FlippedFaces:
    """Faces that are flipped relative to a target surface.

    Attributes:
        count: Number of flipped faces.
        area_ratio: Their fraction of the area of the mesh, in [0, 1].
    """

    count: int
    area_ratio: float


def flipped_faces(mesh: Mesh, target: Mesh) -> FlippedFaces:
    """Find faces whose normal is opposite to that of the target at the point nearest to their centroid.

    Follows Palfinger 2022, "Continuous remeshing for inverse rendering". Degenerate faces have no normal and
    are not counted.

    Source: Palfinger 2022, the measure of flips.

    Args:
        mesh: The mesh to evaluate.
        target: The target surface, wound outwards, in the same frame and on the same device.

    Raises:
        InputError: A mesh is empty or broken.
    """
    mesh.check()
    mesh, target = in_one_frame(mesh, target)
    vertices = mesh.vertices.detach()
    found = SurfaceIndex(target).closest(mesh.corners().detach().mean(dim=1))
    there = face_normals(target.vertices.detach(), target.faces)[found.face]
    flipped = (face_normals(vertices, mesh.faces) * there).sum(dim=1) < 0
    areas = face_areas(vertices, mesh.faces).double()
    total = float(areas.sum())
    return FlippedFaces(int(flipped.sum()), float(areas[flipped].sum()) / total if total > 0 else 0.0)


@dataclass(frozen=True)
class MeshReport:
    """Properties of a mesh; lengths in its unit, angles in degrees.

    Attributes:
        vertices: Number of vertices that belong to faces.
        faces: Number of faces.
        components: Number of components connected by edges.
        euler_number: V - E + F: 2 for each closed component without handles, minus 2 for every handle and 1 for
            every boundary loop.
        boundary_edges: Number of edges with one face.
        watertight: Whether every edge has exactly two faces.
        manifold: Whether every edge has at most two faces and the faces of every vertex form one fan.
        consistently_wound: Whether neighbouring faces have the same orientation.
        self_intersecting_faces: Number of faces that intersect another face of the mesh.
        degenerate_faces: Number of degenerate faces, whose height is less than a millionth of their longest
            edge.
        edge_length_mean: Mean length of the edges.
        edge_length_std: Standard deviation of the lengths of the edges.
        edge_length_min: Length of the shortest edge.
        edge_length_max: Length of the longest edge.
        min_angle: Smallest corner angle of all faces; 60 is the largest possible value.
        mean_min_angle: Mean over the faces of their smallest angle.
        area: Area of the surface.
        volume: Enclosed volume, negative if the faces are oriented inwards; None unless watertight and
            consistently wound.
    """

    vertices: int
    faces: int
    components: int
    euler_number: int
    boundary_edges: int
    watertight: bool
    manifold: bool
    consistently_wound: bool
    self_intersecting_faces: int
    degenerate_faces: int
    edge_length_mean: float
    edge_length_std: float
    edge_length_min: float
    edge_length_max: float
    min_angle: float
    mean_min_angle: float
    area: float
    volume: float | None


def mesh_report(mesh: Mesh) -> MeshReport:
    """Measure a mesh; 100,000 faces take about a second.

    Raises:
        InputError: The mesh is empty, has coordinates that are not finite or faces out of range.
    """
    mesh.check()
    faces, vertices = mesh.faces, mesh.vertices.detach().double()
    labels = connected_components(faces, len(vertices))
    lengths = edge_lengths(vertices, unique_edges(faces))
    angles = _smallest_angles(vertices[faces])
    watertight, wound = is_watertight(faces), is_consistently_wound(faces)
    return MeshReport(
        vertices=len(torch.unique(faces)),
        faces=len(faces),
        components=len(torch.unique(labels[faces[:, 0]])),
        euler_number=euler_number(faces),
        boundary_edges=len(boundary_edges(faces)),
        watertight=watertight,
        manifold=is_manifold(faces, len(vertices)),
        consistently_wound=wound,
        self_intersecting_faces=int(self_intersections(mesh).sum()),
        degenerate_faces=int(_degenerate(vertices[faces]).sum()),
        edge_length_mean=float(lengths.mean()),
        edge_length_std=float(lengths.std(correction=0)),
        edge_length_min=float(lengths.min()),
        edge_length_max=float(lengths.max()),
        min_angle=float(angles.min()),
        mean_min_angle=float(angles.mean()),
        area=float(face_areas(vertices, faces).sum()),
        volume=_volume(vertices[faces]) if watertight and wound else None,
    )


def _degenerate(corners: Float[Tensor, "F 3 3"]) -> Bool[Tensor, "F"]:
    longest = (corners - corners.roll(1, dims=1)).norm(dim=2).amax(dim=1)
    twice_area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    return twice_area <= FLAT * longest.square()


def _smallest_angles(corners: Float[Tensor, "F 3 3"]) -> Float[Tensor, "F"]:
    """The smallest angle of each triangle in degrees; 0 where two corners coincide."""
    ahead, back = corners.roll(-1, dims=1) - corners, corners.roll(1, dims=1) - corners
    sine = torch.linalg.cross(ahead, back).norm(dim=2)
    return torch.atan2(sine, (ahead * back).sum(dim=2)).amin(dim=1).rad2deg()


def _volume(corners: Float[Tensor, "F 3 3"]) -> float:
    a, b, c = (corners - corners.mean(dim=(0, 1))).unbind(dim=1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)

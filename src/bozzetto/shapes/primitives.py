"""Simple meshes, counter-clockwise seen from outside, centred at the origin."""

from collections.abc import Sequence

import torch

from ..errors import InputError
from .mesh import Mesh


def icosahedron(radius: float = 1.0) -> Mesh:
    """The regular icosahedron (12 vertices, 20 faces) with its vertices on a sphere of this radius."""
    golden = (1 + 5**0.5) / 2
    # The corners of three golden rectangles: (0, ±1, ±golden) and its cyclic permutations.
    corners = [(0.0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    corners += [(a, b * golden, 0.0) for a in (-1, 1) for b in (-1, 1)]
    corners += [(b * golden, 0.0, a) for a in (-1, 1) for b in (-1, 1)]
    vertices = torch.tensor(corners, dtype=torch.float64)
    # Faces are the triples at mutual distance 2, turned so that they face outwards.
    near = (torch.cdist(vertices, vertices) - 2).abs() < 1e-6
    triples = torch.combinations(torch.arange(12), 3)
    i, j, k = triples.T
    faces = triples[near[i, j] & near[j, k] & near[i, k]]
    inward = torch.linalg.det(vertices[faces]) < 0
    faces[inward] = faces[inward].flip(1)
    return Mesh((vertices * (radius / (1 + golden**2) ** 0.5)).float(), faces)


def icosphere(subdivisions: int, radius: float = 1.0) -> Mesh:
    """A sphere of 20 * 4**subdivisions nearly equal triangles and 10 * 4**subdivisions + 2 vertices."""
    if not 0 <= subdivisions <= 10:
        raise InputError(f"icosphere takes 0 to 10 subdivisions, got {subdivisions}")
    coarse = icosahedron()
    vertices, faces = coarse.vertices.double(), coarse.faces
    for _ in range(subdivisions):
        vertices, faces = _split_in_four(vertices, faces)
        vertices = vertices / vertices.norm(dim=1, keepdim=True)
    return Mesh((vertices * radius).float(), faces)


def _split_in_four(vertices: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    edges = torch.stack([faces, faces.roll(-1, dims=1)], dim=-1).sort(dim=-1).values  # (F, 3, 2)
    unique, index = torch.unique(edges.reshape(-1, 2), dim=0, return_inverse=True)
    middle = index.reshape(-1, 3) + len(vertices)  # on the edge from corner k to corner k + 1
    a, b, c = faces.T
    ab, bc, ca = middle.T
    parts = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    refined = torch.stack([torch.stack(part, dim=1) for part in parts], dim=1).reshape(-1, 3)
    return torch.cat([vertices, vertices[unique].mean(dim=1)]), refined


def box(size: float | Sequence[float] = 1.0) -> Mesh:
    """An axis-aligned box of 8 vertices and 12 faces.

    Args:
        size: Edge length, or one per axis.
    """
    lengths = torch.as_tensor(size, dtype=torch.float32).expand(3)
    corners = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 3)  # index = 4 x + 2 y + z
    quads = torch.tensor([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return Mesh(corners * lengths, _triangles(quads))


def torus(major: float = 1.0, minor: float = 0.4, segments: int = 48, sides: int = 24) -> Mesh:
    """A torus around the z axis.

    Args:
        major: Distance from the axis to the middle of the tube.
        minor: Radius of the tube.
        segments: Number of segments around the axis.
        sides: Number of segments around the tube.
    """
    turn = torch.arange(segments) * (2 * torch.pi / segments)
    roll = torch.arange(sides) * (2 * torch.pi / sides)
    turn, roll = torch.meshgrid(turn, roll, indexing="ij")
    reach = major + minor * roll.cos()
    vertices = torch.stack([reach * turn.cos(), reach * turn.sin(), minor * roll.sin()], dim=-1)
    i, j = torch.meshgrid(torch.arange(segments), torch.arange(sides), indexing="ij")
    ahead, above = (i + 1) % segments, (j + 1) % sides
    corners = [(i, j), (ahead, j), (ahead, above), (i, above)]
    quads = torch.stack([a * sides + b for a, b in corners], dim=-1).reshape(-1, 4)
    return Mesh(vertices.reshape(-1, 3).float(), _triangles(quads))


def grid(rows: int, columns: int, size: float | Sequence[float] = 1.0) -> Mesh:
    """A flat rectangular grid of triangles in the plane z = 0, facing +z.

    Args:
        rows: Number of cells along y.
        columns: Number of cells along x.
        size: Edge length, or the lengths along x and y.
    """
    lengths = torch.as_tensor(size, dtype=torch.float32).expand(2)
    y, x = torch.meshgrid(
        torch.linspace(-0.5, 0.5, rows + 1), torch.linspace(-0.5, 0.5, columns + 1), indexing="ij"
    )
    vertices = torch.stack([x * lengths[0], y * lengths[1], torch.zeros_like(x)], dim=-1).reshape(-1, 3)
    i, j = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    first = i * (columns + 1) + j
    quads = torch.stack([first, first + 1, first + columns + 2, first + columns + 1], dim=-1)
    return Mesh(vertices, _triangles(quads.reshape(-1, 4)))


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one, in order; nothing is merged. Colours are kept if every mesh has them.

    The result has the offset of the first mesh.
    """
    meshes = [mesh.with_offset(meshes[0].offset) for mesh in meshes]
    starts = torch.tensor([0] + [len(m.vertices) for m in meshes]).cumsum(0).tolist()
    colors = [m.colors for m in meshes if m.colors is not None]
    return Mesh(
        torch.cat([m.vertices for m in meshes]),
        torch.cat([m.faces + start for m, start in zip(meshes, starts, strict=False)]),
        torch.cat(colors) if len(colors) == len(meshes) else None,
        meshes[0].offset,
    )


def _triangles(quads: torch.Tensor) -> torch.Tensor:
    return torch.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], dim=1).reshape(-1, 3)

"""Invented machined parts: prisms, gears, plates with holes, turned parts, stepped blocks, chamfered blocks.

All are closed, manifold, with sharp edges; some coarse, some finely and some unevenly triangulated.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from bozzetto import Mesh
from bozzetto.geometry import is_manifold, is_watertight, merge_vertices
from bozzetto.shapes.polygons import Polygons, triangulated


def machined_parts(count: int, seed: int = 0) -> dict[str, Mesh]:
    """This many parts by name, of all kinds in turn."""
    parts = {}
    for number in range(count):
        random = np.random.default_rng([seed, number])
        kind = KINDS[number % len(KINDS)]
        mesh = kind(random)
        for _ in range(int(random.integers(0, 3))):
            mesh = unevenly_refined(mesh, random)
        turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
        turn = turn * np.sign(np.linalg.det(turn))
        vertices = (mesh.vertices.double().numpy() * 10 ** random.uniform(-2, 2)) @ turn.T
        parts[f"{number:03d} {kind.__name__}"] = Mesh(torch.from_numpy(vertices).float(), mesh.faces)
    return parts


def extruded(outline: NDArray, height: float) -> Mesh:
    """A polygon (N, 2), counter-clockwise, as the base of a prism."""
    count = len(outline)
    flat = np.column_stack([outline, np.zeros(count)])
    top = triangulated(flat, Polygons(np.arange(count), np.array([count])), [])
    around = np.arange(count)
    after = (around + 1) % count
    walls = [
        np.stack(t, 1) for t in ((around, after, count + after), (around, count + after, count + around))
    ]
    faces = np.concatenate([top[:, ::-1], top + count, *walls])
    return as_mesh(np.concatenate([flat, flat + [0, 0, height]]), faces)


def revolved(profile: NDArray, segments: int, closed: bool) -> Mesh:
    """A profile (N, 2) of (radius, height) turned about the z axis.

    Counter-clockwise in the (radius, height) plane; closed, or from the axis to the axis.
    """
    turn = np.arange(segments) * (2 * np.pi / segments)
    rings = np.stack(
        [
            profile[:, :1] * np.cos(turn),
            profile[:, :1] * np.sin(turn),
            np.repeat(profile[:, 1:], segments, 1),
        ],
        axis=2,
    )
    count = len(profile)
    i, j = np.meshgrid(np.arange(count if closed else count - 1), np.arange(segments), indexing="ij")
    up, ahead = (i + 1) % count, (j + 1) % segments
    a, b, c, d = (x * segments + y for x, y in ((i, j), (i, ahead), (up, ahead), (up, j)))
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    mesh, _ = merge_vertices(Mesh(torch.from_numpy(rings.reshape(-1, 3)).float(), torch.from_numpy(faces)))
    whole = (mesh.faces != mesh.faces.roll(1, dims=1)).all(dim=1)
    return Mesh(mesh.vertices, mesh.faces[whole])


def prism(random: np.random.Generator) -> Mesh:
    """A regular prism of 3 to 40 sides."""
    sides = int(random.integers(3, 41))
    return extruded(regular(sides), random.uniform(0.1, 4))


def gear(random: np.random.Generator) -> Mesh:
    """A gear wheel without a hole."""
    teeth = int(random.integers(6, 30))
    turn = (np.arange(4 * teeth) + np.tile([0.1, 0, 0, -0.1], teeth)) * (2 * np.pi / (4 * teeth))
    radius = np.where(np.arange(4 * teeth) % 4 < 2, 1.0, 1 + random.uniform(0.1, 0.3))
    return extruded(radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1), random.uniform(0.1, 1))


def bracket(random: np.random.Generator) -> Mesh:
    """A rail with the section of an L, T, U or H."""
    t = random.uniform(0.1, 0.3)
    left, right = 0.5 - t / 2, 0.5 + t / 2
    stem = [(left, 0), (right, 0), (right, 1 - t), (1, 1 - t), (1, 1), (0, 1), (0, 1 - t), (left, 1 - t)]
    lower = [(0, 0), (t, 0), (t, 0.4), (1 - t, 0.4), (1 - t, 0), (1, 0)]
    upper = [(1, 1), (1 - t, 1), (1 - t, 0.4 + t), (t, 0.4 + t), (t, 1), (0, 1)]
    sections = [
        [(0, 0), (1, 0), (1, t), (t, t), (t, 1), (0, 1)],
        stem,
        [(0, 0), (1, 0), (1, 1), (1 - t, 1), (1 - t, t), (t, t), (t, 1), (0, 1)],
        lower + upper,
    ]
    return extruded(np.array(sections[random.integers(4)]), random.uniform(0.3, 3))


def plate(random: np.random.Generator) -> Mesh:
    """A regular plate of 3 to 8 sides with a round hole."""
    sides, steps = int(random.integers(3, 9)), int(random.integers(2, 25))
    turn = np.arange(sides * steps) * (2 * np.pi / (sides * steps))
    within = np.mod(turn, 2 * np.pi / sides) - np.pi / sides
    outer = np.cos(np.pi / sides) / np.cos(within)
    hole = random.uniform(0.1, 0.8) * np.cos(np.pi / sides)
    height = random.uniform(0.05, 1)
    circle = np.stack([np.cos(turn), np.sin(turn)], 1)
    rings = [
        (hole * circle, 0),
        (outer[:, None] * circle, 0),
        (outer[:, None] * circle, height),
        (hole * circle, height),
    ]
    vertices = np.concatenate([np.column_stack([xy, np.full(len(xy), z)]) for xy, z in rings])
    count = len(turn)
    ring, step = np.meshgrid(np.arange(4), np.arange(count), indexing="ij")
    up, ahead = (ring + 1) % 4, (step + 1) % count
    a, b, c, d = (x * count + y for x, y in ((ring, step), (ring, ahead), (up, ahead), (up, step)))
    return as_mesh(vertices, np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]))


def turned(random: np.random.Generator) -> Mesh:
    """A turned part with steps, chamfers and roundings, solid or with a bore."""
    segments = int(random.integers(12, 97))
    heights = np.concatenate([[0], np.sort(random.uniform(0.1, 2, int(random.integers(1, 4)))), [2.2]])
    radii = random.uniform(0.4, 1, len(heights) - 1)
    outside = [
        p
        for r, low, high in zip(radii, heights[:-1], heights[1:], strict=True)
        for p in ((r, low), (r, high))
    ]
    finish = random.integers(3)
    if finish == 1:  # a chamfer at the top
        r, z = outside[-1]
        outside[-1:] = [(r, z - 0.08), (r - 0.08, z)]
    elif finish == 2:  # a rounding at the top
        r, z = outside[-1]
        s = np.linspace(0, np.pi / 2, int(random.integers(4, 12)))
        outside[-1:] = [(r - 0.15 + 0.15 * np.cos(x), z - 0.15 + 0.15 * np.sin(x)) for x in s]
    if random.uniform() < 0.5:
        bore = random.uniform(0.1, 0.3)
        return revolved(np.array([(bore, 0), *outside, (bore, 2.2)]), segments, True)
    return revolved(np.array([(0, 0), *outside, (0, 2.2)]), segments, False)


def cone(random: np.random.Generator) -> Mesh:
    """A cone, or a frustum."""
    top = random.uniform(0.1, 0.8) if random.uniform() < 0.5 else 0.0
    height = random.uniform(0.3, 3)
    profile = [(0, 0), (1, 0), (top, height)] + ([(0, height)] if top else [])
    return revolved(np.array(profile), int(random.integers(5, 129)), False)


def stepped(random: np.random.Generator) -> Mesh:
    """Blocks of unequal sizes on a grid, joined."""
    while True:
        shape = tuple(random.integers(1, 4, 3))
        full = np.pad(random.uniform(size=shape) < 0.7, 1)
        lines = [np.concatenate([[0], np.cumsum(random.uniform(0.1, 1, n + 2))]) for n in shape]
        quads = []
        for axis in range(3):
            for sign in (1, -1):
                i, j, k = np.nonzero(full & ~np.roll(full, -sign, axis))
                corner = np.stack([i, j, k], 1)
                corner[:, axis] += sign > 0
                u, v = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
                quad = np.stack([corner, corner + u, corner + u + v, corner + v], 1)
                quads.append(quad if sign > 0 else quad[:, ::-1])
        quads = np.concatenate(quads)
        if len(quads) == 0:
            continue
        places = np.stack([lines[axis][quads[..., axis]] for axis in range(3)], -1).reshape(-1, 3)
        index = np.arange(len(places)).reshape(-1, 4)
        faces = np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])
        mesh, _ = merge_vertices(Mesh(torch.from_numpy(places).float(), torch.from_numpy(faces)))
        if is_watertight(mesh.faces) and is_manifold(mesh.faces, len(mesh.vertices)):
            return mesh


def chamfered(random: np.random.Generator) -> Mesh:
    """A box with chamfered edges: a convex polytope of 26 sides."""
    size, cut = random.uniform(0.3, 2, 3), random.uniform(0.03, 0.12)
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    points = np.concatenate([signs * (size - cut * (1 - np.eye(3)[axis])) for axis in range(3)])
    hull = ConvexHull(points)
    faces = hull.simplices.astype(np.int64)
    a, b, c = points[faces].transpose(1, 0, 2)
    inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return as_mesh(points, faces)


KINDS: list[Callable[[np.random.Generator], Mesh]] = [
    prism,
    gear,
    bracket,
    plate,
    turned,
    cone,
    stepped,
    chamfered,
]


def regular(sides: int) -> NDArray:
    """(N, 2) the corners of a regular polygon of radius 1."""
    turn = np.arange(sides) * (2 * math.pi / sides)
    return np.stack([np.cos(turn), np.sin(turn)], 1)


def unevenly_refined(mesh: Mesh, random: np.random.Generator) -> Mesh:
    """Some edges of a mesh split somewhere in their middle third; the shape is the same."""
    vertices, faces = mesh.vertices.double().numpy(), mesh.faces.numpy()
    for _ in range(3):
        sides = np.stack([faces, np.roll(faces, -1, 1)], -1).reshape(-1, 2)
        length = np.linalg.norm(vertices[sides[:, 0]] - vertices[sides[:, 1]], axis=1)
        key = np.sort(sides, 1) @ [len(vertices), 1]
        # Each face may split its longest edge, if the face beyond agrees.
        longest = np.arange(len(faces)) * 3 + length.reshape(-1, 3).argmax(1)
        key_long, first = key[longest], np.argsort(key[longest], kind="stable")
        same = np.flatnonzero(key_long[first][1:] == key_long[first][:-1])
        same = same[random.uniform(size=len(same)) < 0.7]
        f, g = first[same], first[same + 1]
        middles, kept, added = [], np.ones(len(faces), bool), []
        for one, two in zip(f, g, strict=True):
            a, b = sides[longest[one]]
            s = random.uniform(0.35, 0.65)
            m = len(vertices) + len(middles)
            middles.append((1 - s) * vertices[a] + s * vertices[b])
            for face in (one, two):
                kept[face] = False
                k = longest[face] % 3
                p, q, r = np.roll(faces[face], -k)
                added += [(p, m, r), (m, q, r)]
        if middles:
            vertices = np.concatenate([vertices, middles])
            faces = np.concatenate([faces[kept], np.array(added)])
    return as_mesh(vertices, faces)


def as_mesh(vertices: NDArray, faces: NDArray) -> Mesh:
    """A mesh of arrays."""
    return Mesh(
        torch.from_numpy(vertices).float(), torch.from_numpy(np.ascontiguousarray(faces).astype(np.int64))
    )

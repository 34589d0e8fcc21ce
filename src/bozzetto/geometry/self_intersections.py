"""Faces of a mesh that pass through each other."""

import torch
import warp as wp
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ..shapes import Mesh
from .launch import in_parts, launch, stream
from .self_intersection_kernels import intersecting_pairs
from .topology import boundary_edges, unique_edges


def self_intersections(mesh: Mesh) -> Bool[Tensor, "F"]:
    """Which faces intersect another face of the same mesh; see `intersecting_faces` for what counts.

    Raises:
        InputError: The mesh is empty, has coordinates that are not finite or faces out of range.
    """
    flags = torch.zeros(len(mesh.faces), dtype=torch.bool, device=mesh.faces.device)
    flags[intersecting_faces(mesh).flatten()] = True
    return flags


def intersecting_faces(mesh: Mesh) -> Int64[Tensor, "N 2"]:
    """All pairs of faces that intersect.

    Two faces without a common corner, or with one, intersect if they share a segment of positive length, or
    an area where they are coplanar; faces that share an edge intersect if they are folded onto each other;
    faces with the same three corners always do. Touching in a point is no intersection, and a face without
    area intersects nothing. Corners at the same position count as common, so seams are no intersections.

    Candidates come from a bounding volume hierarchy, the decision from the interval test of Moller 1997 ("A
    fast triangle-triangle intersection test") in double precision.

    Source: Moller 1997, the interval test.

    Args:
        mesh: Any triangles.

    Returns:
        Face indices, the smaller one first, sorted.

    Raises:
        InputError: The mesh is empty, has coordinates that are not finite or faces out of range.
    """
    mesh.check()
    positions, position = torch.unique(mesh.vertices.detach(), dim=0, return_inverse=True)
    pairs = CrossingSearch(positions, position[mesh.faces]).pairs(positions)
    return pairs[(pairs[:, 0] * len(mesh.faces) + pairs[:, 1]).argsort()]


class CrossingSearch:
    """Finds pairs of faces that intersect, again and again while vertices move.

    The bounding volume hierarchy is built once and refitted, which takes a twentieth of the time.

    Args:
        vertices: Positions to begin with.
        faces: Triangles. Corners count as common if they are the same vertex, other than in
            `intersecting_faces`.

    Attributes:
        ignored: Faces whose intersections with each other are not reported; none at the start.
    """

    def __init__(self, vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]) -> None:
        self.faces: Tensor = faces.contiguous()
        self.ignored: Tensor = torch.zeros(len(faces), dtype=torch.bool, device=faces.device)
        self._lower, self._upper = self._boxes(vertices, self.faces)
        with stream(faces.device):
            low, high = (wp.from_torch(x, dtype=wp.vec3) for x in (self._lower, self._upper))
            self._bvh = wp.Bvh(low, high)

    @staticmethod
    def _boxes(
        vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]
    ) -> tuple[Float[Tensor, "F 3"], Float[Tensor, "F 3"]]:
        corners = vertices[faces]
        return corners.amin(dim=1).contiguous(), corners.amax(dim=1).contiguous()

    def pairs(
        self, vertices: Float[Tensor, "V 3"], moved: Int64[Tensor, " M"] | None = None
    ) -> Int64[Tensor, "N 2"]:
        """Pairs of faces that intersect.

        Args:
            vertices: Positions now.
            moved: Faces with other positions than at the call before; None: all may be others.

        Returns:
            Each pair once, or the pairs with a moved face, which comes first.
        """
        vertices, every = vertices.detach().contiguous(), moved is not None
        chosen = torch.arange(len(self.faces), device=vertices.device) if moved is None else moved
        self._lower[chosen], self._upper[chosen] = self._boxes(vertices, self.faces[chosen])
        with stream(vertices.device):
            self._bvh.refit()

        def search(chosen: Tensor, offset: Tensor, count: Tensor, pairs: Tensor) -> None:
            def run(_: int, start: int, stop: int) -> None:
                own = [chosen[start:stop], every, *(x[start:stop] for x in (offset, count))]
                scene = [self._bvh.id, self._lower, self._upper, vertices, self.faces]
                launch(intersecting_pairs, stop - start, [*scene, *own, pairs], vertices.device)

            in_parts(run, len(chosen), vertices.device)

        def empty(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.int64, device=vertices.device)

        count = empty(len(chosen))
        search(chosen, empty(0), count, empty(0, 2))
        chosen, count = chosen[count > 0], count[count > 0]
        pairs = empty(int(count.sum()), 2)
        if len(chosen):
            search(chosen, torch.cumsum(count, dim=0) - count, empty(len(chosen)), pairs)
        return pairs[~self.ignored[pairs].all(dim=1)]


HALVINGS, TURNS = 12, 30
"""Times that the way of a crossing part is halved before it stays where it was; and searches, at most."""
SMOOTHINGS = 30
"""Times that a crossing part is smoothed, at most."""


def without_crossings(
    start: Float[Tensor, "V 3"], end: Float[Tensor, "V 3"], search: CrossingSearch
) -> tuple[Float[Tensor, "V 3"], int]:
    """Move vertices towards an end as far as no faces cross there.

    Where faces cross, the way of their corners, and of more and more rings of vertices around them, is halved
    until none do. Other vertices reach the end.

    Args:
        start: Positions at which no faces cross.
        end: Wanted positions.
        search: Of these faces.

    Returns:
        Positions at which no faces cross, the start at worst, and how many vertices did not reach the end.
    """
    faces, crossing = search.faces, search.pairs(end)
    if len(crossing) == 0:
        return end, 0
    halved = torch.zeros_like(end[:, 0], dtype=torch.int64)
    for turn in range(TURNS):
        held = _around(crossing, faces, len(end), 1 + turn // 2)
        halved[held] += 1
        fraction = torch.where(halved < HALVINGS, 0.5**halved, 0.0)
        found = start + fraction[:, None] * (end - start)
        crossing = search.pairs(found, torch.nonzero(held[faces].any(dim=1))[:, 0])
        if len(crossing) == 0:
            return found, int((halved > 0).sum())
    return start, len(start)


def untangle(mesh: Mesh) -> Mesh:
    """Smooth the parts of a surface where faces cross until none do.

    Corners of crossing faces, with more and more rings of vertices around them, go to the mean of their
    neighbours (umbrella operator). This opens folds and thin parts whose two sides crossed a little. Parts that
    have passed through each other stay as they are, see `resurface`, and so do boundaries. Vertices at the same
    position count as one, so seams stay closed.

    Args:
        mesh: Triangles.

    Returns:
        The mesh with fewer crossing faces, if possible none, or the mesh itself.
    """
    start, position = torch.unique(mesh.vertices.detach(), dim=0, return_inverse=True)
    faces = position[mesh.faces]
    search = CrossingSearch(start, faces)
    crossing = search.pairs(start)
    count = len(crossing)
    if count == 0:
        return mesh
    edges = unique_edges(faces)
    fixed = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    fixed[boundary_edges(faces).flatten()] = True
    ends, others = torch.cat([edges, edges.flip(1)]).unbind(dim=1)
    valence = torch.bincount(ends, minlength=len(start)).clamp(min=1)[:, None].to(start)
    vertices = start
    for turn in range(SMOOTHINGS):
        held = _around(crossing, faces, len(start), 1 + turn // 5) & ~fixed
        mean = torch.zeros_like(start).index_add_(0, ends, vertices[others]) / valence
        vertices = torch.where(held[:, None], mean, vertices)
        crossing = search.pairs(vertices, torch.nonzero(held[faces].any(dim=1))[:, 0])
        if len(crossing) == 0:
            return mesh.with_vertices(vertices[position])
    helpless = _around(crossing, faces, len(start), 2 + SMOOTHINGS // 5)
    vertices = torch.where(helpless[:, None], start, vertices)
    return mesh.with_vertices(vertices[position]) if len(search.pairs(vertices)) < count else mesh


def _around(
    pairs: Int64[Tensor, "N 2"], faces: Int64[Tensor, "F 3"], count: int, rings: int
) -> Bool[Tensor, " V"]:
    """Corners of the faces of pairs, and rings of vertices around them."""
    found = torch.zeros(count, dtype=torch.bool, device=faces.device)
    found[faces[pairs.flatten()].flatten()] = True
    for _ in range(rings):
        found[faces[found[faces].any(dim=1)].flatten()] = True
    return found

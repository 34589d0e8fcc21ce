"""What a batch of cameras sees of a mesh: the visible triangle of every pixel, listed for covered pixels."""

from functools import cached_property
from weakref import ref

import torch
from jaxtyping import Float, Int, Int32, Int64, UInt8
from torch import Tensor

from ..cameras import Cameras
from ..geometry import connected_components, face_neighbours
from ..values import value_type


class Topology:
    """Triangles, and which of them meet at their edges.

    Attributes:
        faces: Vertex indices.
    """

    def __init__(self, faces: Int[Tensor, "F 3"]) -> None:
        self.faces: Int32[Tensor, "F 3"] = faces.to(torch.int32).contiguous()

    @cached_property
    def neighbours(self) -> Int32[Tensor, "F 3"]:
        """The triangle across the edge (corner k, corner k + 1), or -1.

        A neighbour n that winds the other way is stored as -2 - n: what one shows as its outside, the other
        shows as its inside.
        """
        neighbours = face_neighbours(self.faces.long())
        start, end = self.faces, self.faces.roll(-1, dims=1)
        theirs = self.faces[neighbours.clamp(min=0).long()]  # (F, 3 edges, 3 corners)
        same_direction = (theirs == start[..., None]) & (theirs.roll(-1, dims=2) == end[..., None])
        flipped = (neighbours >= 0) & same_direction.any(dim=2)
        return torch.where(flipped, -2 - neighbours, neighbours).contiguous()

    @cached_property
    def component(self) -> Int32[Tensor, " F"]:
        """Connected component of every triangle; empty if all belong to one."""
        faces = self.faces.long()
        count = int(faces.max()) + 1 if len(faces) else 0
        labels = connected_components(faces, count)[faces[:, 0]].to(torch.int32)
        several = len(labels) > 0 and bool((labels != labels[0]).any())
        return labels.contiguous() if several else labels[:0]

    @cached_property
    def has_boundary(self) -> bool:
        """Whether some edge has a triangle on one side only, or triangles of opposite winding."""
        return bool((self.neighbours < 0).any())


_recent: list[tuple[ref, int, Topology]] = []


def topology_of(faces: Int[Tensor, "F 3"]) -> Topology:
    """The connectivity of these faces; the last few are remembered as long as their tensor is unchanged."""
    _recent[:] = [entry for entry in _recent if entry[0]() is not None][-8:]
    for tensor, version, topology in _recent:
        if tensor() is faces and version == faces._version:
            return topology
    topology = Topology(faces)
    _recent.append((ref(faces), faces._version, topology))
    return topology


@value_type
class Fragments:
    """The visible surface of a mesh in N views, one row per covered pixel.

    Everything after rasterisation works on rows of covered pixels, so its cost follows the object and not the
    image. Rows are sorted by `pixel`. `antialias` makes images of them again.

    Attributes:
        triangle: Visible triangle of every pixel, -1 where there is none.
        pixel: Flat index view * height * width + y * width + x of every covered pixel.
        face: Its triangle.
        barycentric: Perspective-correct barycentric coordinates of the pixel centre in that triangle;
            differentiable with respect to the vertices.
        depth: Camera-space depth of the surface there, in world units; differentiable likewise.
        row_start: Rows row_start[r] to row_start[r + 1] belong to image row r = view * height + y.
        flags: Per view and triangle, bit 0: it shows its outside; bit 1: it covers eight or more pixel centres.
        vertices: World positions that were rasterised.
        topology: Their triangles and how they hang together.
        cameras: The views.
        matrices: The views as the kernels use them, see `camera_matrices`.
    """

    triangle: Int32[Tensor, "N H W"]
    pixel: Int64[Tensor, " P"]
    face: Int64[Tensor, " P"]
    barycentric: Float[Tensor, "P 3"]
    depth: Float[Tensor, " P"]
    row_start: Int32[Tensor, " R"]
    flags: UInt8[Tensor, "N F"]
    vertices: Float[Tensor, "V 3"]
    topology: Topology
    cameras: Cameras
    matrices: Float[Tensor, "N 4 4"]

    def __len__(self) -> int:
        """Number of covered pixels P."""
        return len(self.pixel)

    @property
    def faces(self) -> Int32[Tensor, "F 3"]:
        """The triangles that were rasterised."""
        return self.topology.faces

    @property
    def view(self) -> Int64[Tensor, " P"]:
        """Index of the view that every row belongs to."""
        return self.pixel // (self.cameras.width * self.cameras.height)

    @property
    def centers(self) -> Float[Tensor, "P 2"]:
        """Pixel centre (u, v) of every row, in pixels."""
        width, height = self.cameras.width, self.cameras.height
        return torch.stack([self.pixel % width, self.pixel // width % height], dim=1) + 0.5

    @property
    def covered(self) -> Float[Tensor, "N H W"]:
        """1 where a pixel centre sees the mesh, 0 elsewhere (not antialiased, not differentiable)."""
        return (self.triangle >= 0).to(torch.float32)


def camera_matrices(cameras: Cameras, device: torch.device) -> Float[Tensor, "N 4 4"]:
    """Cameras as the kernels use them: rows X, Y, W, Z with pixel (X.x / W.x, Y.x / W.x) and depth Z.x."""
    T, K = cameras.T_cam_world.to(torch.float64), cameras.K.to(torch.float64)
    if cameras.orthographic:
        W = T.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(cameras), 1, 4)
        plane = torch.cat([T[:, :2], W], dim=1)
    else:
        plane = T[:, :3]
    return torch.cat([K @ plane, T[:, 2:3]], dim=1).to(device, torch.float32).contiguous()


@value_type
class Picture:
    """Images of N views as rows of drawn pixels on a known background.

    Most pixels of most pictures show the background. Losses that know this (`ImageLoss`) cost what the drawn
    pixels cost; `images` makes dense images for everything else.

    Attributes:
        values: Colours of the drawn pixels, differentiable.
        pixel: Their flat indices view * height * width + y * width + x, each at most once.
        background: One colour, or images.
        shape: Views, height, width and channels.
    """

    values: Float[Tensor, "Q C"]
    pixel: Int64[Tensor, " Q"]
    background: Float[Tensor, " C"] | Float[Tensor, "N H W C"]
    shape: tuple[int, int, int, int]

    def images(self) -> Float[Tensor, "N H W C"]:
        """The dense images, differentiable with respect to the colours and the background."""
        rows = self.background.expand(self.shape).reshape(-1, self.shape[3])
        return rows.index_copy(0, self.pixel, self.values).view(self.shape)

"""What a batch of cameras sees of a mesh: the visible triangle of every pixel, listed for covered pixels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int32, Int64, UInt8
from torch import Tensor

from ..cameras import Cameras
from .topology import Topology


@dataclass(frozen=True)
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

"""Cameras: where a picture was taken from and how the world lands on its pixels."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class Cameras:
    """A batch of N cameras with one image size.

    Camera axes are OpenCV's: +X right, +Y down, +Z forward. Pixel (column i, row j) covers
    [i, i+1) x [j, j+1): its centre is at (i + 0.5, j + 0.5).

    Attributes:
        T_cam_world: World-to-camera rigid transforms, float64.
        K: Intrinsics in pixels, float64, last row (0, 0, 1). Perspective: pixel = K (x/z, y/z, 1).
            Orthographic: pixel = K (x, y, 1), so the focal lengths are pixels per world unit.
        width: Image width in pixels.
        height: Image height in pixels.
        orthographic: Parallel instead of central projection, for all cameras of the batch.
        near: Camera-space depth, in world units, in front of which nothing is seen.
    """

    T_cam_world: Float[Tensor, "N 4 4"]
    K: Float[Tensor, "N 3 3"]
    width: int
    height: int
    orthographic: bool = False
    near: float = 1e-6

    def __post_init__(self) -> None:
        count = len(self.T_cam_world)
        if self.T_cam_world.shape != (count, 4, 4) or self.K.shape != (count, 3, 3):
            raise InputError(
                "cameras need T_cam_world of shape (N, 4, 4) and K of shape (N, 3, 3), "
                f"got {tuple(self.T_cam_world.shape)} and {tuple(self.K.shape)}"
            )
        if self.width < 1 or self.height < 1:
            raise InputError(f"cameras need a positive image size, got {self.width} x {self.height}")

    def __len__(self) -> int:
        return len(self.T_cam_world)

    def __getitem__(self, index: slice | list[int] | Tensor) -> "Cameras":
        """The cameras at these positions, as a batch."""
        return replace(self, T_cam_world=self.T_cam_world[index], K=self.K[index])

    @property
    def centers(self) -> Float[Tensor, "N 3"]:
        """Camera positions in the world (for orthographic cameras a point on the image plane z = 0)."""
        rotation, translation = self.T_cam_world[:, :3, :3], self.T_cam_world[:, :3, 3]
        return -torch.einsum("nij,ni->nj", rotation, translation)

    @property
    def forward(self) -> Float[Tensor, "N 3"]:
        """Unit viewing directions in the world."""
        return self.T_cam_world[:, 2, :3]

    def project(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "N P 3"]:
        """Pixel coordinates and camera-space depth (u, v, z) of world points in every camera.

        Points behind a perspective camera get meaningless u and v; their depth is not positive.
        """
        points = points.to(self.T_cam_world)
        rotation, translation = self.T_cam_world[:, :3, :3], self.T_cam_world[:, :3, 3]
        local = torch.einsum("nij,pj->npi", rotation, points) + translation[:, None]
        depth = local[..., 2:]
        plane = local[..., :2] if self.orthographic else local[..., :2] / depth
        pixels = torch.einsum("nij,npj->npi", self.K[:, :2, :2], plane) + self.K[:, None, :2, 2]
        return torch.cat([pixels, depth], dim=-1)

    def resized(self, width: int, height: int) -> "Cameras":
        """The same cameras on a pixel grid of another size (the picture is stretched to it)."""
        scale = torch.tensor([width / self.width, height / self.height, 1.0]).to(self.K)
        return replace(self, K=self.K * scale[:, None], width=width, height=height)

    def to(self, device: torch.device | str) -> "Cameras":
        """The cameras on another device."""
        return replace(self, T_cam_world=self.T_cam_world.to(device), K=self.K.to(device))

"""Cameras: poses and intrinsics of pictures, projection and rays."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..values import value_type


@value_type
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
        orthographic: Whether all cameras of the batch are orthographic instead of perspective.
        near: Near plane: camera-space depth, in world units, below which nothing is visible.
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

    def unproject(self, pixels: Float[Tensor, "N P 3"]) -> Float[Tensor, "N P 3"]:
        """World points of pixel coordinates and depths (u, v, z) in every camera: the inverse of `project`."""
        pixels = pixels.to(self.T_cam_world)
        offset = pixels[..., :2] - self.K[:, None, :2, 2]
        plane = torch.einsum("nij,npj->npi", torch.linalg.inv(self.K[:, :2, :2]), offset)
        depth = pixels[..., 2:]
        local = torch.cat([plane if self.orthographic else plane * depth, depth], dim=-1)
        rotation, translation = self.T_cam_world[:, :3, :3], self.T_cam_world[:, :3, 3]
        return torch.einsum("nij,npi->npj", rotation, local - translation[:, None])

    def rays_through(
        self, pixels: Float[Tensor, "N P 2"]
    ) -> tuple[Float[Tensor, "N P 3"], Float[Tensor, "N P 3"]]:
        """Origins and unit directions, in the world, of the rays through pixel coordinates (u, v).

        Perspective rays start at the camera centre, orthographic ones on the camera's plane z = 0.
        """
        depth = torch.ones_like(pixels[..., :1])
        ahead = self.unproject(torch.cat([pixels, depth], dim=-1))
        if self.orthographic:
            direction = self.forward[:, None].expand_as(ahead)
            return ahead - direction, direction
        origin = self.centers[:, None].expand_as(ahead)
        return origin, torch.nn.functional.normalize(ahead - origin, dim=-1)

    def rays(self) -> tuple[Float[Tensor, "N H W 3"], Float[Tensor, "N H W 3"]]:
        """Origins and unit directions, in the world, of the rays through all pixel centres."""
        u = torch.arange(self.width, dtype=torch.float64, device=self.K.device) + 0.5
        v = torch.arange(self.height, dtype=torch.float64, device=self.K.device) + 0.5
        centers = torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1).reshape(1, -1, 2)
        origin, direction = self.rays_through(centers.expand(len(self), -1, -1))
        shape = (len(self), self.height, self.width, 3)
        return origin.reshape(shape), direction.reshape(shape)

    def check(self, names: Sequence[str] | None = None) -> "Cameras":
        """Check that every camera is valid, and return the cameras.

        Args:
            names: Names of the views in messages, for instance their file names.

        Raises:
            InputError: There are no cameras, or a view has NaN, a pose that is not a rigid transform, or
                singular intrinsics; the message names the first such view.
        """
        if len(self) == 0:
            raise InputError("there are no cameras; a capture needs at least one view with a camera")
        names = names or [f"view {i}" for i in range(len(self))]
        for name, pose, K in zip(names, self.T_cam_world.cpu(), self.K.cpu(), strict=True):
            _check_pose(name, pose)
            _check_intrinsics(name, K)
        return self

    def resized(self, width: int, height: int) -> "Cameras":
        """The same cameras on a pixel grid of another size (the picture is stretched to it)."""
        scale = torch.tensor([width / self.width, height / self.height, 1.0]).to(self.K)
        return replace(self, K=self.K * scale[:, None], width=width, height=height)

    def cropped(self, left: int, top: int, width: int, height: int) -> "Cameras":
        """The same cameras for a rectangular part of their pictures, in pixels."""
        K = self.K.clone()
        K[:, 0, 2] -= left
        K[:, 1, 2] -= top
        return replace(self, K=K, width=width, height=height)

    def relative_to(self, offset: tuple[float, float, float]) -> "Cameras":
        """The same views of a world whose coordinates are relative to an offset, see `Mesh`."""
        shift = torch.tensor(offset, dtype=torch.float64).to(self.T_cam_world)
        pose = self.T_cam_world.clone()
        pose[:, :3, 3] += pose[:, :3, :3] @ shift
        return replace(self, T_cam_world=pose)

    def to(self, device: torch.device | str) -> "Cameras":
        """The cameras on another device."""
        return replace(self, T_cam_world=self.T_cam_world.to(device), K=self.K.to(device))


def doubtful_intrinsics(cameras: Cameras) -> list[str]:
    """Implausible properties of intrinsics, as questions to the user.

    A principal point in the outer tenth of the picture suggests intrinsics for another picture size, and a
    field of view outside of (1, 170) degrees suggests a focal length in another unit. Both also occur in valid
    captures, so they are not errors.
    """
    size = cameras.K.new_tensor([cameras.width, cameras.height])
    u, v = (cameras.K[:, :2, 2] / size).median(dim=0).values.tolist()
    doubts = []
    if not (0.1 < u < 0.9 and 0.1 < v < 0.9):
        doubts.append(
            "are the intrinsics for pictures of another size (the principal point is at "
            f"{u * cameras.width:.0f}, {v * cameras.height:.0f} of {cameras.width} x {cameras.height} pixels)"
        )
    angle = 2 * math.degrees(math.atan(float((cameras.width / 2 / cameras.K[:, 0, 0].abs()).median())))
    if not cameras.orthographic and not 1 < angle < 170:
        doubts.append(f"is the focal length in pixels (it means a field of view of {angle:.2g} degrees)")
    return doubts


def _check_pose(name: str, T_cam_world: Float[Tensor, "4 4"]) -> None:
    if not bool(torch.isfinite(T_cam_world).all()):
        raise InputError(f"the camera of {name} has NaN or infinite numbers in its pose; calibrate it again")
    rotation, last = T_cam_world[:3, :3], T_cam_world[3]
    error = float((rotation @ rotation.T - torch.eye(3).to(rotation)).abs().max())
    if error > 1e-3:
        raise InputError(
            f"the pose of {name} is no rotation and shift: R R^T is {error:.2g} away from the identity; "
            "remove scale and shear from the matrix"
        )
    if float(torch.linalg.det(rotation)) < 0 or not torch.equal(last, last.new_tensor([0.0, 0, 0, 1])):
        raise InputError(
            f"the pose of {name} is mirrored or its last row is not 0 0 0 1; "
            "give a right-handed rigid transform"
        )


def _check_intrinsics(name: str, K: Float[Tensor, "3 3"]) -> None:
    scale = float(K[:2, :2].abs().max())
    determinant = float(K[0, 0] * K[1, 1] - K[0, 1] * K[1, 0])
    finite = bool(torch.isfinite(K).all())
    if (
        not finite
        or not abs(determinant) > 1e-9 * scale**2
        or not torch.equal(K[2], K.new_tensor([0.0, 0, 1]))
    ):
        raise InputError(
            f"the intrinsics of {name} are singular or not finite: {K.tolist()}; "
            "expected non-zero focal lengths in pixels and 0 0 1 as last row"
        )

"""What the files of a COLMAP model hold, whether binary or text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ..distortion import Lens

CAMERA_MODELS: dict[str, tuple[int, tuple[str, ...]]] = {
    "SIMPLE_PINHOLE": (0, ("f", "cx", "cy")),
    "PINHOLE": (1, ("fx", "fy", "cx", "cy")),
    "SIMPLE_RADIAL": (2, ("f", "cx", "cy", "k1")),
    "RADIAL": (3, ("f", "cx", "cy", "k1", "k2")),
    "OPENCV": (4, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2")),
    "OPENCV_FISHEYE": (5, ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4")),
    "FULL_OPENCV": (6, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "d1", "d2", "d3")),
    "FOV": (7, ("fx", "fy", "cx", "cy", "omega")),
    "SIMPLE_RADIAL_FISHEYE": (8, ("f", "cx", "cy", "k1")),
    "RADIAL_FISHEYE": (9, ("f", "cx", "cy", "k1", "k2")),
    "THIN_PRISM_FISHEYE": (10, ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "s1", "s3")),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        11,
        ("fx", "fy", "cx", "cy", *(f"k{i}" for i in range(1, 7)), "p2", "p1", "s1", "s2", "s3", "s4"),
    ),
    "SIMPLE_DIVISION": (12, ("f", "cx", "cy", "k")),
    "DIVISION": (13, ("fx", "fy", "cx", "cy", "k")),
    "SIMPLE_FISHEYE": (14, ("f", "cx", "cy")),
    "FISHEYE": (15, ("fx", "fy", "cx", "cy")),
    "EUCM": (16, ("fx", "fy", "cx", "cy", "alpha", "beta")),
    "EQUIRECTANGULAR": (17, ("w", "h")),
}
"""Number and parameters, in the order of the files, of every camera model; named as in `Lens`."""


@dataclass(frozen=True)
class ColmapCamera:
    """One camera: model, size of its pictures, parameters."""

    model: str
    width: int
    height: int
    parameters: tuple[float, ...]

    def check(self, where: str) -> None:
        """Refuse what is no camera.

        Raises:
            InputError: It is a panorama, its size is none, or its numbers are not finite.
        """
        if self.model == "EQUIRECTANGULAR":
            raise InputError(
                f"{where} is a panorama (EQUIRECTANGULAR); cut it into perspective pictures first"
            )
        if not (0 < self.width < 2**31 and 0 < self.height < 2**31):
            raise InputError(f"{where} is for pictures of {self.width} x {self.height}; export it again")
        if not all(abs(number) < 1e12 for number in self.parameters):
            raise InputError(f"{where} has NaN or very large parameters; calibrate it again")
        named = dict(zip(CAMERA_MODELS[self.model][1], self.parameters, strict=True))
        if not (named.get("f", 1) > 0 and named.get("fx", 1) > 0 and named.get("fy", 1) > 0):
            raise InputError(f"{where} has a focal length that is not positive; calibrate it again")

    def intrinsics(self) -> tuple[Float[Tensor, "3 3"], Lens | None]:
        """K in pixels and the lens, None for a pinhole."""
        named = dict(zip(CAMERA_MODELS[self.model][1], self.parameters, strict=True))
        fx, fy = named.get("fx", named.get("f")), named.get("fy", named.get("f"))
        K = torch.tensor([[fx, 0, named["cx"]], [0, fy, named["cy"]], [0, 0, 1]], dtype=torch.float64)

        def numbers(letter: str, count: int) -> tuple[float, ...]:
            return tuple(named.get(f"{letter}{i}", 0.0) for i in range(1, count + 1))

        p1, p2 = numbers("p", 2)
        s1, s2, s3, s4 = numbers("s", 4)
        lens = Lens(
            radial=numbers("k", 6),
            denominator=numbers("d", 3),
            tangential=(p1, p2),
            prism=(s1, s2, s3, s4),
            in_turn=self.model == "RAD_TAN_THIN_PRISM_FISHEYE",
        )
        if "FISHEYE" in self.model:
            lens = replace(lens, projection="equidistant")
        elif self.model == "FOV" and named["omega"] != 0:
            lens = Lens("fov", (named["omega"],))
        elif self.model.endswith("DIVISION") and named["k"] != 0:
            lens = Lens("division", (named["k"],))
        elif self.model == "EUCM":
            lens = Lens("unified", (named["alpha"], named["beta"]))
        return K, lens or None


@dataclass(frozen=True)
class ColmapImage:
    """One image: world to camera as a quaternion (w, x, y, z) and a translation."""

    key: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]
    camera: int
    name: str

    def pose(self, source: Path) -> Float[Tensor, "4 4"]:
        """T_cam_world.

        Raises:
            InputError: There are NaN, or the quaternion is zero.
        """
        T = torch.eye(4, dtype=torch.float64)
        T[:3, :3] = rotation_from_quaternion(self.quaternion)
        T[:3, 3] = torch.tensor(self.translation, dtype=torch.float64)
        if not bool(torch.isfinite(T).all()):
            raise InputError(
                f"{source}: the pose of {self.name} has NaN or infinite numbers or a quaternion of zeros; "
                "leave it out or calibrate again"
            )
        return T


@dataclass(frozen=True)
class ColmapPoint:
    """One point: world position, and the numbers of the images that it was matched in."""

    position: tuple[float, ...]
    images: Sequence[int]


def rotation_from_quaternion(quaternion: Sequence[float]) -> Float[Tensor, "3 3"]:
    """The rotation of a quaternion (w, x, y, z) of any length; NaN for one of zeros."""
    q = torch.tensor(quaternion, dtype=torch.float64)
    w, x, y, z = (q / torch.linalg.vector_norm(q)).tolist()
    return torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )

"""Parts of a room: textured rectangles, boxes, sheets and meshes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ....geometry import vertex_normals
from ....shapes import Mesh
from ....values import value_type

Vector = Sequence[float]
Paint = Callable[[tuple[int, int], float], np.ndarray]
"""Function of (rows, columns) and texels per metre that returns an sRGB picture (H, W, 3)."""
_SIDES = {
    "f": ((1, 0, 0), (0, 1, 0)),
    "b": ((-1, 0, 0), (0, 1, 0)),
    "r": ((0, 0, -1), (0, 1, 0)),
    "l": ((0, 0, 1), (0, 1, 0)),
    "t": ((1, 0, 0), (0, 0, -1)),
    "u": ((1, 0, 0), (0, 0, 1)),
}
"""Right and up directions in views of the front, back, right, left, top and underside of a box."""


@dataclass(frozen=True)
class Finish:
    """The appearance of a part.

    Attributes:
        paint: Its texture; None is plain white, for parts with vertex colours.
        per_metre: Texels per metre of the picture.
        spacing: Distance, in metres, of the points at which its light is computed.
        grain: Contrast of the fine noise on all surfaces, in logarithms of the albedo.
        grain_size: Longest wavelength of that noise in metres.
        glow: Emitted light, as a factor of its picture.
        gloss: Strength of highlights.
    """

    paint: Paint | None = None
    per_metre: float = 700.0
    spacing: float = 0.06
    grain: float = 0.05
    grain_size: float = 0.02
    glow: float = 0.0
    gloss: float = 0.0

    def picture(self, width: float, height: float) -> npt.NDArray[Any]:
        """The picture of a part of the given size in metres."""
        shape = (max(2, round(height * self.per_metre)), max(2, round(width * self.per_metre)))
        return np.ones((2, 2, 3)) if self.paint is None else np.asarray(self.paint(shape, self.per_metre))


@value_type
class Piece:
    """One part, in world coordinates; see `scene.Scene`."""

    vertices: Float[Tensor, "V 3"]
    faces: Int64[Tensor, "F 3"]
    normals: Float[Tensor, "V 3"]
    uv: Float[Tensor, "V 2"]
    tint: Float[Tensor, "V 3"]
    picture: npt.NDArray[Any]
    finish: Finish


@dataclass(frozen=True)
class PartCollector:
    """Collects parts, positioned relative to an origin and rotated around the vertical.

    Attributes:
        all: All collected parts, from all local frames.
        origin: Origin of the local frame in the world.
        turn: Rotation of the local frame, from z to x, in radians.
    """

    all: list[Piece] = field(default_factory=list)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: float = 0.0

    def at(self, x: float, y: float, z: float, turn: float = 0.0) -> "PartCollector":
        """The same collection with another local frame, given in this one."""
        place = self._world(torch.tensor([[x, y, z]], dtype=torch.float64))[0].tolist()
        return PartCollector(self.all, (place[0], place[1], place[2]), self.turn + turn)

    def panel(self, corner: Vector, right: Vector, up: Vector, finish: Finish) -> None:
        """Add a rectangle, visible from the side that `right` x `up` points to.

        Args:
            corner: Lower left corner.
            right, up: Its sides in metres.
            finish: Its appearance; the picture is upright along `up`.
        """
        o, a, b = (torch.tensor(v, dtype=torch.float32) for v in (corner, right, up))
        cells = [max(1, round(float(side.norm()) / finish.spacing)) for side in (a, b)]
        s, t = torch.meshgrid(*(torch.linspace(0, 1, n + 1) for n in cells), indexing="ij")
        size = float(a.norm()), float(b.norm())
        points = o + s[..., None] * a + t[..., None] * b
        self.sheet(points, size, finish, torch.nn.functional.normalize(torch.linalg.cross(a, b), dim=0))

    def sheet(
        self,
        points: Float[Tensor, "m n 3"],
        size: tuple[float, float],
        finish: Finish,
        normal: Float[Tensor, "3"] | None = None,
    ) -> None:
        """Add a connected grid of points, like a cloth.

        Args:
            points: The first index runs to the right, the second upwards.
            size: Width and height of its picture in metres.
            finish: Its appearance.
            normal: Unit normal if it is flat, or None.
        """
        m, n = points.shape[:2]
        index = torch.arange(m * n).view(m, n)
        p, q, r, w = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
        faces = torch.cat([torch.stack(f, dim=-1).reshape(-1, 3) for f in ((p, q, r), (p, r, w))])
        s, t = torch.meshgrid(torch.linspace(0, 1, m), torch.linspace(0, 1, n), indexing="ij")
        uv = torch.stack([s.flatten(), 1 - t.flatten()], dim=1)
        normals = None if normal is None else normal.expand(m * n, 3)
        self._add(points.reshape(-1, 3), faces, uv, None, finish.picture(*size), finish, normals)

    def box(
        self,
        base: Vector,
        size: Vector,
        finish: Finish,
        turn: float = 0.0,
        sides: str = "frlbt",
        front: Finish | None = None,
    ) -> None:
        """Add a box, positioned by the middle of its base.

        Args:
            base: Middle of its lower side.
            size: Size along x, y and z before the rotation.
            finish: Appearance of all sides.
            turn: Rotation in radians around the vertical, from z to x.
            sides: Initials of the sides that exist: front (+z), right, left, back, top, under.
            front: Appearance of the front, if different.
        """
        x, y, z = base
        inside = self.at(x, y + 0.5 * size[1], z, turn)
        half = 0.5 * np.array(size)
        for side in sides:
            right, up = (np.array(axis) * half for axis in _SIDES[side])
            corner = np.cross(*_SIDES[side]) * half - right - up
            chosen = front if side == "f" and front else finish
            inside.panel(corner.tolist(), (2 * right).tolist(), (2 * up).tolist(), chosen)

    def mesh(self, mesh: Mesh, finish: Finish) -> None:
        """Add a mesh with (linear) vertex colours."""
        nowhere = torch.zeros(len(mesh.vertices), 2)
        self._add(mesh.vertices, mesh.faces, nowhere, mesh.colors, np.ones((2, 2, 3)), finish)

    def _add(
        self,
        points: Float[Tensor, "V 3"],
        faces: Int64[Tensor, "F 3"],
        uv: Float[Tensor, "V 2"],
        tint: Float[Tensor, "V 3"] | None,
        picture: npt.NDArray[Any],
        finish: Finish,
        normals: Float[Tensor, "V 3"] | None = None,
    ) -> None:
        vertices = self._world(points)
        if normals is None:
            normals = vertex_normals(points.contiguous(), faces)
        normals = self._turned(normals)
        tint = torch.ones_like(vertices) if tint is None else tint
        self.all.append(Piece(vertices, faces, normals, uv, tint, picture, finish))

    def _world(self, points: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3"]:
        return self._turned(points) + points.new_tensor(self.origin)

    def _turned(self, directions: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3"]:
        c, s = math.cos(self.turn), math.sin(self.turn)
        return directions @ directions.new_tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T

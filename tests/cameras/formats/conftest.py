"""A small scene that tests write in other programs' formats, with formulas of their own."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

POINTS = np.array([[0.1, -0.2, 0.3], [-0.4, 0.2, 0.0], [0.3, 0.3, -0.2], [0.05, -0.1, 0.1]])


@dataclass
class Scene:
    """Cameras that look at the origin, as plain numbers.

    Attributes:
        names: Of the pictures.
        R: World to camera, +X right, +Y down, +Z forward.
        C: Positions.
        size: Width and height.
        f, c: Focal lengths and principal point, centres of pixels at half-integers.
    """

    names: list[str]
    R: np.ndarray
    C: np.ndarray
    size: tuple[int, int] = (64, 48)
    f: tuple[float, float] = (70.0, 70.0)
    c: tuple[float, float] = (33.25, 22.5)
    k: tuple[float, ...] = ()
    p: tuple[float, float] = (0.0, 0.0)
    fisheye: bool = False
    skew: float = 0.0
    extra: dict = field(default_factory=dict)

    @property
    def points(self):
        return POINTS.copy()

    @property
    def K(self):
        return np.array([[self.f[0], self.skew, self.c[0]], [0, self.f[1], self.c[1]], [0, 0, 1]])

    def pixels(self, view):
        """Where POINTS lie in a picture: OpenCV's formulas."""
        x, y, z = self.R[view] @ (POINTS - self.C[view]).T
        x, y = x / z, y / z
        if self.fisheye:
            r = np.hypot(x, y)
            x, y = x * np.arctan(r) / r, y * np.arctan(r) / r
        r2 = x**2 + y**2
        radial = 1 + sum(k * r2 ** (i + 1) for i, k in enumerate(self.k))
        p1, p2 = self.p
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
        v = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
        return np.stack([self.f[0] * u + self.skew * v + self.c[0], self.f[1] * v + self.c[1]], axis=1)

    def pictures(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.names:
            Image.new("RGB", self.size, (90, 80, 70)).save(folder / name)


@pytest.fixture
def scene():
    """Makes scenes of three cameras."""

    def make(**changes):
        C = np.array([[0.0, 0.0, -3.0], [2.0, -1.0, -2.5], [-1.5, 0.5, -2.0]])
        R = []
        for i, center in enumerate(C):
            forward = -center / np.linalg.norm(center)
            up = np.array([np.sin(i), -np.cos(i), 0.2])
            right = np.cross(forward, up)
            right /= np.linalg.norm(right)
            R.append(np.stack([right, np.cross(forward, right), forward]))
        names = [f"{i:03}.png" for i in range(3)]
        return Scene(names, np.stack(R), C, **changes)

    return make


def pixels_of(view, size):
    """Where POINTS lie as a view says that was read."""
    import torch

    T, K = view.T_cam_world, view.K.clone()
    middle = torch.tensor(size, dtype=torch.float64) / 2
    K[:2, 2] = torch.where(torch.isnan(K[:2, 2]), middle, K[:2, 2])
    local = torch.from_numpy(POINTS) @ T[:3, :3].T + T[:3, 3]
    plane = local[:, :2] / local[:, 2:]
    plane = plane if view.lens is None else view.lens.distort(plane)
    return (plane @ K[:2, :2].T + K[:2, 2]).numpy()


@pytest.fixture
def agrees():
    """Checks that views put the points of a scene where its own formulas do."""

    def check(posed, scene, order=None):
        order = list(range(len(scene.names))) if order is None else order
        assert [view.name for view in posed.views] == [scene.names[i] for i in order]
        for view, i in zip(posed.views, order, strict=True):
            assert view.image.is_file()
            assert np.abs(pixels_of(view, scene.size) - scene.pixels(i)).max() < 1e-6
            assert view.size in (None, scene.size)

    return check

"""A small problem for the tests of this room: a bumpy ball in a few pictures, to be found from a sphere."""

import pytest
import torch

from bozzetto.cameras import fibonacci_cameras
from bozzetto.inverse import Light, Optimization, OptimizeConfig, capture_light, synthetic_targets
from bozzetto.shapes import icosphere


@pytest.fixture(scope="session")
def ball():
    sphere = icosphere(4)
    x, y, z = sphere.vertices.unbind(dim=1)
    radius = 0.7 + 0.1 * torch.sin(4 * x) * torch.cos(3 * y) + 0.1 * z
    return sphere.with_vertices(sphere.vertices * radius[:, None])


@pytest.fixture(scope="session")
def pictures(ball):
    return synthetic_targets(ball, fibonacci_cameras(6, distance=3.5, fov=0.6, size=48), capture_light())


@pytest.fixture
def begin(pictures):
    """A fit of the ball that has not made a step; keywords are settings of `OptimizeConfig`."""

    def begin(targets=pictures, start=None, light=None, appearance=None, **settings):
        start = icosphere(3, 0.6) if start is None else start
        light = light or Light(capture_light(), len(targets))
        return Optimization(targets, start, light, OptimizeConfig(**settings), appearance)

    return begin

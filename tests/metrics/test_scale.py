"""Figures of tiny and huge shapes: those of the same shapes of size 1."""

import pytest

from bozzetto.geometry import remesh, signed_distance
from bozzetto.metrics import evaluate, surface_distance
from bozzetto.shapes import Mesh, icosphere


def balls(scale: float) -> tuple[Mesh, Mesh]:
    outer, inner = icosphere(3, 1.1), icosphere(3)
    return Mesh(outer.vertices * scale, outer.faces), Mesh(inner.vertices * scale, inner.faces)


@pytest.mark.parametrize("exponent", [-15, -6, 9, 15])
def test_figures_do_not_depend_on_the_unit(exponent):
    scale = 10.0**exponent
    here, there = evaluate(*balls(1.0), 1000), evaluate(*balls(scale), 1000)
    assert there.iou == pytest.approx(here.iou, abs=1e-3)
    assert there.normal_consistency == pytest.approx(here.normal_consistency, abs=1e-4)
    assert there.chamfer_sum == pytest.approx(here.chamfer_sum * scale, rel=1e-4)
    assert there.earth_mover == pytest.approx(here.earth_mover * scale, rel=1e-3)
    apart = surface_distance(*balls(scale), samples=1000)
    assert apart.hausdorff == pytest.approx(
        surface_distance(*balls(1.0), samples=1000).hausdorff * scale, rel=1e-4
    )


@pytest.mark.parametrize("exponent", [-15, 15])
def test_distances_and_remeshing_do_not_depend_on_the_unit(exponent):
    scale = 10.0**exponent
    (outer, inner), (far, near) = balls(1.0), balls(scale)
    distances = signed_distance(inner, outer.vertices), signed_distance(near, far.vertices)
    assert float((distances[0] - distances[1] / scale).abs().max()) < 1e-5
    even = {"crease_angle": None, "tolerance": None}
    assert len(remesh(near, 0.2 * scale, **even).faces) == len(remesh(inner, 0.2, **even).faces)
    # Equal bends of a symmetric shape differ by rounding, and are ranked by it.
    assert len(remesh(near, 0.2 * scale).faces) == pytest.approx(len(remesh(inner, 0.2).faces), rel=0.02)

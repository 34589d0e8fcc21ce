import math

import pytest
import torch

from bozzetto import InputError, Mesh
from bozzetto.metrics import surface_distance, vertex_rms
from bozzetto.shapes import grid, icosphere

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


@pytest.mark.parametrize("device", DEVICES)
def test_concentric_spheres_are_apart_by_the_difference_of_their_radii(device):
    a, b = icosphere(5).to(device), icosphere(5, radius=1.25).to(device)
    d = surface_distance(a, b, samples=20_000)
    for value in (d.mean_ab, d.mean_ba, d.rms_ab, d.rms_ba, d.hausdorff_ab, d.hausdorff_ba, d.mean, d.rms):
        assert value == pytest.approx(0.25, abs=1e-3)
    assert d.hausdorff_sum == pytest.approx(0.5, abs=2e-3)
    assert d.normals > 0.998
    assert surface_distance(a, Mesh(b.vertices, b.faces.flip(1)), samples=2000).normals < -0.998


def test_shifted_planes_where_they_overlap_and_where_they_do_not():
    """B is the unit square A raised by 0.3 and moved by 0.5: half of each is across, half beyond the edge."""
    a = grid(4, 4)
    b = a.with_vertices(a.vertices + torch.tensor([0.5, 0.0, 0.3]))
    d = surface_distance(a, b, samples=100_000)
    # Beyond the edge at distance t in [0, 0.5] the distance is sqrt(t^2 + 0.09): integrate.
    t = torch.linspace(0, 0.5, 10_001, dtype=torch.float64)
    beyond = torch.trapezoid((t**2 + 0.09).sqrt(), t).item()
    assert d.mean_ab == pytest.approx(0.15 + beyond, rel=5e-3)
    assert d.rms_ab == pytest.approx(math.sqrt(0.09 + 0.5**3 / 3), rel=5e-3)
    assert d.hausdorff_ab == pytest.approx(math.sqrt(0.25 + 0.09), rel=1e-5)  # attained at a corner
    assert d.normals == pytest.approx(1, abs=1e-6)


def test_directions_differ_when_one_surface_is_a_part_of_the_other():
    whole = grid(10, 10)
    part = Mesh(whole.vertices, whole.faces[: len(whole.faces) // 2])  # y <= 0
    d = surface_distance(part, whole, samples=20_000)
    assert d.hausdorff_ab < 1e-6 and d.mean_ab < 1e-7
    assert d.hausdorff_ba == pytest.approx(0.5, abs=1e-6)
    assert d.mean_ba == pytest.approx(0.125, rel=0.02)
    assert d.hausdorff == d.hausdorff_ba and d.mean == pytest.approx((d.mean_ab + d.mean_ba) / 2)
    back = surface_distance(whole, part, samples=20_000)
    assert back.hausdorff_ab == pytest.approx(d.hausdorff_ba)


def test_a_spike_counts_even_between_samples():
    flat = grid(20, 20)
    spiked = flat.vertices.clone()
    spiked[220, 2] = 0.4
    assert surface_distance(flat.with_vertices(spiked), flat, samples=10).hausdorff_ab == pytest.approx(0.4)


def test_same_seed_same_figures_and_a_mesh_equals_itself():
    sphere = icosphere(3)
    other = sphere.with_vertices(sphere.vertices * torch.tensor([1.0, 1.1, 0.9]))
    assert surface_distance(sphere, other, 1000, seed=5) == surface_distance(sphere, other, 1000, seed=5)
    itself = surface_distance(sphere, sphere, 1000)
    assert itself.hausdorff < 1e-6 and itself.normals > 1 - 1e-6


def test_vertex_rms_of_concentric_spheres():
    assert vertex_rms(icosphere(4), icosphere(4, radius=0.5)) == pytest.approx(0.5, abs=2e-3)


def test_bad_input_is_named():
    with pytest.raises(InputError, match="samples"):
        surface_distance(icosphere(0), icosphere(0), samples=0)
    with pytest.raises(InputError, match="empty"):
        surface_distance(icosphere(0), Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)))

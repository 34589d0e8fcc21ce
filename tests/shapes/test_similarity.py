import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bozzetto.errors import InputError
from bozzetto.shapes import Similarity, normalisation

NUMBER = st.floats(-100, 100)


@settings(deadline=None, max_examples=50)
@given(
    scale=st.floats(0.01, 100),
    shift=arrays(np.float64, 3, elements=NUMBER),
    quaternion=arrays(np.float64, 4, elements=st.floats(0.1, 1)),
    points=arrays(np.float64, (4, 3), elements=NUMBER),
)
def test_inverse_undoes_and_matrix_agrees(scale, shift, quaternion, points):
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    rotation = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )
    points = torch.from_numpy(points)
    for turn in (rotation, None):
        there = Similarity(scale, torch.from_numpy(shift), turn)
        moved = there.apply(points)
        assert torch.allclose(there.inverse().apply(moved), points, atol=1e-9 / scale + 1e-9)
        homogeneous = torch.cat([points, torch.ones(4, 1, dtype=torch.float64)], dim=1)
        assert torch.allclose((homogeneous @ there.matrix.T)[:, :3], moved)
        identity = torch.eye(4, dtype=torch.float64)
        assert torch.allclose(there.matrix @ there.inverse().matrix, identity, atol=1e-9)


def test_normalisation_fits_sphere_and_box():
    points = torch.tensor([[0.0, 0, 0], [4, 2, 0], [4, 0, 0]])
    sphere, box = normalisation(points).apply(points), normalisation(points, to="box").apply(points)
    assert sphere.norm(dim=1).max() == pytest.approx(1)
    assert box.abs().amax(dim=0).tolist() == pytest.approx([1, 0.5, 0])
    assert sphere.dtype == torch.float32


def test_normalisation_needs_an_extent():
    for points in (torch.zeros(0, 3), torch.ones(5, 3), torch.full((2, 3), torch.nan)):
        with pytest.raises(InputError, match="cannot normalise"):
            normalisation(points)
    with pytest.raises(InputError, match="scale"):
        Similarity(0.0, torch.zeros(3, dtype=torch.float64))

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.shapes import Mesh, box


def test_bounds_and_corners():
    mesh = box((2.0, 4.0, 6.0))
    assert mesh.bounds.tolist() == [[-1, -2, -3], [1, 2, 3]]
    assert torch.equal(mesh.corners()[5, 1], mesh.vertices[mesh.faces[5, 1]])


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), "scan is empty"),
        (torch.full((3, 3), torch.nan), torch.tensor([[0, 1, 2]]), "3 vertices with NaN"),
        (torch.zeros(3, 3), torch.tensor([[0, 1, 3]]), "out of range"),
        (torch.zeros(3, 3), torch.tensor([[-1, 1, 2]]), "out of range"),
    ],
)
def test_check_says_what_is_wrong(vertices, faces, message):
    with pytest.raises(InputError, match=message):
        Mesh(vertices, faces).check("scan")

import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.shapes import PointCloud


def test_check_returns_the_cloud():
    cloud = PointCloud(torch.eye(3), torch.eye(3))
    assert cloud.check() is cloud
    assert len(cloud) == 3
    assert cloud.bounds.tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("cloud", "message"),
    [
        (PointCloud(torch.zeros(0, 3)), "scan is empty"),
        (PointCloud(torch.full((2, 3), torch.nan)), "2 points with NaN or infinite coordinates"),
        (PointCloud(torch.zeros(2, 3), torch.full((2, 3), torch.inf)), "normals"),
    ],
)
def test_check_says_what_is_wrong(cloud, message):
    with pytest.raises(InputError, match=message):
        cloud.check("scan")

"""Rays through fields that are known in closed form."""

import pytest
import torch

from bozzetto.score import cast_rays

SIGMA = 0.05


class NormalField:
    """The field of points that are distributed normally about the origin: D(x) = s^2 / (s^2 + sigma^2) x.

    The eigenvalues of the Hessian of the log density, times sigma^2, are -sigma^2 / (s^2 + sigma^2): -1 across
    what is thin, 0 along what is long. A negative variance gives the fields around medial axes, whose
    eigenvalues are positive.
    """

    sigma = SIGMA

    def __init__(self, eigenvalues: tuple[float, float, float]) -> None:
        self.matrix = torch.eye(3) + torch.diag(torch.tensor(eigenvalues))

    def denoised(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.matrix

    def jacobian(self, x: torch.Tensor) -> torch.Tensor:
        return self.matrix.expand(len(x), 3, 3)


def cast(eigenvalues):
    """One ray straight down through the origin."""
    return cast_rays(
        NormalField(eigenvalues), torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, -1.0]]), 2.0
    )


@pytest.mark.parametrize("across", [-1.0, -0.9, -0.6])
@pytest.mark.parametrize("along", [(0.0, 0.0), (-0.5, 0.0), (-0.3, 1.0)])
def test_a_sheet_is_hit(across, along):
    hits = cast((*along, across))
    assert hits.hit.all() and not hits.rejected.any()
    assert float(hits.depth) == pytest.approx(1.0, abs=0.01 * SIGMA)
    torch.testing.assert_close(hits.normals, torch.tensor([[0.0, 0.0, 1.0]]))


@pytest.mark.parametrize(
    ("eigenvalues", "what"),
    [
        ((0.0, 0.0, -0.4), "a layer as thick as the noise"),
        ((0.0, 0.05, -0.3), "a thicker layer"),
        ((0.0, -0.95, -1.0), "a wire"),
        ((-0.95, -0.95, -1.0), "a speck"),
        ((0.0, 1.5, -1.0), "a sheet between two others, at their medial axis"),
    ],
)
def test_what_is_no_sheet_is_not_hit(eigenvalues, what):
    hits = cast(eigenvalues)
    assert not hits.hit.any() and hits.rejected.all(), what
    assert torch.isinf(hits.depth).all()

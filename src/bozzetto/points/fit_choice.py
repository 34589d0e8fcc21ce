"""Which local fit to believe: a small network, trained on shapes of a known surface."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .local_fits import CANDIDATES, FEATURES

HIDDEN = 96


class FitChoice(nn.Module):
    """Shares of the local fits of a point, and of staying where it is.

    The result is a convex combination of moves that were measured, so that nothing is invented: a network
    that knows little can only choose a poor scale.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, CANDIDATES + 1),
        )

    def forward(self, moves: Float[Tensor, "N C 3"], features: Float[Tensor, "N F"]) -> Float[Tensor, "N 3"]:
        """The move of each point."""
        shares = self.layers(features).softmax(dim=1)[:, :-1]
        return torch.einsum("nc,ncd->nd", shares, moves)

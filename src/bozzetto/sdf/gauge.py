"""Shapes of a prior are centred and of unit size: what a code says about both, and its derivative."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from .model import Decoder
from .pose import RADIUS

NEAR = 0.06
"""Largest distance that is taken at its word: decoders are trained on distances clamped not far above."""


class Gauge:
    """How far the shape of a code is from the middle and the size that normalisation gives.

    Without it, a shape that a prior knows badly is explained by a smaller one beside the middle, at another
    scale of the scan: the map from scan to prior is determined only because the shapes are normalised.

    For any point x, a shape reaches at least as far in direction d as x . d - f(x), and from the origin at
    least as far as |x| - f(x), with equality for points straight out from where it reaches farthest. So the
    maximum over a grid of points tells both, and its derivative is that of -f at a single point.

    Args:
        decoder: The signed distance.
        spread: Standard deviation of middle and size, in the normalised frame.
        side: Grid points along each axis.
    """

    def __init__(
        self, decoder: Decoder, spread: float = 0.02, side: int = 24, device: torch.device | str = "cpu"
    ) -> None:
        self.decoder, self.spread = decoder, spread
        axis = torch.linspace(-1, 1, side, device=device)
        grid = torch.cartesian_prod(axis, axis, axis)
        self.grid = grid[grid.norm(dim=1) < 1 + 1 / side]
        self.reach = torch.cat([self.grid, -self.grid, self.grid.norm(dim=1, keepdim=True)], dim=1)

    def __call__(self, code: Float[Tensor, " K"]) -> tuple[Float64[Tensor, " 4"], Float64[Tensor, "4 K"]]:
        """Middle (x, y, z) and radius less what they should be, in standard deviations; by the code.

        Zero for codes without a surface on the grid.
        """
        code = code.float()
        with torch.no_grad():
            values = self.decoder(code[None], self.grid[None])[0]
        near = (values.abs() < NEAR).nonzero()[:, 0]
        if len(near) == 0:
            return code.new_zeros(4).double(), code.new_zeros(4, len(code)).double()
        reach, at = (self.reach[near] - values[near, None]).max(dim=0)
        _, by_code, _ = self.decoder.value_and_jacobian(code, self.grid[near[at]])
        middle, middle_by = (reach[:3] - reach[3:6]) / 2, (by_code[3:6] - by_code[:3]) / 2
        offset = torch.cat([middle, reach[6:] - RADIUS]).double()
        return offset / self.spread, torch.cat([middle_by, -by_code[6:]]).double() / self.spread

"""What is optimised: vertex attributes in the preconditioned space, light and exposure."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from .precondition import Preconditioner


class VertexField(nn.Module):
    """A per-vertex attribute x, optimised as u = (I + lambda L) x (Large Steps, equations 8 and 9).

    Args:
        values: The attribute to start from.
        faces: Triangles that connect the vertices.
        smoothness: lambda; 0 keeps u = x.
    """

    def __init__(self, values: Float[Tensor, "V C"], faces: Int64[Tensor, "F 3"], smoothness: float) -> None:
        super().__init__()
        self.preconditioner = (
            Preconditioner.from_mesh(faces, len(values), smoothness) if smoothness > 0 else None
        )
        latent = values if self.preconditioner is None else self.preconditioner.to_latent(values)
        self.latent = nn.Parameter(latent.detach().clone())

    def forward(self) -> Float[Tensor, "V C"]:
        """The attribute itself, x = (I + lambda L)^-1 u."""
        return self.latent if self.preconditioner is None else self.preconditioner.from_latent(self.latent)

    def add(self, values: Float[Tensor, "V C"]) -> None:
        """Add to the values, outside of the optimisation."""
        change = values if self.preconditioner is None else self.preconditioner.to_latent(values)
        with torch.no_grad():
            self.latent.add_(change)


class Light(nn.Module):
    """Distant light as spherical harmonics, and the exposure of every photograph.

    Attributes:
        coefficients: Radiance coefficients, one light for all views.
        log_exposure: Logarithm of the factor on the picture of each view.
    """

    def __init__(self, coefficients: Float[Tensor, "9 3"], views: int) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(coefficients.clone())
        self.log_exposure = nn.Parameter(torch.zeros(views, device=coefficients.device))

    def exposure(self, index: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Exposure factors of these views; over all views their geometric mean is 1."""
        return (self.log_exposure[index] - self.log_exposure.mean()).exp()


def ambient_light(device: torch.device | str = "cpu") -> Float[Tensor, "9 3"]:
    """The uniform light under which a white surface has colour 1: irradiance pi, L_00 = sqrt(4 pi)."""
    coefficients = torch.zeros(9, 3, device=device)
    coefficients[0] = math.sqrt(4 * math.pi)
    return coefficients

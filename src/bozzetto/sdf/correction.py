"""A smooth field of residuals, so that a surface of a prior passes through what was observed."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix, identity
from scipy.sparse.linalg import cg
from scipy.spatial import KDTree
from torch import Tensor

from .model import Decoder

WIDTHS = (0.2, 0.08, 0.03)


class ResidualField:
    """The most probable smooth error of a decoder, given its error at observed points.

    A Gaussian process per width, coarse to fine, each on what the ones before leave (kriging; Wendland's
    compactly supported C2 function as covariance, Wendland 1995, table 1). The field fades to 0 within the
    largest width of the nearest observation, where nothing speaks against the prior.

    Args:
        points: Where the decoder was observed to be wrong, in its frame.
        residuals: By how much: the value that should have been 0.
        noise: Standard deviation of that.
        widths: Radii of the functions.
    """

    def __init__(
        self,
        points: Float[Tensor, "P 3"],
        residuals: Float[Tensor, " P"],
        noise: float,
        widths: tuple[float, ...] = WIDTHS,
    ) -> None:
        self.tree = KDTree(points.detach().cpu().double().numpy())
        self.parts: list[tuple[float, np.ndarray]] = []
        rest = residuals.detach().cpu().double().numpy()
        for width in widths:
            matrix = self._kernel(self.tree, width)
            # What is left beyond the noise is the strength of the error that this width shall explain.
            strength = float(np.mean(rest**2)) - noise**2
            ridge = min(max(noise**2 / max(strength, 1e-16), 1e-3), 100.0)
            weights, _ = cg(matrix + ridge * identity(len(rest)), rest, rtol=1e-4, maxiter=200)
            self.parts.append((width, weights))
            rest = rest - matrix @ weights

    def __call__(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """The error expected at points."""
        tree = KDTree(points.detach().cpu().double().numpy())
        total = sum(self._kernel(tree, width) @ weights for width, weights in self.parts)
        return torch.as_tensor(total, device=points.device, dtype=points.dtype)

    def _kernel(self, tree: KDTree, width: float) -> csr_matrix:
        pairs = tree.sparse_distance_matrix(self.tree, width, output_type="coo_matrix").tocsr()
        ratio = pairs.data / width
        pairs.data = (1 - ratio) ** 4 * (4 * ratio + 1)
        return pairs


def project(
    decoder: Decoder,
    code: Float[Tensor, " K"],
    vertices: Float[Tensor, "V 3"],
    field: ResidualField | None = None,
    iterations: int = 6,
    reach: float = 0.02,
) -> Float[Tensor, "V 3"]:
    """Move vertices along the gradient of the decoder to where it, less a field of residuals, is 0.

    Args:
        decoder: The signed distance.
        code: Of the shape.
        vertices: Near its surface, in the frame of the decoder.
        field: Subtracted from the distance.
        iterations: Newton steps.
        reach: Longest step, so that a flat spot of the decoder throws nothing away.
    """
    for _ in range(iterations):
        values, by_point = value_and_gradient(decoder, code, vertices)
        if field is not None:
            values = values - field(vertices)
        slope = by_point.norm(dim=1).clamp_min(0.3)
        step = (values / slope).clamp(-reach, reach)
        vertices = vertices - step[:, None] * by_point / slope[:, None]
    return vertices


def value_and_gradient(
    decoder: Decoder, code: Float[Tensor, " K"], points: Float[Tensor, "N 3"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, "N 3"]]:
    """Distances of a shape and their derivatives with respect to the point."""
    with torch.enable_grad():
        places = points.detach().clone().requires_grad_()
        values = decoder(code[None].to(places), places[None])[0]
        (by_point,) = torch.autograd.grad(values.sum(), places)
    return values.detach(), by_point

"""What is optimised: vertex attributes in the preconditioned space u = (I + lambda L) x, light and exposure.

The parameterisation is that of Large Steps (Nicolet et al. 2021, equations 8 and 9). Gradient descent in u
instead of x smooths every step, x <- x - eta (I + lambda L)^-2 dE/dx, but not the solution: x may be as rough
as the data demand. It works for any attribute of a mesh or of a grid of texels: positions, colours,
displacements, textures.

Two parameters are in use and must not be confused: `smoothness` here is always lambda (0 changes nothing, the
paper's figures use 19 to 99); alpha in [0, 1) belongs to the form (1 - alpha) I + alpha L, with lambda =
alpha / (1 - alpha).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from ..errors import InputError
from ..geometry import Solver, cotangent_laplacian, factorise, laplacian, solve, solve_all
from ..geometry.heightfield import GridSolver


def smoothness_from_alpha(alpha: float) -> float:
    """lambda = alpha / (1 - alpha): .95, .98 and .99 give 19, 49 and 99.

    Step sizes change with it. (1 - alpha) I + alpha L is (1 - alpha) (I + lambda L), so a u of that form is
    u / (1 + lambda) here. To move x as far, a step size that was given with alpha is multiplied by 1 + lambda
    for AdamUniform (50 for alpha = .98), and by its square for plain gradient descent.

    Source: Nicolet et al. 2021, as released: the matrix in its form with alpha.
    """
    if not 0 <= alpha < 1:
        raise InputError(f"alpha must lie in [0, 1), got {alpha}; if you mean lambda, give it as smoothness")
    return alpha / (1 - alpha)


def alpha_from_smoothness(smoothness: float) -> float:
    """alpha = lambda / (1 + lambda), the inverse of `smoothness_from_alpha`."""
    return _checked(smoothness) / (1 + smoothness)


class Preconditioner:
    """The change of variables between an attribute x and its latent u = (I + lambda L) x.

    Build it with `from_mesh`, `from_matrix` or `from_grid`, once per connectivity, since this factorises the
    matrix. Both directions are differentiable.

    Source: Nicolet et al. 2021, equations 8 and 9.

    Attributes:
        smoothness: lambda.
        solver: The factorised matrix.
    """

    def __init__(
        self,
        apply_laplacian: Callable[[Tensor], Tensor],
        solver: Solver,
        smoothness: float,
        shape: tuple[Any, ...],
    ) -> None:
        self._laplacian, self._shape = apply_laplacian, shape
        self.solver: Solver = solver
        self.smoothness = smoothness

    @classmethod
    def from_mesh(
        cls,
        faces: Int64[Tensor, "F 3"],
        vertex_count: int,
        smoothness: float,
        cotangent_of: Float[Tensor, "V 3"] | None = None,
        method: str = "auto",
    ) -> "Preconditioner":
        """For attributes of shape (V, C) on the vertices of a mesh.

        Args:
            faces: Triangles; the mesh may be open, non-manifold or in several pieces.
            vertex_count: Number of vertices V.
            smoothness: lambda, at least 0; `smoothness_from_alpha` converts.
            cotangent_of: Positions for cotangent weights; None takes the combinatorial Laplacian, as all
                published figures do.
            method: Solver of the linear system, see `bozzetto.geometry.factorise`.
        """
        if cotangent_of is None:
            return cls.from_matrix(laplacian(faces, vertex_count), smoothness, method)
        return cls.from_matrix(cotangent_laplacian(cotangent_of, faces), smoothness, method)

    @classmethod
    def from_matrix(
        cls, matrix: Float[Tensor, "V V"], smoothness: float, method: str = "auto"
    ) -> "Preconditioner":
        """For attributes of shape (V, C) on the nodes of any graph.

        Args:
            matrix: A Laplacian L: sparse, symmetric, positive semi-definite.
            smoothness: lambda, at least 0.
            method: Solver of the linear system, see `bozzetto.geometry.factorise`.
        """
        count, smoothness = len(matrix), _checked(smoothness)
        diagonal = torch.arange(count, device=matrix.device)
        ones = torch.ones(count, device=matrix.device, dtype=matrix.dtype)
        matrix = matrix.coalesce()
        system = torch.sparse_coo_tensor(
            torch.cat([matrix.indices(), torch.stack([diagonal, diagonal])], dim=1),
            torch.cat([smoothness * matrix.values(), ones]),
            (count, count),
            check_invariants=False,
        )
        return cls(lambda x: matrix @ x, factorise(system, method), smoothness, (count,))

    @classmethod
    def from_grid(
        cls,
        height: int,
        width: int,
        smoothness: float,
        periodic: bool = False,
        device: torch.device | str = "cpu",
    ) -> "Preconditioner":
        """For images of shape (H, W, C), solved exactly by cosine or Fourier transforms.

        Source: Nicolet et al. 2021, its Laplacian on a grid of texels. Differs: the system is solved exactly
        by a cosine or Fourier transform.

        Args:
            height: Rows.
            width: Columns.
            smoothness: lambda, at least 0. The Laplacian connects each texel with its 4 neighbours.
            periodic: Connect opposite borders, for textures that tile.
            device: Device of the images.
        """
        solver = GridSolver(height, width, _checked(smoothness), periodic, device)
        apply = _periodic_laplacian if periodic else _bounded_laplacian
        return cls(apply, solver, smoothness, (height, width))

    def to_latent(self, x: Float[Tensor, "*nodes C"]) -> Float[Tensor, "*nodes C"]:
        """u = (I + lambda L) x."""
        self._check(x)
        return x + self.smoothness * self._laplacian(x)

    def from_latent(self, u: Float[Tensor, "*nodes C"]) -> Float[Tensor, "*nodes C"]:
        """x = (I + lambda L)^-1 u; its gradient is one more solve with the same factorisation.

        Source: Nicolet et al. 2021, equation 9. Differs: one factorisation serves all columns at once and the
        gradient; iterative on CUDA and for very large meshes.
        """
        self._check(u)
        return solve(self.solver, u.reshape(-1, u.shape[-1])).reshape(u.shape)

    def _check(self, x: Tensor) -> None:
        if x.shape[:-1] != self._shape:
            expected = ", ".join(map(str, self._shape))
            raise InputError(
                f"this preconditioner is for attributes of shape ({expected}, C), got {tuple(x.shape)}"
            )


def _checked(smoothness: float) -> float:
    if not 0 <= smoothness < float("inf"):
        raise InputError(f"smoothness (lambda) must be at least 0 and finite, got {smoothness}")
    return smoothness


def _bounded_laplacian(image: Tensor) -> Tensor:
    result = torch.zeros_like(image)
    for side in (0, 1):
        steps = image.diff(dim=side)
        border = torch.zeros_like(image.narrow(side, 0, 1))
        result = result - torch.cat([steps, border], dim=side) + torch.cat([border, steps], dim=side)
    return result


def _periodic_laplacian(image: Tensor) -> Tensor:
    return 4 * image - sum(image.roll(shift, dims=side) for shift in (1, -1) for side in (0, 1))


class VertexField(nn.Module):
    """A per-vertex attribute x, optimised as u = (I + lambda L) x (Large Steps, equations 8 and 9).

    Args:
        values: The initial attribute.
        faces: Triangles that connect the vertices.
        smoothness: lambda; 0 keeps u = x.
    """

    def __init__(self, values: Float[Tensor, "V C"], faces: Int64[Tensor, "F 3"], smoothness: float) -> None:
        super().__init__()
        self.preconditioner: Preconditioner | None = (
            Preconditioner.from_mesh(faces, len(values), smoothness) if smoothness > 0 else None
        )
        latent = values if self.preconditioner is None else self.preconditioner.to_latent(values)
        self.latent: nn.Parameter = nn.Parameter(latent.detach().clone())

    def forward(self) -> Float[Tensor, "V C"]:
        """The attribute itself, x = (I + lambda L)^-1 u."""
        return self.latent if self.preconditioner is None else self.preconditioner.from_latent(self.latent)

    @staticmethod
    def evaluated(fields: "Sequence[VertexField]") -> list[Tensor]:
        """The attributes x of several fields; their systems are solved at the same time."""
        solved = [field for field in fields if field.preconditioner is not None]
        solvers = [p.solver for field in solved if (p := field.preconditioner) is not None]
        found = dict(zip(solved, solve_all(solvers, [field.latent for field in solved]), strict=True))
        return [found.get(field, field.latent) for field in fields]

    def add(self, values: Float[Tensor, "V C"]) -> None:
        """Add to the attribute x without recording a gradient."""
        change = values if self.preconditioner is None else self.preconditioner.to_latent(values)
        with torch.no_grad():
            self.latent.add_(change)


class Light(nn.Module):
    """Distant light as spherical harmonics, and the exposure of every photograph.

    Attributes:
        coefficients: Spherical-harmonics coefficients of the radiance, for red, green and blue; one light for
            all views.
        log_exposure: Logarithm of the exposure of each view, the factor on its picture.
    """

    def __init__(self, coefficients: Float[Tensor, "9 3"], views: int) -> None:
        super().__init__()
        self.coefficients: nn.Parameter = nn.Parameter(coefficients.clone())
        self.log_exposure: nn.Parameter = nn.Parameter(torch.zeros(views, device=coefficients.device))

    def exposure(self, index: Int64[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Exposure factors of the views `index`; the geometric mean over all views is 1."""
        return (self.log_exposure[index] - self.log_exposure.mean()).exp()


def ambient_light(device: torch.device | str = "cpu") -> Float[Tensor, "9 3"]:
    """The uniform light under which a white surface has colour 1: irradiance pi, L_00 = sqrt(4 pi)."""
    coefficients = torch.zeros(9, 3, device=device)
    coefficients[0] = math.sqrt(4 * math.pi)
    return coefficients

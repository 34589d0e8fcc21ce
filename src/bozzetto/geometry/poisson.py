"""The closed surface through oriented points, as a level of a function whose gradient follows their normals."""

import numpy as np
import scipy.fft
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg
from scipy.spatial import KDTree
from torch import Tensor
from torch.nn.functional import normalize

from ..shapes import Mesh
from .isosurface import isosurface

BORDER = 0.1
"""How strongly the border of the grid is drawn to the value outside; the field jumps by 1 at the surface."""


def screened_poisson(
    points: Float[Tensor, "P 3"],
    normals: Float[Tensor, "P 3"],
    side: int = 96,
    screening: float = 4.0,
    room: float = 1.6,
) -> Mesh:
    """The closed surface through oriented points; it may have stray pieces where there are none.

    Kazhdan and Hoppe 2013, "Screened Poisson surface reconstruction": the same energy (equation 4), but of
    trilinear functions on a regular grid instead of B-splines on an octree, solved by conjugate gradients with
    a cosine transform as preconditioner. A surface that was seen from one side closes behind it.

    Args:
        points: On a part of the surface or all of it.
        normals: Outward directions there.
        side: Grid nodes along each axis of a cube.
        screening: Weight of the values at the points (alpha; 4 in the original software). 1 is as exact on
            clean points and takes a third of the iterations.
        room: Width of the cube over the longest side of the box of the points.

    Returns:
        The mesh, in the frame of the points, wound outwards.
    """
    low, high = points.amin(dim=0).double().cpu(), points.amax(dim=0).double().cpu()
    width = room * float((high - low).max())
    origin, step = (low + high) / 2 - width / 2, width / (side - 1)
    places = ((points.double().cpu() - origin) / step).numpy()  # in grid steps
    area = areas(places)
    splat = trilinear(places, side)
    flux = splat.T @ (area[:, None] * normalize(normals.double().cpu(), dim=1).numpy())
    divergence = divergence_of(flux.reshape(side, side, side, 3))
    at_points = csr_matrix(screening * side / 64 * splat.T @ splat.multiply(area[:, None]))
    values = solved(divergence, at_points, side)
    level = float(np.average(splat @ values, weights=area))
    grid = torch.from_numpy(values.reshape(side, side, side))
    return isosurface(grid, origin, origin + width, level, close=True).to(points.device)


def areas(places: np.ndarray) -> np.ndarray:
    """Of the discs that the points stand for, which hold four neighbours each."""
    distance, _ = KDTree(places).query(places, k=5)
    return distance[:, -1] ** 2 * np.pi / 4


def divergence_of(field: np.ndarray) -> np.ndarray:
    """By central differences, of a field (S, S, S, 3); flattened."""
    return np.sum([np.gradient(field[..., axis], axis=axis) for axis in range(3)], axis=0).ravel()


def solved(divergence: np.ndarray, at_points: csr_matrix, side: int) -> np.ndarray:
    """The function with this divergence of its gradient, small at the points and 1/2 at the border."""
    angle = 2 - 2 * np.cos(np.pi * np.arange(side) / side)
    eigenvalues = angle[:, None, None] + angle[:, None] + angle
    shift = float(at_points.sum()) / side**3
    border = np.ones((side,) * 3)
    border[1:-1, 1:-1, 1:-1] = 0
    pull = BORDER * border.ravel()

    def apply(x: np.ndarray) -> np.ndarray:
        return filtered(x, eigenvalues) + at_points @ x + pull * x

    def precondition(x: np.ndarray) -> np.ndarray:
        return filtered(x, 1 / (eigenvalues + shift))

    operator, preconditioner = (
        LinearOperator((side**3, side**3), f, dtype=np.float64)  # type: ignore[call-overload]
        for f in (apply, precondition)
    )
    return cg(operator, -divergence + 0.5 * pull, rtol=1e-4, maxiter=300, M=preconditioner)[0]


def filtered(values: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Multiply every cosine of a grid by a factor."""
    grid = values.reshape(response.shape)
    cosines = np.asarray(scipy.fft.dctn(grid, norm="ortho", workers=-1))
    return np.asarray(scipy.fft.idctn(cosines * response, norm="ortho", workers=-1)).ravel()


def trilinear(places: np.ndarray, side: int) -> csr_matrix:
    """Rows that interpolate a grid at places given in grid steps."""
    corner = np.clip(np.floor(places).astype(np.int64), 0, side - 2)
    share = places - corner
    rows, columns, weights = [], [], []
    for far in np.ndindex(2, 2, 2):
        node = corner + far
        rows.append(np.arange(len(places)))
        columns.append((node[:, 0] * side + node[:, 1]) * side + node[:, 2])
        weights.append(np.prod(np.where(far, share, 1 - share), axis=1))
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return csr_matrix(entries, shape=(len(places), side**3))

"""Screened Poisson reconstruction on a regular grid, as a baseline.

No permissively licensed package of it is at hand, so this is a compact version of Kazhdan and Hoppe 2013,
"Screened Poisson surface reconstruction": the same energy (equation 4) on a regular grid of trilinear functions
instead of an octree of B-splines, solved by conjugate gradients with a cosine transform as preconditioner. The
border of the grid is drawn to the value outside, so that a surface seen from one side closes behind it.
"""

import numpy as np
import scipy.fft
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg
from scipy.spatial import KDTree

from bozzetto import Mesh
from bozzetto.geometry import isosurface, largest_component


def screened_poisson(
    points: torch.Tensor, normals: torch.Tensor, side: int = 96, screening: float = 4.0
) -> Mesh:
    """The closed surface through oriented points.

    Args:
        points: (P, 3), on a part of the surface or all of it.
        normals: Outward directions there.
        side: Grid nodes along each axis of a cube that is 1.6 times as wide as the points.
        screening: Weight of the values at the points (alpha; 4 in the original software).
    """
    low, high = points.amin(dim=0).double(), points.amax(dim=0).double()
    width = 1.6 * float((high - low).max())
    origin, step = (low + high) / 2 - width / 2, width / (side - 1)
    places = ((points.double() - origin) / step).numpy()  # in grid steps
    spacing = KDTree(places).query(places, k=5)[0][:, -1]
    area = spacing**2 * np.pi / 4  # of the disk with four neighbours, in grid steps squared
    splat = trilinear(places, side)
    field = splat.T @ (area[:, None] * torch.nn.functional.normalize(normals, dim=1).double().numpy())
    field = field.reshape(side, side, side, 3)
    divergence = sum(np.gradient(field[..., axis], axis=axis) for axis in range(3)).ravel()
    points_weight = screening * side / 64 * splat.T @ csr_matrix((area, (range(len(area)),) * 2)) @ splat
    angle = 2 - 2 * np.cos(np.pi * np.arange(side) / side)
    eigenvalues = angle[:, None, None] + angle[:, None] + angle
    shift = float(points_weight.sum()) / side**3

    border = np.ones((side,) * 3)
    border[1:-1, 1:-1, 1:-1] = 0  # the field jumps by about 1 from inside to outside, with 0 on the surface
    pull = 0.1 * border.ravel()

    def apply(x: np.ndarray) -> np.ndarray:
        return filtered(x, eigenvalues) + points_weight @ x + pull * x

    def precondition(x: np.ndarray) -> np.ndarray:
        return filtered(x, 1 / (eigenvalues + shift))

    shape = (side**3, side**3)
    values, _ = cg(
        LinearOperator(shape, apply, dtype=np.float64),
        -divergence + 0.5 * pull,
        rtol=1e-4,
        maxiter=300,
        M=LinearOperator(shape, precondition, dtype=np.float64),
    )
    level = float(np.average(splat @ values, weights=area))
    grid = torch.from_numpy(values.reshape(side, side, side))
    return largest_component(isosurface(grid, origin, origin + width, level, close=True))


def filtered(values: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Multiply every cosine of a grid by a factor."""
    grid = values.reshape(response.shape)
    return scipy.fft.idctn(scipy.fft.dctn(grid, norm="ortho") * response, norm="ortho").ravel()


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

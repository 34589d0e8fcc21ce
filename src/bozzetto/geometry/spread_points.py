"""Oriented points spread over the nodes and edges of a regular grid."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
from jaxtyping import Bool, Float, Int64

from ..values import value_type

CORNERS = np.array(list(np.ndindex(2, 2, 2)))
"""Offsets of the eight corners of a cell, z fastest."""
_BITS = 20  # of a coordinate in a key


@value_type
class OrientedSamples:
    """Oriented points.

    Attributes:
        places: In cells of the coarsest grid.
        normals: Unit vectors.
        areas: Of the surface around each, in squares of these cells.
        depth: The finest grid that each is to be seen in; 0 is the coarsest.
    """

    places: Float[np.ndarray, "P 3"]
    normals: Float[np.ndarray, "P 3"]
    areas: Float[np.ndarray, " P"]
    depth: Int64[np.ndarray, " P"]


def key_of(nodes: Int64[np.ndarray, "*batch 3"]) -> Int64[np.ndarray, " *batch"]:
    return (nodes[..., 0] << 2 * _BITS) + (nodes[..., 1] << _BITS) + nodes[..., 2]


def node_of(keys: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, "N 3"]:
    low = (1 << _BITS) - 1
    return np.stack([keys >> 2 * _BITS, keys >> _BITS & low, keys & low], axis=1)


def found(keys: Int64[np.ndarray, " N"], wanted: Int64[np.ndarray, " M"]) -> Bool[np.ndarray, " M"]:
    """Which are among sorted keys."""
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return keys[place] == wanted


def cube(side: int) -> Int64[np.ndarray, " N"]:
    axis = np.arange(side)
    return ((axis[:, None, None] << 2 * _BITS) + (axis[:, None] << _BITS) + axis).ravel()


def trilinear(
    nodes: Int64[np.ndarray, " N"], corner: Int64[np.ndarray, "P 3"], fraction: Float[np.ndarray, "P 3"]
) -> tuple[Int64[np.ndarray, "P 8"], Float[np.ndarray, "P 8"]]:
    """Rows among the nodes of the corners of cells, and their weights at places in the cells."""
    rows = np.searchsorted(nodes, key_of(corner[:, None] + CORNERS))
    weights = np.where(CORNERS, fraction[:, None], 1 - fraction[:, None]).prod(axis=2)
    return rows, weights


def flux(samples: OrientedSamples, nodes: Int64[np.ndarray, " N"], axis: int) -> Float[np.ndarray, " N"]:
    """The normals along an axis, at the middle of the edge that leaves each node in that direction."""
    places = samples.places - 0.5 * np.eye(3)[axis]
    corner = np.floor(places).astype(np.int64)
    rows, weights = trilinear(nodes, corner, places - corner)
    weights *= (samples.areas * samples.normals[:, axis])[:, None]
    return np.bincount(rows.ravel(), weights.ravel(), minlength=len(nodes))


def filtered(values: npt.NDArray[Any], response: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Multiply every cosine of a grid by a factor."""
    grid = values.reshape(response.shape)
    cosines = np.asarray(scipy.fft.dctn(grid, norm="ortho", workers=-1))
    return np.asarray(scipy.fft.idctn(cosines * response, norm="ortho", workers=-1)).ravel()


def normal_divergence(samples: OrientedSamples, side: int) -> Float[np.ndarray, "S S S"]:
    """Of the sum of the normals, on all nodes of a cube."""
    nodes = cube(side)
    result = np.zeros((side,) * 3)
    for axis in range(3):
        along = np.moveaxis(flux(samples, nodes, axis).reshape(result.shape), axis, 0)
        part = np.moveaxis(result, axis, 0)
        part[:-1] += along[:-1]
        part[1:] -= along[:-1]
    return result


def eigenvalues(side: int) -> Float[np.ndarray, "S S S"]:
    """Of the seven-point Laplacian of a cube, for each of its cosines."""
    angle = 2 - 2 * np.cos(np.pi * np.arange(side) / side)
    return angle[:, None, None] + angle[:, None] + angle

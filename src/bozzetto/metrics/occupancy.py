"""Jensen-Shannon divergence of where two sets of clouds have their points."""

from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Float64
from scipy.spatial import KDTree
from torch import Tensor

from ..errors import InputError

RESOLUTION = 28


def occupancy_divergence(
    pred: Float[Tensor, "S n 3"], ref: Float[Tensor, "R m 3"], resolution: int = RESOLUTION
) -> float:
    """Jensen-Shannon divergence, in bits, between the distributions of all points of two sets.

    As in Achlioptas et al. 2018: a grid of 28^3 nodes over the cube of side 1 around the origin, of which
    those within 0.5 of the origin stay, and each point is counted at its nearest node. 0 if both sets fill
    space alike, 1 if they share no node.

    Source: Achlioptas et al. 2018, the Jensen-Shannon divergence.

    Args:
        pred: Clouds of one set, scaled into the sphere of radius 0.5; points outside count at its border.
        ref: Clouds of the other, in the same frame.
        resolution: Nodes along each side.

    Raises:
        InputError: The points are not in three dimensions.
    """
    if pred.shape[-1] != 3 or ref.shape[-1] != 3:
        raise InputError(
            f"occupancy needs points in 3D, got {pred.shape[-1]} and {ref.shape[-1]} coordinates"
        )
    axis = np.linspace(-0.5, 0.5, resolution)
    nodes = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    nodes = nodes[np.linalg.norm(nodes, axis=1) <= 0.5]
    tree = KDTree(nodes)
    counts = [_shares(tree, clouds.detach().double().cpu()) for clouds in (pred, ref)]
    mixed = (counts[0] + counts[1]) / 2
    return float(_entropy(mixed) - (_entropy(counts[0]) + _entropy(counts[1])) / 2)


def _shares(tree: KDTree, clouds: Float64[Tensor, "N n 3"]) -> npt.NDArray[Any]:
    node = np.asarray(tree.query(clouds.reshape(-1, 3).numpy())[1])
    return np.bincount(node, minlength=tree.n) / node.size


def _entropy(shares: npt.NDArray[Any]) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())

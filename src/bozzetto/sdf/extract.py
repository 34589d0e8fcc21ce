"""The surface that a code stands for, as a mesh."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry.sparse_marching_cubes import NoSurfaceError, SparseIsosurface, sparse_isosurface
from ..shapes import Mesh
from .evaluate import Evaluator, Precision
from .model import Decoder
from .prior import ShapePrior


def extract_mesh(
    prior: ShapePrior | Decoder,
    code: Float[Tensor, " K"],
    resolution: int = 128,
    trusted: float | None = None,
    lipschitz: float | None = None,
    precision: Precision = "float32",
) -> Mesh:
    """The surface of a code in the frame of normalised shapes: marching cubes over [-1, 1]^3.

    Nodes as in the released DeepSDF code, `resolution` along each axis with spacing 2 / (resolution - 1), the
    first and the last on the border. Only the neighbourhood of the surface is evaluated (see
    `sparse_isosurface`).

    Args:
        prior: The prior, or its decoder.
        code: The shape.
        resolution: Nodes along each axis.
        trusted: Larger distances tell nothing but the side; the clamp of the prior's training if None.
        lipschitz: Bound of the slope of f in x. None measures it place by place.
        precision: Arithmetic of the network.

    Returns:
        The mesh on the device of the decoder, faces counter-clockwise seen from outside.

    Raises:
        InputError: The code is none of this prior, or it gives no surface.
    """
    return extract_surface(prior, code, resolution, trusted, lipschitz, precision).mesh


def extract_surface(
    prior: ShapePrior | Decoder,
    code: Float[Tensor, " K"],
    resolution: int = 128,
    trusted: float | None = None,
    lipschitz: float | None = None,
    precision: Precision = "float32",
) -> SparseIsosurface:
    """As `extract_mesh`, with the cells that the surface crosses and what it cost to find them."""
    if isinstance(prior, Decoder):
        prior = ShapePrior(prior, code.new_empty(0, prior.config.code_size), ())
    decoder, code = prior.decoder, prior.check_code(code).detach()
    code = code.to(next((p.device for p in decoder.parameters()), code.device))
    function = Evaluator(decoder, code, precision)
    trusted = prior.clamp if trusted is None else trusted
    low, high = (-1.0,) * 3, (1.0,) * 3
    try:
        return sparse_isosurface(function, resolution, low, high, lipschitz, trusted, device=code.device)
    except NoSurfaceError as error:
        raise InputError(
            f"this code gives no surface in [-1, 1]^3 (norm {float(torch.linalg.vector_norm(code)):.3g}): "
            f"{error}; give a code of this prior, or one near to its codes"
        ) from error

"""Losses of the training of a prior: clamped L1 error of distances, and the penalty on codes."""

from jaxtyping import Float
from torch import Tensor


def clamped_l1(
    predicted: Float[Tensor, "*batch"],
    distances: Float[Tensor, "*batch"],
    clamp: float,
    far_weight: float = 0.0,
) -> Float[Tensor, "*batch"]:
    """Absolute difference of distances that are clamped to [-clamp, clamp] (DeepSDF, equation 4).

    Source: Park et al. 2019, equation 4. Differs: `far_weight` adds the plain difference, so that the field
    is a distance everywhere.

    Args:
        predicted: Distances of the network.
        distances: True distances.
        clamp: delta; 0 does not clamp.
        far_weight: Weight of the additional unclamped absolute difference. The paper has none, so that values
            of the network beyond delta are arbitrary, but extraction and pose search need distances there.
    """
    plain = (predicted - distances).abs()
    if clamp == 0:
        return plain
    near = (predicted.clamp(-clamp, clamp) - distances.clamp(-clamp, clamp)).abs()
    return near + far_weight * plain


def code_penalty(codes: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """Mean length of the codes, not squared: as released, the paper squares it (equation 9).

    Source: Park et al. 2019, equation 9. Differs: the length is not squared, as released.
    """
    return codes.norm(dim=1).mean()

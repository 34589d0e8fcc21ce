"""What a prior over shapes is fitted to."""

from jaxtyping import Float
from torch import Tensor


def clamped_l1(
    predicted: Float[Tensor, "*batch"],
    distances: Float[Tensor, "*batch"],
    clamp: float,
    far_weight: float = 0.0,
) -> Float[Tensor, "*batch"]:
    """Absolute difference of distances, those beyond `clamp` counting as it (DeepSDF, equation 4).

    Source: Park et al. 2019, equation 4. Differs: `far_weight` adds the plain difference, so that the field
    is a distance everywhere.

    Args:
        predicted: Distances of the network.
        distances: True distances.
        clamp: delta; 0 does not clamp.
        far_weight: Weight of the plain absolute difference on top. The paper has none, and leaves the
            network free beyond delta: its values there say nothing about how far the surface is, which
            extraction and pose search need to know.
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

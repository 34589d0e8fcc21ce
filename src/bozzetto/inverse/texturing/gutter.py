"""What lies between the charts of a texture, so that filters never mix in a foreign colour."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

_RING = 3  # texels around every chart that repeat its border


def fill_gutter(image: Float[Tensor, "H W C"], covered: Bool[Tensor, "H W"]) -> Float[Tensor, "H W C"]:
    """The image with colours everywhere: next to charts the mean of their borders, beyond them coarser means.

    Push-pull interpolation (Gortler et al. 1996): averages of what is known at half the size, and so on, fill
    what is still unknown. Mip levels then hold no colour that is far from those of the charts around.

    Source: Gortler et al. 1996, push-pull interpolation.
    """
    if not bool(covered.any()):
        return image
    values = image.permute(2, 0, 1)[None] * covered
    known = covered[None, None].to(values)
    for _ in range(_RING):
        total = avg_pool2d(values, 3, 1, 1, divisor_override=1)
        count = avg_pool2d(known, 3, 1, 1, divisor_override=1)
        fresh = (known == 0) & (count > 0)
        values = torch.where(fresh, total / count.clamp_min(1), values)
        known = torch.where(fresh, 1.0, known)
    return _pulled(values, known)[0].permute(1, 2, 0).contiguous()


def _pulled(values: Tensor, known: Tensor) -> Tensor:
    if bool((known > 0).all()):
        return values
    size = values.shape[2:]
    half = (-(-size[0] // 2), -(-size[1] // 2))
    pads = (0, 2 * half[1] - size[1], 0, 2 * half[0] - size[0])
    total = avg_pool2d(torch.nn.functional.pad(values, pads), 2, divisor_override=1)
    count = avg_pool2d(torch.nn.functional.pad(known, pads), 2, divisor_override=1)
    coarse = _pulled(total / count.clamp_min(1), (count > 0).to(known))
    fine = interpolate(coarse, scale_factor=2, mode="bilinear")[..., : size[0], : size[1]]
    return torch.where(known > 0, values, fine)

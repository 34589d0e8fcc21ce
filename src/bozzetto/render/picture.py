"""Pictures that are stored only where something was drawn."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Picture:
    """Images of N views as rows of drawn pixels on a known background.

    Most pixels of most pictures show the background. Losses that know this (`ImageLoss`) cost what the drawn
    pixels cost; `images` makes dense images for everything else.

    Attributes:
        values: Colours of the drawn pixels, differentiable.
        pixel: Their flat indices view * height * width + y * width + x, each at most once.
        background: One colour, or images.
        shape: Views, height, width and channels.
    """

    values: Float[Tensor, "Q C"]
    pixel: Int64[Tensor, " Q"]
    background: Float[Tensor, " C"] | Float[Tensor, "N H W C"]
    shape: tuple[int, int, int, int]

    def images(self) -> Float[Tensor, "N H W C"]:
        """The dense images, differentiable with respect to the colours and the background."""
        rows = self.background.expand(self.shape).reshape(-1, self.shape[3])
        return rows.index_copy(0, self.pixel, self.values).view(self.shape)

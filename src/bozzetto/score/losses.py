"""Denoising score matching, the loss of the gradient field."""

from jaxtyping import Float
from torch import Tensor

from .model import ScoreModel


def denoising_score_matching(
    model: ScoreModel,
    codes: Float[Tensor, "B K"],
    noisy: Float[Tensor, "B G N D"],
    sigma: Float[Tensor, "B G"],
    clean: Float[Tensor, "B G N D"],
) -> Float[Tensor, ""]:
    """Weighted squared error of denoised points, summed over coordinates and averaged over everything else.

    Cai et al. 2020, equation 4, is lambda(sigma) / 2 times the squared error of the score against
    (clean - noisy) / sigma^2. A score of (D(noisy) - noisy) / sigma^2 makes that lambda(sigma) / (2 sigma^4)
    times the squared error of D(noisy) against `clean`; the factor is `model.weight`.

    Source: Cai et al. 2020, equation 4. Differs: the default target is the mean over all points that could
    have been, and the default weights are those of Karras et al.; `--preset reference` has the published
    ones.

    Args:
        model: Denoiser D and weight.
        codes: Codes of B shapes.
        noisy: Noisy points, N at each of G noise levels.
        sigma: Noise levels: standard deviations of the noise.
        clean: Targets: the points before the noise (paper), or their mean over all possible points,
            `score.denoised` (default, see `draw_batch`), which has the same minimum.
    """
    found = model.denoise(model.prepare(codes), noisy, sigma)
    error = (found - clean).square().sum(dim=-1)
    return (model.weight(sigma)[..., None] * error).mean()

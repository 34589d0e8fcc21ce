"""Losses of predicted heights, which are invariant to scale and offset."""

from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from .model import Estimate

SCALES = 4
SLOPES = 1.5
"""Mean slope to which heights are scaled before normals are compared, about 56 degrees."""


def structure_loss(
    estimate: Estimate, truth: Float[Tensor, "B H W"], painted: Bool[Tensor, " B"]
) -> tuple[Tensor, dict[str, float]]:
    """The default loss: correlation, difference, gradients, normals, similarity, and the network's confidence.

    Depth, gradients and normals complement each other (Hu et al. 2019, Revisiting single image depth
    estimation); absolute differences of gradients keep edges. The sign of painted pairs is not learned: they
    are compared with the sign that fits better.

    Source: Hu et al. 2019, difference, gradients and normals. Differs: correlation and structural similarity
    are added, and gradients are compared over four scales.

    Args:
        estimate: Output of the network.
        truth: True heights, with mean 0 and standard deviation 1.
        painted: Whether a pair is painted, so that its sign is unreliable.
    """
    height = estimate.height - estimate.height.mean(dim=(1, 2), keepdim=True)
    spread = height.square().mean(dim=(1, 2)).add(1e-6).sqrt()
    correlation = (height * truth).mean(dim=(1, 2)) / spread
    sign = torch.where(painted & (correlation < 0), -1.0, 1.0).detach()
    truth = truth * sign[:, None, None]
    terms = {
        "correlation": (1 - correlation * sign).mean(),
        "difference": (height - truth).abs().mean(),
        "gradient": gradient_difference(height, truth),
        "normal": normal_difference(height, truth),
        "similarity": 1 - similarity(height / spread[:, None, None].clamp(min=0.2), truth),
    }
    weights = {"correlation": 1.0, "difference": 0.5, "gradient": 0.5, "normal": 0.3, "similarity": 0.7}
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    if estimate.log_error is not None and estimate.upright is not None:
        off = (height.detach() - truth).abs() + 1e-3
        terms["confidence"] = (off * torch.exp(-estimate.log_error) + estimate.log_error).mean()
        right = (correlation.detach() > 0).float()
        doubt = F.binary_cross_entropy_with_logits(estimate.upright, right, reduction="none")
        terms["sign"] = (doubt * ~painted).sum() / (~painted).sum().clamp(min=1)
        total = total + 0.05 * terms["confidence"] + 0.05 * terms["sign"]
    figures = {name: float(value.detach()) for name, value in terms.items()}
    return total, {**figures, "r": float((correlation * sign).detach().mean())}


def gradient_difference(height: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of finite differences at strides 1, 2, 4 and 8, relative to the true mean."""
    total = height.new_zeros(())
    for _ in range(SCALES):
        for dim in (1, 2):
            step = truth.diff(dim=dim)
            usual = step.abs().mean(dim=(1, 2), keepdim=True) + 1e-3
            total = total + ((height.diff(dim=dim) - step).abs() / usual).mean()
        height, truth = (F.avg_pool2d(maps[:, None], 2)[:, 0] for maps in (height, truth))
    return total / (2 * SCALES)


def normal_difference(height: Tensor, truth: Tensor) -> Tensor:
    """One minus the cosine between normals, after scaling the slopes to the same mean."""
    a, b = _slopes(truth), _slopes(height)
    factor = SLOPES**2 / (a.square().sum(1).mean(dim=(1, 2)).add(1e-6)[:, None, None])
    across = 1 + factor * (a * b).sum(1)
    lengths = (1 + factor * a.square().sum(1)) * (1 + factor * b.square().sum(1))
    return (1 - across * lengths.rsqrt()).mean()


def _slopes(height: Tensor) -> Tensor:
    return torch.stack([height.diff(dim=2)[:, 1:], height.diff(dim=1)[:, :, 1:]], dim=1)


def similarity(height: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) in square windows, of maps of standard deviation 1.

    Source: Wang et al. 2004, the index. Differs: square windows.
    """
    both = torch.stack([height, truth, height * height, truth * truth, height * truth], dim=1)
    a, b, aa, bb, ab = _windows(both)
    first, second = (0.01 * 4) ** 2, (0.03 * 4) ** 2
    top = (2 * a * b + first) * (2 * (ab - a * b) + second)
    return (top / ((a * a + b * b + first) * (aa - a * a + bb - b * b + second))).mean()


def _windows(maps: Tensor) -> tuple[Tensor, ...]:
    return F.avg_pool2d(F.avg_pool2d(maps, (7, 1), (2, 1)), (1, 7), (1, 2)).unbind(1)


def published_loss(
    estimate: Estimate, truth: Float[Tensor, "B H W"], perceptual: nn.Module
) -> tuple[Tensor, dict[str, float]]:
    """The loss of the height study of 2025: mean |h - t| + LPIPS(h, t) of maps from -1 to 1.

    Source: Height study 2025, its loss. Differs: the weights of the two terms were not published, here both
    are 1.

    Args:
        estimate: Output of the network.
        truth: True heights of any range; every map is scaled to [-1, 1].
        perceptual: Module that computes a distance of maps (B, 1, H, W), for instance `PerceptualDistance`.
    """
    low, high = truth.amin(dim=(1, 2), keepdim=True), truth.amax(dim=(1, 2), keepdim=True)
    truth = 2 * (truth - low) / (high - low) - 1
    difference = (estimate.height - truth).abs().mean()
    distance = perceptual(estimate.height[:, None], truth[:, None])
    figures = {"difference": float(difference.detach()), "perceptual": float(distance.detach())}
    return difference + distance, figures


class PerceptualDistance(nn.Module):
    """LPIPS or a similar distance: differences of unit feature vectors of a fixed network, summed over levels.

    It is LPIPS (Zhang et al. 2018) if the package `lpips` and its VGG backbone are installed. Otherwise it is a
    network of the same form with random filters, whose values are not comparable with LPIPS.

    Source: Zhang et al. 2018, LPIPS v0.1 with VGG16. Differs: random filters where `lpips` or its weights are
    not installed.

    Attributes:
        kind: Description of the one in use.
    """

    WIDTHS = (16, 32, 64, 64)

    def __init__(self) -> None:
        super().__init__()
        self.network: nn.Module | None = _lpips()
        self.kind: str = "LPIPS v0.1 with VGG16"
        if self.network is None:
            self.kind = (
                "LPIPS-like with random filters, since lpips and its VGG16 weights are not on this machine"
            )
            generator = torch.Generator().manual_seed(0)
            pairs = zip((1, *self.WIDTHS[:-1]), self.WIDTHS, strict=True)
            self.filters: nn.ParameterList = nn.ParameterList(
                torch.randn(b, a, 3, 3, generator=generator) / (9 * a) ** 0.5 for a, b in pairs
            )
        self.requires_grad_(False)

    def forward(self, first: Float[Tensor, "B 1 H W"], second: Float[Tensor, "B 1 H W"]) -> Tensor:
        """Mean distance of maps in [-1, 1]."""
        if self.network is not None:
            return self.network(first.expand(-1, 3, -1, -1), second.expand(-1, 3, -1, -1)).mean()
        x, total = torch.cat([first, second]), first.new_zeros(())
        for level, weights in enumerate(self.filters):
            x = F.relu(F.conv2d(F.avg_pool2d(x, 2) if level else x, weights.to(x), padding=1))
            unit = x / (x.square().sum(1, keepdim=True) + 1e-6).sqrt()
            a, b = unit.chunk(2)
            total = total + (a - b).square().sum(1).mean()
        return total / len(self.filters)


def _lpips() -> nn.Module | None:
    if find_spec("lpips") is None or find_spec("torchvision") is None:
        return None
    if not list((Path(torch.hub.get_dir()) / "checkpoints").glob("vgg16-*.pth")):
        return None
    import lpips  # pyright: ignore[reportMissingImports] (optional)

    return lpips.LPIPS(net="vgg", version="0.1", verbose=False)

"""The networks: the default, which combines height and gradients by a linear solve, and the published U-Net."""

import math
import urllib.error
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..geometry.heightfield import crossover, integrate_gradients
from ..geometry.heightfield.gradients import bordered
from .config import NetworkConfig
from .mobile_encoder import STAGES, Convolution, MobileEncoder, imagenet_encoder

STRIDE = 16
INPUTS = 9
LUMA = (0.299, 0.587, 0.114)
GRADIENT_UNIT = 0.1
"""Unit of the network's gradients: a typical slope of a height map of standard deviation 1."""


class Estimate(NamedTuple):
    """Output of a network. Heights have no unit and a standard deviation of about 1.

    Attributes:
        height: The height maps.
        gradients: Change of height per pixel to the right and downwards, before the solve; None for the
            published network.
        log_error: Logarithm of the expected absolute error of the height; None for the published network.
        upright: Logit of the probability that the sign of the height is right, that hills are not hollows.
    """

    height: Float[Tensor, "B H W"]
    gradients: Float[Tensor, "B H W 2"] | None = None
    log_error: Float[Tensor, "B H W"] | None = None
    upright: Float[Tensor, " B"] | None = None


class Conv(nn.Conv2d):
    """A 3x3 convolution, padded with zeros or, if the map is periodic, with the opposite side."""

    def __init__(self, arriving: int, leaving: int, stride: int = 1) -> None:
        super().__init__(arriving, leaving, 3, stride, padding=1, bias=False)
        self.tiles = False

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        if not self.tiles:
            return super().forward(input)
        around = F.pad(input, (1, 1, 1, 1), mode="circular")
        return F.conv2d(around, self.weight, None, self.stride)


class Block(nn.Module):
    """Residual block of two convolutions, initialised as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first: Conv = Conv(width, width)
        self.second: Conv = Conv(width, width)
        last = nn.BatchNorm2d(width)
        nn.init.zeros_(last.weight)
        self.norms: nn.ModuleList = nn.ModuleList([nn.BatchNorm2d(width), last])

    def forward(self, x: Tensor) -> Tensor:
        """Refine features."""
        y = F.relu(self.norms[0](self.first(x)), inplace=True)
        return F.relu(x + self.norms[1](self.second(y)), inplace=True)


class Step(nn.Module):
    """A convolution that changes the width, with stride 2 for downsampling."""

    def __init__(self, arriving: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.conv: Conv = Conv(arriving, leaving, stride)
        self.norm: nn.BatchNorm2d = nn.BatchNorm2d(leaving)

    def forward(self, x: Tensor) -> Tensor:
        """Change resolution and width."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class FusionNetwork(nn.Module):
    """The default network: a small encoder and decoder of 3x3 convolutions at strides 2 to 16.

    It predicts the height at stride 4 (for low frequencies) and gradients at stride 1 (for high frequencies).
    The screened Poisson equation combines them, solved exactly by a Fourier transform if the map is periodic
    and by a cosine transform otherwise. Input pixels and output gradients are grouped in 2 x 2 blocks, so that
    the full resolution is kept although no layer is evaluated at it, which takes a third of the time. The
    photo's mean features, the context, are an input of the coarsest level, so that tiles of a large photo can
    use the context of the whole.

    A few dozen materials are too few to learn to recognise objects. If an encoder trained on ImageNet is given,
    its features are added at every level. It is frozen, since it would overfit.
    """

    def __init__(self, config: NetworkConfig, imagenet: MobileEncoder | None = None) -> None:
        super().__init__()
        self.imagenet = imagenet
        self.config = config
        widths = config.widths
        self.entry: Step = Step(4 * INPUTS, widths[0], 1)
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.down: nn.ModuleList = nn.ModuleList([nn.Identity(), *(Step(a, b, 2) for a, b in pairs)])
        self.encoder: nn.ModuleList = nn.ModuleList(
            nn.Sequential(*(Block(w) for _ in range(n))) for w, n in zip(widths, config.blocks, strict=True)
        )
        self.context: nn.Sequential = nn.Sequential(
            nn.Linear(widths[-1], 64), nn.ReLU(), nn.Linear(64, 2 * widths[-1])
        )
        self.up: nn.ModuleList = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairs)
        self.decoder: nn.ModuleList = nn.ModuleList(Block(w) for w in widths[:-1])
        self.low: nn.Conv2d = nn.Conv2d(widths[1], 2, 1)
        self.fine: nn.Conv2d = nn.Conv2d(widths[0], 8, 1)
        self.sign: nn.Sequential = nn.Sequential(nn.Linear(widths[-1], 32), nn.ReLU(), nn.Linear(32, 1))
        known = [] if imagenet is None else imagenet.widths
        self.lateral: nn.ModuleList = nn.ModuleList(
            nn.Conv2d(a, b, 1) for a, b in zip(known, [*widths, widths[-1]], strict=False)
        )
        for head in (self.low, self.fine, self.context[2], self.sign[2]):
            for value in head.parameters():
                nn.init.normal_(value, std=0.01 if value.ndim > 1 else 0.0)

    def set_tiles(self, tiles: bool) -> None:
        """Set whether maps are periodic."""
        for module in self.modules():
            if isinstance(module, (Conv, Convolution)):
                module.tiles = tiles

    def forward(
        self,
        photos: Float[Tensor, "B 3 H W"],
        tiles: bool = False,
        context: Float[Tensor, "B C"] | None = None,
    ) -> Estimate:
        """Predict heights of photos, whose sides must be multiples of 16."""
        levels = self.encode(photos, tiles)
        mean = levels[-1].mean(dim=(2, 3)) if context is None else context.to(levels[-1])
        low, fine = self.decode(levels, mean)
        guide, log_error = enlarged(low, photos.shape[-2:], tiles).unbind(1)
        gradients = self.gradients(fine)
        height = fuse_gradients(guide, gradients, tiles, self.config.crossover)
        return Estimate(height, gradients, log_error, self.sign(mean.detach())[:, 0].float())

    @staticmethod
    def gradients(fine: Float[Tensor, "B 2 H W"]) -> Float[Tensor, "B H W 2"]:
        """Change of height per pixel, from the gradients that `decode` returns."""
        return GRADIENT_UNIT * fine.permute(0, 2, 3, 1)

    def encode(self, photos: Float[Tensor, "B 3 H W"], tiles: bool) -> list[Tensor]:
        """Features at strides 2, 4, 8 and 16; the mean of the last ones is the context."""
        self.set_tiles(tiles)
        x = self.entry(F.pixel_unshuffle(network_input(photos, tiles), 2))
        levels = []
        for down, blocks in zip(self.down, self.encoder, strict=True):
            x = blocks(down(x))
            levels.append(x)
        return levels if self.imagenet is None else self._informed(levels, self.imagenet(photos), tiles)

    def _informed(self, levels: list[Tensor], known: list[Tensor], tiles: bool) -> list[Tensor]:
        """Add the features of the other encoder at strides 2 to 16; those at stride 32 go to the coarsest
        level."""
        *added, last = (layer(features) for layer, features in zip(self.lateral, known, strict=True))
        rows, columns = levels[-1].shape[-2:]
        last = enlarged(last, (2 * last.shape[-2], 2 * last.shape[-1]), tiles)[..., :rows, :columns]
        added[-1] = added[-1] + last.to(added[-1])
        return [level + more for level, more in zip(levels, added, strict=True)]

    def decode(self, levels: list[Tensor], context: Tensor) -> tuple[Tensor, Tensor]:
        """Height and logarithm of its error (B, 2, H / 4, W / 4), and gradients (B, 2, H, W)."""
        scale, shift = self.context(context)[..., None, None].chunk(2, dim=1)
        x, low = levels[-1] * (1 + scale) + shift, None
        for level in reversed(range(len(self.up))):
            grown = F.interpolate(self.up[level](x), scale_factor=2, mode="nearest")
            x = self.decoder[level](levels[level] + grown)
            low = self.low(x) if level == 1 else low
        assert low is not None
        return low.float(), F.pixel_shuffle(self.fine(x).float(), 2)


def network_input(photos: Float[Tensor, "B 3 H W"], tiles: bool = False) -> Float[Tensor, "B 9 H W"]:
    """Input channels: the photo, its brightness with local normalisation at three scales, and its colour.

    Local normalisation removes local mean and contrast.

    Height is related to local contrast rather than to brightness, and local windows have the same content in a
    tile as in the whole photo.
    """
    luma = sum((w * photos[:, k : k + 1] for k, w in enumerate(LUMA)), torch.zeros_like(photos[:, :1]))
    parts = [4 * (photos - 0.5)]
    for window, pooled in ((5, 1), (5, 4), (7, 8)):
        mean = window_mean(luma, window, pooled, tiles)
        spread = window_mean((luma - mean).square(), window, pooled, tiles).add(4e-4).sqrt()
        parts.append((luma - mean) / spread)
    total = photos.sum(1, keepdim=True) + 0.05
    parts.append(6 * (photos / total - 1 / 3))
    return torch.cat(parts, dim=1)


def window_mean(x: Tensor, window: int, pooled: int, tiles: bool = False) -> Tensor:
    """Mean over about window * pooled pixels, computed on a pooled map; borders are periodic or replicated."""
    small = F.avg_pool2d(x, pooled) if pooled > 1 else x
    small = bordered(small, window // 2, tiles)
    small = F.avg_pool2d(F.avg_pool2d(small, (window, 1), 1), (1, window), 1)
    return small if pooled == 1 else enlarged(small, x.shape[-2:], tiles)


def enlarged(maps: Float[Tensor, "B C h w"], size: Sequence[int], tiles: bool) -> Float[Tensor, "B C H W"]:
    """Bilinear enlargement by an integer factor; borders are periodic or replicated."""
    factor = size[0] // maps.shape[-2]
    around = bordered(maps.float(), 1, tiles)
    large = F.interpolate(around, scale_factor=factor, mode="bilinear", align_corners=False)
    return large[..., factor : factor + size[0], factor : factor + size[1]]


def fuse_gradients(
    guide: Float[Tensor, "B H W"], gradients: Float[Tensor, "B H W 2"], tiles: bool, wavelength: float
) -> Float[Tensor, "B H W"]:
    """Height map with the low frequencies of `guide` (above a wavelength in pixels) and the given gradients in
    high ones."""
    boundary = "periodic" if tiles else "free"
    height, width = guide.shape[-2:]
    weight = crossover(height, width, wavelength, boundary, device=guide.device)
    return integrate_gradients(gradients, boundary, guide=guide, guide_weight=weight)


SIZES = {"b0": (1.0, 1.0), "b7": (2.0, 3.1)}  # width, depth
FILES = {"b0": "efficientnet_b0_rwightman-7f5810bc.pth", "b7": "efficientnet_b7_lukemelas-c5b4e57e.pth"}
HOME = "https://download.pytorch.org/models/"
SKIPS = (0, 2, 3, 5)
DECODER = (256, 128, 64, 32, 16)
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _convolution(
    arriving: int, leaving: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
):
    layers = [
        nn.Conv2d(arriving, leaving, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(leaving, eps=1e-3, momentum=0.01),
    ]
    return nn.Sequential(*layers, *([nn.SiLU(inplace=True)] if act else []))


class SqueezeExcitation(nn.Module):
    """Squeeze and excitation: scale channels by a function of their means over the picture."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.fc1: nn.Conv2d = nn.Conv2d(width, squeezed, 1)
        self.fc2: nn.Conv2d = nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale."""
        return x * torch.sigmoid(self.fc2(F.silu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class MBConv(nn.Module):
    """Inverted bottleneck: expand, depthwise convolution, squeeze and excitation, project."""

    def __init__(self, arriving: int, leaving: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = arriving * expansion
        layers: list[nn.Module] = [_convolution(arriving, width, 1)] if expansion > 1 else []
        layers.append(_convolution(width, width, kernel, stride, groups=width))
        layers.append(SqueezeExcitation(width, max(1, arriving // 4)))
        layers.append(_convolution(width, leaving, 1, act=False))
        self.block: nn.Sequential = nn.Sequential(*layers)
        self.around: bool = stride == 1 and arriving == leaving

    def forward(self, x: Tensor) -> Tensor:
        """Transform."""
        return x + self.block(x) if self.around else self.block(x)


class Encoder(nn.Module):
    """Features of an EfficientNet at strides 2, 4, 8, 16 and 32.

    Source: Tan and Le 2019, EfficientNet.
    """

    def __init__(self, size: str) -> None:
        super().__init__()
        width, depth = SIZES[size]
        arriving = _rounded(32 * width)
        layers = [_convolution(3, arriving, 3, 2)]
        for expansion, kernel, stride, channels, count in STAGES:
            stage, leaving = [], _rounded(channels * width)
            for k in range(math.ceil(count * depth)):
                stage.append(MBConv(arriving, leaving, expansion, kernel, stride if k == 0 else 1))
                arriving = leaving
            layers.append(nn.Sequential(*stage))
        self.features: nn.Sequential = nn.Sequential(*layers)
        kept = [_rounded(32 * width), *(_rounded(STAGES[k - 1][3] * width) for k in SKIPS[1:]), arriving]
        self.widths: list[int] = kept

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features, the finest first."""
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in SKIPS:
                found.append(x)
        return [*found, x]


class PublishedNetwork(nn.Module):
    """The published network: U-Net with an EfficientNet encoder; heights range from about -1 to 1.

    Source: Height study 2025, its network. Differs: the decoder is the one commonly built; its own was not
    published.

    Source: Ronneberger et al. 2015, the U-Net.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.encoder: Encoder = Encoder(config.encoder)
        *skips, arriving = self.encoder.widths
        blocks = []
        for leaving, skip in zip(DECODER, [*reversed(skips), 0], strict=True):
            layers = []
            for width in (arriving + skip, leaving):
                layers += [
                    nn.Conv2d(width, leaving, 3, padding=1, bias=False),
                    nn.BatchNorm2d(leaving),
                    nn.ReLU(),
                ]
            blocks.append(nn.Sequential(*layers))
            arriving = leaving
        self.decoder: nn.ModuleList = nn.ModuleList(blocks)
        self.head: nn.Conv2d = nn.Conv2d(arriving, 1, 3, padding=1)

    def forward(self, photos: Float[Tensor, "B 3 H W"], tiles: bool = False) -> Estimate:
        """Predict heights; `tiles` has no effect, as in the original."""
        size = photos.shape[-2:]
        extra = [-n % 32 for n in size]
        x = (photos - photos.new_tensor(MEAN)[:, None, None]) / photos.new_tensor(SPREAD)[:, None, None]
        *skips, x = self.encoder(F.pad(x, (0, extra[1], 0, extra[0]), mode="replicate"))
        for block, skip in zip(self.decoder, [*reversed(skips), None], strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x if skip is None else torch.cat([x, skip], dim=1))
        return Estimate(self.head(x)[:, 0, : size[0], : size[1]].float())


def load_imagenet(network: PublishedNetwork, size: str) -> str:
    """Load ImageNet weights into the encoder if they are on this machine or can be downloaded.

    Returns:
        A sentence that says which weights the encoder has now.
    """
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        state = torch.hub.load_state_dict_from_url(HOME + FILES[size], progress=False, check_hash=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        return (
            f"the encoder starts from random weights, not from ImageNet: {FILES[size]} is not in {folder} "
            f"and could not be fetched ({error})"
        )
    state = {
        name: value for name, value in state.items() if not name.startswith(("classifier", "features.8"))
    }
    network.encoder.load_state_dict(state)
    return f"the encoder starts from ImageNet weights ({FILES[size]})"


def _rounded(channels: float) -> int:
    """Round to a multiple of 8, by at most 10 % downwards."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def build_network(config: NetworkConfig) -> nn.Module:
    """Build a network from its configuration, with weights initialised from the global generator.

    Raises:
        InputError: The network needs the encoder of a package that is not installed.
    """
    if config.architecture == "unet":
        return PublishedNetwork(config)
    encoder = imagenet_encoder() if config.imagenet else None
    return FusionNetwork(config, encoder).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

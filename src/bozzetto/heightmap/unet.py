"""The network of the height study of 2025: a U-Net with an EfficientNet encoder, as commonly built.

Module names are those of torchvision's EfficientNet, so that its ImageNet weights fit; the decoder follows
segmentation_models.pytorch: five blocks of 256 to 16 channels, nearest enlargement, a skip, two convolutions.
"""

import math
import urllib.error
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .config import NetworkConfig
from .mobile_encoder import STAGES
from .model import Estimate

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
    """Channels scaled by what the whole picture shows."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scale."""
        return x * torch.sigmoid(self.fc2(F.silu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))))


class MBConv(nn.Module):
    """An inverted bottleneck: expand, convolve each channel, squeeze and excite, project."""

    def __init__(self, arriving: int, leaving: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = arriving * expansion
        layers: list[nn.Module] = [_convolution(arriving, width, 1)] if expansion > 1 else []
        layers.append(_convolution(width, width, kernel, stride, groups=width))
        layers.append(SqueezeExcitation(width, max(1, arriving // 4)))
        layers.append(_convolution(width, leaving, 1, act=False))
        self.block = nn.Sequential(*layers)
        self.around = stride == 1 and arriving == leaving

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
        layers, self.widths = [_convolution(3, arriving, 3, 2)], []
        for expansion, kernel, stride, channels, count in STAGES:
            stage, leaving = [], _rounded(channels * width)
            for k in range(math.ceil(count * depth)):
                stage.append(MBConv(arriving, leaving, expansion, kernel, stride if k == 0 else 1))
                arriving = leaving
            layers.append(nn.Sequential(*stage))
        self.features = nn.Sequential(*layers)
        kept = [_rounded(32 * width), *(_rounded(STAGES[k - 1][3] * width) for k in SKIPS[1:]), arriving]
        self.widths = kept

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features, the finest first."""
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in SKIPS:
                found.append(x)
        return [*found, x]


class PublishedNetwork(nn.Module):
    """U-Net with an EfficientNet encoder; heights run from about -1 to 1.

    Source: Height study 2025, its network. Differs: the decoder is the one commonly built; its own was not
    published.

    Source: Ronneberger et al. 2015, the U-Net.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder)
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
        self.decoder = nn.ModuleList(blocks)
        self.head = nn.Conv2d(arriving, 1, 3, padding=1)

    def forward(self, photos: Float[Tensor, "B 3 H W"], tiles: bool = False) -> Estimate:
        """Heights; what tiles is treated like everything else, as in the original."""
        size = photos.shape[-2:]
        extra = [-n % 32 for n in size]
        x = (photos - photos.new_tensor(MEAN)[:, None, None]) / photos.new_tensor(SPREAD)[:, None, None]
        *skips, x = self.encoder(F.pad(x, (0, extra[1], 0, extra[0]), mode="replicate"))
        for block, skip in zip(self.decoder, [*reversed(skips), None], strict=True):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x if skip is None else torch.cat([x, skip], dim=1))
        return Estimate(self.head(x)[:, 0, : size[0], : size[1]].float())


def load_imagenet(network: PublishedNetwork, size: str) -> str:
    """Give the encoder its ImageNet weights if they are on this machine or can be fetched.

    Returns:
        One sentence that says which weights it has now.
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
    """To a multiple of 8, not more than 10 % down."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded

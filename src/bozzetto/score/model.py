"""The networks: the encoder from cloud to code, and the denoiser, conditioned on code and noise level."""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample, layer_norm

from ..errors import InputError
from .config import LatentConfig, ModelConfig
from .latent import LatentFlow, LatentGenerator

EXTENT = 1.25
"""Feature grids fill [-EXTENT, EXTENT]^D, with a margin around normalised clouds."""
OCTAVES = 4


class ScoreModel(nn.Module, ABC):
    """Encoder E(X) and denoiser D(x; sigma, z) of normalised clouds.

    The gradient of the log density blurred by sigma is (D(x) - x) / sigma^2 (Tweedie), see `score`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def encode(self, points: Float[Tensor, "B N D"]) -> Float[Tensor, "B K"]:
        """Codes of B clouds of N points each, in any order."""

    @abstractmethod
    def prepare(self, codes: Float[Tensor, "B K"]) -> tuple[Tensor, ...]:
        """Compute what `denoise` needs of codes, once for all points and noise levels."""

    @abstractmethod
    def denoise(
        self,
        prepared: tuple[Tensor, ...],
        x: Float[Tensor, "B G N D"],
        sigma: Float[Tensor, "B G"],
    ) -> Float[Tensor, "B G N D"]:
        """Denoised points, N at each of G noise levels for each of B shapes."""

    @abstractmethod
    def weight(self, sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Weight of the squared error of the clean point in training."""

    def score(
        self, codes: Float[Tensor, "B K"], x: Float[Tensor, "B N D"], sigma: Float[Tensor, " B"]
    ) -> Float[Tensor, "B N D"]:
        """Gradient of the log density at noise level sigma (per shape)."""
        clean = self.denoise(self.prepare(codes), x[:, None], sigma[:, None])[:, 0]
        return (clean - x) / sigma[:, None, None] ** 2


class GridModel(ScoreModel):
    """The default model: convolutional encoder of a splatted cloud, and denoiser with a grid of features.

    Every cell of a coarse grid has its own part of the code, which mostly depends on and influences the
    corresponding part of the cloud. This helps because parts of shapes repeat while whole shapes do not: with a
    global code of the same size, contours of digits are reconstructed four times less accurately after the same
    time.

    What depends on the shape alone is computed once per shape, and what depends on shape and noise level once
    per pair. The layers that are evaluated per point are few and narrow. There is no batch normalisation, so
    the result for a shape does not depend on the rest of the batch, and any noise level can be used.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        d, width = config.dimensions, config.channels
        widths = [
            max(width >> level, config.features) for level in range(config.levels + 1)
        ]  # coarse to fine
        cells = config.coarsest**d
        if config.code_size % cells:
            raise InputError(
                f"code_size must be a multiple of {cells}, the cells of a {d}D grid of {config.coarsest} along "
                f"each axis; got {config.code_size}"
            )
        per_cell = config.code_size // cells
        down: list[nn.Module] = [_conv(d, d + 2, widths[-1])]
        for fine, coarse in zip(widths[:0:-1], widths[-2::-1], strict=True):
            down += [nn.ReLU(), _conv(d, fine, coarse, 4, 2), _Mix(d, coarse)]
        self.down: nn.Sequential = nn.Sequential(
            *down, nn.ReLU(), _conv(d, widths[0], width, 4, 2), nn.ReLU()
        )
        self.code: nn.Module = _conv(d, width, per_cell, 1)
        self.start: nn.Module = _conv(d, per_cell, width, 1)
        up: list[nn.Module] = [nn.ReLU()]
        transposed = nn.ConvTranspose2d if d == 2 else nn.ConvTranspose3d
        for coarse, fine in zip([width, *widths], widths, strict=False):
            up += [transposed(coarse, fine, 4, 2, 1), _Mix(d, fine), nn.ReLU()]
        del up[-2]  # layers on the finest grid would take most of the time
        self.up: nn.Sequential = nn.Sequential(*up, _conv(d, widths[-1], config.features, 1))
        hidden = config.hidden
        self.first: nn.Linear = nn.Linear(config.features + d + 2 * d * OCTAVES, hidden)
        self.layers: nn.ModuleList = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(config.blocks))
        self.last: nn.Linear = nn.Linear(hidden, d)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.level: nn.Sequential = nn.Sequential(nn.Linear(7, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.shape: nn.Linear = nn.Linear(config.code_size, hidden)
        self.scales: nn.Linear = nn.Linear(hidden, 2 * hidden * (config.blocks + 1))
        nn.init.normal_(self.scales.weight, std=0.02)

    @property
    def nodes(self) -> int:
        """Number of nodes along each axis of the grid on which clouds are splatted."""
        return self.config.coarsest * 2 ** (self.config.levels + 1)

    def encode(self, points: Float[Tensor, "B N D"]) -> Float[Tensor, "B K"]:
        """Codes of B clouds of N points each, in any order; the entries of a code have mean 0 and mean square
        1."""
        found = self.down(splat(points, self.nodes))
        return layer_norm(self.code(found).flatten(1).float(), (self.config.code_size,))

    def prepare(self, codes: Float[Tensor, "B K"]) -> tuple[Tensor, ...]:
        """The grid of features, and the code's contribution to the conditioning."""
        side = [self.config.coarsest] * self.config.dimensions
        grid = self.up(self.start(codes.view(len(codes), -1, *side)))
        return grid.float(), self.shape(codes).float()

    def denoise(
        self,
        prepared: tuple[Tensor, ...],
        x: Float[Tensor, "B G N D"],
        sigma: Float[Tensor, "B G"],
    ) -> Float[Tensor, "B G N D"]:
        """Denoised points, N at each of G noise levels for each of B shapes.

        The network is preconditioned as in Karras et al. 2022 (EDM), table 1.

        Source: Karras et al. 2022, table 1.
        """
        grid, shape = prepared
        b, g, n, d = x.shape
        s, variance = self.config.data_std, (sigma**2 + self.config.data_std**2)[..., None, None]
        places = (x / EXTENT).clamp(-1, 1)
        found = grid_sample(grid, places.view(b, g * n, *[1] * (d - 1), d), align_corners=True)
        found = found.view(b, grid.shape[1], g, n).permute(0, 2, 3, 1)
        condition = self.level(level_features(sigma)) + shape[:, None]
        scale, shift = self.scales(condition.relu()).float()[..., None, :].chunk(2, dim=-1)
        scales, shifts = ((part.chunk(self.config.blocks + 1, dim=-1)) for part in (scale + 1, shift))
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would move points by 0.004
            h = self.first(torch.cat([found, x / variance.sqrt(), fourier_features(places)], dim=-1))
            h = torch.addcmul(shifts[0], h, scales[0]).relu()
        for layer, scale, shift in zip(self.layers, scales[1:], shifts[1:], strict=True):
            h = h + torch.addcmul(shift.to(h), layer(h), scale.to(h)).relu()
        out = self.last(h).float()
        level = sigma[..., None, None]
        return x * (s**2 / variance) + out * (level * s / variance.sqrt())

    def weight(self, sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """(sigma^2 + s^2) / (sigma s)^2, which gives all noise levels equal weight (EDM, table 1).

        Source: Karras et al. 2022, table 1.
        """
        return (sigma**2 + self.config.data_std**2) / (sigma * self.config.data_std) ** 2


def _conv(d: int, arriving: int, leaving: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    layer = nn.Conv2d if d == 2 else nn.Conv3d
    return layer(arriving, leaving, kernel, stride, padding=(kernel - 1) // 2)


class _Mix(nn.Module):
    """x + conv(relu(x))."""

    def __init__(self, d: int, width: int) -> None:
        super().__init__()
        self.conv = _conv(d, width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(torch.relu(x))


def level_features(sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 7"]:
    """ln(sigma) / 4 (EDM, table 1) with three octaves of its sines and cosines.

    Source: Karras et al. 2022, table 1. Differs: three octaves of sines and cosines are added.
    """
    c = sigma.log()[..., None] / 4
    angles = c * torch.pi * 0.5 * 2.0 ** torch.arange(3, device=c.device)
    return torch.cat([c, angles.sin(), angles.cos()], dim=-1)


def fourier_features(places: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch W"]:
    """Sines and cosines of the position, in octaves (Mildenhall et al. 2020).

    Source: Mildenhall et al. 2020, the positional encoding.
    """
    frequencies = torch.pi * 2.0 ** torch.arange(OCTAVES, device=places.device)
    angles = (places[..., None] * frequencies).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def splat(points: Float[Tensor, "B N D"], nodes: int) -> Float[Tensor, "B C *grid"]:
    """Splat clouds on a grid: the weight of every point is distributed linearly to its 2^D nearest nodes.

    The channels are whether a node has points (independent of their number), the fraction of the cloud that
    they are, and their mean position in cells. So a sparse cloud looks like a dense one with gaps. The first
    coordinate of a point corresponds to the last axis of the grid, as in `grid_sample`.
    """
    b, n, d = points.shape
    position = ((points / EXTENT).clamp(-1, 1) + 1) * ((nodes - 1) / 2)
    corner = position.floor().clamp(max=nodes - 2)
    far = torch.cartesian_prod(*[torch.arange(2, device=points.device)] * d)  # 0 near, 1 far
    offset = position[:, :, None] - corner[:, :, None] - far
    share = (1 - offset.abs()).prod(dim=-1, keepdim=True)
    strides = nodes ** torch.arange(d, device=points.device)
    index = ((corner.long()[:, :, None] + far) * strides).sum(dim=-1)
    index = index + nodes**d * torch.arange(b, device=points.device)[:, None, None]
    rows = torch.cat([share, share * offset], dim=-1)
    table = rows.new_zeros(b * nodes**d, d + 1).index_add_(0, index.flatten(), rows.flatten(0, 2))
    mass = table[:, :1]
    channels = [mass / (mass + 0.3), (mass * (nodes ** (d - 1) / n)).sqrt(), table[:, 1:] / (mass + 0.3)]
    grid = torch.cat(channels, dim=1).view(b, *[nodes] * d, d + 2)
    return grid.movedim(-1, 1).contiguous()


ENCODER = (128, 128, 256, 512)
HEAD = (256, 128)


class ResidualModel(ScoreModel):
    """ShapeGF as released; the field predicts the displacement sigma^2 g = D(x) - x.

    It has batch normalisation with a known weakness: batches in training mix all noise levels, while a sampling
    step has a single one and uses the running statistics.

    Source: Cai et al. 2020, as released. Differs: the paper describes 8 blocks with conditional batch
    normalisation.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder: PointNet = PointNet(config.dimensions, config.code_size)
        self.decoder: ResidualDecoder = ResidualDecoder(
            config.dimensions, config.code_size, config.hidden, config.blocks, config.condition
        )

    def encode(self, points: Float[Tensor, "B N D"]) -> Float[Tensor, "B K"]:
        """Codes of B clouds of N points each, in any order."""
        return self.encoder(points).float()

    def prepare(self, codes: Float[Tensor, "B K"]) -> tuple[Tensor, ...]:
        """The codes themselves, which are concatenated to every point."""
        return (codes,)

    def denoise(
        self,
        prepared: tuple[Tensor, ...],
        x: Float[Tensor, "B G N D"],
        sigma: Float[Tensor, "B G"],
    ) -> Float[Tensor, "B G N D"]:
        """Denoised points, N at each of G noise levels for each of B shapes."""
        b, g, n, _ = x.shape
        codes = prepared[0][:, None, None].expand(-1, g, n, -1)
        levels = sigma[:, :, None, None].expand(-1, -1, n, -1)
        inputs = torch.cat([x, codes, levels], dim=-1).view(b * g, n, -1)
        return x + self.decoder(inputs.transpose(1, 2)).float().transpose(1, 2).view_as(x)

    def weight(self, sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Weight 1 / (2 sigma), which is lambda(sigma) = sigma^3 of the paper's loss up to a factor.

        Equal weight for all noise levels would be 1 / sigma^2; here the smallest level counts a hundredth of
        the largest.

        Source: Cai et al. 2020, lambda(sigma) of equation 4, as released.
        """
        return 0.5 / sigma


class PointNet(nn.Module):
    """PointNet encoder: convolutions of width 1, maximum over points, a small head; with batch normalisation.

    Source: Cai et al. 2020, the encoder, as released.

    Args:
        dimensions: Dimension of the points.
        code_size: Dimension of the codes.
    """

    def __init__(self, dimensions: int, code_size: int) -> None:
        super().__init__()
        points: list[nn.Module] = []
        for arriving, leaving in zip((dimensions, *ENCODER), ENCODER, strict=False):
            points += [nn.Conv1d(arriving, leaving, 1), nn.BatchNorm1d(leaving), nn.ReLU()]
        self.points: nn.Sequential = nn.Sequential(*points[:-1])  # no ReLU before the maximum
        head: list[nn.Module] = []
        for arriving, leaving in zip((ENCODER[-1], *HEAD), HEAD, strict=False):
            head += [nn.Linear(arriving, leaving), nn.BatchNorm1d(leaving), nn.ReLU()]
        self.head: nn.Sequential = nn.Sequential(*head, nn.Linear(HEAD[-1], code_size))

    def forward(self, points: Float[Tensor, "B N D"]) -> Float[Tensor, "B K"]:
        """Codes of B clouds."""
        return self.head(self.points(points.transpose(1, 2)).amax(dim=2))


class ResidualDecoder(nn.Module):
    """A stack of residual blocks on c = (x, z, sigma) per point; `condition` says how blocks use c.

    Source: Cai et al. 2020, the decoder, as released.

    Args:
        dimensions: Dimension of the points.
        code_size: Dimension of the codes.
        hidden: Width of the layers.
        blocks: Number of residual blocks.
        condition: `add` as in the released configurations, `batch norm` as in the paper.
    """

    def __init__(
        self,
        dimensions: int,
        code_size: int,
        hidden: int,
        blocks: int,
        condition: Literal["add", "batch norm"],
    ) -> None:
        super().__init__()
        size = dimensions + code_size + 1
        block = AddingBlock if condition == "add" else NormalisingBlock
        self.first: nn.Conv1d = nn.Conv1d(size, hidden, 1)
        self.blocks: nn.ModuleList = nn.ModuleList(block(hidden, size) for _ in range(blocks))
        self.norm: nn.BatchNorm1d | ConditionalNorm = (
            nn.BatchNorm1d(hidden) if condition == "add" else ConditionalNorm(hidden, size)
        )
        self.last: nn.Conv1d = nn.Conv1d(hidden, dimensions, 1)

    def forward(self, c: Float[Tensor, "B C N"]) -> Float[Tensor, "B D N"]:
        """Displacements of N points for each of B codes and levels."""
        h = self.first(c)
        for block in self.blocks:
            h = block(h, c)
        h = self.norm(h, c) if isinstance(self.norm, ConditionalNorm) else self.norm(h)
        return self.last(torch.relu(h))


class AddingBlock(nn.Module):
    """Residual block h + W2 relu(BN(W1 relu(BN(h)))) + W_c c, with W2 initialised to 0.

    Args:
        hidden: Number of channels.
        size: Dimension of c.
    """

    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.norm1: nn.BatchNorm1d = nn.BatchNorm1d(hidden)
        self.norm2: nn.BatchNorm1d = nn.BatchNorm1d(hidden)
        self.layer1: nn.Conv1d = nn.Conv1d(hidden, hidden, 1)
        self.layer2: nn.Conv1d = nn.Conv1d(hidden, hidden, 1)
        self.condition: nn.Conv1d = nn.Conv1d(size, hidden, 1)
        nn.init.zeros_(self.layer2.weight)

    def forward(self, h: Float[Tensor, "B H N"], c: Float[Tensor, "B C N"]) -> Float[Tensor, "B H N"]:
        """One block."""
        change = self.layer1(torch.relu(self.norm1(h)))
        return h + self.layer2(torch.relu(self.norm2(change))) + self.condition(c)


class NormalisingBlock(nn.Module):
    """Residual block h + W2 relu(CBN(W1 relu(CBN(h)))), with W2 initialised to 0 and c used by CBN only.

    Args:
        hidden: Number of channels.
        size: Dimension of c.
    """

    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.norm1: ConditionalNorm = ConditionalNorm(hidden, size)
        self.norm2: ConditionalNorm = ConditionalNorm(hidden, size)
        self.layer1: nn.Conv1d = nn.Conv1d(hidden, hidden, 1)
        self.layer2: nn.Conv1d = nn.Conv1d(hidden, hidden, 1)
        nn.init.zeros_(self.layer2.weight)

    def forward(self, h: Float[Tensor, "B H N"], c: Float[Tensor, "B C N"]) -> Float[Tensor, "B H N"]:
        """One block."""
        return h + self.layer2(torch.relu(self.norm2(self.layer1(torch.relu(self.norm1(h, c))), c)))


class ConditionalNorm(nn.Module):
    """Conditional batch normalisation: scale and shift are linear in c and initialised to 1 and 0.

    Args:
        hidden: Number of channels.
        size: Dimension of c.
    """

    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.norm: nn.BatchNorm1d = nn.BatchNorm1d(hidden, affine=False)
        self.scale: nn.Conv1d = nn.Conv1d(size, hidden, 1)
        self.shift: nn.Conv1d = nn.Conv1d(size, hidden, 1)
        for layer, start in ((self.scale, 1.0), (self.shift, 0.0)):
            nn.init.zeros_(layer.weight)
            layer.bias = nn.Parameter(torch.full((hidden,), start))

    def forward(self, h: Float[Tensor, "B H N"], c: Float[Tensor, "B C N"]) -> Float[Tensor, "B H N"]:
        """Normalise h, then scale and shift it by c."""
        return self.scale(c) * self.norm(h) + self.shift(c)


def build_model(config: ModelConfig) -> ScoreModel:
    """Build a model from its configuration, with weights initialised from the global generator."""
    return {"grid": GridModel, "residual": ResidualModel}[config.architecture](config)


def build_latent(code_size: int, config: LatentConfig) -> LatentFlow | LatentGenerator:
    """Build a distribution of codes from its configuration."""
    return {"flow": LatentFlow, "gan": LatentGenerator}[config.kind](code_size, config)

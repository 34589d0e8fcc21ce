"""The published pair of networks: a PointNet encoder and a residual field (Cai et al. 2020, released code)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .config import ModelConfig
from .model import ScoreModel

ENCODER = (128, 128, 256, 512)
HEAD = (256, 128)


class ResidualModel(ScoreModel):
    """ShapeGF as released; the field predicts the displacement sigma^2 g = D(x) - x.

    Batch normalisation is part of it, with its flaw: batches in training mix all noise levels, while a sampling
    step has one and uses the running statistics.

    Source: Cai et al. 2020, as released. Differs: the paper describes 8 blocks with conditional batch
    normalisation.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.encoder = PointNet(config.dimensions, config.code_size)
        self.decoder = ResidualDecoder(
            config.dimensions, config.code_size, config.hidden, config.blocks, config.condition
        )

    def encode(self, points: Float[Tensor, "B N D"]) -> Float[Tensor, "B K"]:
        """Codes of B clouds of N points each, in any order."""
        return self.encoder(points).float()

    def prepare(self, codes: Float[Tensor, "B K"]) -> tuple[Tensor, ...]:
        """The codes themselves: every point has its copy."""
        return (codes,)

    def denoise(
        self,
        prepared: tuple[Tensor, ...],
        x: Float[Tensor, "B G N D"],
        sigma: Float[Tensor, "B G"],
    ) -> Float[Tensor, "B G N D"]:
        """Clean points: for each of B shapes G noise levels of N points."""
        b, g, n, _ = x.shape
        codes = prepared[0][:, None, None].expand(-1, g, n, -1)
        levels = sigma[:, :, None, None].expand(-1, -1, n, -1)
        inputs = torch.cat([x, codes, levels], dim=-1).view(b * g, n, -1)
        return x + self.decoder(inputs.transpose(1, 2)).float().transpose(1, 2).view_as(x)

    def weight(self, sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """1 / (2 sigma), which is lambda(sigma) = sigma^3 of the paper's loss up to a factor.

        Weights of unit variance would be 1 / sigma^2: the least level counts a hundredth of the largest.

        Source: Cai et al. 2020, lambda(sigma) of equation 4, as released.
        """
        return 0.5 / sigma


class PointNet(nn.Module):
    """Convolutions of width 1, the maximum over points, a small head; batch normalisation throughout.

    Source: Cai et al. 2020, the encoder, as released.

    Args:
        dimensions: Of the points.
        code_size: Numbers per code.
    """

    def __init__(self, dimensions: int, code_size: int) -> None:
        super().__init__()
        points: list[nn.Module] = []
        for arriving, leaving in zip((dimensions, *ENCODER), ENCODER, strict=False):
            points += [nn.Conv1d(arriving, leaving, 1), nn.BatchNorm1d(leaving), nn.ReLU()]
        self.points = nn.Sequential(*points[:-1])  # no ReLU before the maximum
        head: list[nn.Module] = []
        for arriving, leaving in zip((ENCODER[-1], *HEAD), HEAD, strict=False):
            head += [nn.Linear(arriving, leaving), nn.BatchNorm1d(leaving), nn.ReLU()]
        self.head = nn.Sequential(*head, nn.Linear(HEAD[-1], code_size))

    def forward(self, points: Float[Tensor, "B N D"]) -> Float[Tensor, "B K"]:
        """Codes of B clouds."""
        return self.head(self.points(points.transpose(1, 2)).amax(dim=2))


class ResidualDecoder(nn.Module):
    """A stack of residual blocks on c = (x, z, sigma) per point; see the blocks for how c enters.

    Source: Cai et al. 2020, the decoder, as released.

    Args:
        dimensions: Of the points.
        code_size: Numbers per code.
        hidden: Width.
        blocks: How many.
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
        self.first = nn.Conv1d(size, hidden, 1)
        self.blocks = nn.ModuleList(block(hidden, size) for _ in range(blocks))
        self.norm = nn.BatchNorm1d(hidden) if condition == "add" else ConditionalNorm(hidden, size)
        self.last = nn.Conv1d(hidden, dimensions, 1)

    def forward(self, c: Float[Tensor, "B C N"]) -> Float[Tensor, "B D N"]:
        """Displacements of N points for each of B codes and levels."""
        h = self.first(c)
        for block in self.blocks:
            h = block(h, c)
        h = self.norm(h, c) if isinstance(self.norm, ConditionalNorm) else self.norm(h)
        return self.last(torch.relu(h))


class AddingBlock(nn.Module):
    """h + W2 relu(BN(W1 relu(BN(h)))) + W_c c, where W2 is 0 at first.

    Args:
        hidden: Width.
        size: Length of c.
    """

    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)
        self.layer1, self.layer2 = nn.Conv1d(hidden, hidden, 1), nn.Conv1d(hidden, hidden, 1)
        self.condition = nn.Conv1d(size, hidden, 1)
        nn.init.zeros_(self.layer2.weight)

    def forward(self, h: Float[Tensor, "B H N"], c: Float[Tensor, "B C N"]) -> Float[Tensor, "B H N"]:
        """One block."""
        change = self.layer1(torch.relu(self.norm1(h)))
        return h + self.layer2(torch.relu(self.norm2(change))) + self.condition(c)


class NormalisingBlock(nn.Module):
    """h + W2 relu(CBN(W1 relu(CBN(h)))), where W2 is 0 at first and c enters by the normalisations only.

    Args:
        hidden: Width.
        size: Length of c.
    """

    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalNorm(hidden, size), ConditionalNorm(hidden, size)
        self.layer1, self.layer2 = nn.Conv1d(hidden, hidden, 1), nn.Conv1d(hidden, hidden, 1)
        nn.init.zeros_(self.layer2.weight)

    def forward(self, h: Float[Tensor, "B H N"], c: Float[Tensor, "B C N"]) -> Float[Tensor, "B H N"]:
        """One block."""
        return h + self.layer2(torch.relu(self.norm2(self.layer1(torch.relu(self.norm1(h, c))), c)))


class ConditionalNorm(nn.Module):
    """Batch normalisation whose scale and shift are linear in c; 1 and 0 at first.

    Args:
        hidden: Width.
        size: Length of c.
    """

    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(hidden, affine=False)
        self.scale, self.shift = nn.Conv1d(size, hidden, 1), nn.Conv1d(size, hidden, 1)
        for layer, start in ((self.scale, 1.0), (self.shift, 0.0)):
            nn.init.zeros_(layer.weight)
            layer.bias = nn.Parameter(torch.full((hidden,), start))

    def forward(self, h: Float[Tensor, "B H N"], c: Float[Tensor, "B C N"]) -> Float[Tensor, "B H N"]:
        """Normalised and conditioned."""
        return self.scale(c) * self.norm(h) + self.shift(c)

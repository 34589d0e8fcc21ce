"""Decoders: networks from code and point to signed distance."""

from abc import ABC, abstractmethod
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from .config import DecoderConfig


class Decoder(nn.Module, ABC):
    """A network f(z, x) for the signed distance, negative inside, of shapes that fit into the unit sphere.

    Under `torch.autocast`, layers multiply coordinates in float32, since rounding would move points by up to
    0.004.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, codes: Float[Tensor, "B K"], points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N"]:
        """Distances at N points for each of B codes."""

    def value_and_jacobian(
        self, code: Float[Tensor, " K"], points: Float[Tensor, "N 3"]
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, "N K"], Float[Tensor, "N 3"]]:
        """Distances, and their derivatives with respect to the code and to the point.

        Every point has its own copy of the code, so that one backward pass of the sum gives all rows.
        """
        with torch.enable_grad():
            codes = code.detach().expand(len(points), -1).contiguous().requires_grad_()
            places = points.detach()[:, None].clone().requires_grad_()
            values = self(codes, places)[:, 0]
            by_code, by_point = torch.autograd.grad(values.sum(), (codes, places))
        return values.detach(), by_code, by_point[:, 0]


class ConcatenatingDecoder(Decoder):
    """The published network (DeepSDF, section 4 and the released code).

    Each hidden layer is linear with weight normalisation, ReLU and dropout; code and point are the input of the
    first one and are concatenated again to the input of layer `skip`, whose predecessor is narrower by their
    size. The output is passed through tanh.

    Source: Park et al. 2019, section 4, as released.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        size, width = config.code_size + 3, config.hidden
        layers, arriving = [], size
        for index in range(config.layers):
            leaving = width - size if index + 1 == config.skip else width
            layers.append(weight_norm(nn.Linear(arriving, leaving)))
            arriving = leaving + size if index + 1 == config.skip else leaving
        self.hidden: nn.ModuleList = nn.ModuleList(layers)
        self.last: nn.Linear = nn.Linear(arriving, 1)
        self.dropout: nn.Dropout = nn.Dropout(config.dropout)

    def forward(self, codes: Float[Tensor, "B K"], points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N"]:
        """Distances at N points for each of B codes, within (-1, 1)."""
        copies = codes[:, None].expand(-1, points.shape[1], -1)
        x = copies[..., :0]
        for index, layer in enumerate(self.hidden):
            if index in (0, self.config.skip):
                x = _with_points(cast(nn.Linear, layer), torch.cat([x, copies], dim=-1), points)
            else:
                x = layer(x)
            x = self.dropout(torch.relu(x))
        return torch.tanh(self.last(x))[..., 0]


def _with_points(layer: nn.Linear, x: Tensor, points: Tensor) -> Tensor:
    """Apply a layer to [x points] in two parts, so that only the smaller one is multiplied in float32."""
    weight = layer.weight
    out = nn.functional.linear(x, weight[:, :-3], layer.bias)
    with torch.autocast(points.device.type, enabled=False):
        return out + nn.functional.linear(points, weight[:, -3:])


class GridDecoder(Decoder):
    """A decoder with a feature volume, which is computed from the code and evaluated by a small network.

    Nearly everything that depends on the shape alone is computed once per shape instead of once per point, so
    the network that is evaluated per point is thirty times smaller than the published one. Features are local,
    so that parts of different shapes can be combined. The network computes the difference to the signed
    distance of a sphere. This avoids a known failure at the start of a training, in which the network becomes
    positive or negative everywhere.
    """

    RADIUS = 0.5

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config)
        self.volume: nn.Linear = nn.Linear(config.code_size, config.features * config.grid**3)
        sizes = [config.features + 3 + 6 * config.octaves] + [config.hidden] * config.layers
        self.hidden: nn.ModuleList = nn.ModuleList(
            nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.last: nn.Linear = nn.Linear(config.hidden, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def volumes(self, codes: Float[Tensor, "B K"]) -> Float[Tensor, "B C G G G"]:
        """The feature volumes of codes; the last axis is x."""
        side = self.config.grid
        return self.volume(codes).view(-1, self.config.features, side, side, side)

    def forward(self, codes: Float[Tensor, "B K"], points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N"]:
        """Distances at N points for each of B codes; the volume fills [-1, 1]^3 and its border values continue
        outside."""
        places = points[:, None, None].to(codes.dtype)
        volumes = self.volumes(codes).to(codes.dtype)
        found = nn.functional.grid_sample(
            volumes, places, mode="bilinear", padding_mode="border", align_corners=True
        )
        return self.distances(found[:, :, 0, 0].transpose(1, 2), points)

    def distances(
        self, found: Float[Tensor, "B N C"], points: Float[Tensor, "B N 3"]
    ) -> Float[Tensor, "B N"]:
        """Distances at points, given the features `found` interpolated at them."""
        first, *others = self.hidden
        x = torch.cat([found, points, positional_encoding(points, self.config.octaves)], dim=-1)
        with torch.autocast(points.device.type, enabled=False):
            x = torch.relu(first(x))
        for layer in others:
            x = torch.relu(layer(x))
        return self.last(x)[..., 0] + points.norm(dim=-1) - self.RADIUS

    def value_and_jacobian(
        self, code: Float[Tensor, " K"], points: Float[Tensor, "N 3"]
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, "N K"], Float[Tensor, "N 3"]]:
        """Distances, and their derivatives with respect to the code and to the point.

        Interpolated features are linear in the code. So one volume is used for all points, and a row of the
        Jacobian is the sum of the rows of the volume's matrix, at the eight nodes around the point, times
        the weight of the node and the derivative with respect to the feature.
        """
        side = self.config.grid
        position = ((points.detach() + 1) * ((side - 1) / 2)).clamp(0, side - 1)
        corner = position.floor().clamp(max=side - 2)
        far = torch.cartesian_prod(*[torch.arange(2, device=points.device)] * 3)  # x, y, z: 0 near, 1 far
        share = (position - corner)[:, None]
        weights = torch.where(far == 1, share, 1 - share).prod(dim=-1)
        strides = torch.tensor([1, side, side * side], device=points.device)
        nodes = ((corner.long()[:, None] + far) * strides).sum(dim=-1)
        with torch.enable_grad():
            places = points.detach()[None].clone().requires_grad_()
            volume = self.volumes(code.detach()[None])
            found = nn.functional.grid_sample(
                volume, places[:, None, None], mode="bilinear", padding_mode="border", align_corners=True
            )[:, :, 0, 0].transpose(1, 2)
            values = self.distances(found, places)
            by_feature, by_point = torch.autograd.grad(values.sum(), (found, places))
        first = torch.arange(self.config.features, device=points.device) * side**3
        by_code = nn.functional.embedding_bag(
            (first[:, None] + nodes[:, None]).flatten(1),
            self.volume.weight.detach(),
            mode="sum",
            per_sample_weights=(by_feature[0, :, :, None] * weights[:, None]).flatten(1),
        )
        return values.detach()[0], by_code, by_point[0]


def positional_encoding(points: Float[Tensor, "*batch 3"], octaves: int) -> Float[Tensor, "*batch W"]:
    """Sines and cosines of 2^k pi x for each coordinate and k < octaves (Mildenhall et al. 2020).

    Source: Mildenhall et al. 2020, the positional encoding.
    """
    frequencies = torch.pi * 2.0 ** torch.arange(octaves, device=points.device, dtype=points.dtype)
    angles = (points[..., None] * frequencies).flatten(-2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def build_decoder(config: DecoderConfig) -> Decoder:
    """Build a decoder from its configuration, with weights initialised from the global generator."""
    return {"concatenate": ConcatenatingDecoder, "grid": GridDecoder}[config.architecture](config)

"""Losses between pictures and fixed images."""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from ..geometry.launch import in_parts, launch, part_count
from . import losses_kernels as kernels
from .rasterization import Picture

_KINDS = {"l1": 0, "l2": 1, "huber": 2}


def l1_loss(
    images: Float[Tensor, "N H W C"],
    targets: Float[Tensor, "N H W C"],
    weights: Float[Tensor, "N H W"] | None = None,
) -> Float[Tensor, ""]:
    """Mean absolute difference over views, pixels and channels, each pixel times its weight."""
    difference = (images - targets).abs()
    return difference.mean() if weights is None else (difference * weights[..., None]).mean()


class ImageLoss:
    """Loss between pictures and fixed target images.

    The value is the mean over views, pixels and channels of the penalty of the difference, each pixel times
    its weight, exactly as for dense images. But the loss of the background is computed only once. A call
    processes only drawn pixels, and computes value and gradient in the same pass.

    Source: Nicolet et al. 2021, the L1 and L2 losses of its figures. Differs: the mean may be weighted by
    pixel.

    Args:
        targets: Images to compare with.
        weights: Weight of every pixel, for instance 0 where nothing is known; None for 1.
        background: The background colour (or number) of all pictures.
        kind: Penalty of a difference d: "l1" |d|, "l2" d^2, or "huber", d^2 / (2 width) near 0 and
            |d| - width / 2 beyond `width`.
        width: Difference at which the Huber penalty becomes linear.

    Raises:
        InputError: Shapes do not match, or the kind is unknown.
    """

    def __init__(
        self,
        targets: Float[Tensor, "N H W C"],
        weights: Float[Tensor, "N H W"] | None = None,
        background: float | Float[Tensor, " C"] = 0.0,
        kind: Literal["l1", "l2", "huber"] = "l1",
        width: float = 0.1,
    ) -> None:
        if kind not in _KINDS:
            raise InputError(f"the loss is called {kind!r}, expected one of {', '.join(_KINDS)}")
        if weights is not None and weights.shape != targets.shape[:3]:
            raise InputError(
                f"weights have shape {tuple(weights.shape)}, expected one per pixel, {tuple(targets.shape[:3])}"
            )
        self.targets: Tensor = targets.to(torch.float32).contiguous()
        device, (views, height, columns, channels) = targets.device, targets.shape
        self.weights: Tensor = (
            targets.new_zeros(0, 0) if weights is None else weights.to(self.targets).contiguous()
        )
        behind = torch.as_tensor(background, dtype=torch.float32, device=device)
        self.background: Tensor = behind.expand(channels).contiguous()
        self.penalty: tuple[int, float] = _KINDS[kind], width
        rows = torch.empty(views * height, dtype=torch.float64, device=device)
        images = [self.targets.view(-1, columns, channels), self._flat_weights(views * height)]

        def run(part: int, start: int, stop: int) -> None:
            inputs = [*images, self.background, *self.penalty, start, rows]
            launch(kernels.background_rows, stop - start, inputs, device)

        in_parts(run, len(rows), device)
        self.background_cost: Float[Tensor, " N"] = rows.view(views, height).sum(dim=1)

    def _flat_weights(self, rows: int) -> Tensor:
        return self.weights.view(rows, -1) if len(self.weights) else self.weights

    def __call__(self, picture: Picture, views: Int64[Tensor, " n"] | None = None) -> Float[Tensor, ""]:
        """The loss of a picture, differentiable with respect to it.

        Args:
            picture: Pictures on the background colour.
            views: Indices of the target images to compare with; None for all in order.

        Raises:
            InputError: The picture has another size or background.
        """
        count = len(self.targets) if views is None else len(views)
        if picture.shape != (count, *self.targets.shape[1:]):
            raise InputError(
                f"the picture has shape {picture.shape}, expected {(count, *self.targets.shape[1:])}"
            )
        if picture.background.ndim != 1 or not torch.equal(picture.background, self.background):
            raise InputError(
                "the picture must have the background colour that the loss was made for, "
                f"{self.background.tolist()}"
            )
        index = torch.arange(count) if views is None else views
        return _DrawnPixels.apply(picture.values, picture.pixel, index.to(self.targets.device), self)


class _DrawnPixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pixel: Tensor, views: Tensor, loss: ImageLoss) -> Tensor:
        device, count = values.device, len(values)
        images = loss.targets.view(len(loss.targets), -1, loss.targets.shape[3])
        scale = 1.0 / (len(views) * images[0].numel())
        total = torch.zeros(part_count(count, device), dtype=torch.float64, device=device)
        gradient = torch.empty_like(values)
        rows = [values.contiguous(), pixel, views.to(torch.int32), images, loss._flat_weights(len(images))]

        def run(part: int, start: int, stop: int) -> None:
            settings = [loss.background, *loss.penalty, scale, start, stop, part, total, gradient]
            chunks = -(-(stop - start) // int(kernels.CHUNK))
            launch(kernels.drawn_pixels, chunks, [*rows, *settings], device)

        in_parts(run, count, device)
        ctx.save_for_backward(gradient)
        return (total.sum() + loss.background_cost[views].sum() * scale).to(torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,), scale = ctx.saved_tensors, gradients[0]
        if scale.device.type == "cpu" and scale == 1:
            return gradient, None, None, None  # nearly always, and a pass saved
        return gradient * scale, None, None, None

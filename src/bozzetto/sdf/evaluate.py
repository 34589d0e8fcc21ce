"""Distances of one shape at many points, without gradients and at the speed of matrix multiplication."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from .model import ConcatenatingDecoder, Decoder, GridDecoder, waves

Precision = Literal["float32", "bfloat16"]

_CPU_CHUNK = 1 << 18  # numbers of a layer for a chunk of points: they stay in a core's cache
_CUDA_CHUNK = 1 << 25


class Evaluator:
    """f(z, .) for one code z, callable on points.

    What depends on the code alone is computed once: its part of the layers that code and point enter
    (equal to evaluating the decoder, as z W_z + x W_x = [z x] W), the volume of features, weight
    normalisation. On the CPU, points go through the network in chunks that stay in the cache, one thread
    per chunk: a layer of one chunk is too little work to share.
    """

    def __init__(
        self,
        decoder: Decoder,
        code: Float[Tensor, " K"],
        precision: Precision = "float32",
    ) -> None:
        """Prepare the evaluation.

        Args:
            decoder: Taken as it is now; a copy of its weights is kept. Dropout is off.
            code: The shape, on the decoder's device.
            precision: Arithmetic of the hidden layers but the first. With bfloat16 distances are off by some
                thousandths: good for pictures and statistics, not for fine grids.
        """
        self._width = decoder.config.hidden
        with torch.no_grad():
            dtype = torch.float32 if precision == "float32" else torch.bfloat16
            self._network = _network(decoder, code.detach(), dtype)

    def __call__(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """Signed distances at points on the device of the code, float32."""
        points = points.detach()
        values = torch.empty(len(points), device=points.device)
        room = _CPU_CHUNK if points.device.type == "cpu" else _CUDA_CHUNK
        chunk = max(1, room // self._width)
        threads = torch.get_num_threads() if points.device.type == "cpu" else 1

        def run(first: int) -> None:
            with torch.inference_mode():
                for start in range(first * chunk, len(points), threads * chunk):
                    values[start : start + chunk] = self._network(points[start : start + chunk])

        if threads == 1 or len(points) <= chunk:
            for index in range(threads):
                run(index)
        else:
            list(_workers(threads).map(run, range(threads)))
            torch.set_num_threads(threads)  # the workers have changed what later threads begin with
        return values


@cache
def _workers(count: int) -> ThreadPoolExecutor:
    """Threads in each of which torch computes alone."""
    return ThreadPoolExecutor(count, "bozzetto-sdf", initializer=torch.set_num_threads, initargs=(1,))


def _network(decoder: Decoder, code: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Points to distances, one chunk at a time."""
    if isinstance(decoder, ConcatenatingDecoder):
        return _concatenating(decoder, code, dtype)
    if isinstance(decoder, GridDecoder):
        return _grid(decoder, code, dtype)
    return lambda points: decoder(code[None], points[None])[0].float()


def _linear(modules: nn.ModuleList) -> list[nn.Linear]:
    return [module for module in modules if isinstance(module, nn.Linear)]


def _concatenating(
    decoder: ConcatenatingDecoder, code: Tensor, dtype: torch.dtype
) -> Callable[[Tensor], Tensor]:
    size, skip = len(code), decoder.config.skip
    layers = []
    for index, layer in enumerate(_linear(decoder.hidden)):
        weight, bias = layer.weight, layer.bias
        if index in (0, skip):
            before = weight.shape[1] - size - 3
            bias = bias + weight[:, before : before + size] @ code
            weight = torch.cat([weight[:, :before], weight[:, before + size :]], dim=1)
        if index + 1 == skip:  # leave room for the point behind what the layer puts out
            weight, bias = F.pad(weight, (0, 0, 0, 3)), F.pad(bias, (0, 3))
        kind = torch.float32 if index == 0 else dtype
        layers.append((weight.clone().to(kind), bias.clone().to(kind)))
    weight, bias = decoder.last.weight.clone(), decoder.last.bias.clone()

    def run(points: Tensor) -> Tensor:
        x = points
        for index, (w, b) in enumerate(layers):
            if index == skip:
                x[:, -3:] = points
            x = F.linear(x.to(w.dtype), w, b).relu_()
        return F.linear(x.float(), weight, bias).tanh_()[:, 0]

    return run


def _grid(decoder: GridDecoder, code: Tensor, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    volume = decoder.volumes(code[None])
    kinds = [torch.float32] + [dtype] * (len(decoder.hidden) - 1)
    layers = [
        (m.weight.clone().to(kind), m.bias.clone().to(kind))
        for m, kind in zip(_linear(decoder.hidden), kinds, strict=True)
    ]
    weight, bias = decoder.last.weight.clone(), decoder.last.bias.clone()
    octaves, radius = decoder.config.octaves, decoder.RADIUS

    def run(points: Tensor) -> Tensor:
        found = F.grid_sample(
            volume, points[None, None, None], mode="bilinear", padding_mode="border", align_corners=True
        )
        x = torch.cat([found[0, :, 0, 0].T, points, waves(points, octaves)], dim=-1)
        for w, b in layers:
            x = F.linear(x.to(w.dtype), w, b).relu_()
        return F.linear(x.float(), weight, bias)[:, 0] + points.norm(dim=-1) - radius

    return run

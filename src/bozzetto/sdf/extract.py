"""Evaluation of the decoder for one code, and extraction of its surface as a mesh."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..geometry.launch import launch
from ..geometry.sparse_marching_cubes import NoSurfaceError, SparseIsosurface, sparse_isosurface
from ..shapes import Mesh
from .grid_kernels import trilinear
from .model import ConcatenatingDecoder, Decoder, GridDecoder
from .prior import ShapePrior

Precision = Literal["float32", "bfloat16"]

_CPU_CHUNK = 1 << 18  # size of a layer's output for a chunk of points, which fits into a core's cache
_CUDA_CHUNK = 1 << 25
_CPU_PART = 1 << 14  # points whose features are interpolated together: these arrays are narrower than layers


class Evaluator:
    """f(z, .) for one code z, callable on points.

    Everything that depends on the code alone is computed once: its part of the layers with code and point as
    input (z W_z + x W_x = [z x] W), the feature volume, and weight normalisation. On the CPU, points are
    evaluated in chunks that fit into the cache, one thread per chunk, since a layer of one chunk is too little
    work to be divided among threads.
    """

    def __init__(
        self,
        decoder: Decoder,
        code: Float[Tensor, " K"],
        precision: Precision = "float32",
    ) -> None:
        """Prepare the evaluation.

        Args:
            decoder: The decoder. Its current weights are copied, and dropout is off.
            code: Code of the shape, on the decoder's device.
            precision: Floating-point type of the hidden layers except the first. With bfloat16 distances are
                off by some thousandths, which suffices for pictures and statistics, but not for fine grids.
        """
        room = _CPU_CHUNK if code.device.type == "cpu" else _CUDA_CHUNK
        chunk = max(1, room // decoder.config.hidden)
        self._part = max(chunk, _CPU_PART) if isinstance(decoder, GridDecoder) else chunk
        with torch.no_grad():
            dtype = torch.float32 if precision == "float32" else torch.bfloat16
            self._network = _network(decoder, code.detach(), dtype, chunk)

    def __call__(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """Signed distances at points on the device of the code, float32."""
        points = points.detach()
        values, part = torch.empty(len(points), device=points.device), self._part
        threads = torch.get_num_threads() if points.device.type == "cpu" else 1

        def run(first: int) -> None:
            with torch.inference_mode():
                for start in range(first * part, len(points), threads * part):
                    values[start : start + part] = self._network(points[start : start + part])

        if threads == 1 or len(points) <= part:
            for index in range(threads):
                run(index)
        else:
            list(_workers(threads).map(run, range(threads)))
            torch.set_num_threads(threads)  # the workers have changed the default of later threads
        return values


@cache
def _workers(count: int) -> ThreadPoolExecutor:
    """Threads in which torch uses a single core each."""
    return ThreadPoolExecutor(count, "bozzetto-sdf", initializer=torch.set_num_threads, initargs=(1,))


def _network(decoder: Decoder, code: Tensor, dtype: torch.dtype, chunk: int) -> Callable[[Tensor], Tensor]:
    """The function from a part of the points to distances, which evaluates the layers chunk by chunk."""
    if isinstance(decoder, ConcatenatingDecoder):
        return _concatenating(decoder, code, dtype)
    if isinstance(decoder, GridDecoder):
        return _grid(decoder, code, dtype, chunk)
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
        if index + 1 == skip:  # leave room for the point after the outputs of the layer
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


def _grid(decoder: GridDecoder, code: Tensor, dtype: torch.dtype, chunk: int) -> Callable[[Tensor], Tensor]:
    """The same as `_network`, with one row per input of the network and one column per point; the last row is 1
    for
    biases."""
    config, radius = decoder.config, decoder.RADIUS
    features, octaves = config.features, config.octaves
    table = decoder.volumes(code[None])[0].flatten(1).T.contiguous()
    first, *others = _linear(decoder.hidden)
    entry = torch.cat([first.weight, first.bias[:, None]], dim=1).T.contiguous()
    layers = [(layer.weight.clone().to(dtype), layer.bias.clone().to(dtype)) for layer in others]
    weight, bias = decoder.last.weight[0].clone(), decoder.last.bias - radius

    def run(points: Tensor) -> Tensor:
        places = points.T.contiguous()
        nodes = places.new_empty(len(points), 8, dtype=torch.int32)
        weights = places.new_empty(len(points), 8)
        launch(trilinear, len(points), [points.contiguous(), config.grid, nodes, weights], points.device)
        x = places.new_empty(len(entry), len(points))
        x[:features] = F.embedding_bag(nodes, table, mode="sum", per_sample_weights=weights).T
        x[features : features + 3] = places
        _write_waves(places, x[features + 3 : -1].view(2, 3, octaves, -1))
        x[-1] = 1
        values = places.square().sum(dim=0).sqrt_().add_(bias)
        for part, value in zip(x.split(chunk, dim=1), values.split(chunk), strict=True):
            y = torch.mm(part.T, entry).relu_()
            for w, b in layers:
                y = F.linear(y.to(dtype), w, b).relu_()
            value += y.float() @ weight
        return values

    return run


def _write_waves(places: Float[Tensor, "3 N"], out: Float[Tensor, "2 3 K N"]) -> None:
    """Compute `positional_encoding`, higher octaves from lower ones: sin 2a = 2 sin a cos a, cos 2a = 1 - 2
    sin^2 a."""
    sines, cosines = out.unbind(dim=0)
    for octave in range(out.shape[2]):
        sine, cosine = sines[:, octave], cosines[:, octave]
        if octave == 0:
            torch.sin(torch.pi * places, out=sine)
            torch.cos(torch.pi * places, out=cosine)
        else:
            lower = sines[:, octave - 1]
            torch.mul(lower, cosines[:, octave - 1], out=sine).mul_(2)
            torch.mul(lower, lower, out=cosine).mul_(-2).add_(1)


def extract_mesh(
    prior: ShapePrior | Decoder,
    code: Float[Tensor, " K"],
    resolution: int = 128,
    trusted: float | None = None,
    lipschitz: float | None = None,
    precision: Precision = "float32",
) -> Mesh:
    """Extract the surface of a code as a mesh in the normalised frame, by marching cubes over [-1, 1]^3.

    As in the released DeepSDF code, there are `resolution` grid nodes along each axis with spacing 2 /
    (resolution - 1), the first and the last on the border. Only the neighbourhood of the surface is evaluated
    (see `sparse_isosurface`).

    Args:
        prior: The prior, or its decoder.
        code: Code of the shape.
        resolution: Number of grid nodes along each axis.
        trusted: Largest reliable distance, in the normalised frame; of larger ones only the sign is used. None
            takes the clamp of the prior's training.
        lipschitz: Bound on the norm of the gradient of f in x. None estimates it locally.
        precision: Floating-point type of the network, see `Evaluator`.

    Returns:
        The mesh on the device of the decoder, faces counter-clockwise seen from outside.

    Raises:
        InputError: The code does not fit this prior, or it has no surface.
    """
    return extract_surface(prior, code, resolution, trusted, lipschitz, precision).mesh


def extract_surface(
    prior: ShapePrior | Decoder,
    code: Float[Tensor, " K"],
    resolution: int = 128,
    trusted: float | None = None,
    lipschitz: float | None = None,
    precision: Precision = "float32",
) -> SparseIsosurface:
    """Extract a surface as `extract_mesh` does, and also return the crossed cells and the cost of finding
    them."""
    if isinstance(prior, Decoder):
        prior = ShapePrior(prior, code.new_empty(0, prior.config.code_size), ())
    decoder, code = prior.decoder, prior.check_code(code).detach()
    code = code.to(next((p.device for p in decoder.parameters()), code.device))
    function = Evaluator(decoder, code, precision)
    trusted = prior.clamp if trusted is None else trusted
    low, high = (-1.0,) * 3, (1.0,) * 3
    try:
        return sparse_isosurface(function, resolution, low, high, lipschitz, trusted, device=code.device)
    except NoSurfaceError as error:
        raise InputError(
            f"this code gives no surface in [-1, 1]^3 (norm {float(torch.linalg.vector_norm(code)):.3g}): "
            f"{error}; give a code of this prior, or one near to its codes"
        ) from error

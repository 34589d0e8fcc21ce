"""Launches of Warp kernels on torch tensors: threads, devices and conversions.

A Warp launch on the CPU runs on the calling thread and releases the interpreter lock, so work that splits
into independent parts (views, bands of rows) is spread over a small thread pool. On CUDA one launch takes
the whole range.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from threading import Lock
from typing import Any, TypeVar, cast

import torch
import warp as wp

wp.config.quiet = True  # pyright: ignore[reportAttributeAccessIssue] (older Warp)
wp.config.log_level = 40  # newer Warp: errors only, a missing CUDA driver is none

T = TypeVar("T")
_loading = Lock()
_loaded: set[wp.Module] = set()


@cache
def _initialised() -> bool:
    with _loading, nullcontext() if torch.cuda.is_available() else _no_stderr():
        wp.init()
    return True


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Warp's native code complains about a missing CUDA driver, which is no fault, whatever its settings."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def thread_count() -> int:
    """Threads that a CPU launch is spread over: the torch setting, so that users control one number."""
    return max(1, torch.get_num_threads())


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="bozzetto-kernels")


def in_parts(run: Callable[[int, int, int], None], count: int, device: torch.device) -> int:
    """Call `run(part, start, stop)` so that the parts together cover range(count).

    Args:
        run: Does the work of one part. On the CPU the parts run at the same time in several threads, so
            they must not write to the same memory; accumulate into one buffer per part.
        count: Length of the range, for instance the number of views.
        device: Device of the work; on CUDA there is always one part.

    Returns:
        The number of parts that were used, at most `part_count(count, device)`.
    """
    parts = part_count(count, device)
    if parts == 1:
        run(0, 0, count)
        return 1
    edges = [count * i // parts for i in range(parts + 1)]
    for future in [_pool(parts).submit(run, i, edges[i], edges[i + 1]) for i in range(parts)]:
        future.result()
    return parts


def part_count(count: int, device: torch.device) -> int:
    """Number of parts into which `in_parts` splits a range of this length."""
    return max(1, min(count, thread_count())) if device.type == "cpu" else 1


def launch(
    kernel: Callable[..., None], dim: int | tuple[int, ...], arguments: list[Any], device: torch.device
) -> None:
    """Launch a Warp kernel on torch tensors without copies.

    Args:
        kernel: The kernel.
        dim: Its launch dimensions.
        arguments: Its arguments in order; tensors are handed over in place and must be contiguous.
        device: Device of all the tensors. On CUDA the launch joins torch's current stream.
    """
    assert isinstance(kernel, wp.Kernel)
    if dim == 0:
        return  # empty tensors have strides that Warp refuses
    _initialised()
    types = [argument.type for argument in kernel.adj.args]
    values = [
        wp.from_torch(a.detach(), t.dtype, requires_grad=False, return_ctype=True)
        if isinstance(a, torch.Tensor)
        else a
        for a, t in zip(arguments, types, strict=True)
    ]
    if device.type == "cuda":
        stream = wp.stream_from_torch(torch.cuda.current_stream(device))
        wp.launch(kernel, dim=dim, inputs=values, device=f"cuda:{device.index or 0}", stream=stream)
    else:
        if kernel.module not in _loaded:  # parts that start together would each compile the module
            with _loading:
                wp.launch(kernel, dim=dim, inputs=values, device="cpu")
                _loaded.add(kernel.module)
        else:
            wp.launch(kernel, dim=dim, inputs=values, device="cpu")


def kernel_struct(cls: T) -> T:
    """Make a class a Warp struct that is still this class to type checkers."""
    return cast(T, wp.struct(cast(type, cls)))


def fill_struct(struct: Any, **fields: Any) -> Any:
    """Fill a Warp struct, arguments that several kernels share; tensors are handed over in place."""
    _initialised()
    packed = struct()
    for name, value in fields.items():
        if isinstance(value, torch.Tensor):
            value = wp.from_torch(value.detach(), struct.vars[name].type.dtype, requires_grad=False)
        setattr(packed, name, value)
    return packed


def stream(device: torch.device) -> AbstractContextManager[object]:
    """Context manager: Warp uses torch's current stream, for instance to build a hierarchy; no effect on the
    CPU."""
    _initialised()
    if device.type != "cuda":
        return nullcontext()
    return wp.ScopedStream(wp.stream_from_torch(torch.cuda.current_stream(device)))

"""Warp kernel of the sparse product inside conjugate gradients."""

import warp as wp


@wp.kernel
def multiply(
    starts: wp.array[wp.int32],  # (n + 1,) where the entries of each row begin
    columns: wp.array[wp.int32],  # (entries,)
    values: wp.array[float],  # (entries,)
    first: int,  # row of the first thread
    x: wp.array2d[float],  # (n, C)
    y: wp.array2d[float],  # (n, C) written
) -> None:
    """y = matrix @ x, one thread per row."""
    i = first + wp.tid()
    for c in range(x.shape[1]):
        total = float(0.0)
        for p in range(starts[i], starts[i + 1]):
            total += values[p] * x[columns[p], c]
        y[i, c] = total

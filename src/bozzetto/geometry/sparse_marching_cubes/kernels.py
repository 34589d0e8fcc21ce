"""Kernels on the nodes of many small cells of a `SparseGrid`, cell by cell without index arrays.

Cells are given by their lower corners and the number of nodes along a side. Nodes beyond the grid are
replaced by the last ones that it has. Several cells may write to a node, but all of them the same.
"""

import warp as wp

from ..launch import kernel_struct

BITS = 2  # blocks of 4 nodes along each axis: small, since coarse levels look at single nodes
WITHIN: int = wp.constant((1 << BITS) - 1)
SHIFT: int = wp.constant(BITS)
RESERVED: int = wp.constant(-2)
"""Slot of a block that is to be allocated."""


@kernel_struct
class Layout:
    """Tables from nodes to the slots of their values."""

    slots: wp.array[int]
    blocks: wp.vec3i
    last: wp.vec3i


@wp.func
def block_of(grid: Layout, node: wp.vec3i) -> int:
    """Number of the block that a node lies in."""
    row = (node[0] >> SHIFT) * grid.blocks[1] + (node[1] >> SHIFT)
    return row * grid.blocks[2] + (node[2] >> SHIFT)


@wp.func
def address_of(grid: Layout, node: wp.vec3i) -> int:
    """Index of a node's value; its block must be allocated."""
    within = ((((node[0] & WITHIN) << SHIFT) + (node[1] & WITHIN)) << SHIFT) + (node[2] & WITHIN)
    return (grid.slots[block_of(grid, node)] << 3 * SHIFT) + within


@wp.kernel(enable_backward=False)
def reserve(grid: Layout, lower: wp.array[wp.vec3i], side: int) -> None:
    """Ask for the blocks in which cells lie, of which none is wider than a block."""
    cell = wp.tid()
    for corner in range(8):
        shift = wp.vec3i(corner >> 2, corner >> 1 & 1, corner & 1) * (side - 1)
        block = block_of(grid, wp.min(lower[cell] + shift, grid.last))
        if grid.slots[block] < 0:
            grid.slots[block] = RESERVED


@wp.kernel(enable_backward=False)
def prove(
    grid: Layout,
    lower: wp.array[wp.vec3i],
    middle: wp.array[float],
    slope: wp.array[float],
    step: wp.vec3,
    values: wp.array[float],
) -> None:
    """Write infinite values of the sign of the middle at nodes too near to it for a change of sign."""
    cell = wp.tid()
    centre = (lower[cell] + wp.min(lower[cell] + wp.vec3i(2, 2, 2), grid.last)) / 2
    for x in range(3):
        for y in range(3):
            for z in range(3):
                node = wp.min(lower[cell] + wp.vec3i(x, y, z), grid.last)
                away = wp.cw_mul(wp.vec3(node - centre), step)
                if wp.abs(middle[cell]) > slope[cell] * wp.length(away):
                    address = address_of(grid, node)
                    if not wp.isfinite(values[address]):
                        values[address] = wp.sign(middle[cell]) * wp.inf


@wp.kernel(enable_backward=False)
def want(
    grid: Layout,
    lower: wp.array[wp.vec3i],
    side: int,
    certain: bool,
    values: wp.array[float],
    wanted: wp.array[wp.bool],
) -> None:
    """Mark nodes of unknown sign or, if asked to be certain, of unknown value."""
    cell = wp.tid()
    for x in range(side):
        for y in range(side):
            for z in range(side):
                address = address_of(grid, wp.min(lower[cell] + wp.vec3i(x, y, z), grid.last))
                value = values[address]
                if wp.isnan(value) or (certain and wp.isinf(value)):
                    wanted[address] = True


@wp.kernel(enable_backward=False)
def mixed_eighths(
    grid: Layout,
    lower: wp.array[wp.vec3i],
    values: wp.array[float],
    mixed: wp.array2d[wp.bool],
) -> None:
    """Which eighths of cells of 27 nodes have a change of sign and are in the grid."""
    cell = wp.tid()
    above = int(0)  # a bit per node
    for x in range(3):
        for y in range(3):
            for z in range(3):
                node = wp.min(lower[cell] + wp.vec3i(x, y, z), grid.last)
                if values[address_of(grid, node)] > 0.0:
                    above = above | (1 << (9 * x + 3 * y + z))
    for eighth in range(8):
        x, y, z = eighth >> 2, eighth >> 1 & 1, eighth & 1
        corners = 13851 << (9 * x + 3 * y + z)  # bits 0, 1, 3, 4, 9, 10, 12 and 13
        corner = lower[cell] + wp.vec3i(x, y, z)
        inside = corner[0] < grid.last[0] and corner[1] < grid.last[1] and corner[2] < grid.last[2]
        found = above & corners
        mixed[cell, eighth] = inside and found != 0 and found != corners

"""The zero set of a function on a regular grid, evaluated near the surface only."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...errors import InputError
from ...shapes import Mesh
from ...values import value_type
from ..grid_triangles import grid_margin, grid_triangles
from .function import Function, SampledFunction, torch_threads
from .search import SlopeBound, cell_widths, crossed_cells, mean_slopes

_ATTEMPTS = 4  # times that the bound is raised when the surface turns out steeper


class NoSurfaceError(InputError):
    """The function has one sign at all that was looked at."""


@value_type
class SparseIsosurface:
    """A surface and what it cost to find.

    Attributes:
        mesh: The surface.
        cells: Lower corners of the cells that it crosses, as node indices.
        evaluations: Values of the function that were computed, by purpose: "8" for centres of cells
            8 spacings wide and so on, "nodes" for corners of the cells of the grid, "continuation" for cells
            that pruning had left out wrongly.
        lipschitz: The largest bound of the slope that the pruning rested on at the surface.
        bounded: Whether the slope in every crossed cell is within the bound.
    """

    mesh: Mesh
    cells: Int64[Tensor, "C 3"]
    evaluations: dict[str, int]
    lipschitz: float
    bounded: bool

    @property
    def total(self) -> int:
        """Evaluations in all."""
        return sum(self.evaluations.values())


def sparse_isosurface(
    function: Function,
    resolution: int | Sequence[int],
    low: Sequence[float] | Float[Tensor, "3"],
    high: Sequence[float] | Float[Tensor, "3"],
    lipschitz: float | None = None,
    trusted: float = torch.inf,
    batch: int = 1 << 18,
    coarse: int = 32,
    device: torch.device | str = "cpu",
) -> SparseIsosurface:
    """Marching cubes of a function, exact on every cell that the surface crosses, at a fraction of the cost.

    Cells of about `coarse` per axis are split in eight again and again, except those whose value at the
    centre is too far from 0 for a sign change anywhere inside: |f(centre)| > L radius. On the finest level
    the same bound proves the signs of nodes around each centre; nodes it proves nothing about, and nodes of
    cells with a sign change, are evaluated. All centres are nodes of the grid, and no node is evaluated twice.

    Then the surface is followed: where a face of a crossed cell has a sign change, the cell behind it is
    crossed as well and is added if it was left out. So a piece of surface that is found at all is complete
    even where L is too small.

    Without a given L, the slopes between all values found so far give one for each place (`SlopeBound`). It
    is raised, and the search repeated with all values kept, if the surface turns out to be steeper. What such
    a bound can miss is a separate piece of surface, smaller than a coarse cell, whose slope shows nowhere.

    Args:
        function: Negative inside, on points of the given device; called without gradients.
        resolution: Nodes along each axis, or one number for all three; at least 2.
        low: Position of the first node.
        high: Position of the last one.
        lipschitz: L, a bound of the slope |f(x) - f(y)| / |x - y| wherever |f| < trusted. None measures it
            place by place.
        trusted: Where |f| is larger it tells nothing but its sign, as in networks trained with clamped
            distances. Levels at which L radius exceeds this keep all cells.
        batch: Points per call.
        coarse: Cells along the longest axis to begin with, about.
        device: Where nodes are kept and the function is called.

    Returns:
        The mesh, on the device, with the cells it crosses and the evaluations it took. Triangles as in
        `isosurface`; positions too, apart from rounding.

    Raises:
        InputError: The grid, L or the clamp make no sense, the function has values that are not finite or
            of a wrong shape, or there is no surface.
    """
    counts = [resolution] * 3 if isinstance(resolution, int) else [int(n) for n in resolution]
    first, last = (torch.as_tensor(c, dtype=torch.float64).cpu() for c in (low, high))
    _check(counts, first, last, lipschitz, trusted)
    samples = SampledFunction(function, counts, first, last, batch, torch.device(device))
    with torch_threads(1):  # steps are short: sharing them saves little, and costs much on busy cores
        return _extract(samples, cell_widths(counts, coarse), lipschitz, trusted)


def _check(counts: list[int], low: Tensor, high: Tensor, lipschitz: float | None, trusted: float) -> None:
    if len(counts) != 3 or min(counts) < 2:
        raise InputError(f"a grid needs two nodes or more along each of three axes, got {counts}")
    if not (low < high).all():
        raise InputError(f"the low corner {low.tolist()} must be below the high corner {high.tolist()}")
    for name, value in (("Lipschitz bound", lipschitz), ("trusted size of values", trusted)):
        if value is not None and not value > 0:
            raise InputError(f"the {name} must be positive, got {value}; leave it out if it is unknown")


def _extract(
    samples: SampledFunction, widths: list[int], lipschitz: float | None, trusted: float
) -> SparseIsosurface:
    """Search until the surface is nowhere steeper than the bound that the search rested on."""
    bound = SlopeBound(samples.counts, widths[0], samples.device, lipschitz)
    cells, corners = crossed_cells(samples, widths, bound, trusted)
    steep = mean_slopes(corners, samples.step)
    attempts = _ATTEMPTS if lipschitz is None else 0
    while attempts and (steep > bound.at(cells)).any():
        bound.note(cells, steep)
        cells, corners = crossed_cells(samples, widths, bound, trusted)
        steep = mean_slopes(corners, samples.step)
        attempts -= 1
    if len(cells) == 0:
        raise NoSurfaceError(
            f"no surface at level 0: the {samples.total} values looked at run from "
            f"{samples.value_range[0]:g} to {samples.value_range[1]:g}; "
            "choose a larger box or check the function"
        )
    low, step = samples.low.cpu(), samples.step.cpu()
    margin = grid_margin(low, low + samples.last.cpu() * step, step)
    places, faces = grid_triangles(cells.cpu(), corners.cpu(), samples.counts, margin)
    mesh = Mesh((low + places * step).float(), faces).to(samples.device)
    bounds = bound.at(cells)
    return SparseIsosurface(
        mesh, cells, samples.evaluations, float(bounds.max()), bool((steep <= bounds).all())
    )

"""The zero set of a function on a regular grid, evaluated near the surface only.

Cells that the surface crosses are searched for from coarse to fine.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ...errors import InputError
from ...shapes import Mesh
from ...steps import counted
from ...values import value_type
from ..isosurface import grid_margin, grid_triangles
from .grid import CORNERS, Cells, Function, SampledFunction, SparseGrid, torch_threads

_MARGIN = 1.25  # assumed bound of the slope over the largest one seen near by


class SlopeBound:
    """An estimated bound of the slope of a function for every block of a grid, from observed slopes nearby.

    A single bound for the whole grid is that of the steepest part. For trained networks, it is twice the bound
    that most of the surface needs, and the number of evaluations is nearly proportional to it.

    The bound of a block is 1.25 times the largest slope that was observed in it and in the 26 blocks around it,
    and at least 1.25 times the median of the slopes that were observed first. Alternatively, it is a given
    constant.
    """

    def __init__(
        self, counts: list[int], width: int, device: torch.device, constant: float | None = None
    ) -> None:
        self._width = width
        self.constant = constant
        shape = [(count - 2) // width + 1 for count in counts]
        self._seen = torch.zeros(shape, device=device)
        self._bound: Tensor | None = None
        self._least: float | None = None

    def note(self, cells: Int64[Tensor, "P 3"], slopes: Float[Tensor, " P"]) -> None:
        """Add observed slopes in cells."""
        if len(slopes) == 0 or self.constant is not None:
            return
        if self._least is None:
            self._least = float(slopes.median())
        x, y, z = (cells // self._width).unbind(dim=1)
        rows, columns = self._seen.shape[1:]
        self._seen.view(-1).scatter_reduce_(0, (x * rows + y) * columns + z, slopes.float(), "amax")
        self._bound = None

    def at(self, cells: Int64[Tensor, "P 3"]) -> Float[Tensor, " P"]:
        """The bounds in cells."""
        if self.constant is not None:
            return self._seen.new_full((len(cells),), self.constant)
        if self._bound is None:
            around = torch.nn.functional.max_pool3d(self._seen[None], 3, stride=1, padding=1)[0]
            self._bound = _MARGIN * around.clamp_min(self._least or 0.0)
        return self._bound[tuple((cells // self._width).unbind(dim=1))]


def cell_widths(counts: list[int], coarse: int) -> list[int]:
    """Widths of the cells of all levels in spacings: powers of two, down to 2."""
    widths = [2]
    while widths[0] * 2 * coarse <= max(counts):
        widths.insert(0, widths[0] * 2)
    return widths


def crossed_cells(
    samples: SampledFunction, widths: list[int], bound: SlopeBound, trusted: float
) -> tuple[Int64[Tensor, "C 3"], Float[Tensor, "C 2 2 2"]]:
    """Lower corners of all cells with a sign change, in order, and the values at their corners."""
    samples.grid.forget_infinite()
    lower = _roots(samples, widths[0])
    value = _centres(samples, lower, widths[0], trusted)
    bound.note(*_root_slopes(samples, lower, widths[0], value, trusted))
    for width in counted(widths, "surface"):
        above, centre = _extent(samples, lower, width)
        x, y, z = (torch.maximum(centre - lower, above - centre) * samples.step).float().unbind(dim=1)
        radius = (x * x + y * y + z * z).sqrt()
        kept = value.abs() <= bound.at(lower) * radius
        lower, value = lower[kept], value[kept]
        if width > 2:
            lower, value = _split(samples, lower, width // 2, bound, trusted)
    return _follow(samples, _candidates(samples, lower, value, bound))


def _centres(
    samples: SampledFunction, lower: Int64[Tensor, "K 3"], width: int, trusted: float
) -> Float[Tensor, " K"]:
    """Values in the middle of cells, clamped to [-trusted, trusted]."""
    _, centre = _extent(samples, lower, width)
    return samples.at(centre, str(width)).clamp(-trusted, trusted)


def _split(
    samples: SampledFunction, parents: Int64[Tensor, "K 3"], width: int, bound: SlopeBound, trusted: float
) -> tuple[Int64[Tensor, "C 3"], Float[Tensor, " C"]]:
    """The eighths of cells that are in the grid, and their values. Slopes between them are added to the
    bound."""
    lower = parents[:, None] + width * CORNERS.to(samples.device)
    exist = (lower < samples.last).all(dim=-1)
    values = torch.full_like(exist, torch.nan, dtype=torch.float32)
    values[exist] = _centres(samples, lower[exist], width, trusted)
    whole = (parents + 2 * width <= samples.last).all(dim=1)
    bound.note(parents[whole], mean_slopes(values[whole].view(-1, 2, 2, 2), width * samples.step))
    return lower[exist], values[exist]


def mean_slopes(corners: Float[Tensor, "C 2 2 2"], step: Float[Tensor, "3"]) -> Float[Tensor, " C"]:
    """Slopes in the middle of boxes, of the trilinear function between values at their corners."""
    x, y, z = [corners.diff(dim=axis + 1).sum(dim=(1, 2, 3)) / float(4 * step[axis]) for axis in range(3)]
    return (x * x + y * y + z * z).sqrt()


def _root_slopes(
    samples: SampledFunction,
    lower: Int64[Tensor, "K 3"],
    width: int,
    value: Float[Tensor, " K"],
    trusted: float,
) -> tuple[Int64[Tensor, "N 3"], Float[Tensor, " N"]]:
    """Slopes between the first cells, the larger one of both sides along each axis, where f is trusted."""
    shape = [(count - 2) // width + 1 for count in samples.counts]
    field = value.view(shape)
    _, centre = _extent(samples, lower, width)
    squares = torch.zeros_like(field)
    for axis in range(3):
        between = (centre[:, axis].view(shape).diff(dim=axis) * samples.step[axis]).float()
        slope = field.diff(dim=axis).abs() / between
        pad = slope.new_zeros(slope.shape[:axis] + (1,) + slope.shape[axis + 1 :])
        squares += torch.maximum(torch.cat([pad, slope], axis), torch.cat([slope, pad], axis)).square()
    near = value.abs() < trusted
    near = near if near.any() else torch.ones_like(near)
    return lower[near], squares.sqrt().view(-1)[near]


def _roots(samples: SampledFunction, width: int) -> Int64[Tensor, "K 3"]:
    axes = [torch.arange(0, count - 1, width, device=samples.device) for count in samples.counts]
    return torch.cartesian_prod(*axes)


def _extent(samples: SampledFunction, lower: Int64[Tensor, "K 3"], width: int) -> tuple[Tensor, Tensor]:
    """Upper corners of cells, clamped to the grid, and the node in the middle."""
    above = torch.minimum(lower + width, samples.last)
    return above, (lower + above) // 2


def _candidates(
    samples: SampledFunction, lower: Int64[Tensor, "K 3"], value: Float[Tensor, " K"], bound: SlopeBound
) -> Int64[Tensor, "C 3"]:
    """Cells of the grid with a sign change, in cells of width 2 with the value at their middle.

    Nodes near a middle get +-inf if they must have its sign; other nodes are evaluated.
    """
    cells = Cells(samples.grid, lower, 3)
    cells.prove(value, bound.at(lower), samples.step)
    samples.complete(cells.wanted(certain=False), "nodes")
    row, eighth = cells.mixed_eighths().nonzero().T
    return lower[row] + CORNERS.to(samples.device)[eighth]


def _follow(
    samples: SampledFunction, cells: Int64[Tensor, "C 3"]
) -> tuple[Int64[Tensor, "D 3"], Float[Tensor, "D 2 2 2"]]:
    """All crossed cells among the given ones, and those that continue them."""
    found = SparseGrid(samples.counts, samples.device)  # 1 where a cell is known to be crossed
    every, corners = [cells[:0]], [samples.corners(cells[:0])]
    purpose = "nodes"
    while len(cells):
        values, wrong = _evaluated(samples, cells, purpose)
        crossed = _mixed(values)
        cells, values = cells[crossed], values[crossed]
        found.write(found.address(*cells.T), values.new_ones(()))
        every.append(cells)
        corners.append(values.view(-1, 2, 2, 2))
        first = purpose == "nodes"  # the given cells come with the seven others in their cell of width 2
        further = torch.cat([_behind(samples, cells, values, first), _around(samples, wrong)])
        further = further[found.read(found.address(*further.T)).isnan()].unique(dim=0)
        cells = further[_mixed(samples.corners(further).flatten(1))]
        purpose = "continuation"
    cells, values = torch.cat(every), torch.cat(corners)
    order = samples.index(cells).argsort()
    return cells[order], values[order]


def _evaluated(
    samples: SampledFunction, cells: Int64[Tensor, "C 3"], purpose: str
) -> tuple[Float[Tensor, "C 8"], Int64[Tensor, "N 3"]]:
    """Values at the corners of cells, and the nodes for which pruning had inferred the wrong sign."""
    address = Cells(samples.grid, cells, 2).wanted(certain=True)
    believed = samples.grid.read(address)
    samples.complete(address, purpose)
    wrong = believed.isinf() & ((believed > 0) != (samples.grid.read(address) > 0))
    return samples.corners(cells).flatten(1), samples.grid.nodes(address[wrong])


def _behind(
    samples: SampledFunction, cells: Int64[Tensor, "C 3"], values: Float[Tensor, "C 8"], outer: bool
) -> Int64[Tensor, "N 3"]:
    """Neighbours across faces with a sign change; if `outer`, only those in another cell of width 2."""
    above = (values > 0).view(-1, 2, 2, 2)
    shifts = torch.eye(3, dtype=torch.int64, device=samples.device)
    neighbours = []
    for axis in range(3):
        for side in (0, 1):
            face = above.select(axis + 1, side).flatten(1)
            mixed = face.any(dim=1) & ~face.all(dim=1)
            if outer:
                mixed &= (cells[:, axis] & 1) == side
            neighbours.append(cells[mixed] + shifts[axis] * (2 * side - 1))
    return samples.inside(torch.cat(neighbours))


def _around(samples: SampledFunction, nodes: Int64[Tensor, "N 3"]) -> Int64[Tensor, "M 3"]:
    """The eight cells at each of some nodes."""
    return samples.inside((nodes[:, None] - CORNERS.to(samples.device)).view(-1, 3))


def _mixed(values: Float[Tensor, "C K"]) -> Bool[Tensor, " C"]:
    """Whether known values have both signs; zero counts as negative, as in marching cubes."""
    return (values > 0).any(dim=1) & (values <= 0).any(dim=1)


_ATTEMPTS = 4  # times that the bound is raised when the surface turns out steeper


class NoSurfaceError(InputError):
    """The function has the same sign at all nodes that were evaluated."""


@value_type
class SparseIsosurface:
    """An extracted surface, with the number of evaluations.

    Attributes:
        mesh: The surface.
        cells: Lower corners of the cells that it crosses, as node indices.
        evaluations: Values of the function that were computed, by purpose: "8" for centres of cells
            8 spacings wide and so on, "nodes" for corners of the cells of the grid, "continuation" for cells
            that pruning had left out wrongly.
        lipschitz: The largest bound of the slope that pruning used at the surface.
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

    The grid is divided into about `coarse` cells per axis. Cells are split in eight recursively, except where
    the value at the centre is too far from 0 for a sign change inside: |f(centre)| > L radius. On the finest
    level, the same bound proves the signs of nodes around each centre. The other nodes, and the nodes of cells
    with a sign change, are evaluated. All centres are nodes of the grid, and no node is evaluated twice.

    Then the surface is followed: where a face of a crossed cell has a sign change, the cell behind it is
    crossed, too, and is added if it was pruned. So every component of the surface of which a part is found is
    complete, even where L is too small.

    Without a given L, the slopes between all values so far give an L for each block (`SlopeBound`). If the
    surface turns out to be steeper, L is raised and the search repeated with all values kept. Such a bound can
    miss a separate component of the surface that is smaller than a coarse cell.

    Args:
        function: Negative inside, on points of the given device; called without gradients.
        resolution: Nodes along each axis, or one number for all three; at least 2.
        low: Position of the first node.
        high: Position of the last one.
        lipschitz: L, a bound of the slope |f(x) - f(y)| / |x - y| wherever |f| < trusted. None estimates it for
            each block.
        trusted: Where |f| is larger, only its sign is used, as for networks trained with clamped distances.
            Levels at which L radius exceeds this keep all cells.
        batch: Points per call.
        coarse: Approximate number of cells along the longest axis on the coarsest level.
        device: Device of the values and of the calls of the function.

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
    """Search until the surface is nowhere steeper than the bound that the search used."""
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

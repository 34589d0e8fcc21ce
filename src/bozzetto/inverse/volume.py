"""A first surface of the right topology: a grid of signed distances, fitted to photographs by volume rendering.

A visual hull fills concavities and closes holes that no outline shows, and no deformation of a mesh opens them
again. A grid of signed distances changes its topology freely. It is fitted to colours and masks, coarse to
fine, beginning with an ellipsoid; its zero level is the surface that `Optimization` then refines.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from torch import Tensor

from ..cameras import Capture, object_bounds
from ..errors import InputError
from ..geometry import isosurface, solid_distance
from ..geometry.launch import fill_struct, in_parts, launch, part_count
from ..shapes import Mesh, Similarity
from ..shapes.offsets import offset_of
from ..steps import counted
from . import volume_kernels as kernels
from .config import VolumeConfig, VolumeLevel
from .data import cameras_in_frame, capture_targets, object_boxes, pixel_size

MARGIN = 4
"""Cells between the bounds of the object and the border of the grid."""
BORDER = 2
"""Width in nodes of the border of the grid, which stays outside."""
BAND = 3.0, 2.0
"""Distance up to which the grid is learned: this many betas and cells."""
STEP = 0.5
"""Distance of samples along a ray near the surface, in cells."""
PIXELS_PER_CELL = 1.5
"""Size of the photographs at a level: pixels along a cell."""
BLUR = 0.7
"""Standard deviation in cells of the filter before extraction. It closes tunnels of the width of a cell, which
noise makes; parts of two cells and more stay."""
SPECK = 1e-3
"""Volume of the smallest piece that is kept, as a fraction of the largest."""
BETAS = 0.9, 0.99
"""Decay of the two moments of Adam."""
CLEAR = 1.0
"""Distance in cells from both surfaces beyond which a node is clearly inside or outside."""
JUDGED = 2
"""Number of levels of a volume after which it is compared with the hull."""
DISAGREEMENT = 2.5e-3
"""Smallest disagreement of a volume with the hull, as a fraction of the hull, for which the volume is the first
surface; `benchmarks/topology.py --disagreement` measures it on objects of either kind."""


class Volume:
    """A grid of signed distances and colours.

    Attributes:
        low: Position of the first node in the frame of the cameras.
        cell: Length of a cell in that frame.
        distances: Signed distance at the nodes in cells, negative inside.
        colors: Square root of linear RGB at the nodes. Dark surfaces then have as much contrast as bright ones.
    """

    def __init__(
        self,
        low: Float64[Tensor, "3"],
        cell: float,
        distances: Float[Tensor, "X Y Z"],
        colors: Float[Tensor, "X Y Z 3"],
    ) -> None:
        self.low: Tensor = low
        self.cell: float = cell
        self.distances: Tensor = distances
        self.colors: Tensor = colors

    @classmethod
    def ellipsoid(
        cls, bounds: Float64[Tensor, "2 3"], resolution: int, color: Float[Tensor, "3"]
    ) -> "Volume":
        """The ellipsoid that touches the sides of a box, of a uniform colour.

        Args:
            bounds: Low and high corner of the box.
            resolution: Number of cells along its longest side.
            color: Square root of linear RGB.
        """
        low, cell, shape = _layout(bounds, resolution)
        axes = [torch.arange(n, dtype=torch.float32, device=color.device) for n in shape]
        nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        middle = torch.tensor([(n - 1) / 2 for n in shape]).to(nodes)
        radii = middle - MARGIN
        distances = (((nodes - middle) / radii).norm(dim=-1) - 1) * radii.min()
        return cls(low, cell, distances.contiguous(), color.expand(*shape, 3).contiguous())

    def bounds(self) -> Float64[Tensor, "2 3"]:
        """Low and high corner of a box around the inside, with a cell of room, in the frame of the cameras.

        Raises:
            InputError: Nothing is inside.
        """
        inside = _without_specks(self.distances.cpu()) <= 0
        ends = []
        for others in ((1, 2), (0, 2), (0, 1)):
            nodes = torch.nonzero(inside.any(dim=others[1]).any(dim=others[0]))[:, 0]
            if len(nodes) == 0:
                raise InputError(
                    "no surface explains the photographs: the volume that was fitted to them is empty; check "
                    "cameras and masks with doctor"
                )
            ends.append(torch.stack([nodes[0] - 1, nodes[-1] + 1]))
        return self.low + self.cell * torch.stack(ends, dim=1).double()

    def refined(self, bounds: Float64[Tensor, "2 3"], resolution: int) -> "Volume":
        """The same field on another grid, by trilinear interpolation; for the arguments see `ellipsoid`."""
        low, cell, shape = _layout(bounds, resolution)
        axes = [
            (float(low[axis] - self.low[axis]) + cell * torch.arange(n)) / self.cell
            for axis, n in enumerate(shape)
        ]
        scaled = [2 * nodes / (n - 1) - 1 for nodes, n in zip(axes, self.distances.shape, strict=True)]
        points = torch.stack(torch.meshgrid(*scaled, indexing="ij"), dim=-1).flip(-1)[None]
        values = torch.cat([self.distances[..., None], self.colors], dim=-1).permute(3, 0, 1, 2)[None]
        fine = torch.nn.functional.grid_sample(
            values, points.to(values), align_corners=True, padding_mode="border"
        )[0]
        distances = fine[0] * (self.cell / cell)
        return Volume(low, cell, distances.contiguous(), fine[1:].permute(1, 2, 3, 0).contiguous())

    def renew_distances(self, band: float) -> None:
        """Replace distances of `band` cells and more by distances to the nodes next to the surface.

        Rays jump by these values. They are exact to about a cell.
        """
        values = self.distances.cpu().numpy()
        near = np.abs(values) < 1.0
        if not near.any():
            return
        found = distance_transform_edt(~near, return_indices=True)
        assert found is not None
        length, nearest = found
        sign = np.sign(values)
        values = np.where(np.abs(values) < band, values, sign * length + values[tuple(nearest)])
        self.distances.copy_(torch.from_numpy(values.astype(np.float32)))

    def disagreement(self, mesh: Mesh) -> float:
        """Volume that clearly belongs to only one of this solid and another, as a fraction of the other.

        Args:
            mesh: Closed surface of the other solid, in the frame of the cameras. Its volume is counted in nodes
                of the grid.
        """
        smooth = gaussian_filter(self.distances.cpu().numpy(), BLUR)
        axes = [float(self.low[i]) + self.cell * torch.arange(n).double() for i, n in enumerate(smooth.shape)]
        nodes = torch.cartesian_prod(*axes) - torch.tensor(mesh.offset, dtype=torch.float64)
        other = solid_distance(mesh, nodes.float()).distance.numpy().reshape(smooth.shape) / self.cell
        gone = (other < -CLEAR) & (smooth > CLEAR)
        new = (other > CLEAR) & (smooth < -CLEAR)
        return float((gone | new).sum()) / max(1, int((other < 0).sum()))

    def surface(self) -> Mesh:
        """The zero level as a closed mesh in the frame of the cameras, without specks and closed cavities.

        Raises:
            InputError: Nothing is inside.
        """
        self.bounds()
        smooth = gaussian_filter(self.distances.cpu().numpy(), BLUR)
        values = _without_specks(torch.from_numpy(smooth))
        high = self.low + self.cell * (torch.tensor(values.shape, dtype=torch.float64) - 1)
        offset = offset_of(torch.stack([self.low, high]))
        shift = torch.tensor(offset, dtype=torch.float64)
        return replace(isosurface(values, self.low - shift, high - shift, close=True), offset=offset)


def _layout(bounds: Float64[Tensor, "2 3"], resolution: int) -> tuple[Tensor, float, list[int]]:
    """First node, cell and numbers of nodes of a grid around a box."""
    sides = bounds[1] - bounds[0]
    cell = float(sides.max()) / resolution
    cells = torch.ceil(sides / cell - 1e-6).long() + 2 * MARGIN
    return bounds.mean(dim=0) - cells * cell / 2, cell, (cells + 1).tolist()


def _without_specks(distances: Float[Tensor, "X Y Z"]) -> Float[Tensor, "X Y Z"]:
    """The distances, changed where a piece is small or a cavity is closed."""
    values = distances.numpy().copy()
    pieces = _labelled(values <= 0)
    sizes = np.bincount(pieces.ravel(), minlength=2)[1:]
    small = np.flatnonzero(sizes < SPECK * sizes.max()) + 1
    values[np.isin(pieces, small)] = 1.0
    outside = _labelled(values > 0)
    values[(outside > 0) & (outside != outside[0, 0, 0])] = -1.0
    return torch.from_numpy(values)


def _labelled(nodes: NDArray[Any]) -> NDArray[Any]:
    """Number of the piece that each of these nodes belongs to, and 0 at other nodes."""
    found = label(nodes)
    assert isinstance(found, tuple)
    return np.asarray(found[0])


def encoded(pictures: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Linear RGB and coverage with the square root of the colours, see `Volume.colors`."""
    return torch.cat([pictures[..., :3].clamp(min=0).sqrt(), pictures[..., 3:]], dim=-1)


class VolumeFit:
    """The fit of a volume to photographs: call `step` until `progress` is 1.

    Every step draws random pixels, renders their rays and moves the nodes near the surface by Adam. The
    gradient of the rays is averaged over neighbouring nodes twice, since single rays meet few of them. Random
    choices depend on the seed only; sums over rays also depend, in the last digits, on the number of threads.

    Source: Yariv et al. 2021, volume rendering of a signed distance. Differs: a grid in place of networks, one
    colour per point for all viewing directions, a beta that falls on a schedule, masks, and the opacity of Wang
    et al. 2021 (see `learn_rays`).

    Args:
        capture: Photographs with masks and cameras.
        config: Levels, step sizes, weights.
        device: Device of the computation.
        seed: Seed of the random choice of rays.

    Attributes:
        config: The settings without levels, after the first, whose cells are smaller than a pixel.
        volume: The current volume.
        steps_done: Number of steps so far.
        losses: Mean losses of colour and of coverage in the last step.

    Raises:
        InputError: The capture has no masks, or their visual hull is empty.
    """

    def __init__(
        self, capture: Capture, config: VolumeConfig, device: torch.device | str = "cpu", seed: int = 0
    ) -> None:
        self.steps_done: int = 0
        self.losses: tuple[float, float] = (0.0, 0.0)
        self._capture, self._device = capture, torch.device(device)
        self._random = torch.Generator().manual_seed(seed)
        masks = capture.require_masks()
        bounds = object_bounds(capture.cameras, masks, capture.known).cpu()
        inside = (capture.foreground() * masks[..., None]).sum(dim=(0, 1, 2))
        color = (inside / masks.sum().clamp(min=1)).clamp(min=0).sqrt().float().to(self._device)
        self.volume: Volume = Volume.ellipsoid(bounds, config.levels[0].resolution, color)
        self._level = -1
        side = float((bounds[1] - bounds[0]).max())
        pixels = side / pixel_size(capture.cameras, bounds.mean(dim=0))
        fine = tuple(level for level in config.levels[1:] if level.resolution <= pixels)
        self.config: VolumeConfig = replace(config, levels=config.levels[:1] + fine)

    @property
    def progress(self) -> float:
        """Fraction of the steps that are done."""
        return self.steps_done / self.config.steps

    def step(self) -> None:
        """Take one step."""
        number, done = self.config.level_of(self.steps_done)
        level = self.config.levels[number]
        if number != self._level:
            self._begin(number, level)
        fraction = done / level.steps
        beta = level.beta[0] * (level.beta[1] / level.beta[0]) ** fraction
        if done % self.config.refresh == 0:
            self._choose_nodes(beta)
        self._learn(level, beta)
        self._update(done + 1, 1 - (1 - self.config.final_step) * fraction)
        self.steps_done += 1

    def _begin(self, number: int, level: VolumeLevel) -> None:
        """Set up the grid, its moments and the pictures of a level."""
        if number > 0:
            self.volume = self.volume.refined(self.volume.bounds(), level.resolution)
        self._level, volume = number, self.volume
        shape, device = volume.distances.shape, self._device
        self._parts = torch.zeros(part_count(level.rays, device), *shape, 4, device=device)
        self._gradient, self._first, self._second = (torch.zeros(*shape, 4, device=device) for _ in range(3))
        self._flow = torch.zeros(*shape, 3, device=device)
        self._next = volume.distances.clone()
        pixel = pixel_size(self._capture.cameras, volume.bounds().mean(dim=0))
        scale = min(1.0, PIXELS_PER_CELL * pixel / volume.cell)
        targets = capture_targets(self._capture, object_boxes(self._capture, scale))
        frame = Similarity(1 / volume.cell, -volume.low / volume.cell)
        self._cameras = cameras_in_frame(targets.cameras, frame).to("cpu")
        self._images = encoded(targets.images)
        known = torch.ones_like(self._images[..., 0]) if targets.weights is None else targets.weights
        self._pixels = torch.nonzero(known.flatten() > 0)[:, 0].cpu()

    def _choose_nodes(self, beta: float) -> None:
        """Choose the nodes near the surface, which are learned."""
        band = BAND[0] * beta + BAND[1]
        volume = self.volume
        volume.renew_distances(band)
        near = volume.distances.abs() < band
        for axis in range(3):
            near.narrow(axis, 0, BORDER).fill_(False)
            near.narrow(axis, near.shape[axis] - BORDER, BORDER).fill_(False)
        self._nodes = torch.nonzero(near).int().contiguous()
        self._on_surface = int((volume.distances.abs() < 1).sum())
        for tensor in (self._parts, self._gradient, self._flow):
            tensor.zero_()
        self._next.copy_(volume.distances)

    def _learn(self, level: VolumeLevel, beta: float) -> None:
        """The gradient of random rays."""
        count, height, width = self._images.shape[:3]
        chosen = self._pixels[torch.randint(len(self._pixels), (level.rays,), generator=self._random)]
        view, pixel = chosen // (height * width), chosen % (height * width)
        centers = torch.stack([pixel % width, pixel // width], dim=-1) + 0.5
        lines = self._cameras[view].rays_through(centers[:, None])
        origins, directions = (line[:, 0].float().contiguous().to(self._device) for line in lines)
        offsets = torch.rand(level.rays, generator=self._random).to(self._device)
        images = self._images.reshape(count * height * width, 4)
        targets = images[chosen.to(images.device)].to(self._device)
        losses = torch.zeros(level.rays, 2, device=self._device)
        volume = self.volume
        field = fill_struct(kernels.Field, distances=volume.distances, colors=volume.colors, beta=beta)
        # Weights as if every node of the surface was met by one ray, so that they do not depend on the grid.
        weight = self._on_surface / level.rays
        weights = [weight, weight * self.config.mask_weight]

        def learn(part: int, start: int, stop: int) -> None:
            arguments = [start, origins, directions, offsets, targets, field, STEP, *weights]
            launch(kernels.learn_rays, stop - start, [*arguments, part, self._parts, losses], self._device)

        in_parts(learn, level.rays, self._device)
        color, coverage = losses.mean(dim=0).tolist()
        self.losses = color, coverage

    def _update(self, step: int, decay: float) -> None:
        """Step `step` of Adam at the nodes near the surface."""
        config, volume, nodes = self.config, self.volume, self._nodes
        steps = [config.color_step * decay, config.distance_step * decay]
        bias = [1 - beta**step for beta in BETAS]
        moments = [self._first, self._second]
        passes = [
            (kernels.average_gradient, [self._parts, self._gradient]),
            (kernels.eikonal_flow, [volume.distances, self._flow]),
            (
                kernels.update_nodes,
                [self._parts, self._gradient, self._flow, config.eikonal, config.smoothness]
                + [*steps, *BETAS, *bias, *moments, volume.distances, self._next, volume.colors],
            ),
        ]
        for kernel, arguments in passes:

            def run(_part: int, start: int, stop: int, kernel=kernel, arguments=arguments) -> None:
                launch(kernel, stop - start, [start, nodes, *arguments], self._device)

            in_parts(run, len(nodes), self._device)
        volume.distances, self._next = self._next, volume.distances


def fit_volume(
    capture: Capture,
    config: VolumeConfig | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Volume:
    """Fit a volume to photographs with masks; for the arguments and errors see `VolumeFit`."""
    fit = VolumeFit(capture, config or VolumeConfig(), device, seed)
    for _ in counted(range(fit.config.steps), "volume"):
        fit.step()
    return fit.volume


def hull_or_volume(
    hull: Mesh,
    capture: Capture,
    config: VolumeConfig | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> Mesh:
    """The visual hull, or the surface of a volume where that clearly differs from the hull.

    A hull is exact where outlines show the surface. It fills hollows, and of several pieces it has only the
    largest. Its colours then contradict each other, so that a volume, which explains them, differs from it.

    Args:
        hull: The visual hull of the masks.
        capture: As for `VolumeFit`, and so are the other arguments.
    """
    try:
        fit = VolumeFit(capture, config or VolumeConfig(), device, seed)
        judged = sum(level.steps for level in fit.config.levels[:JUDGED])
        for done in counted(range(1, fit.config.steps + 1), "volume"):
            fit.step()
            if done == judged and fit.volume.disagreement(hull) < DISAGREEMENT:
                return hull
        return fit.volume.surface()
    except InputError:  # nothing explains the photographs
        return hull

"""The first surface from photographs by volume rendering: a signed-distance grid fitted to the pictures.

A visual hull fills concavities and closes holes that no outline shows, and no deformation of a mesh opens them
again. A grid of signed distances changes its topology freely. It is fitted to the colours and masks of the
photographs by volume rendering as in VolSDF (Yariv et al. 2021), coarse to fine, and its zero level is the
surface that `Optimization` then refines.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from torch import Tensor

from ..cameras import Cameras, Capture, object_bounds
from ..errors import InputError
from ..geometry import isosurface
from ..geometry.launch import fill_struct, in_parts, launch, part_count
from ..shapes import Mesh, Similarity
from ..shapes.offsets import offset_of
from . import volume_kernels as kernels
from .config import VolumeConfig, VolumeLevel
from .data import cameras_in_frame, capture_targets, object_boxes

MARGIN = 4
"""Cells between the bounds of the object and the border of the grid."""
BORDER = 2
"""Nodes at the border that stay outside."""
BAND = 2.0
"""Cells beyond the density in which the grid is learned."""
STEP = 0.5
"""Distance of samples along a ray near the surface, in cells."""
TUNNEL = 0.7
"""Standard deviation in cells of the filter before extraction. Noise makes tunnels of the width of a cell, which
it closes; parts of two cells and more stay."""
PIXELS_PER_CELL = 1.5
"""Size of the photographs at a level: pixels along a cell."""


class Volume:
    """A grid of signed distances and colours in a box, learned from photographs.

    Source: Yariv et al. 2021, equations 2 and 3 (density) and 5 and 6 (volume rendering). Differs: a grid in
    place of a network, a colour per point without viewing direction or normal, a beta that falls on a schedule,
    samples at equal distances near the surface in place of the error bound of their algorithm 1, and masks.

    Attributes:
        low: Position of the first node in the frame of the cameras (float64).
        cell: Length of a cell in that frame.
        distances: Signed distance at the nodes in cells, negative inside.
        colors: Linear RGB at the nodes.
    """

    def __init__(self, low: Tensor, cell: float, distances: Tensor, colors: Tensor) -> None:
        self.low, self.cell = low, cell
        self.distances: Float[Tensor, "X Y Z"] = distances
        self.colors: Float[Tensor, "X Y Z 3"] = colors

    @classmethod
    def sphere(cls, bounds: Float[Tensor, "2 3"], resolution: int, color: Float[Tensor, "3"]) -> "Volume":
        """An ellipsoid in the middle of a box, of a uniform colour."""
        low, cell, shape = _layout(bounds, resolution)
        axes = [torch.arange(n, dtype=torch.float32, device=color.device) for n in shape]
        nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        middle = torch.tensor([(n - 1) / 2 for n in shape]).to(nodes)
        radii = middle - MARGIN
        inside = ((nodes - middle) / radii).norm(dim=-1)
        distances = (inside - 1) * float(radii.min())
        return cls(low, cell, distances.contiguous(), color.expand(*shape, 3).contiguous())

    def bounds(self) -> Float[Tensor, "2 3"]:
        """Low and high corner (float64) of a box around the inside, with a cell of room."""
        inside = _without_specks(self.distances.cpu()) <= 0
        ends = []
        for axis in range(3):
            others = [a for a in range(3) if a != axis]
            places = torch.nonzero(inside.any(dim=others[1]).any(dim=others[0]))[:, 0]
            ends.append(torch.stack([places[0] - 1, places[-1] + 1]))
        return self.low + self.cell * torch.stack(ends, dim=1).double()

    def refined(self, bounds: Float[Tensor, "2 3"], resolution: int) -> "Volume":
        """The same field on a finer grid."""
        low, cell, shape = _layout(bounds, resolution)
        axes = [
            (float(low[a] - self.low[a]) + cell * torch.arange(n, device=self.distances.device)) / self.cell
            for a, n in enumerate(shape)
        ]
        scaled = [2 * axis / (n - 1) - 1 for axis, n in zip(axes, self.distances.shape, strict=True)]
        places = torch.stack(torch.meshgrid(*scaled, indexing="ij"), dim=-1).flip(-1)[None]
        both = torch.cat([self.distances[..., None], self.colors], dim=-1).permute(3, 0, 1, 2)[None]
        fine = torch.nn.functional.grid_sample(
            both, places.to(both), align_corners=True, padding_mode="border"
        )[0].permute(1, 2, 3, 0)
        ratio = self.cell / cell
        return Volume(low, cell, (fine[..., 0] * ratio).contiguous(), fine[..., 1:].contiguous())

    def with_exact_distances(self, band: float) -> None:
        """Replace distances of more than `band` cells by those to the nodes near the surface."""
        values = self.distances.cpu().numpy()
        near = np.abs(values) < 1.0
        if not near.any():
            return
        far, nearest = distance_transform_edt(~near, return_indices=True)
        exact = np.sign(values) * (far + np.sign(values) * values[tuple(nearest)])
        chosen = np.where(np.abs(values) < band, values, exact).astype(np.float32)
        self.distances.copy_(torch.from_numpy(chosen))

    def surface(self) -> Mesh:
        """The zero level, without specks and inner cavities, in the frame of the cameras."""
        smoothed = gaussian_filter(self.distances.cpu().numpy(), TUNNEL)
        values = _without_specks(torch.from_numpy(smoothed))
        low = self.low
        high = low + self.cell * (torch.tensor(values.shape, dtype=torch.float64) - 1)
        offset = offset_of(torch.stack([low, high]))
        shift = torch.tensor(offset, dtype=torch.float64)
        mesh = isosurface(values, low - shift, high - shift, close=True)
        return replace(mesh, offset=offset)


def _layout(bounds: Float[Tensor, "2 3"], resolution: int) -> tuple[Tensor, float, list[int]]:
    """First node, cell and numbers of nodes of a grid around a box."""
    sides = (bounds[1] - bounds[0]).double()
    cell = float(sides.max()) / resolution
    cells = torch.ceil(sides / cell - 1e-6).long() + 2 * MARGIN
    low = bounds.double().mean(dim=0) - cells * cell / 2
    return low, cell, (cells + 1).tolist()


SPECK = 1e-3
"""Volume of the smallest piece that is kept, as a fraction of the largest."""


def _without_specks(distances: Float[Tensor, "X Y Z"]) -> Float[Tensor, "X Y Z"]:
    """Distances without small pieces and without cavities that are connected to nothing outside."""
    values = distances.clone()
    inside = values.numpy() <= 0
    pieces, count = label(inside)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    small = np.flatnonzero((sizes < SPECK * sizes.max()) & (sizes > 0))
    values[torch.from_numpy(np.isin(pieces, small))] = 1.0
    outside, _ = label(values.numpy() > 0)
    values[torch.from_numpy((outside != outside[0, 0, 0]) & (outside > 0))] = -1.0
    return values


class VolumeFit:
    """The fit of a `Volume` to a capture: call `step` until `progress` is 1.

    Args:
        capture: Photographs with masks and cameras.
        config: Levels, rays, step sizes.
        seed: Seed of the random choice of rays.
    """

    def __init__(
        self, capture: Capture, config: VolumeConfig, device: torch.device | str = "cpu", seed: int = 0
    ) -> None:
        self.capture, self.config = capture, config
        self.device = torch.device(device)
        self.bounds = object_bounds(capture.cameras, capture.require_masks(), capture.known).cpu()
        self.random = torch.Generator().manual_seed(seed)
        self.steps_done = 0
        self.losses: tuple[float, float] = (0.0, 0.0)
        self._level = -1
        inside = capture.require_masks()[..., None] * capture.foreground()
        mean = inside.sum(dim=(0, 1, 2)) / capture.require_masks().sum().clamp(min=1)
        self.volume = Volume.sphere(self.bounds, config.levels[0].resolution, mean.float().clamp(min=0).sqrt().to(self.device))

    @property
    def progress(self) -> float:
        """Fraction of the steps that are done."""
        return self.steps_done / self.config.steps

    def step(self) -> None:
        """Take one step on random rays."""
        number, done = self.config.level_of(self.steps_done)
        level = self.config.levels[number]
        if number != self._level:
            self._begin(number)
        fraction = done / level.steps
        beta = level.beta[0] * (level.beta[1] / level.beta[0]) ** fraction
        if done % self.config.refresh == 0:
            self._refresh(beta)
        decay = 1 - (1 - self.config.final_step) * fraction
        origins, directions, targets = self._rays(level)
        rays = len(targets)
        offsets = torch.rand(rays, generator=self.random).to(self.device)
        losses = torch.zeros(rays, 2, device=self.device)
        weight = self._surface_nodes / rays  # as if every node near the surface was met by a ray
        weights = kernels.wp.vec2(weight, weight * self.config.mask_weight)
        field = fill_struct(
            kernels.Field, distances=self.volume.distances, colors=self.volume.colors, beta=beta
        )

        def learn(part: int, start: int, stop: int) -> None:
            arguments = [start, origins, directions, offsets, targets, field, STEP, weights]
            launch(
                kernels.learn_rays, stop - start, [*arguments, part, self._parts, losses], self.device
            )

        in_parts(learn, rays, self.device)
        self._update(done, decay)
        self.losses = tuple(losses.mean(dim=0).tolist())
        self.steps_done += 1

    def _begin(self, number: int) -> None:
        """Set up the grid, its moments and the pixels of a level."""
        level, volume = self.config.levels[number], self.volume
        if number > 0:
            self.volume = volume = volume.refined(volume.bounds(), level.resolution)
        self._level = number
        shape = tuple(volume.distances.shape)
        zeros = lambda *more: torch.zeros(*more, device=self.device)  # noqa: E731
        self._parts = zeros(part_count(level.rays, self.device), *shape, 4)
        self._gradient = zeros(*shape, 4)
        self._first, self._second = zeros(*shape, 4), zeros(*shape, 4)
        self._flow, self._next = zeros(*shape, 3), volume.distances.clone()
        # Photographs reduced to the size of the cells.
        cameras = self.capture.cameras
        spread = _pixel_size(cameras, self.bounds)
        scale = min(1.0, PIXELS_PER_CELL * spread / volume.cell)
        targets = capture_targets(self.capture, object_boxes(self.capture, scale))
        frame = Similarity(torch.tensor(1 / volume.cell), -volume.low / volume.cell)
        self._cameras = cameras_in_frame(targets.cameras, frame)
        known = torch.ones(targets.images.shape[:3], dtype=torch.bool)
        known = known if targets.weights is None else targets.weights.cpu() > 0
        self._pixels = torch.nonzero(known.flatten())[:, 0]
        self._images = encoded(targets.images).reshape(-1, 4)
        self._shape = targets.images.shape[1:3]

    def _refresh(self, beta: float) -> None:
        """Choose the nodes near the surface, which are learned."""
        band = kernels_tail() * beta + BAND
        self.volume.with_exact_distances(band)
        near = self.volume.distances.abs() < band
        for axis in range(3):
            near.narrow(axis, 0, BORDER).fill_(False)
            near.narrow(axis, near.shape[axis] - BORDER, BORDER).fill_(False)
        self._surface_nodes = int((self.volume.distances.abs() < 1).sum())
        self._nodes = torch.nonzero(near).int().contiguous()
        for tensor in (self._parts, self._gradient, self._flow):
            tensor.zero_()
        self._next.copy_(self.volume.distances)

    def _rays(self, level: VolumeLevel) -> tuple[Tensor, Tensor, Tensor]:
        """Random rays in cells of the grid, and their pixels."""
        chosen = self._pixels[torch.randint(len(self._pixels), (level.rays,), generator=self.random)]
        height, width = self._shape
        view, pixel = chosen // (height * width), chosen % (height * width)
        places = torch.stack([pixel % width + 0.5, pixel // width + 0.5], dim=-1)
        cameras = self._cameras[view]
        origins, directions = cameras.rays_through(places[:, None].to(cameras.K))
        rays = [x[:, 0].float().contiguous().to(self.device) for x in (origins, directions)]
        return rays[0], rays[1], self._images[chosen.to(self._images.device)].to(self.device)

    def _update(self, done: int, decay: float) -> None:
        """A step of Adam at the nodes near the surface."""
        config, volume, count = self.config, self.volume, len(self._nodes)

        def smooth(_part: int, start: int, stop: int) -> None:
            arguments = [start, self._nodes, self._parts, self._gradient]
            launch(kernels.smooth_once, stop - start, arguments, self.device)

        in_parts(smooth, count, self.device)

        def flow(_part: int, start: int, stop: int) -> None:
            arguments = [start, self._nodes, volume.distances, self._flow]
            launch(kernels.eikonal_flow, stop - start, arguments, self.device)

        in_parts(flow, count, self.device)
        steps = kernels.wp.vec2(config.color_step * decay, config.distance_step * decay)
        bias = kernels.wp.vec2(1 - 0.9 ** (done + 1), 1 - 0.99 ** (done + 1))

        def update(_part: int, start: int, stop: int) -> None:
            arguments = [start, self._nodes, self._parts, self._gradient, self._flow, config.eikonal]
            arguments += [config.smoothness, steps, bias, self._first, self._second, volume.distances, self._next, volume.colors]
            launch(kernels.update_nodes, stop - start, arguments, self.device)

        in_parts(update, count, self.device)
        volume.distances, self._next = self._next, volume.distances


def encoded(pictures: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Square roots of linear RGB, and coverage: dark surfaces have as much contrast as bright ones."""
    return torch.cat([pictures[..., :3].clamp(min=0).sqrt(), pictures[..., 3:]], dim=-1)


def kernels_tail() -> float:
    """Distance beyond which there is no density, in betas."""
    return 5.0


def _pixel_size(cameras: Cameras, bounds: Float[Tensor, "2 3"]) -> float:
    """Length that covers one pixel at the middle of a box, median over the cameras."""
    middle = bounds.mean(dim=0, keepdim=True)
    depth = cameras.project(middle)[:, 0, 2].cpu()
    depth = torch.ones_like(depth) if cameras.orthographic else depth
    return float((depth / cameras.K[:, 0, 0].cpu()).median())


def fit_volume(
    capture: Capture,
    config: VolumeConfig | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    on_step: Callable[[VolumeFit], None] | None = None,
) -> Volume:
    """Fit a volume to photographs with masks."""
    fit = VolumeFit(capture, config or VolumeConfig(), device, seed)
    while fit.progress < 1:
        fit.step()
        if on_step is not None:
            on_step(fit)
    return fit.volume

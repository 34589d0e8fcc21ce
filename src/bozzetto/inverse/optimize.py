"""Fit a mesh to pictures by gradient descent in the preconditioned space (Nicolet et al. 2021, section 4)."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras
from ..errors import InputError
from ..geometry import (
    CrossingSearch,
    SurfaceIndex,
    edge_lengths,
    remesh,
    remesh_pass,
    unique_edges,
    vertex_areas,
    vertex_normals,
    without_crossings,
)
from ..rendering import Fragments, ImageLoss, Picture, compose, interpolate, rasterize, shade
from ..shapes import Mesh, Similarity
from ..shapes.offsets import Offset
from .config import AppearanceConfig, ContinuousRemeshing, OptimizeConfig
from .data import Targets
from .losses import NeighbourPull, SmoothnessPenalty
from .model import Light, VertexField
from .optimizers import make_optimizer


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The running moments of several optimisers, named `optimizer.<optimiser>.<parameter>.<moment>`."""
    tensors = {}
    for number, optimizer in enumerate(optimizers):
        for parameter, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"optimizer.{number}.{parameter}.{name}"] = torch.as_tensor(value)
    return tensors


def restore_optimizers(optimizers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Restore the state of optimisers from the tensors of `optimizer_tensors`."""
    for number, optimizer in enumerate(optimizers):
        content = optimizer.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            kind, *rest = key.split(".")
            if kind == "optimizer" and int(rest[0]) == number:
                state.setdefault(int(rest[1]), {})[rest[2]] = value
        content["state"] = state
        optimizer.load_state_dict(content)


MEMORY = 0.99
"""Decay of the second moment under continuous remeshing, since gradients change with the triangles."""
FEWEST = 8
"""Number of vertices below which a surface counts as vanished."""
TINY = 1e-20
"""Smallest area around a vertex, of a mesh of radius about 1, that anything is divided by."""
CARRIED = "carried."
"""Prefix of the names of the caller's tensors in a state."""


class Optimization:
    """The optimisation of a mesh on pictures: call `step` until `progress` is 1; `mesh` is the current result.

    The light is fixed and the surface white (or in its own colours) unless `appearance` says what to learn.
    Random choices depend on the seed and the step only, so that a run that continues from `state` ends like an
    uninterrupted one.

    Source: Nicolet et al. 2021, section 4. Differs: the step size may fall linearly, and views may be drawn
    in each step.

    Args:
        targets: Pictures to fit.
        start: First mesh, in the frame of the cameras, preferably of radius about 1, since step sizes are
            lengths.
        light: The known light, or the first one if light is learned.
        config: Step sizes, smoothness, schedule.
        appearance: What to learn of light, exposure and colours; None keeps them as they are.

    Attributes:
        carried: Tensors of the caller that `state` saves and `restore` brings back.
    """

    def __init__(
        self,
        targets: Targets,
        start: Mesh,
        light: Light,
        config: OptimizeConfig,
        appearance: AppearanceConfig | None = None,
    ) -> None:
        _check_remeshing(config)
        self.offset: Offset = start.offset
        self.targets: Targets = replace(targets, cameras=targets.cameras.relative_to(self.offset))
        self.config = config
        self.appearance = appearance
        self.light = light
        self.image_loss: ImageLoss = ImageLoss(targets.images, targets.weights, kind=config.loss)
        self.steps_done: int = 0
        self.remeshings: int = 0
        self.carried: dict[str, Tensor] = {}
        begin = time.perf_counter()
        self._begin(start)
        self.seconds_spent: float = time.perf_counter() - begin

    def _begin(self, mesh: Mesh, search: CrossingSearch | None = None) -> None:
        """Set up unknowns and fresh optimiser state for a mesh with new connectivity.

        Args:
            mesh: The mesh.
            search: For crossings of its faces, if there is one already.
        """
        config, look = self.config, self.appearance
        self.faces: Tensor = mesh.faces
        self.positions: VertexField = VertexField(mesh.vertices, mesh.faces, config.smoothness)
        self._uncrossed: Tensor = mesh.vertices.detach().clone()
        self._checked: int = self.steps_done
        self._search: CrossingSearch | None = search or self._crossing_search()
        self.optimizer: torch.optim.Optimizer = make_optimizer(
            config.optimizer, self.positions.parameters(), config.step_size, config.floor
        )
        self.penalty: SmoothnessPenalty = SmoothnessPenalty(
            mesh.faces, len(mesh.vertices), config.regularizer, config.regularizer_weight
        )
        self._pull: NeighbourPull | None = None
        if config.remeshing is not None:
            self._pull = NeighbourPull(mesh.faces, len(mesh.vertices), config.remeshing.smoothing)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (group["betas"][0], MEMORY)
        self.fixed_colors: Tensor | None = mesh.colors
        self.albedo: VertexField | None = None
        self.look_optimizers: list[torch.optim.Optimizer] = []
        if look is None:
            return
        if look.learn_albedo:
            colors = torch.ones_like(mesh.vertices) if mesh.colors is None else mesh.colors
            self.albedo = VertexField(colors, mesh.faces, look.albedo_smoothness)
            self.look_optimizers.append(torch.optim.Adam(self.albedo.parameters(), look.albedo_step))
        learned = [self.light.coefficients] * look.learn_light + [
            self.light.log_exposure
        ] * look.learn_exposure
        if learned:
            self.look_optimizers.append(torch.optim.Adam(learned, look.light_step))

    def _crossing_search(self) -> CrossingSearch | None:
        """To keep faces from crossing, if that is wanted, other than those that cross already."""
        if not self._check_every:
            return None
        search = CrossingSearch(self._uncrossed, self.faces)
        search.ignored[search.pairs(self._uncrossed).flatten()] = True
        return search

    @property
    def _check_every(self) -> int:
        """Steps between checks for crossings; 0 for none."""
        remeshing = self.config.remeshing
        return self.config.check_crossings if remeshing is None else remeshing.every

    @property
    def mesh(self) -> Mesh:
        """The current mesh, detached from the computation graph."""
        with torch.no_grad():
            colors = self._colors()
            colors = None if colors is None else colors.clone()
            # The solve rounds: where faces nearly touch, only what was checked is certain.
            checked = self._search is not None and self._checked == self.steps_done
            vertices = self._uncrossed if checked else self.positions()
            return Mesh(vertices.clone(), self.faces, colors, self.offset)

    @property
    def progress(self) -> float:
        """Fraction of the budget (steps, or seconds inside `step`, whichever is further) that is spent."""
        steps, seconds = self.config.steps, self.config.seconds
        if steps <= self.steps_done or seconds <= self.seconds_spent:
            return 1.0
        return max(self.steps_done / steps, self.seconds_spent / seconds)

    def step(self) -> float:
        """Take one optimisation step and return the loss before it.

        Raises:
            InputError: Loss or vertices are not finite; the message says in which step and view.
        """
        begin = time.perf_counter()
        if self.config.remeshing is not None:
            if self.steps_done % self.config.remeshing.every == 0:
                self._remesh_continuously(self.config.remeshing)
        elif self.steps_done in self.config.remesh_at:
            self._remesh()
        index = self._choose_views()
        self._set_step_size()
        optimizers = [self.optimizer, *self.look_optimizers]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        positions, albedo = self._attributes()
        loss = self.image_loss(self.picture(positions, index, albedo), index)
        total = loss + self.penalty(positions)
        if self._pull is not None:
            total = total + self._pull(positions)
        total.backward()
        if not (torch.isfinite(total) and torch.isfinite(positions).all()):
            raise InputError(self._diagnosis(positions.detach(), index))
        for optimizer in optimizers:
            optimizer.step()
        self.steps_done += 1
        value = float(loss.detach())
        self.seconds_spent += time.perf_counter() - begin
        every = self._check_every
        if self._search is not None and (self.steps_done % every == 0 or self.progress >= 1):
            begin = time.perf_counter()
            self._uncross(self._search)
            self.seconds_spent += time.perf_counter() - begin
        return value

    def _uncross(self, search: CrossingSearch) -> None:
        """Take vertices of crossing faces back towards where they were when no faces crossed."""
        with torch.no_grad():
            now = self.positions()
            self._uncrossed, back = without_crossings(self._uncrossed, now, search)
            if back:
                self.positions.add(self._uncrossed - now)
        self._checked = self.steps_done

    def _diagnosis(self, positions: Float[Tensor, "V 3"], index: Tensor) -> str:
        """Error message: which value is not finite in this step, and in which view."""
        step = f"the optimisation failed in step {self.steps_done}"
        if not torch.isfinite(positions).all():
            return f"{step}: vertices are not finite; lower the step size"
        for view in index:
            loss = float(self.image_loss(self.picture(positions, view[None]), view[None]).detach())
            if not math.isfinite(loss):
                return f"{step}: the loss of view {int(view)} is {loss}; check its picture and camera"
        return f"{step}: the loss is not finite; lower the step size"

    def _colors(self) -> Tensor | None:
        """The colours of the vertices: learned, fixed or none."""
        return self.fixed_colors if self.albedo is None else self.albedo()

    def _attributes(self) -> tuple[Tensor, Tensor | None]:
        """Positions and colours of the vertices."""
        if self.albedo is None:
            return self.positions(), self.fixed_colors
        positions, colors = VertexField.evaluated([self.positions, self.albedo])
        return positions, colors

    def picture(
        self, positions: Float[Tensor, "V 3"], index: Tensor, albedo: Tensor | None = None
    ) -> Picture:
        """Render the views `index`: linear RGB times coverage, and coverage.

        Args:
            positions: Vertices of the surface.
            index: Numbers of the views.
            albedo: Colours (V, 3) of the vertices; None takes those that are fixed or learned.
        """
        fragments = rasterize(positions, self.faces, self.targets.cameras[index.tolist()])
        colors = self.painted(fragments, positions, index, albedo)
        return compose(fragments, colors, coverage=True, edge_gain=self.config.edge_gain)

    def painted(
        self,
        fragments: Fragments,
        positions: Float[Tensor, "V 3"],
        index: Tensor,
        albedo: Tensor | None = None,
    ) -> Float[Tensor, "P 3"]:
        """Linear RGB of the covered pixels; for the arguments see `picture`."""
        albedo = self._colors() if albedo is None else albedo
        normals = interpolate(fragments, vertex_normals(positions, self.faces))
        colors = shade(normals, self.light.coefficients)
        if albedo is not None:
            colors = colors * interpolate(fragments, albedo)
        if self.appearance is not None and self.appearance.learn_exposure:
            colors = colors * self.light.exposure(index)[fragments.view][:, None]
        return colors

    def move(self, displacement: Float[Tensor, "V 3"], motion: Similarity, cameras: Cameras) -> None:
        """Displace the vertices, transform the surface by a similarity, and replace the cameras.

        Args:
            displacement: Displacement of every vertex, before the similarity.
            motion: The similarity. It acts on u as on x, since L of a constant is 0 and L commutes with
                matrices that act on coordinates.
            cameras: New cameras in the frame of the surface, for uncropped photographs of any size.
        """
        with torch.no_grad():
            self.positions.add(displacement)
            self.positions.latent.copy_(motion.apply(self.positions.latent))
            self._uncrossed, self._checked = motion.apply(self._uncrossed), -1
        self.targets = self.targets.with_cameras(cameras.relative_to(self.offset))

    def _choose_views(self) -> Tensor:
        count, wanted = len(self.targets), self.config.views_per_step
        if wanted <= 0 or wanted >= count:
            return torch.arange(count)
        # Epochs of shuffled views: every picture is used equally often, and the choice needs no state.
        position = self.steps_done * wanted
        chosen = [self._shuffled(i // count)[i % count] for i in range(position, position + wanted)]
        return torch.tensor(sorted(set(chosen)))

    def _shuffled(self, epoch: int) -> list[int]:
        return np.random.default_rng((self.config.seed, epoch)).permutation(len(self.targets)).tolist()

    def _set_step_size(self) -> None:
        progress, remeshed = self.progress, self.config.remesh_decay**self.remeshings
        if (remeshing := self.config.remeshing) is not None:
            remeshed = remeshing.edge(progress)
            progress = max(0.0, progress - remeshing.decline) / max(1 - remeshing.decline, 1e-9)
        decay = 1 - (1 - self.config.final_step_size) * progress
        for optimizer in [self.optimizer, *self.look_optimizers]:
            factor = decay * (remeshed if optimizer is self.optimizer else 1.0)
            for group in optimizer.param_groups:
                first = group.setdefault("first_lr", group["lr"])
                group["lr"] = first * factor

    def state(self) -> dict[str, Tensor]:
        """Everything that the coming steps depend on, as tensors; `restore` puts it back."""
        tensors = {
            "faces": self.faces,
            "latent": self.positions.latent,
            "steps_done": torch.tensor(self.steps_done),
            "seconds_spent": torch.tensor(self.seconds_spent),
            "remeshings": torch.tensor(self.remeshings),
            "light": self.light.coefficients,
            "log_exposure": self.light.log_exposure,
        }
        if self._search is not None:
            tensors |= {"uncrossed": self._uncrossed, "checked": torch.tensor(self._checked)}
            tensors |= {"ignored": self._search.ignored}
        if self.albedo is not None:
            tensors["albedo"] = self.albedo.latent
        elif self.fixed_colors is not None:
            tensors["colors"] = self.fixed_colors
        tensors |= optimizer_tensors([self.optimizer, *self.look_optimizers])
        tensors |= {CARRIED + name: tensor for name, tensor in self.carried.items()}
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Continue from the state that `state` returned."""
        device = self.light.coefficients.device
        state = {name: tensor.to(device) for name, tensor in state.items()}
        self._begin(Mesh(torch.zeros_like(state["latent"]), state["faces"], state.get("colors")))
        with torch.no_grad():
            self.positions.latent.copy_(state["latent"])
            self.light.coefficients.copy_(state["light"])
            self.light.log_exposure.copy_(state["log_exposure"])
            if self.albedo is not None:
                self.albedo.latent.copy_(state["albedo"])
        self.steps_done, self.remeshings = int(state["steps_done"]), int(state["remeshings"])
        self.seconds_spent = float(state["seconds_spent"])
        if self._search is not None and "uncrossed" in state:  # not so in checkpoints of earlier versions
            self._uncrossed, self._checked = state["uncrossed"], int(state["checked"])
            self._search.ignored = state["ignored"]
        elif self._search is not None:
            self._uncrossed = self.positions().detach().clone()
            self._search = self._crossing_search()
        self.carried = {n.removeprefix(CARRIED): t for n, t in state.items() if n.startswith(CARRIED)}
        restore_optimizers([self.optimizer, *self.look_optimizers], state)

    def _remesh(self) -> None:
        """Continue on a mesh of half the mean edge length, with a new L, a new u and zero moments.

        `step` does so before the steps of `remesh_at`, and multiplies the step size by `remesh_decay` each
        time. `reconstruct_capture` leaves `remesh_at` empty: it remeshes before each `Stage` to edges of a
        given number of pixels (`coarse_to_fine.at_level`), since its photographs grow from stage to stage.

        Source: Nicolet et al. 2021, figures 1, 3 and 5, as released. Differs: lengths may be given
        (`remesh_edge`), `remesh_decay` is 1 by default (0.8 there), and the step size also falls in between.
        """
        mesh = self.mesh
        lengths = edge_lengths(mesh.vertices, unique_edges(mesh.faces))
        edge = self.config.remesh_edge or float(lengths.double().mean()) / 2
        # Creases of an unfinished surface need not be kept, and triangles of equal size learn evenly.
        self._begin(remesh(mesh, edge, crease_angle=None, tolerance=None))
        self.remeshings += 1

    def _remesh_continuously(self, remeshing: ContinuousRemeshing) -> None:
        """Improve the triangles, and continue with a new L, a new u and the same moments.

        A gradient with respect to a vertex is proportional to the area around it. So moments are interpolated
        per area at the nearest points of the old surface.

        Source: Palfinger 2022, continuous remeshing. Differs: steps are those of Large Steps; the target length
        is the same everywhere and falls with time instead of following the speed of the vertices; no faces
        cross.
        """
        old, before = self.mesh, [self.optimizer, *self.look_optimizers]
        seed = self.config.seed + self.steps_done
        mesh, search = remesh_pass(old, remeshing.edge(self.progress), seed=seed)
        if len(mesh.vertices) < FEWEST:
            raise InputError(
                f"the surface vanished before step {self.steps_done}: {len(mesh.vertices)} vertices are left; "
                "lower the step size or the smoothing of continuous remeshing, or begin with a larger surface"
            )
        nearest = SurfaceIndex(old).closest(mesh.vertices)
        corners, weights = old.faces[nearest.face], nearest.weights.to(mesh.vertices)
        area = vertex_areas(mesh.vertices, mesh.faces)[:, None]
        per_area = 1 / vertex_areas(old.vertices, old.faces)[:, None].clamp(min=TINY)

        def carried(values: Float[Tensor, "V C"]) -> Float[Tensor, "W C"]:
            return torch.einsum("pk,pkc->pc", weights, values[corners])

        def moment(name: str, value: Tensor) -> Tensor:
            if value.ndim != 2:
                return value  # the number of steps
            if name.endswith("_sq"):
                return (area * carried(per_area * value.sqrt())).square()
            return area * carried(per_area * value)

        self._begin(replace(mesh, colors=None if old.colors is None else carried(old.colors)), search)
        for last, now in zip(before, [self.optimizer, *self.look_optimizers], strict=True):
            for one, two in zip(_parameters(last), _parameters(now), strict=True):
                moments = last.state.get(one, {})
                now.state[two] = (
                    moments if one is two else {name: moment(name, value) for name, value in moments.items()}
                )
        self.remeshings += 1


def _check_remeshing(config: OptimizeConfig) -> None:
    """Raise an error if continuous remeshing is set up wrongly, or together with what it replaces."""
    remeshing = config.remeshing
    if remeshing is None:
        return
    lengths = remeshing.first_edge, remeshing.last_edge
    if not all(0 < length < math.inf for length in lengths):
        raise InputError(f"edge lengths of continuous remeshing must be positive and finite, got {lengths}")
    if remeshing.every < 1 or not 0 <= remeshing.decline <= 1:
        raise InputError(
            "continuous remeshing needs at least one step between remeshings and a decline in [0, 1], "
            f"got {remeshing.every} and {remeshing.decline:g}"
        )
    if not remeshing.smoothing >= 0:
        raise InputError(
            f"the smoothing of continuous remeshing must be at least 0, got {remeshing.smoothing:g}"
        )
    if config.remesh_at or config.check_crossings:
        raise InputError(
            "continuous remeshing remeshes and checks crossings at steps of its own: leave out remesh_at "
            "and check_crossings, or remeshing"
        )


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def optimize(
    targets: Targets,
    start: Mesh,
    light: Float[Tensor, "9 3"] | Light,
    config: OptimizeConfig,
    appearance: AppearanceConfig | None = None,
    on_step: Callable[[Optimization, float], None] | None = None,
) -> Mesh:
    """Fit a mesh to pictures.

    Args:
        targets: Pictures to fit.
        start: First mesh, in the frame of the cameras and of radius about 1.
        light: The known light, or the first one if light is learned.
        config: Step sizes, smoothness, schedule.
        appearance: What to learn of light, exposure and colours; None keeps them as they are.
        on_step: Called after every step with the optimisation and its loss, for instance to show progress.

    Returns:
        The fitted mesh.
    """
    light = light if isinstance(light, Light) else Light(light, len(targets))
    optimization = Optimization(targets, start, light, config, appearance)
    while optimization.progress < 1:
        loss = optimization.step()
        if on_step is not None:
            on_step(optimization, loss)
    return optimization.mesh

"""A fast test of the consistency of silhouettes and cameras, and a search for frequent mistakes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..images.resizing import area_resize
from ..steps import counted
from ..values import value_type
from .camera import Cameras
from .capture import Capture
from .carving import (
    CarvedGrid,
    Silhouettes,
    carve_grid,
    depths,
    fewest_carving,
    grid_silhouettes,
    prepare_silhouettes,
)
from .hull import find_bounds, min_views_or_half

SIZE = 96
"""Silhouettes are compared in pictures with a longer side of at most this many pixels."""
GRID = 48
"""Number of grid cells of the hull along its longest side."""
CONTRADICTION = 0.05
"""Largest accepted misfit: views contradict each other if half of them have more than this fraction of their
mask outside of the hull of the others. The worst real capture, with masks drawn by hand and cameras from
structure from motion, has 0.01. With pictures in wrong order, upside down or mirrored, or with another focal
length it is 0.08 and more."""
DOUBTFUL = 0.02
"""Misfit above which the reason is searched for."""
EXACT = 0.003
"""Misfit below which silhouettes fit so well that it cannot be chance."""
MOST_ORDERS = 12
"""Largest number of cyclic shifts of the order of the pictures that are tried."""
GL_TO_CV = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))


@value_type
class Outlines:
    """Reduced silhouettes of a capture.

    Attributes:
        names: Names of the pictures.
        cameras: The views.
        masks: Coverage by the object.
        known: Pixels that count.
    """

    names: tuple[str, ...]
    cameras: Cameras
    masks: Float[Tensor, "N H W"]
    known: Bool[Tensor, "N H W"]

    def subset(self, index: list[int]) -> "Outlines":
        """The views at these positions."""
        names = tuple(self.names[i] for i in index)
        return Outlines(names, self.cameras[index], self.masks[index], self.known[index])

    def reordered(self, order: list[int]) -> "Outlines":
        """The same cameras with the pictures in another order."""
        return replace(self, masks=self.masks[order], known=self.known[order])

    def with_poses(self, T_cam_world: Float[Tensor, "N 4 4"]) -> "Outlines":
        """The same pictures with other camera poses."""
        return replace(self, cameras=replace(self.cameras, T_cam_world=T_cam_world))


@value_type
class Agreement:
    """Consistency of each silhouette with the hull of the others, as fractions of the area of the view's mask.

    Attributes:
        missing: Fraction of the mask outside of the hull of the others: proof of a contradiction.
        against: Fraction of the mask that more of the others carve away than a few bad views can explain.
        excess: Fraction by which the hull of the others is larger than the mask; it is large if there are few
            views.
        blame: Number of object pixels of other views that the view carves away; if several views do, each gets
            an equal part.
    """

    missing: Float[Tensor, "N"]
    against: Float[Tensor, "N"]
    excess: Float[Tensor, "N"]
    blame: Float[Tensor, "N"]

    @property
    def misfit(self) -> float:
        """Median of `missing` over the views: 0 if all silhouettes can be those of one object."""
        return float(self.missing.double().quantile(0.5))

    @property
    def contradicts(self) -> bool:
        """Whether most views contradict each other; a few bad views do not matter."""
        return float(self.against.double().quantile(0.5)) > CONTRADICTION


def outlines(capture: Capture) -> Outlines:
    """Reduced silhouettes of a capture with masks; a reduced pixel is known if most of its area is."""
    cameras = capture.cameras
    scale = min(1.0, SIZE / max(cameras.width, cameras.height))
    width, height = (max(1, round(side * scale)) for side in (cameras.width, cameras.height))
    share = area_resize(capture.known[..., None].float(), width, height)[..., 0]
    covered = area_resize((capture.require_masks() * capture.known)[..., None], width, height)[..., 0]
    coverage = (covered / share.clamp(min=0.5)).clamp(0, 1)
    return Outlines(capture.names, cameras.resized(width, height), coverage, share > 0.5)


def agreement(views: Outlines) -> Agreement:
    """Compare every silhouette with the hull of the others, with a tolerance of one pixel."""
    nothing = torch.ones(len(views.cameras), device=views.masks.device)
    found = _hull_of_others(views)
    if found is None:
        return Agreement(nothing, nothing, nothing, nothing)
    silhouettes, grid, hull = found
    missing, excess = _missing_and_excess(views, hull)
    against = torch.zeros_like(missing)
    blame = torch.zeros_like(nothing)
    for view, pixels in enumerate(missing):
        if bool(pixels.any()):
            centers = torch.nonzero(pixels).flip(1)[None].double() + 0.5
            origins, directions = views.cameras[[view]].to(pixels.device).rays_through(centers)
            erasing, places = fewest_carving(grid, origins[0], directions[0])
            against[view][pixels] = erasing > _few(views)
            guilty = (depths(silhouettes, places) < 0).float()
            blame += (guilty / guilty.sum(dim=0).clamp(min=1)).sum(dim=1)
    shares = [_share_of_mask(views, region) for region in (missing, against, excess)]
    return Agreement(shares[0], shares[1], shares[2], blame)


def _few(views: Outlines) -> int:
    """Number of views that may be bad."""
    return len(views.cameras) // 6


def _hull_of_others(views: Outlines) -> tuple[Silhouettes, CarvedGrid, Bool[Tensor, "N H W"]] | None:
    """The silhouettes prepared for carving, the carved grid, and in each view the hull of all others; None if
    there is no hull."""
    cameras = views.cameras
    least = min_views_or_half(cameras, None)
    silhouettes = prepare_silhouettes(cameras, views.masks, views.known)
    bounds = find_bounds(silhouettes, least, max(_few(views), 1 if len(cameras) > 3 else 0))
    if bounds is None:
        return None
    grid = carve_grid(silhouettes, bounds, GRID, least)
    return silhouettes, grid, grid_silhouettes(cameras, grid, leave_out=True)


def _missing_and_excess(
    views: Outlines, hull: Bool[Tensor, "N H W"]
) -> tuple[Bool[Tensor, "N H W"], Bool[Tensor, "N H W"]]:
    """Pixels of the masks outside of the hull of the others, and pixels of the hull outside of the masks."""
    inside = (views.masks > 0.5) & views.known
    return inside & ~_dilated(hull), hull & views.known & ~inside


def _share_of_mask(views: Outlines, region: Bool[Tensor, "N H W"]) -> Float[Tensor, "N"]:
    """Size of a region as a fraction of the mask, per view."""
    area = ((views.masks > 0.5) & views.known).sum(dim=(1, 2)).clamp(min=1)
    return region.sum(dim=(1, 2)) / area


def _dilated(regions: Bool[Tensor, "N H W"]) -> Bool[Tensor, "N H W"]:
    """The regions, dilated by one pixel."""
    return torch.nn.functional.max_pool2d(regions[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0.5


def outlier_views(views: Outlines, now: Agreement) -> tuple[list[int], float] | None:
    """The few views whose removal makes the others consistent, and the misfit of the others.

    None if there are no such views, or too few views in all.
    """
    if len(views.names) < 5:
        return None
    kept = list(range(len(views.names)))
    while now.misfit > DOUBTFUL:
        if 3 * (len(kept) - 1) < 2 * len(views.names) or float(now.blame.max()) == 0:
            return None
        kept.pop(int(now.blame.argmax()))
        now = agreement(views.subset(kept))
    return [i for i in range(len(views.names)) if i not in kept], now.misfit


def explanation(views: Outlines, now: Agreement, exact: bool = False) -> str | None:
    """The mistake that explains contradicting silhouettes, as the end of a sentence; None if none is found.

    Args:
        views: Silhouettes.
        now: Their current agreement.
        exact: Whether to accept only corrections that reduce the misfit below `EXACT`.
    """
    found: list[tuple[float, str]] = []
    for sentence, change in counted(list(_alternatives(views)), "explain contradictions"):
        changed = change()
        others = _hull_of_others(changed)
        if others is None:
            continue
        missing, excess = (_share_of_mask(changed, r) for r in _missing_and_excess(changed, others[2]))
        misfit, larger = float(missing.double().quantile(0.5)), float(excess.median())
        if misfit < EXACT and larger < 0.2:
            return sentence
        if misfit < 0.4 * min(now.misfit, CONTRADICTION) and larger < 0.5 and not exact:
            found.append((float(missing.mean()), sentence))
    return min(found)[1] if found else None


def _alternatives(views: Outlines) -> Iterator[tuple[str, Callable[[], Outlines]]]:
    """Corrections of frequent mistakes, and the sentences that describe them."""
    cameras, count = views.cameras, len(views.cameras)
    T = cameras.T_cam_world
    inverse = torch.linalg.inv(T)
    flip = GL_TO_CV.to(T)
    yield (
        "they fit if the camera axes are turned (y and z): the poses are for OpenCV axes where OpenGL axes are "
        "expected, or the other way round; convert them",
        lambda: views.with_poses(flip @ T),
    )
    yield (
        "they fit if the poses are inverted: they take the world to the camera where the camera to the "
        "world is expected, or the other way round; invert them",
        lambda: views.with_poses(inverse),
    )
    yield (
        "they fit if the poses are inverted and the camera axes turned (y and z): world to camera and "
        "camera to world, OpenGL and OpenCV are exchanged; convert them",
        lambda: views.with_poses(flip @ inverse),
    )
    for factor in _scales(cameras):
        yield (
            f"they fit if the intrinsics are multiplied by {factor:.4g}: they belong to pictures "
            f"{1 / factor:.4g} times as large; use these, or scale the focal lengths and the principal point",
            lambda factor=factor: replace(views, cameras=_scaled(cameras, factor)),
        )
    middle = cameras.K.clone()
    middle[:, :2, 2] = cameras.K.new_tensor([cameras.width / 2, cameras.height / 2])
    yield (
        "they fit if the principal point is put into the middle of the pictures; correct cx and cy",
        lambda: replace(views, cameras=replace(cameras, K=middle)),
    )
    turned = {
        "upside down (turned by 180 degrees)": (1, 2),
        "mirrored left to right": (2,),
        "mirrored top to bottom": (1,),
    }
    for name, axes in turned.items():
        yield (
            f"they fit if the pictures are {name}; use them as they were calibrated",
            lambda axes=axes: replace(views, masks=views.masks.flip(axes), known=views.known.flip(axes)),
        )
    yield (
        "they fit if object and background are exchanged: the masks are inverted; invert them",
        lambda: replace(views, masks=1 - views.masks),
    )
    for name, order in _orders(views.names).items():
        yield (
            f"they fit with the pictures in {name} order; check which picture belongs to which camera",
            lambda order=order: views.reordered(order),
        )
    shifts = sorted(range(1, count), key=lambda k: min(k, count - k))[:MOST_ORDERS]
    for shift in shifts:
        steps = shift if shift <= count // 2 else shift - count
        yield (
            f"they fit if every picture goes to the camera {abs(steps)} {'later' if steps > 0 else 'earlier'}; "
            "check which picture belongs to which camera",
            lambda shift=shift: views.reordered([(i - shift) % count for i in range(count)]),
        )


def _orders(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Plausible orders of the pictures: the picture of the first camera, and so on."""
    rising = list(range(len(names)))
    by_number = sorted(
        rising, key=lambda i: [int(t) if t.isdecimal() else t for t in re.split("([0-9]+)", names[i])]
    )
    orders = {
        "reverse": rising[::-1],
        "numerical": by_number,
        "alphabetical": sorted(rising, key=names.__getitem__),
    }
    return {name: order for name, order in orders.items() if order != rising}


def _scales(cameras: Cameras) -> list[float]:
    """Factors on intrinsics to try: usual ones, and one that centres the principal point."""
    middle = torch.tensor([cameras.width / 2, cameras.height / 2]).to(cameras.K)
    centred = float((middle / cameras.K[:, :2, 2]).median())
    factors = [0.125, 0.25, 0.5, 2.0, 4.0, 8.0]
    if 0.01 < centred < 100 and all(abs(centred / f - 1) > 0.02 for f in [1.0, *factors]):
        factors.append(centred)
    return factors


def _scaled(cameras: Cameras, factor: float) -> Cameras:
    scale = torch.tensor([factor, factor, 1.0]).to(cameras.K)
    return replace(cameras, K=cameras.K * scale[:, None])

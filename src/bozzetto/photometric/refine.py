"""Refinement of a height map on photos by rendering: shape from shading around a first guess.

The surface is diffuse and the light smooth and distant, so a photo is albedo(x) * L(n(x)), where L is a
spherical harmonics series of order 2 (Ramamoorthi and Hanrahan 2001), as in `shade`. In a view from straight
above every pixel shows its own piece of surface, so rendering is shading of the pixels. Steps are those of
large-step optimisation (Nicolet et al. 2021): the map is (I + lambda L)^-1 u with the Laplacian L of the grid,
and Adam optimises u, so that a change of one pixel also changes its surroundings.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from ..errors import InputError
from ..geometry import solve
from ..geometry.heightfield import normals_from_height
from ..geometry.heightfield.gradients import bordered, check_boundary
from ..geometry.heightfield.grid_solve import GridSolver
from ..rendering import spherical_harmonics
from ..values import value_type


@value_type
class RefinedHeight:
    """Result of refining a height map.

    Attributes:
        height: Refined heights in pixels.
        albedo: Albedo per pixel, with mean 1.
        lights: Spherical-harmonics coefficients of the light of every photo.
        errors: RMS difference between photos and renders, before and after.
    """

    height: Float[Tensor, "H W"]
    albedo: Float[Tensor, "H W"]
    lights: Float[Tensor, "N 9"]
    errors: tuple[float, float]


def refine_height(
    height: Float[Tensor, "H W"],
    photos: Float[Tensor, "N H W"],
    boundary: str = "free",
    steps: int = 100,
    smoothness: float = 5.0,
    step_size: float = 0.2,
    trust: float = 1e-4,
    sigma: float = 8.0,
) -> RefinedHeight:
    """Refine a height map so that its renders agree with photos.

    Photos do not always determine whether brightness is due to albedo or to shading, nor distinguish a flatter
    surface from one under other light (the bas-relief ambiguity of Belhumeur et al. 1999). So features coarser
    than `sigma` are kept as in the first guess. With one photo the albedo has no finer features either; with
    several it is free.

    Source: Nicolet et al. 2021, on the grid of the height map.

    Source: Belhumeur et al. 1999, the ambiguity that `sigma` guards against.

    Args:
        height: First guess of the heights in pixels, so that slopes are those of the surface.
        photos: Linear brightness of the same view, each under one light.
        boundary: `free` or `periodic`.
        steps: Number of steps of Adam.
        smoothness: lambda, at least 0.
        step_size: Step size of Adam in pixels.
        trust: Weight of the squared deviation from the guess, relative to squared differences of brightness
            over the mean.
        sigma: Standard deviation, in pixels, of the blur that separates coarse from fine features.

    Raises:
        InputError: Sizes differ, there is no photo, or a setting is not positive.
    """
    periodic = check_boundary(boundary)
    if photos.shape[1:] != height.shape or len(photos) == 0 or min(steps, smoothness, step_size) <= 0:
        raise InputError(
            "refinement takes photos of the size of the height map and positive settings; got photos "
            f"{tuple(photos.shape)}, a map {tuple(height.shape)}, {steps} steps, smoothness {smoothness} and "
            f"step size {step_size}"
        )
    photos = photos / photos.mean().clamp(min=1e-9)
    solver = GridSolver(height.shape[0], height.shape[1], smoothness, periodic, height.device)
    start = height.detach().clone()
    hidden = torch.zeros(height.numel(), 1, device=height.device, requires_grad=True)
    optimizer = torch.optim.Adam([hidden], lr=step_size, betas=(0.9, 0.98))
    errors: list[float] = []
    for _ in range(steps):
        current = start + _fine(solve(solver, hidden).reshape(height.shape), sigma, periodic)
        basis = spherical_harmonics(normals_from_height(current, boundary))
        albedo, lights = explained(photos, basis.detach(), periodic, sigma)
        off = albedo * torch.einsum("hwk,nk->nhw", basis, lights) - photos
        errors.append(float(off.detach().square().mean().sqrt()))
        loss = off.square().mean() + trust * (current - start).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        result = start + _fine(solve(solver, hidden).reshape(height.shape), sigma, periodic)
        basis = spherical_harmonics(normals_from_height(result, boundary))
        albedo, lights = explained(photos, basis, periodic, sigma)
        off = albedo * torch.einsum("hwk,nk->nhw", basis, lights) - photos
    return RefinedHeight(result, albedo, lights, (errors[0], float(off.square().mean().sqrt())))


def _fine(change: Tensor, sigma: float, periodic: bool) -> Tensor:
    return change - gaussian_blur(change[None], sigma, periodic)[0]


def explained(
    photos: Float[Tensor, "N H W"],
    basis: Float[Tensor, "H W 9"],
    periodic: bool,
    sigma: float,
    rounds: int = 3,
) -> tuple[Float[Tensor, "H W"], Float[Tensor, "N 9"]]:
    """Fit albedo and lights to photos of a known surface, alternately by least squares."""
    albedo = photos.new_ones(photos.shape[1:])
    flat = basis.reshape(-1, 9)
    ridge = 1e-4 * len(flat) * torch.eye(9, device=flat.device)
    lights = flat.new_zeros(len(photos), 9)
    for _ in range(rounds):
        shown = albedo.reshape(-1, 1) * flat
        lights = torch.linalg.solve(shown.T @ shown + ridge, shown.T @ photos.reshape(len(photos), -1).T).T
        shade = torch.einsum("hwk,nk->nhw", basis, lights).clamp(min=1e-3)
        both = torch.stack([(photos * shade).sum(0), shade.square().sum(0)])
        if len(photos) == 1:
            both = gaussian_blur(both, sigma, periodic)
        albedo = both[0] / both[1].clamp(min=1e-9)
        albedo = albedo / albedo.mean().clamp(min=1e-9)
    return albedo, lights


def gaussian_blur(maps: Float[Tensor, "C H W"], sigma: float, periodic: bool) -> Float[Tensor, "C H W"]:
    """Gaussian blur with periodic or replicated borders."""
    margin = max(1, round(3 * sigma))
    places = torch.arange(-margin, margin + 1, device=maps.device, dtype=maps.dtype)
    weights = torch.exp(-(places**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    around = bordered(maps[:, None], margin, periodic)
    return conv2d(conv2d(around, weights[None, None, None, :]), weights[None, None, :, None])[:, 0]

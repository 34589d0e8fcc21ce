"""Sampling of the signed distance to a mesh, for the training of priors."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry import solid_distance
from ..shapes import Mesh, Similarity, sample_surface
from ..shapes import normalisation as unit_normalisation
from ..shapes.offsets import NO_OFFSET
from .data import SdfSamples

Protocol = Literal["released", "paper"]

MARGIN = 1.03
"""Inverse of the radius of a normalised shape (released code)."""


@dataclass(frozen=True)
class SamplingProtocol:
    """Distribution of the samples of a shape.

    Source: Park et al. 2019, section 5, as released.

    Attributes:
        near: Fraction of samples near the surface; the others are uniform in [-1, 1]^3.
        variances: Variances of the isotropic Gaussians by which surface points are perturbed, in normalised
            units squared. Every point is perturbed by each of them, so that each gives half of the samples near
            the surface.
    """

    near: float
    variances: tuple[float, float]


PROTOCOLS: dict[str, SamplingProtocol] = {
    # The training set of the released sampler: 235,000 points of the surface and 30,000 uniform ones.
    "released": SamplingProtocol(47 / 50, (0.005, 0.0005)),
    # The text of the paper: 250,000 points of the surface and 25,000 uniform ones.
    "paper": SamplingProtocol(500 / 525, (0.0025, 0.00025)),
}


@dataclass(frozen=True)
class PreparedShape:
    """Samples of one shape for training, and their reliability.

    Attributes:
        samples: Samples in the normalised frame, in random order.
        normalisation: Similarity from the frame of the mesh to the normalised frame.
        ambiguity: Fraction of samples whose sign is ambiguous, because the mesh is open or inconsistently
            oriented there: the winding number differs from one half by less than 0.1.
        turned: Fraction of faces that were oriented inward and have been flipped, or that were left out because
            there is a coincident face of opposite orientation.
    """

    samples: SdfSamples
    normalisation: Similarity
    ambiguity: float
    turned: float


def prepare_shape(
    mesh: Mesh,
    count: int = 500_000,
    generator: torch.Generator | None = None,
    protocol: Protocol = "released",
) -> PreparedShape:
    """Sample the signed distance to a mesh, which may be open, self-intersecting or inside out.

    Points are chosen as in DeepSDF. Distances are exact, to the outer surface, and signs come from the
    generalised winding number, after faces that are oriented inward have been flipped (`solid_distance`). The
    released sampler takes distances from the nearest pixels of renderings and signs from a vote, and drops
    samples without a unanimous vote. Here no samples are dropped, and no display is needed.

    Source: Park et al. 2019, section 5. Differs: distances are exact and signs come from the winding number;
    the release takes the nearest rendered pixel and drops doubtful samples.

    Args:
        mesh: The shape; distances are computed on its device.
        count: Number of samples; the released code takes 500,000.
        generator: Source of randomness, on the CPU.
        protocol: `released` (variances 0.005 and 0.0005, 6 % uniform) or `paper` (variances 0.0025 and
            0.00025, 4.8 % uniform): code and paper differ.

    Returns:
        Samples on the CPU, the normalisation, and the reliability of the signs.

    Raises:
        InputError: The mesh is empty, broken, without area, or encloses nothing; or `count` is below 2.
    """
    if count < 2:
        raise InputError(f"a shape needs at least two samples, got {count}; ask for some thousands")
    mesh.check()
    to_unit = shape_normalisation(mesh)
    unit = replace(
        mesh, vertices=to_unit.apply(mesh.world_vertices.detach().double()).float(), offset=NO_OFFSET
    )
    points = sample_points(unit.to("cpu"), count, generator, PROTOCOLS[protocol])
    found = solid_distance(unit, points.to(mesh.vertices.device))
    if not (found.distance < 0).any():
        raise InputError(
            f"the mesh encloses nothing: none of {count} samples lies inside; "
            "close it, or turn its faces consistently"
        )
    samples = SdfSamples(points, found.distance.cpu())
    turned = (found.turned + found.doubled) / len(mesh.faces)
    return PreparedShape(samples, to_unit, found.doubtful / count, turned)


def shape_normalisation(mesh: Mesh) -> Similarity:
    """The normalisation of a mesh: its bounding box is centred at 0, its farthest vertex has distance 1 / 1.03.

    It takes world coordinates. Only vertices that belong to faces count (released code). The numbers are
    rounded to the precision of the released file format, so that a stored normalisation is exactly the one that
    was used.

    Raises:
        InputError: All vertices coincide.
    """
    unit = unit_normalisation(mesh.vertices.detach()[mesh.used], "sphere")
    scale = float(torch.tensor(unit.scale / MARGIN, dtype=torch.float32))
    offset = (unit.translation / unit.scale).float().double()
    return Similarity(scale, (offset - torch.tensor(mesh.offset, dtype=torch.float64)) * scale)


def sample_points(
    mesh: Mesh, count: int, generator: torch.Generator | None, protocol: SamplingProtocol
) -> Float[Tensor, "N 3"]:
    """Sample points near the surface of a normalised mesh and uniform points, in random order.

    Source: Park et al. 2019, section 5, as released.
    """
    surface_count = round(count * protocol.near / 2)
    surface, _ = sample_surface(mesh, surface_count, generator)
    near = [surface + variance**0.5 * _normal(surface_count, generator) for variance in protocol.variances]
    uniform = 2 * torch.rand(count - 2 * surface_count, 3, generator=generator) - 1
    order = torch.randperm(count, generator=generator)
    return torch.cat([*near, uniform])[order]


def _normal(count: int, generator: torch.Generator | None) -> Tensor:
    return torch.randn(count, 3, generator=generator)


WAVES = 3
"""Number of half waves along the upright axis that a stretch consists of."""


def stretched_shape(
    mesh: Mesh, generator: torch.Generator, strength: float = 0.15, upright: int = 1, sideways: float = 0.05
) -> Mesh:
    """A random variant of a shape, stretched and scaled in cross section smoothly along the upright axis.

    Upright shapes stay upright, mirror planes through the axis stay mirror planes, and round shapes stay round
    up to `sideways`. From such variants, a prior of a few dozen shapes, which otherwise learns little beyond
    these, learns that proportions vary from shape to shape.

    Args:
        mesh: The shape.
        generator: Source of randomness, on the CPU.
        strength: Standard deviation of the logarithm of the scale along the axis, and of that of the cross
            sections, for the longest wave; shorter ones vary less in proportion to their length.
        upright: Index of the upright axis: 0, 1 or 2.
        sideways: Standard deviation of the logarithm of the ratio of the scales along the other two axes.
    """
    low, high = mesh.bounds.double()
    height = ((mesh.vertices.double() - low) / (high - low).clamp_min(1e-12))[:, upright]
    across = [axis for axis in range(3) if axis != upright]
    middle = (low + high) / 2
    places = mesh.vertices.double() - middle
    slope, section, ratio = torch.randn(3, WAVES + 1, generator=generator, dtype=torch.float64)
    places[:, upright] = (high - low)[upright] * (_moved(height, strength * slope) - 0.5)
    scale = _waves(height, strength * section).exp()
    for axis, sign in zip(across, (0.5, -0.5), strict=True):
        places[:, axis] *= scale * math.exp(sign * sideways * float(ratio[0]))
    return mesh.with_vertices((places + middle).to(mesh.vertices))


def _waves(height: Float[Tensor, " V"], weights: Float[Tensor, " W"]) -> Float[Tensor, " V"]:
    """A constant and half waves, with amplitude proportional to the wavelength."""
    waves = torch.arange(len(weights), dtype=height.dtype)
    return torch.cos(math.pi * height[:, None] * waves) @ (weights / waves.clamp_min(1))


def _moved(
    height: Float[Tensor, " V"], weights: Float[Tensor, " W"], nodes: int = 257
) -> Float[Tensor, " V"]:
    """Map heights in [0, 1] by a function whose slope is the exponential of half waves, so that it is
    monotonic."""
    grid = torch.linspace(0, 1, nodes, dtype=height.dtype)
    slope = _waves(grid, weights).exp()
    sums = torch.cat([slope.new_zeros(1), torch.cumulative_trapezoid(slope, grid)])
    left = (height * (nodes - 1)).long().clamp(0, nodes - 2)
    return torch.lerp(sums[left], sums[left + 1], height * (nodes - 1) - left)

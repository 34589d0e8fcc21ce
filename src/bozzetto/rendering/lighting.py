"""Distant light as spherical harmonics of order 2, and the diffuse shading under it."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import InputError
from ..geometry.launch import in_parts, launch, part_count
from . import lighting_kernels as kernels

Vector = Sequence[float | int]

# The order of the nine functions, (l, m): (0,0) (1,-1) (1,0) (1,1) (2,-2) (2,-1) (2,0) (2,1) (2,2).
_Y0 = 0.5 * math.sqrt(1 / math.pi)
_Y1 = 0.5 * math.sqrt(3 / math.pi)
_Y2 = 0.5 * math.sqrt(15 / math.pi)
_Y20 = 0.25 * math.sqrt(5 / math.pi)


def spherical_harmonics(directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 9"]:
    """The nine real spherical harmonics up to order 2 at unit directions.

    Axes are those of the world: Y(1,-1), Y(1,0), Y(1,1) are proportional to y, z and x (Ramamoorthi and
    Hanrahan 2001, equation 3).

    Source: Ramamoorthi and Hanrahan 2001, equation 3.
    """
    x, y, z = directions.unbind(dim=-1)
    return torch.stack(
        [
            torch.full_like(x, _Y0),
            _Y1 * y,
            _Y1 * z,
            _Y1 * x,
            _Y2 * x * y,
            _Y2 * y * z,
            _Y20 * (3 * z * z - 1),
            _Y2 * x * z,
            0.5 * _Y2 * (x * x - y * y),
        ],
        dim=-1,
    )


def irradiance_forms(coefficients: Float[Tensor, "9 3"]) -> Float[Tensor, "3 4 4"]:
    """Symmetric matrices A with E(n) = (n, 1)^T A (n, 1), one per colour channel.

    Ramamoorthi and Hanrahan 2001, equation 12, with exact constants: radiance convolved with the clamped
    cosine, whose bands have the factors pi, 2 pi / 3 and pi / 4.

    Source: Ramamoorthi and Hanrahan 2001, equation 12. Differs: constants are exact instead of six digits.
    """
    b0, b1, b2 = math.pi * _Y0, 2 * math.pi / 3 * _Y1, math.pi / 4 * _Y2
    b20 = math.pi / 4 * _Y20
    L00, L1m, L10, L1p, L2mm, L2m, L20, L2p, L2pp = coefficients
    rows = [
        [b2 * L2pp, b2 * L2mm, b2 * L2p, b1 * L1p],
        [b2 * L2mm, -b2 * L2pp, b2 * L2m, b1 * L1m],
        [b2 * L2p, b2 * L2m, 6 * b20 * L20, b1 * L10],
        [b1 * L1p, b1 * L1m, b1 * L10, 2 * (b0 * L00 - b20 * L20)],
    ]
    return torch.stack([torch.stack(row) for row in rows]).permute(2, 0, 1) / 2


def irradiance(normals: Float[Tensor, "P 3"], coefficients: Float[Tensor, "9 3"]) -> Float[Tensor, "P 3"]:
    """Irradiance at surface points with given normals under a distant light.

    Differentiable with respect to both. Negative values, which the truncated expansion of the light may give,
    are not clamped, so that gradients do not vanish.

    Args:
        normals: Normals of any length, in the world frame; they are normalised here.
        coefficients: Radiance coefficients per colour channel, in the order of `spherical_harmonics`.
    """
    return _Irradiance.apply(normals, irradiance_forms(coefficients))


def shade(
    normals: Float[Tensor, "P 3"],
    coefficients: Float[Tensor, "9 3"],
    albedo: Float[Tensor, "P 3"] | None = None,
) -> Float[Tensor, "P 3"]:
    """Outgoing radiance of a diffuse surface, albedo / pi * irradiance; without albedo the surface is white.

    Source: Nicolet et al. 2021, the shading of its figures, as released. Differs: light is evaluated at every
    pixel instead of every vertex.
    """
    radiance = irradiance(normals, coefficients / math.pi)
    return radiance if albedo is None else albedo * radiance


def environment_coefficients(environment: Float[Tensor, "H W 3"]) -> Float[Tensor, "9 3"]:
    """Project an environment map onto the spherical harmonics up to order 2.

    L_lm is the sum over the texels of radiance * Y_lm(direction) * solid angle (Ramamoorthi and Hanrahan 2001,
    equation 10). Rows go from +Y (top) to -Y; columns start at -Z and continue over +X, +Z (the middle) and -X.

    Source: Ramamoorthi and Hanrahan 2001, equation 10.

    Args:
        environment: Linear radiance in latitude-longitude layout.
    """
    height, width = environment.shape[:2]
    polar = (torch.arange(height, device=environment.device) + 0.5) * (math.pi / height)
    azimuth = (torch.arange(width, device=environment.device) + 0.5) * (2 * math.pi / width)
    ring, phi = polar.sin()[:, None], azimuth[None]
    directions = torch.stack(
        torch.broadcast_tensors(ring * phi.sin(), polar.cos()[:, None], -ring * phi.cos()), dim=-1
    )
    solid_angle = ring * (2 * math.pi**2 / (height * width))
    basis = spherical_harmonics(directions) * solid_angle[..., None]
    return torch.einsum("hwk,hwc->kc", basis, environment)


class _Irradiance(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, normals: Tensor, forms: Tensor) -> Tensor:
        normals, forms = normals.to(torch.float32).contiguous(), forms.to(torch.float32).contiguous()
        out = torch.empty_like(normals)

        def run(part: int, start: int, stop: int) -> None:
            launch(kernels.evaluate, stop - start, [normals, forms, start, out], normals.device)

        in_parts(run, len(normals), normals.device)
        ctx.save_for_backward(normals, forms)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        normals, forms = ctx.saved_tensors
        grad_out, device, count = gradients[0].contiguous(), normals.device, len(normals)
        for_normals, for_forms = ctx.needs_input_grad
        grad_normals = torch.empty_like(normals) if for_normals else None
        grad_forms = forms.new_zeros(part_count(count, device), 3, 4, 4) if for_forms else None

        def run(part: int, start: int, stop: int) -> None:
            if grad_normals is not None:
                inputs = [normals, forms, grad_out, start, grad_normals]
                launch(kernels.evaluate_adjoint, stop - start, inputs, device)
            if grad_forms is not None:
                chunks = -(-(stop - start) // int(kernels.CHUNK))
                inputs = [normals, grad_out, start, stop, part, grad_forms]
                launch(kernels.forms_adjoint, chunks, inputs, device)

        in_parts(run, count, device)
        return grad_normals, None if grad_forms is None else grad_forms.sum(dim=0)


def studio_light(up: Vector = (0, 1, 0), front: Vector = (0, 0, 1)) -> Float[Tensor, "9 3"]:
    """A studio light: warm from the upper left, cool from the right, and soft ambient light.

    Args:
        up: World direction that points upwards.
        front: World direction from the object towards the viewer.

    Returns:
        Radiance coefficients for `shade`, with which white surfaces have values below 1.
    """
    x, y, z = axes(up, front)
    lamps = [((-0.55, 0.6, 0.6), (2.15, 2.02, 1.84)), ((0.85, 0.1, 0.2), (0.36, 0.42, 0.52))]
    directions = torch.stack([normalize(a * x + b * y + c * z, dim=0) for (a, b, c), _ in lamps])
    colors = torch.tensor([color for _, color in lamps])
    ambient = torch.zeros(9, 3)
    ambient[0] = 0.16 * math.sqrt(4 * math.pi)
    return torch.einsum("lk,lc->kc", spherical_harmonics(directions), colors) + ambient


def axes(up: Vector, front: Vector) -> tuple[Tensor, Tensor, Tensor]:
    """Right, up and front as unit vectors, front made perpendicular to up."""
    y = torch.as_tensor(up, dtype=torch.float32)
    z = torch.as_tensor(front, dtype=torch.float32)
    x = torch.linalg.cross(y, z)
    if not float(x.norm()) > 1e-6:
        raise InputError(f"up {tuple(up)} and front {tuple(front)} must be different directions")
    x, y = normalize(x, dim=0), normalize(y, dim=0)
    return x, y, torch.linalg.cross(x, y)

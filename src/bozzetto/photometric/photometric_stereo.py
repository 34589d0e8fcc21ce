"""Photometric stereo: normals from three or more photos of a surface under different distant lights.

A diffuse surface under light l (a vector towards the light whose length is the intensity) has brightness max(0,
l . b) with
b = albedo * normal (Woodham 1980, Photometric method for determining surface orientation from multiple images).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..errors import InputError
from ..geometry.heightfield import integrate_normals
from ..steps import counted
from ..values import value_type

FLOOR = 1e-6


@value_type
class PhotometricStereo:
    """Result of photometric stereo.

    Attributes:
        normals: Unit normals in tangent space: x to the right, y up, z towards the camera.
        albedo: Albedo per pixel, in the unit of brightness over light intensity.
        lights: Vectors towards the lights, whose lengths are the intensities; the given or estimated ones.
        residual: Weighted RMS difference between photos and predicted brightness, per pixel.
        sign_is_guessed: Whether hills and hollows may be exchanged, with the lights on the opposite side.
    """

    normals: Float[Tensor, "H W 3"]
    albedo: Float[Tensor, "H W"]
    lights: Float[Tensor, "N 3"]
    residual: Float[Tensor, "H W"]
    sign_is_guessed: bool = False


def photometric_stereo(
    photos: Float[Tensor, "N H W"],
    lights: Float[Tensor, "L 3"] | None = None,
    mask: Bool[Tensor, "H W"] | None = None,
    saturation: float = 0.99,
    iterations: int = 10,
) -> PhotometricStereo:
    """Compute normals and albedo by robust least squares per pixel.

    Photos that do not fit the others at a pixel (highlights, cast shadows) get a small weight (least squares
    reweighted towards the sum of absolute differences). Overexposed photos are not used, nor are photos in
    attached shadow if enough others remain.

    Source: Woodham 1980, the method. Differs: least squares are robust, against shadows and highlights.

    Args:
        photos: Linear brightness in [0, 1], the same view under one light each.
        lights: Vectors towards the lights in the frame of the normals, whose lengths are the intensities. None
            estimates them from the photos (`unknown_lights`).
        mask: Pixels of the surface, for estimating the lights; None takes all.
        saturation: Brightness above which a photo is overexposed.
        iterations: Number of reweighting iterations; 1 is plain least squares.

    Raises:
        InputError: There are fewer than three photos, not one light each, or the lights lie in a plane.
    """
    if len(photos) < 3 or (lights is not None and len(lights) != len(photos)):
        raise InputError(
            f"photometric stereo needs three or more photos and a light for each, got {len(photos)} photos "
            f"and {'no' if lights is None else len(lights)} lights"
        )
    guessed = lights is None
    lights = unknown_lights(photos, mask) if lights is None else lights.to(photos)
    strengths = torch.linalg.svdvals(lights.double())
    if not bool(strengths[2] > 1e-4 * strengths[0]):
        raise InputError(
            "the lights lie in one plane, so one direction of the normals is unknown; add a photo with a light "
            "from elsewhere"
        )
    images = photos.double()
    scaled = lights.double()
    usable = (images < saturation).double().clamp(min=FLOOR)
    weights = usable.clone()
    surface, off = images.new_zeros(*images.shape[1:], 3), images
    for _ in counted(range(max(1, iterations)), "stereo"):
        surface = _solve(images, scaled, weights)
        predicted = torch.einsum("nc,hwc->nhw", scaled, surface)
        off = images - predicted.clamp(min=0)
        facing = (predicted > 0).double().clamp(min=FLOOR)
        spread = off.abs().mean(dim=0, keepdim=True) / 2 + 1e-3 * images.mean()
        enough = ((facing * usable) > 0.5).sum(dim=0) >= 3
        weights = torch.where(enough, usable * facing, usable) / torch.maximum(off.abs(), spread)
    residual = ((weights * off.square()).sum(dim=0) / weights.sum(dim=0)).sqrt()
    albedo = surface.norm(dim=-1)
    up = surface.new_tensor([0.0, 0.0, 1.0])
    normals = torch.where(albedo[..., None] > FLOOR, surface / albedo[..., None].clamp(min=FLOOR), up)
    return PhotometricStereo(normals.float(), albedo.float(), lights.float(), residual.float(), guessed)


def unknown_lights(
    photos: Float[Tensor, "N H W"], mask: Bool[Tensor, "H W"] | None = None, samples: int = 50_000
) -> Float[Tensor, "N 3"]:
    """Estimate the lights of photos of a surface that is flat on average.

    The photos have rank three (Hayakawa 1994). Integrability of the normals (as in Yuille and Snow 1997) leaves
    the generalised bas-relief ambiguity (Belhumeur, Kriegman and Yuille 1999): the surface may be tilted,
    flattened and inverted if the lights change accordingly. Three assumptions resolve it: the surface is level
    on average; lights of equal intensity and uniform albedo, as far as possible, determine the depth; and
    pixels in hollows are darker on average over all photos, which determines the sign. The last is a guess.

    Source: Hayakawa 1994, the factorisation.

    Source: Belhumeur et al. 1999, the ambiguity that is left.

    Args:
        photos: Linear brightness.
        mask: Pixels of the surface; None takes all.
        samples: Largest number of pixels that are used.

    Raises:
        InputError: The photos differ too little, for instance because the light was the same.
    """
    images = _blurred(photos.double())
    inside = torch.ones_like(images[0], dtype=torch.bool) if mask is None else mask
    bright = images.mean(dim=0)
    inside = inside & (images > 0.02 * bright).all(dim=0)
    inside[[0, -1]] = False
    inside[:, [0, -1]] = False
    places = inside.flatten().nonzero()[:, 0]
    places = places[:: max(1, len(places) // samples)]
    pixels = images.flatten(1)[:, places]
    left, values, _ = torch.linalg.svd(pixels @ pixels.T)
    if len(places) < 100 or not bool(values[2] > 1e-8 * values[0]):
        raise InputError(
            "the lights cannot be found: the photos are too alike, too dark or too small; "
            "move the light between them, or give the lights"
        )
    basis = left[:, :3]  # photos ~ basis @ pseudo-normals
    pseudo = torch.einsum("nc,nhw->chw", basis, images)
    across, along = _integrability(pseudo, places)
    level = pseudo.flatten(1)[:, places].mean(dim=1)
    plane = basis @ torch.stack([across, along], dim=1)  # x and y of the lights, up to one scale
    plane = plane / plane.norm(dim=1).mean()
    rest = basis @ (level / level.norm())  # z of the lights, up to another
    rest = rest * torch.sign(rest.sum())
    depth = _depth(plane, rest / rest.abs().mean(), pixels)
    lights = torch.cat([plane, depth * rest[:, None] / rest.abs().mean()], dim=1)
    lights = lights / lights.norm(dim=1).mean()
    return (lights * _sign(lights, images, inside)).to(photos.dtype)


def _solve(images: Tensor, lights: Tensor, weights: Tensor) -> Tensor:
    """Weighted least squares in three unknowns per pixel, by Cramer's rule with cross products."""
    matrix = torch.einsum("nhw,na,nb->hwab", weights, lights, lights)
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
    matrix = matrix + (1e-9 * trace)[..., None, None] * torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    right = torch.einsum("nhw,na,nhw->hwa", weights, lights, images)
    rows = matrix.unbind(-2)
    crosses = [torch.linalg.cross(rows[(k + 1) % 3], rows[(k + 2) % 3]) for k in range(3)]
    determinant = (rows[0] * crosses[0]).sum(-1, keepdim=True)
    inverse = torch.stack(crosses, dim=-1) / determinant[..., None]
    return (inverse @ right[..., None])[..., 0]


def _integrability(pseudo: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """The combinations of the pseudo-lights that are the x and y components of the lights.

    With b = P p (p the pseudo-normals), d/dy (b1 / b3) = d/dx (b2 / b3), y up, is linear in the cofactors of P:
    (p x dp/dy) . u = (p x dp/dx) . v, where u and v are cross products of its rows. The lights are the
    pseudo-lights times the cofactors, so u and v are the unknowns.
    """
    right = (pseudo[:, 1:-1, 2:] - pseudo[:, 1:-1, :-2]) / 2
    up = (pseudo[:, :-2, 1:-1] - pseudo[:, 2:, 1:-1]) / 2
    inner = pseudo[:, 1:-1, 1:-1]
    crosses = [torch.linalg.cross(inner, change, dim=0) for change in (up, right)]
    full = [torch.nn.functional.pad(c, (1, 1, 1, 1)).flatten(1)[:, places] for c in crosses]
    rows = torch.cat(full) / pseudo.flatten(1)[:, places].norm(dim=0).square()
    null = torch.linalg.eigh(rows @ rows.T).eigenvectors[:, 0]
    # b3 db1 - b1 db3 = (p3 x p1) . (p x dp); the rows of cofactors are p2 x p3, p3 x p1 and p1 x p2.
    return null[3:], null[:3]


def _depth(plane: Tensor, rest: Tensor, pixels: Tensor) -> Tensor:
    """The scale of the lights' z for which lights are most equal in strength and albedo is most even."""
    scales = torch.logspace(-1.5, 1.5, 121, dtype=plane.dtype, device=plane.device)
    lights = torch.cat([plane.expand(len(scales), -1, -1), (scales[:, None] * rest)[..., None]], dim=2)
    strengths = lights.norm(dim=2).log().var(dim=1)
    few = pixels[:, :: max(1, pixels.shape[1] // 2000)]
    albedo = (torch.linalg.pinv(lights) @ few).norm(dim=1).clamp(min=FLOOR).log()
    return scales[(strengths + 0.1 * albedo.var(dim=1)).argmin()]


def _sign(lights: Tensor, images: Tensor, inside: Tensor) -> Tensor:
    """Choose the sign of x and y of the lights so that hollows are darker on average over the photos."""
    weights = torch.ones_like(images)
    surface = _solve(images, lights, weights)
    height = integrate_normals(surface / surface.norm(dim=-1, keepdim=True).clamp(min=FLOOR))
    even = images / images.mean(dim=(1, 2), keepdim=True)
    brightness = even.mean(dim=0)[inside]
    height = height[inside]
    agrees = ((brightness - brightness.mean()) * (height - height.mean())).sum() >= 0
    turn = 1.0 if bool(agrees) else -1.0
    return lights.new_tensor([turn, turn, 1.0])


def _blurred(images: Tensor) -> Tensor:
    """Slight smoothing, so that noise does not dominate the derivatives."""
    kernel = images.new_tensor([0.25, 0.5, 0.25])
    padded = torch.nn.functional.pad(images[:, None], (1, 1, 1, 1), mode="replicate")
    rows = torch.nn.functional.conv2d(padded, kernel[None, None, None])
    return torch.nn.functional.conv2d(rows, kernel[None, None, :, None])[:, 0]

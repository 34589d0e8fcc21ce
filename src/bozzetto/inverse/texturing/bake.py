"""Baking of photographs into the texture of a surface."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...cameras import Capture
from ...errors import InputError
from ...geometry import face_areas, factorise, laplacian, vertex_normals
from ...shapes import Mesh, TexturedMesh
from ...steps import counted, stage
from ...values import value_type
from .atlas import Texels, fill_gutter, relief_map, tangents_of, unwrap
from .observation import Observation, PointObservations, solve_exposures, usual_colors

_BROAD_POWER, _FINE_POWER = 2.0, 3.0  # exponents of the quality of a view in its weights for the two bands
_SURE = 0.1  # trust in the most trusted view above which no colour is filled in
_SMALLEST, _LARGEST = 256, 4096  # texels along a side
_ENOUGH = 20_000  # vertices from which exposures are estimated
_USED = 0.7  # fraction of the texels that charts cover
_TYPICAL = 0.75  # quantile, over the surface, of the photographs' resolution that the texture resolves


@torch.no_grad()
def bake_texture(
    mesh: Mesh,
    capture: Capture,
    exposures: Float[Tensor, " N"] | Float[Tensor, "N 3"] | None = None,
    size: int | None = None,
    fine: Mesh | None = None,
) -> TexturedMesh:
    """Blend photographs into the texture of a surface.

    Every texel is a weighted mean of the photographs at this point. The weight of a photograph depends on its
    resolution on the surface, which includes the viewing angle, on the distance from outlines and mask borders,
    and on its agreement with the colours of most views (`usual_colors`). It is 0 where the surface occludes the
    texel (by depth). Low frequencies are averaged over more views than high ones, so that there are no seams
    and errors of a pixel blur little: two bands as in Baumberg 2002, "Blending images for texturing 3D models".
    Exposures are equalised first. Parts that no photograph shows are filled smoothly from their surroundings.

    The texture contains shading and highlights as photographed. For relighting, use the vertex colours of a
    reconstruction, which are albedo.

    Photographs are processed one at a time; in addition to the capture this takes some 150 bytes per texel and
    60 bytes
    per vertex and photograph. Cutting the surface into charts is slow for many faces: 5 s for 20,000 of them,
    over a minute for 80,000.

    Source: Baumberg 2002, two bands.

    Args:
        mesh: The surface, preferably with fewer than 100,000 faces, see `simplify`.
        capture: Photographs with cameras, with or without masks.
        exposures: Exposure factor of each photograph, per view or per view and channel; None estimates them
            where photographs overlap.
        size: Texels along a side, 16 to 16384; None takes the resolution of the photographs, a power of two
            from 256 to 4096.
        fine: The surface before simplification; its finer detail becomes a normal map. None writes no normal
            map.

    Returns:
        The mesh with its texture; its vertex colours are those of the texture at the vertices.

    Raises:
        InputError: The mesh is empty or broken, exposures do not fit the views, the size is out of range, or
            the package xatlas is not installed.
    """
    mesh = mesh.check().to("cpu")
    normals = vertex_normals(mesh.vertices, mesh.faces)
    look = _look(mesh, normals, capture, exposures)
    size = _texture_size(mesh, look.quality) if size is None else size
    if not 16 <= size <= 16384:
        raise InputError(f"a texture needs 16 to 16384 texels along a side, got {size}")
    with stage("texture"):
        atlas = unwrap(mesh, size)
    texels = Texels.of(atlas, size)
    blend = _blended(look, normals, capture, texels)
    covered = texels.image(torch.ones(len(texels), 1))[..., 0] > 0
    image = fill_gutter(texels.image(blend), covered)
    model = TexturedMesh(look.mesh, atlas.uv, atlas.uv_faces, image, normals)
    if fine is None:
        return model
    tangents = tangents_of(mesh, atlas, normals)
    relief = texels.image(relief_map(mesh, fine.to("cpu"), atlas, texels, normals, tangents))
    relief = torch.nn.functional.normalize(fill_gutter(relief, covered), dim=2)
    return replace(model, normal_map=relief, tangents=tangents)


@torch.no_grad()
def color_vertices(
    mesh: Mesh,
    capture: Capture,
    exposures: Float[Tensor, " N"] | Float[Tensor, "N 3"] | None = None,
) -> Mesh:
    """Colour the vertices of a surface from photographs, as `bake_texture` does for texels.

    Args:
        mesh: The surface; its own colours are ignored.
        capture: Photographs with cameras.
        exposures: See `bake_texture`.

    Raises:
        InputError: The mesh is empty or broken, or exposures do not fit the views.
    """
    mesh = mesh.check().to("cpu")
    return _look(mesh, vertex_normals(mesh.vertices, mesh.faces), capture, exposures).mesh


@value_type
class _Look:
    """Colours of photographs at the vertices of a mesh.

    Attributes:
        mesh: The mesh with blended colours.
        exposures: Exposure factors per view and channel.
        agreement: Agreement of each view with the others at each vertex, 0 to 1.
        quality: Pixels per surface area of the best view of each vertex.
    """

    mesh: Mesh
    exposures: Float[Tensor, "N 3"]
    agreement: Float[Tensor, "V N"]
    quality: Float[Tensor, " V"]


def _look(mesh: Mesh, normals: Tensor, capture: Capture, exposures: Tensor | None) -> _Look:
    factors = None if exposures is None else _checked(exposures, len(capture))
    samples = _sampled(mesh, normals, capture)
    if factors is None:
        step = max(1, len(mesh.vertices) // _ENOUGH)
        factors = solve_exposures(PointObservations(samples.colors[::step], samples.weights[::step]))
    usual, agreement = usual_colors(replace(samples, colors=samples.colors / factors))
    best = samples.weights.amax(dim=1)
    confidence = (best / best.max().clamp_min(1e-30)).sqrt()
    return _Look(replace(mesh, colors=spread_colors(mesh, usual, confidence)), factors, agreement, best)


def _checked(exposures: Tensor, count: int) -> Float[Tensor, "N 3"]:
    factors = exposures.detach().cpu().float()
    factors = factors[:, None].expand(-1, 3) if factors.ndim == 1 else factors
    if factors.shape != (count, 3) or not bool((torch.isfinite(factors) & (factors > 0)).all()):
        raise InputError(
            f"exposures must be positive numbers for {count} views, one or three each, got "
            f"{tuple(exposures.shape)}"
        )
    return factors


def _sampled(mesh: Mesh, normals: Tensor, capture: Capture) -> PointObservations:
    """The colours of all vertices in all photographs, weighted by pixels per area."""
    colors, weights = [], []
    for view in counted(range(len(capture)), "colours of the photographs"):
        seen = Observation.of(mesh, capture, view, split=False)
        sight = seen.sight(mesh.vertices, normals)
        bands, trust = seen.look_up(sight.place[:, :2] / sight.place[:, 2:], sight.depth)
        weight = trust * sight.quality
        colors.append(bands[:, :3] * (weight > 0)[:, None])
        weights.append(weight)
    return PointObservations(torch.stack(colors, dim=1), torch.stack(weights, dim=1))


def _texture_size(mesh: Mesh, best: Float[Tensor, " V"]) -> int:
    """The power of two with about as many texels on the surface as the sharpest photographs have pixels."""
    if not bool((best > 0).any()):
        return _SMALLEST
    pixels = float(best[best > 0].quantile(_TYPICAL)) * float(face_areas(mesh.vertices, mesh.faces).sum())
    return min(max(2 ** math.ceil(math.log2(math.sqrt(pixels / _USED))), _SMALLEST), _LARGEST)


@value_type
class _Band:
    """A weighted mean of colours, accumulated view by view."""

    total: Float[Tensor, "T 3"]
    weight: Float[Tensor, " T"]
    power: float

    def add(self, rows: Tensor, colors: Tensor, quality: Tensor) -> None:
        weight = quality**self.power
        self.total.index_add_(0, rows, colors * weight[:, None])
        self.weight.index_add_(0, rows, weight)

    def mean(self) -> Float[Tensor, "T 3"]:
        return self.total / self.weight.clamp_min(1e-30)[:, None]


def _blended(look: _Look, normals: Tensor, capture: Capture, texels: Texels) -> Float[Tensor, "T 3"]:
    """Colours of all covered texels."""
    mesh, unit = look.mesh, float(look.quality.max()) or 1.0  # unit of quality, so that sums stay near 1
    assert mesh.colors is not None
    broad, sharp = (
        _Band(torch.zeros(len(texels), 3), torch.zeros(len(texels)), power)
        for power in (_BROAD_POWER, _FINE_POWER)
    )
    sure = torch.zeros(len(texels))
    for view in counted(range(len(capture)), "texture"):
        seen = Observation.of(mesh, capture, view)
        sight = seen.sight(mesh.vertices, normals)
        known = torch.stack([sight.depth, sight.quality / unit, look.agreement[:, view]], dim=1)
        rows = torch.nonzero((sight.quality[mesh.faces] > 0).any(dim=1)[texels.face]).squeeze(1)
        values = texels.interpolate(torch.cat([sight.place, known], dim=1)[mesh.faces])[rows]
        bands, trust = seen.look_up(values[:, :2] / values[:, 2:3], values[:, 3])
        quality = trust * values[:, 4] * values[:, 5]
        broad.add(rows, bands[:, :3] / look.exposures[view], quality)
        sharp.add(rows, bands[:, 3:] / look.exposures[view], quality)
        sure[rows] = torch.maximum(sure[rows], trust * (values[:, 4] > 0))
    share = (sure / _SURE).clamp(0, 1)[:, None]
    filled = texels.interpolate(mesh.colors[mesh.faces])
    return torch.lerp(filled, broad.mean() + sharp.mean(), share).clamp(0, 1)


_SMOOTH = 1e-2  # weight of smoothness relative to a colour with confidence 1
_HOLD = 1e-6  # weight of the mean colour, for components without any known colour
_UNKNOWN = 0.5  # linear grey, if no colour is known


def spread_colors(
    mesh: Mesh, colors: Float[Tensor, "V 3"], confidence: Float[Tensor, " V"]
) -> Float[Tensor, "V 3"]:
    """Fill in unknown vertex colours smoothly; known colours are kept.

    Minimises sum confidence (x - color)^2 + smooth x^T L x with the graph Laplacian, so that unknown colours
    are means of their neighbours (harmonic): each channel stays within the range of the surrounding known
    colours.

    Args:
        mesh: The surface.
        colors: Linear RGB; anything where the confidence is 0.
        confidence: Confidence in each colour, 0 (unknown) to 1.
    """
    weight = confidence.double().clamp(0, 1)
    if float(weight.sum()) == 0:
        return torch.full_like(colors, _UNKNOWN)
    mean = (weight[:, None] * colors).sum(dim=0) / weight.sum()
    smooth = laplacian(mesh.faces, len(mesh.vertices)).double().coalesce()
    rows, columns = smooth.indices()
    values = _SMOOTH * smooth.values()
    values = values + torch.where(rows == columns, (weight + _HOLD)[rows], 0.0)
    matrix = torch.sparse_coo_tensor(smooth.indices(), values, smooth.shape, check_invariants=False)
    right = weight[:, None] * colors + _HOLD * mean
    return factorise(matrix.coalesce())(right).to(colors).clamp(0, 1)

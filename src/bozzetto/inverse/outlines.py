"""Where outlines of a surface lie beside those of the masks, and how its colours differ from the photograph's.

Each residual belongs to a point of the surface and is a function of where the camera sees that point, so that
its derivative with respect to the camera follows from the gradient in the picture
(`camera_motion.pixel_derivatives`).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree
from torch import Tensor

from ..cameras.silhouettes import silhouette_distance
from ..rendering import Fragments
from ..values import value_type

FARTHEST = 0.15
"""Outlines of mask and surface that are farther apart than this share of the picture's longer side do not
belong together."""
SAMPLES = 3000
"""Pixels of a view whose colours are compared, at most."""


@value_type
class Residuals:
    """Differences between one view and its picture, of one kind.

    Attributes:
        points: Points of the surface.
        value: Differences there.
        slope: Their derivatives with respect to the pixel (u, v) at which the point is seen.
        weight: How much each counts, sum 1.
    """

    points: Float[Tensor, "P 3"]
    value: Float[Tensor, " P"]
    slope: Float[Tensor, "P 2"]
    weight: Float[Tensor, " P"]


@value_type
class Outline:
    """The outline of a mask.

    Attributes:
        distance: Signed distance in pixels at the pixel centres, positive inside.
        trusted: Pixels whose distance does not end at something unknown.
        points: Points (u, v) on the outline.
        normals: Unit normals there, into the object.
    """

    distance: Float[Tensor, "H W"]
    trusted: Bool[Tensor, "H W"]
    points: Float[Tensor, "Q 2"]
    normals: Float[Tensor, "Q 2"]

    @classmethod
    def of(cls, mask: Float[Tensor, "H W"], known: Bool[Tensor, "H W"]) -> "Outline":
        """The outline of a soft mask; where it meets unknown pixels or the frame it is none."""
        coverage, seen = mask.cpu().numpy(), known.cpu().numpy()
        distance = torch.from_numpy(silhouette_distance(coverage, seen))
        ends = np.pad(seen, 1)
        to_unknown = distance_transform_edt(ends)
        assert isinstance(to_unknown, np.ndarray)
        trusted = torch.from_numpy(to_unknown[1:-1, 1:-1]).float() > distance.abs() + 1.5
        slope = gradient(distance)
        length = torch.linalg.vector_norm(slope, dim=2)
        near = (distance.abs() < 0.75) & trusted & (length > 0.5)
        v, u = torch.nonzero(near, as_tuple=True)
        normals = slope[v, u] / length[v, u, None]
        points = torch.stack([u, v], dim=1) + 0.5 - distance[v, u, None] * normals
        return cls(distance, trusted, points, normals)


def gradient(image: Float[Tensor, "H W"]) -> Float[Tensor, "H W 2"]:
    """Derivatives along u and v by central differences."""
    v, u = torch.gradient(image)
    return torch.stack([u, v], dim=2)


def bilinear(image: Float[Tensor, "H W C"], pixels: Float[Tensor, "P 2"]) -> Float[Tensor, "P C"]:
    """Bilinear values at pixel coordinates (u, v), those of the border outside."""
    height, width, _ = image.shape
    places = (2 * pixels / pixels.new_tensor([width, height]) - 1).to(image)[None, None]
    found = torch.nn.functional.grid_sample(
        image.permute(2, 0, 1)[None], places, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found[0, :, 0].T


def outline_points(
    fragments: Fragments,
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 2"], Float[Tensor, " P"]]:
    """Points of the outline of a surface in one view: the middles of its edges between front and back.

    Returns:
        Positions, pixels and lengths in pixels of those that border the background.
    """
    front = (fragments.flags[0] & 1).bool()
    neighbours = fragments.topology.neighbours
    across = torch.where(neighbours < -1, -2 - neighbours, neighbours).long()
    hidden = torch.where(neighbours == -1, True, ~front[across.clamp(min=0)])
    face, corner = torch.nonzero(front[:, None] & hidden, as_tuple=True)
    faces = fragments.faces.long()
    ends = fragments.vertices[torch.stack([faces[face, corner], faces[face, (corner + 1) % 3]])]
    points = ends.mean(dim=0)
    camera = fragments.cameras
    seen = camera.project(torch.cat([points, ends[0], ends[1]]))[0]
    pixels, first, second = seen[:, :2].split(len(points))
    length = torch.linalg.vector_norm(first - second, dim=1)
    empty = (fragments.triangle < 0).float()
    beside = torch.nn.functional.max_pool2d(empty, 3, stride=1, padding=1)[0]
    size = pixels.new_tensor([camera.width, camera.height])
    inside = ((pixels > 1) & (pixels < size - 1)).all(dim=1)
    u, v = pixels.nan_to_num(0).long().clamp(min=0).unbind(dim=1)
    kept = inside & (beside[v.clamp(max=camera.height - 1), u.clamp(max=camera.width - 1)] > 0)
    return points[kept].double(), pixels[kept], length[kept]


def outline_residuals(fragments: Fragments, outline: Outline) -> list[Residuals]:
    """Outline of the surface against that of the mask, and the other way round, in pixels."""
    points, pixels, length = outline_points(fragments)
    if len(points) < 3 or len(outline.points) < 3:
        return []
    farthest = FARTHEST * max(outline.distance.shape)
    fields = torch.cat([outline.distance[..., None], gradient(outline.distance)], dim=2)
    found = bilinear(fields, pixels).double()
    u, v = pixels.long().unbind(dim=1)
    counts = outline.trusted[v, u] & (found[:, 0].abs() < farthest)
    there = Residuals(points[counts], found[counts, 0], found[counts, 1:], _shares(length[counts]))
    away, nearest = KDTree(pixels.numpy()).query(outline.points.numpy(), distance_upper_bound=farthest)
    near = torch.from_numpy(np.isfinite(away))
    nearest = torch.from_numpy(nearest)[near]
    normals = outline.normals[near].double()
    value = (normals * (pixels[nearest] - outline.points[near])).sum(dim=1)
    back = Residuals(points[nearest], value, normals, _shares(torch.ones_like(value)))
    return [residuals for residuals in (there, back) if len(residuals.value)]


def color_residuals(
    fragments: Fragments,
    colors: Float[Tensor, "P 3"],
    picture: Float[Tensor, "H W 3"],
    trusted: Bool[Tensor, "H W"],
) -> Residuals | None:
    """Brightness of the picture less that of the surface, where both show the inside of the object.

    The slope is the mean of that of the picture and that of the rendering (as in efficient second-order
    minimisation, Benhimane and Malis 2004), with which steps go farther.

    Source: Benhimane and Malis 2004, the mean of both gradients.

    Args:
        fragments: What one view sees.
        colors: Colours of its covered pixels.
        picture: What the photograph shows of the object.
        trusted: Pixels that are known and surely object.
    """
    height, width = trusted.shape
    drawn = torch.zeros(height * width)
    brightness = colors.mean(dim=1)
    drawn[fragments.pixel] = brightness
    shown = picture.mean(dim=2)
    empty = (fragments.triangle < 0).float()
    inner = (torch.nn.functional.max_pool2d(empty, 5, stride=1, padding=2)[0] == 0) & trusted
    rows = torch.nonzero(inner.view(-1)[fragments.pixel])[:, 0]
    if len(rows) < 10:
        return None
    rows = rows[:: -(-len(rows) // SAMPLES)]
    pixel = fragments.pixel[rows]
    slopes = (gradient(drawn.view(height, width)) + gradient(shown)).view(-1, 2)[pixel] / 2
    value = shown.reshape(-1)[pixel] - brightness[rows]
    corners = fragments.vertices[fragments.faces.long()[fragments.face[rows]]]
    points = torch.einsum("pk,pkc->pc", fragments.barycentric[rows], corners)
    return Residuals(points.double(), value.double(), slopes.double(), _shares(torch.ones_like(value)))


def _shares(weights: Tensor) -> Float[Tensor, " P"]:
    return (weights / weights.sum().clamp(min=1e-12)).double()


def inner_pixels(outline: Outline, known: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Known pixels at least two pixels inside the mask."""
    return known & (outline.distance > 2)

"""What was made of phone photos, measured against what is true of them."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from ...cameras import Cameras
from ...cameras.mask_files import find_masks
from ...geometry import SurfaceIndex
from ...metrics import align_surface
from ...rendering import rasterize
from ...shapes import Mesh, Similarity, sample_surface
from ...values import value_type
from .furnished_room import TABLE
from .phone import PhonePhotos

DEEPER = 2e-3
"""Metres behind the nearest surface at which a point still counts as seen."""
HALF = 0.42
"""Half the side of the table, which hides the subject's underside."""


def photographed_faces(photos: PhonePhotos) -> Bool[Tensor, " F"]:
    """Faces of the subject whose middle two photos or more show; itself and the table may hide it."""
    subject = photos.subject
    corners = torch.tensor(
        [[-HALF, TABLE, -HALF], [HALF, TABLE, -HALF], [HALF, TABLE, HALF], [-HALF, TABLE, HALF]]
    )
    table = torch.tensor([[0, 1, 2], [0, 2, 3]]) + len(subject.vertices)
    vertices, faces = torch.cat([subject.vertices, corners]), torch.cat([subject.faces, table])
    middle = subject.vertices[subject.faces].mean(dim=1)
    count = torch.zeros(len(middle), dtype=torch.int64)
    for view in photos.views:
        assert view.K is not None and view.size is not None
        width, height = view.size
        camera = Cameras(view.T_cam_world[None], view.K[None], width, height)
        fragments = rasterize(vertices, faces, camera)
        depth = torch.full((width * height,), torch.inf)
        depth[fragments.pixel] = fragments.depth
        u, v, z = camera.project(middle)[0].T
        inside = (u > 0) & (v > 0) & (u < width) & (v < height) & (z > 0)
        pixel = (v.long() * width + u.long()).clamp(0, len(depth) - 1)
        count += inside & (z < depth[pixel] + DEEPER)
    return count >= 2


@value_type
class SurfaceErrors:
    """Distances in metres between a result and what the photos show of the truth.

    Attributes:
        to_result: From points of the true surface.
        to_truth: From points of the result whose nearest point of the true surface the photos show.
        to_world: The similarity from the world of the result to the true one.
    """

    to_result: Float[Tensor, " P"]
    to_truth: Float[Tensor, " Q"]
    to_world: Similarity

    @property
    def mean(self) -> float:
        """Mean of both ways."""
        return 0.5 * (float(self.to_result.mean()) + float(self.to_truth.mean()))


def surface_errors(
    mesh: Mesh,
    photos: PhonePhotos,
    photographed: Bool[Tensor, " F"],
    start: Similarity | None = None,
    samples: int = 100_000,
) -> SurfaceErrors:
    """Compare a reconstruction with the true subject, after the best similarity.

    Args:
        mesh: In any world.
        photos: With the truth.
        photographed: As of `photographed_faces`.
        start: About the similarity from that world to the true one; None if they are the same.
        samples: Points on each surface.
    """
    part = Mesh(photos.subject.vertices, photos.subject.faces[photographed])
    points = sample_surface(part, samples, torch.Generator().manual_seed(0))[0]
    place = align_surface(mesh, points[:: max(1, samples // 20_000)], start)
    aligned = mesh.with_vertices(place.apply(mesh.vertices.double()).float())
    made = sample_surface(aligned, samples, torch.Generator().manual_seed(1))[0]
    nearest = SurfaceIndex(photos.subject).closest(made)
    to_result = SurfaceIndex(aligned).closest(points).distance
    return SurfaceErrors(to_result, nearest.distance[photographed[nearest.face]], place)


def mask_overlap(folder: Path, photos: PhonePhotos) -> dict[str, float]:
    """IoU of the masks in a folder with the true ones, by name of the photo, whichever way up."""
    made = find_masks(list(photos.views), folder) or []
    pairs = zip(photos.views, made, strict=False)
    return {
        view.name: _overlap(mask, view.mask)
        for view, mask in pairs
        if mask is not None and view.mask is not None
    }


def _overlap(made: Path, truth: Path) -> float:
    """The better one of both quarter turns counts, if the mask lies on its side."""
    with Image.open(truth) as image:
        true = np.asarray(image) >= 128
    with Image.open(made) as image:
        mask = image.convert("L")
    height, width = true.shape
    sideways = (mask.width > mask.height) != (width > height)
    size, turns = ((height, width), (1, -1)) if sideways else ((width, height), (0,))
    pixels = np.asarray(mask.resize(size, Image.Resampling.BILINEAR)) >= 128
    both = [np.rot90(pixels, k) for k in turns]
    return max(float((m & true).sum() / max((m | true).sum(), 1)) for m in both)

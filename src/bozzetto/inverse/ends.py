"""Open boundaries: faces that no photograph shows are guessed, and may be left out."""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ..cameras import Capture
from ..geometry import drop_unused_vertices, face_areas, face_neighbours, face_normals
from ..rendering import rasterize
from ..shapes import Mesh

LARGEST = 640
"""Visibility is computed in photographs with a longer side of at most this many pixels."""
GRAZING = math.cos(math.radians(80))
"""Smallest cosine between normal and viewing direction at which a face counts as visible."""
BEHIND = 2.0
"""Depth tolerance of visibility, in pixels across the line of sight."""
SMALL = 0.02
"""Hidden patches of less than this fraction of the surface area are kept, and visible ones of less are left
out."""
GUESSED = 0.25
"""With `auto`, hidden faces are left out if they have more than this fraction of the surface area, or if the
object leaves the image in most photographs."""


def with_ends(mesh: Mesh, capture: Capture, boundary: str) -> Mesh:
    """The surface, closed or without the parts that no photograph shows.

    Args:
        mesh: A closed surface.
        capture: Photographs with masks; cameras in the frame of the mesh.
        boundary: `closed` keeps all faces. `open` leaves out faces that no camera sees (facing away, hidden, or
            in unknown pixels), except small patches. `auto` does so if more than a fraction `GUESSED` of the
            surface is hidden or the object leaves the image in most photographs.

    Returns:
        The mesh, open or as it was.
    """
    if boundary == "closed":
        return mesh
    kept = ~_large(mesh, ~visible_faces(mesh, capture))
    if not bool(kept.any()) or bool(kept.all()):
        return mesh
    areas = face_areas(mesh.vertices, mesh.faces)
    guessed = float(areas[~kept].sum() / areas.sum())
    if boundary == "auto" and guessed <= GUESSED and not leaves_frame(capture):
        return mesh
    kept = _large(mesh, kept)
    return drop_unused_vertices(replace(mesh, faces=mesh.faces[kept]))[0] if bool(kept.any()) else mesh


def visible_faces(mesh: Mesh, capture: Capture) -> Bool[Tensor, " F"]:
    """Whether at least one camera sees the centroid of a face: from outside, unoccluded, in a known pixel."""
    middles = mesh.corners().mean(dim=1)
    normals = torch.nn.functional.normalize(face_normals(mesh.vertices, mesh.faces), dim=1).double().cpu()
    scale = min(1.0, LARGEST / max(capture.cameras.width, capture.cameras.height))
    seen = torch.zeros(len(mesh.faces), dtype=torch.bool)
    width, height = (max(1, round(side * scale)) for side in (capture.cameras.width, capture.cameras.height))
    for view in range(len(capture)):
        small = capture.window(view, (width, height), (0, 0, width, height))
        camera = small.cameras.relative_to(mesh.offset).to("cpu")
        fragments = rasterize(mesh.vertices.cpu(), mesh.faces.cpu(), camera)
        depth = torch.full((camera.width * camera.height,), -torch.inf)
        depth[fragments.pixel] = fragments.depth.detach()
        places = camera.project(middles.cpu())[0]
        u, v = places[:, 0].nan_to_num(-1).floor(), places[:, 1].nan_to_num(-1).floor()
        inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height) & (places[:, 2] > camera.near)
        pixel = (v.clamp(0, camera.height - 1) * camera.width + u.clamp(0, camera.width - 1)).long()
        if camera.orthographic:
            towards = -camera.forward.expand_as(normals)
            size = torch.ones_like(places[:, 2]) / camera.K[0, 0, 0]
        else:
            towards = torch.nn.functional.normalize(camera.centers - middles.cpu(), dim=1)
            size = places[:, 2] / camera.K[0, 0, 0]
        facing = (normals * towards).sum(dim=1)
        slack = BEHIND * size / facing.clamp(min=GRAZING)
        unhidden = places[:, 2] < depth[pixel].double() + slack
        seen |= inside & (facing > GRAZING) & unhidden & small.known[0].reshape(-1)[pixel].cpu()
    return seen.to(mesh.faces.device)


def leaves_frame(capture: Capture) -> bool:
    """Whether the object touches unknown pixels or the image border in most photographs."""
    cut = 0
    for mask, known in zip(capture.require_masks(), capture.known, strict=True):
        inner = torch.nn.functional.pad(known[None, None].float(), (1, 1, 1, 1))
        inner = -torch.nn.functional.max_pool2d(-inner, 3, stride=1)[0, 0] > 0.5
        border = known & ~inner & (mask > 0.5)
        cut += int(border.sum()) > 0.02 * math.sqrt(float((mask > 0.5).sum()))
    return 2 * cut > len(capture)


def _large(mesh: Mesh, chosen: Bool[Tensor, " F"]) -> Bool[Tensor, " F"]:
    """Connected patches of chosen faces that are not small."""
    index = torch.nonzero(chosen)[:, 0].cpu().numpy()
    if len(index) == 0:
        return chosen
    neighbours = face_neighbours(mesh.faces.cpu()).numpy()
    number = np.full(len(mesh.faces), -1)
    number[index] = np.arange(len(index))
    across = neighbours[index]
    rows, columns = np.repeat(np.arange(len(index)), 3), across.reshape(-1)
    joined = (columns >= 0) & (number[columns] >= 0)
    pairs = rows[joined], number[columns[joined]]
    graph = coo_matrix((np.ones(len(pairs[0])), pairs), shape=(len(index), len(index)))
    _, label = connected_components(graph, directed=False)
    areas: Float[Tensor, " F"] = face_areas(mesh.vertices, mesh.faces).cpu().double()
    patches = np.bincount(label, weights=areas[index].numpy())
    large = torch.zeros(len(mesh.faces), dtype=torch.bool)
    large[index] = torch.from_numpy(patches >= SMALL * float(areas.sum()))[label]
    return large.to(chosen.device)

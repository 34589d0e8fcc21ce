"""A texture from photographs."""

import torch

from ...cameras import Capture
from ...geometry import vertex_normals
from ...shapes import Mesh
from ...shapes.textured import TexturedMesh
from ...steps import counted
from .atlas import unwrap
from .gutter import fill_gutter
from .observation import Observation
from .texels import Texels


@torch.no_grad()
def bake_texture(mesh: Mesh, capture: Capture, size: int = 2048) -> TexturedMesh:
    """Blend photographs into a texture."""
    atlas = unwrap(mesh, size)
    texels = Texels.of(atlas, size)
    normals = vertex_normals(mesh.vertices, mesh.faces)
    total, weights = torch.zeros(len(texels), 3), torch.full((len(texels),), 1e-12)
    for view in counted(range(len(capture)), "texture"):
        mask = None if capture.masks is None else capture.masks[view]
        seen = Observation.of(mesh, capture.cameras[[view]], capture.images[view], mask, capture.known[view])
        depth, density, ramp = seen.quality(mesh.vertices, normals)
        table = torch.cat([seen.project(mesh.vertices), torch.stack([depth, density * ramp, ramp], 1)], dim=1)
        facing = (ramp[mesh.faces] > 0).any(dim=1)
        chosen = torch.nonzero(facing[texels.face]).squeeze(1)
        rows = texels.interpolate(table[mesh.faces])[chosen]
        color, trust = seen.look_up(rows[:, :2] / rows[:, 2:3], rows[:, 3])
        weight = trust * rows[:, 4] ** 2
        total[chosen] += color * weight[:, None]
        weights[chosen] += weight
    image = texels.image(total / weights[:, None])
    covered = texels.image(torch.ones(len(texels), 1))[..., 0] > 0
    image = fill_gutter(image, covered).clamp(0, 1)
    return TexturedMesh(mesh, atlas.uv, atlas.uv_faces, image, normals)

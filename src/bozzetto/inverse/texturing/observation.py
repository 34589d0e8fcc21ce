"""What one photograph shows of a surface, and how far it is to be trusted there."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_cdt
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool2d, normalize

from ...cameras import Cameras
from ...render import rasterize
from ...shapes import Mesh

_EDGE = 2.0  # pixels beside edges that are not used: masks and surfaces are off by about one
_FEATHER = 12.0  # pixels from there on over which a photograph gains its full weight
_JUMP = 8.0  # pixel footprints of depth between neighbouring pixels from which on there is an edge
_GRAZING, _FACING = 0.15, 0.45  # cosines between which a photograph gains its full weight
_NEAR = 2.0  # pixel footprints by which a visible point may lie behind the surface that is drawn


@dataclass(frozen=True)
class Observation:
    """One photograph beside the surface as its camera sees it.

    Attributes:
        camera: One camera, of a world relative to the offset of the mesh.
        depth: Of the surface in every pixel, infinite beside it.
        trust: 0 at outlines, inner edges, borders of the mask and unknown pixels, 1 far from them.
        channels: What is looked up: the photograph, linear.
    """

    camera: Cameras
    depth: Float[Tensor, "H W"]
    trust: Float[Tensor, "H W"]
    channels: Float[Tensor, "C H W"]

    @classmethod
    def of(
        cls,
        mesh: Mesh,
        camera: Cameras,
        image: Float[Tensor, "H W 3"],
        mask: Float[Tensor, "H W"] | None,
        known: Bool[Tensor, "H W"],
    ) -> "Observation":
        """A photograph of the mesh.

        Args:
            mesh: The surface.
            camera: One camera, in the frame of the world.
            image: The photograph, linear.
            mask: Coverage by the object; None if unknown.
            known: Pixels that can be trusted.
        """
        camera = camera.relative_to(mesh.offset)
        fragments = rasterize(mesh.vertices, mesh.faces, camera)
        depth = torch.full((camera.height * camera.width,), torch.inf)
        depth[fragments.pixel] = fragments.depth.detach().cpu()
        depth = depth.view(camera.height, camera.width)
        clear = known.clone() if mask is None else known & (mask > 0.5)
        clear &= ~_edges(depth, footprint(camera, depth))
        distance = torch.from_numpy(distance_transform_cdt(clear.numpy(), "chessboard")).float()
        trust = ((distance - _EDGE) / _FEATHER).clamp(0, 1)
        return cls(camera, depth, trust, image.permute(2, 0, 1).contiguous())

    def project(self, points: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
        """Homogeneous pixel coordinates (x w, y w, w) of points; w is their depth, or 1 if orthographic."""
        T, K = self.camera.T_cam_world[0], self.camera.K[0]
        local = points.double() @ T[:3, :3].T + T[:3, 3]
        plane = (
            torch.cat([local[:, :2], torch.ones_like(local[:, :1])], 1) if self.camera.orthographic else local
        )
        return (plane @ K.T).float()

    def quality(
        self, points: Float[Tensor, "P 3"], normals: Float[Tensor, "P 3"]
    ) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"], Float[Tensor, " P"]]:
        """Depth of points, pixels per area of surface there, and a factor that is 0 at grazing angles."""
        T = self.camera.T_cam_world[0]
        local = points.double() @ T[:3, :3].T + T[:3, 3]
        toward = (
            -local if not self.camera.orthographic else torch.tensor([0.0, 0, -1]).double().expand_as(local)
        )
        cosine = (normalize(toward, dim=1) * (normals.double() @ T[:3, :3].T)).sum(dim=1).clamp_min(0)
        density = cosine / footprint(self.camera, local[:, 2].clamp_min(1e-12)).square()
        ramp = ((cosine - _GRAZING) / (_FACING - _GRAZING)).clamp(0, 1)
        return local[:, 2].float(), density.float(), (ramp * ramp * (3 - 2 * ramp)).float()

    def look_up(
        self, pixels: Float[Tensor, "P 2"], depth: Float[Tensor, " P"]
    ) -> tuple[Float[Tensor, "P C"], Float[Tensor, " P"]]:
        """Colours at places in the photograph, and trust in them: 0 where the surface hides the point."""
        column, row = (pixels.floor().long()).unbind(dim=1)
        inside = (column >= 0) & (row >= 0) & (column < self.camera.width) & (row < self.camera.height)
        place = row.clamp(0, self.camera.height - 1) * self.camera.width + column.clamp(
            0, self.camera.width - 1
        )
        nearest = self.depth.view(-1)[place]
        seen = inside & (depth <= nearest + _NEAR * footprint(self.camera, depth) / _GRAZING)
        size = pixels.new_tensor([self.camera.width, self.camera.height])
        grid = (2 * pixels / size - 1)[None, None]
        stacked = torch.cat([self.channels, self.trust[None]])[None]
        found = grid_sample(stacked, grid, align_corners=False, padding_mode="border")[0, :, 0].T
        return found[:, :-1], found[:, -1] * seen


def footprint(camera: Cameras, depth: Tensor) -> Tensor:
    """Length across a pixel at this depth, in world units."""
    focal = float(camera.K[0, :2, :2].det().abs().sqrt())
    return torch.ones_like(depth) / focal if camera.orthographic else depth / focal


def _edges(depth: Float[Tensor, "H W"], step: Float[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Pixels beside the surface, and those on both sides of a jump of its depth."""
    beside = ~torch.isfinite(depth)
    far = torch.where(beside, 1e30, depth)[None, None]
    highest, lowest = max_pool2d(far, 3, 1, 1), -max_pool2d(-far, 3, 1, 1)
    return beside | ((highest - lowest)[0, 0] > _JUMP * torch.where(beside, 0.0, step))

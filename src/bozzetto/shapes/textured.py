"""Triangle meshes with a texture atlas."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ..errors import InputError
from .mesh import Mesh
from .similarity import Similarity


@dataclass(frozen=True)
class TexturedMesh:
    """A mesh whose colours are an image.

    The mesh keeps its connectivity: where the atlas cuts it, a vertex has several places in the image, so
    corners of faces name places, as in OBJ files. `corners_split` gives one vertex per place.

    Attributes:
        mesh: The surface; colours per vertex, if there are any, are a coarse version of the image.
        uv: Places in the image: (0, 0) is the outer corner of its first texel, (1, 1) that of its last one, so
            v grows downwards as in glTF.
        uv_faces: For every corner of every face, the row of `uv`.
        image: Linear RGB in [0, 1], row 0 on top.
        normals: Unit normals of the vertices of the mesh, which renderers interpolate.
        normal_map: Unit normals in the tangent space of the surface, +X along u, +Y up the image (OpenGL), +Z
            along the interpolated normal; None if there is no finer relief.
        tangents: For every row of `uv`, the unit direction in which u grows, and as fourth number the sign of
            the bitangent, cross(normal, tangent) times it, which points up the image. None without a map.
    """

    mesh: Mesh
    uv: Float[Tensor, "U 2"]
    uv_faces: Int64[Tensor, "F 3"]
    image: Float[Tensor, "H W 3"]
    normals: Float[Tensor, "V 3"]
    normal_map: Float[Tensor, "Hn Wn 3"] | None = None
    tangents: Float[Tensor, "U 4"] | None = None

    def __post_init__(self) -> None:
        if self.uv_faces.shape != self.mesh.faces.shape:
            raise InputError(
                f"a texture needs three places for each of the {len(self.mesh.faces)} faces, got uv_faces of "
                f"shape {tuple(self.uv_faces.shape)}"
            )
        if len(self.uv_faces) and not 0 <= int(self.uv_faces.min()) <= int(self.uv_faces.max()) < len(
            self.uv
        ):
            raise InputError(f"uv_faces must name rows of uv, 0 to {len(self.uv) - 1}")
        if not bool(torch.isfinite(self.uv).all()):
            raise InputError("places in the texture must be finite, got NaN or infinity")

    def placed(self, place: Similarity) -> "TexturedMesh":
        """The textured surface under a similarity, which takes world coordinates."""
        turn = torch.eye(3, dtype=torch.float64) if place.rotation is None else place.rotation
        tangents = self.tangents
        if tangents is not None:
            tangents = torch.cat([tangents[:, :3] @ turn.T.to(tangents), tangents[:, 3:]], dim=1)
        normals = self.normals @ turn.T.to(self.normals)
        return replace(self, mesh=placed_mesh(self.mesh, place), normals=normals, tangents=tangents)

    def corners_split(self) -> tuple[Int64[Tensor, " S"], Int64[Tensor, " S"], Int64[Tensor, "F 3"]]:
        """One vertex per pair of a vertex and its place in the image, as formats with one index need it.

        Returns:
            The vertex and the row of `uv` of each, and the faces over them.
        """
        pairs = torch.stack([self.mesh.faces.flatten(), self.uv_faces.flatten()], dim=1)
        rows, index = torch.unique(pairs, dim=0, return_inverse=True)
        return rows[:, 0], rows[:, 1], index.reshape(-1, 3)


def placed_mesh(mesh: Mesh, place: Similarity) -> Mesh:
    """A mesh under a similarity, which takes world coordinates."""
    return Mesh(place.apply(mesh.world_vertices.double()).float(), mesh.faces, mesh.colors)

"""How far two surfaces are apart."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..geometry import SurfaceIndex, face_normals
from ..shapes import Mesh, sample_surface
from ..shapes.offsets import in_one_frame


@dataclass(frozen=True)
class SurfaceDistance:
    """Distances between surfaces A and B in the unit of the meshes.

    Attributes:
        mean_ab: Mean distance from points uniform over A to B.
        mean_ba: The same from B to A.
        rms_ab: Root mean square distance from points uniform over A to B.
        rms_ba: The same from B to A.
        hausdorff_ab: Largest distance from A to B, over the samples and all vertices of A: a lower bound of
            the supremum, short of it by less than the spacing of the samples.
        hausdorff_ba: The same from B to A.
        normals_ab: Normal consistency, the mean over the samples of A of the cosine between the normals there
            and at the nearest point of B; 1 is perfect, -1 inside out.
        normals_ba: The same from B to A.
        samples: Points sampled on each surface.
    """

    mean_ab: float
    mean_ba: float
    rms_ab: float
    rms_ba: float
    hausdorff_ab: float
    hausdorff_ba: float
    normals_ab: float
    normals_ba: float
    samples: int

    @property
    def mean(self) -> float:
        """Symmetric mean distance: (mean_ab + mean_ba) / 2."""
        return (self.mean_ab + self.mean_ba) / 2

    @property
    def rms(self) -> float:
        """sqrt((rms_ab^2 + rms_ba^2) / 2), the form used by Palfinger 2022 (there over vertices)."""
        return ((self.rms_ab**2 + self.rms_ba**2) / 2) ** 0.5

    @property
    def hausdorff(self) -> float:
        """The Hausdorff distance: max(hausdorff_ab, hausdorff_ba)."""
        return max(self.hausdorff_ab, self.hausdorff_ba)

    @property
    def hausdorff_sum(self) -> float:
        """hausdorff_ab + hausdorff_ba, as plotted in figures 7 and 8 of Nicolet et al. 2021.

        Their figure 9 shows half of it.

        Source: Nicolet et al. 2021, figures 7 and 8.
        """
        return self.hausdorff_ab + self.hausdorff_ba

    @property
    def normals(self) -> float:
        """Symmetric normal consistency: (normals_ab + normals_ba) / 2."""
        return (self.normals_ab + self.normals_ba) / 2


def surface_distance(a: Mesh, b: Mesh, samples: int = 200_000, seed: int = 0) -> SurfaceDistance:
    """Compare two surfaces by points sampled uniformly over each.

    Distances go to the nearest point of the other surface itself, not to samples of it, so they are exact for
    each sample; only the means depend on the number of samples, with a relative error of about
    1 / sqrt(samples).

    Args:
        a: One surface; any triangles with a positive area.
        b: The other, in the same frame and on the same device.
        samples: Points per surface.
        seed: Of the sampling; the same seed gives the same result.

    Raises:
        InputError: A mesh is empty, broken or without area, or `samples` is not positive.
    """
    if samples < 1:
        raise InputError(f"samples must be at least 1, got {samples}")
    a, b = in_one_frame(a.check(), b.check())
    index_a, index_b = SurfaceIndex(a), SurfaceIndex(b)
    ab = _one_way(a, index_b, samples, seed)
    ba = _one_way(b, index_a, samples, seed)
    pairs = {f"{key}_{way}": value for way, one in (("ab", ab), ("ba", ba)) for key, value in one.items()}
    return SurfaceDistance(**pairs, samples=samples)


def vertex_rms(a: Mesh, b: Mesh) -> float:
    """sqrt((mean d_ab^2 + mean d_ba^2) / 2) over the vertices of each mesh.

    The measure of Palfinger 2022, "Continuous remeshing for inverse rendering", for comparison with that
    paper; unlike `SurfaceDistance.rms` it gives weight to where vertices are dense.

    Source: Palfinger 2022, the distance.
    """
    a, b = in_one_frame(a.check(), b.check())
    to_b = SurfaceIndex(b).closest(a.vertices.detach()).distance.double()
    to_a = SurfaceIndex(a).closest(b.vertices.detach()).distance.double()
    return float(((to_b.square().mean() + to_a.square().mean()) / 2).sqrt())


def _one_way(source: Mesh, target: SurfaceIndex, samples: int, seed: int) -> dict[str, float]:
    device = source.vertices.device
    points, face = sample_surface(source, samples, torch.Generator(device).manual_seed(seed))
    found = target.closest(points.detach())
    vertices = target.closest(source.vertices.detach()[torch.unique(source.faces)])
    distance = found.distance.double()
    return {
        "mean": float(distance.mean()),
        "rms": float(distance.square().mean().sqrt()),
        "hausdorff": float(max(distance.max(), vertices.distance.double().max())),
        "normals": float(_cosines(_normals(source)[face], _normals(target.mesh)[found.face]).mean()),
    }


def _normals(mesh: Mesh) -> Float[Tensor, "F 3"]:
    return face_normals(mesh.vertices.detach(), mesh.faces)


def _cosines(a: Float[Tensor, "N 3"], b: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
    return (a.double() * b.double()).sum(dim=1).clamp(-1, 1)

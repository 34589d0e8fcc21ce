"""Alignment of results without scale and position to the ground truth, for evaluation."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ..errors import InputError
from ..geometry import SurfaceIndex, face_normals
from ..shapes import Mesh, Similarity
from ..values import value_type

FARTHEST = 3.0
"""Largest distance of points that are used in the alignment of surfaces, in median distances."""


def similarity_between(a: Float[Tensor, "P 3"], b: Float[Tensor, "P 3"]) -> Similarity:
    """The similarity that maps points `a` to points `b` by least squares.

    Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns",
    equations 40 to 42.

    Source: Umeyama 1991, the solution.

    Raises:
        InputError: There are fewer than three pairs, or all points `a` are the same.
    """
    if len(a) < 3 or a.shape != b.shape:
        raise InputError(f"cannot align {len(a)} points with {len(b)}; give three pairs or more")
    a, b = a.double(), b.double()
    middle_a, middle_b = a.mean(dim=0), b.mean(dim=0)
    spread = float((a - middle_a).square().sum(dim=1).mean())
    if not spread > 0:
        raise InputError("points that are all the same cannot be aligned; give different ones")
    u, s, v = torch.linalg.svd((b - middle_b).T @ (a - middle_a) / len(a))
    sign = torch.ones(3, dtype=torch.float64, device=a.device)
    sign[2] = torch.sign(torch.linalg.det(u @ v))
    rotation = u @ torch.diag(sign) @ v
    scale = max(float((s * sign).sum()) / spread, torch.finfo(torch.float64).tiny)
    return Similarity(scale, (middle_b - scale * rotation @ middle_a).cpu(), rotation.cpu())


def align_surface(
    mesh: Mesh, points: Float[Tensor, "P 3"], start: Similarity | None = None, steps: int = 20
) -> Similarity:
    """Align a surface to points of another one by a similarity, from a good initial guess.

    Gauss-Newton on the distances of the points from the tangent planes at the nearest points of the surface
    (Chen and Medioni 1992), with scale; points farther away than `FARTHEST` times the median are ignored.

    Source: Chen and Medioni 1992, with scale.

    Args:
        mesh: The surface to align.
        points: Points of the other surface.
        start: Initial similarity from the frame of the mesh to that of the points; None for the identity.
        steps: Number of iterations, each with new nearest points.
    """
    index, normals = SurfaceIndex(mesh), face_normals(mesh.vertices, mesh.faces).double()
    place = start or Similarity(1.0, torch.zeros(3, dtype=torch.float64))
    to_mesh = place.inverse()
    for _ in range(steps):
        local = to_mesh.apply(points.double())
        found = index.closest(local)
        near = found.distance <= FARTHEST * found.distance.median()
        p, target, n = local[near], found.point[near].double(), normals[found.face[near]]
        middle = p.mean(dim=0)
        arm = p - middle
        slopes = torch.cat([n, torch.linalg.cross(arm, n), (arm * n).sum(dim=1, keepdim=True)], dim=1)
        off = ((target - p) * n).sum(dim=1)
        step = torch.linalg.lstsq(slopes.T @ slopes, slopes.T @ off).solution
        x, y, z = step[3:6].tolist()
        spin = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
        turn, growth = torch.linalg.matrix_exp(spin), float(step[6].clamp(-0.5, 0.5).exp())
        # p -> middle + growth * turn (p - middle) + shift, after what there was.
        rotation = turn if to_mesh.rotation is None else turn @ to_mesh.rotation
        shift = growth * turn @ (to_mesh.translation - middle) + middle + step[:3]
        to_mesh = Similarity(growth * to_mesh.scale, shift, rotation)
    return to_mesh.inverse()


@value_type
class CameraErrors:
    """Errors of estimated cameras after aligning their centres to the true ones by a similarity.

    Attributes:
        rotation: Angle of the rotation error in degrees, per camera.
        centre: Distance between centres, as a fraction of the mean distance of the true centres from their
            mean.
        to_truth: The similarity from the world of the estimate to the true one.
    """

    rotation: Float64[Tensor, " N"]
    centre: Float64[Tensor, " N"]
    to_truth: Similarity


def camera_errors(estimated: Float[Tensor, "N 4 4"], true: Float[Tensor, "N 4 4"]) -> CameraErrors:
    """Compare world-to-camera poses of the same photographs, three or more, in unrelated worlds.

    Raises:
        InputError: There are fewer than three cameras, or all have the same position.
    """
    estimated, true = estimated.double().cpu(), true.double().cpu()
    places = [-torch.einsum("nji,nj->ni", T[:, :3, :3], T[:, :3, 3]) for T in (estimated, true)]
    to_truth = similarity_between(*places)
    assert to_truth.rotation is not None
    apart = (to_truth.apply(places[0]) - places[1]).norm(dim=1)
    radius = (places[1] - places[1].mean(dim=0)).norm(dim=1).mean()
    relative = estimated[:, :3, :3] @ to_truth.rotation.T @ true[:, :3, :3].transpose(1, 2)
    # From the skew part, which is accurate for small angles, unlike the trace.
    skew = torch.stack(
        [relative[:, i, j] - relative[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], dim=1
    ).norm(dim=1)
    trace = relative.diagonal(dim1=1, dim2=2).sum(dim=1)
    return CameraErrors(torch.rad2deg(torch.atan2(skew, trace - 1)), apart / radius, to_truth)

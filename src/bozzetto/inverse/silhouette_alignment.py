"""Alignment of cameras by the consistency of their silhouettes, before there is a surface.

Two steps alternate. Space is carved by a vote of the views, so that a few wrong views do no harm. Then cameras
are moved towards the outlines of the remaining solid. The votes become stricter from round to round. The
objective, silhouettes that agree, is that of Hernandez, Schmitt and Cipolla 2007 ("Silhouette coherence for
camera calibration under circular motion"); the steps are those of `camera_steps`.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, Capture
from ..cameras.hull import largest_piece
from ..geometry import isosurface
from ..metrics import silhouette_iou
from ..rendering import rasterize
from ..shapes import Mesh, Similarity
from ..steps import counted
from .camera_motion import settled, shift_across, unseen_part
from .camera_steps import EXPECTED, CameraPictures, refine_cameras
from .data import cameras_in_frame

SIZE = 256
"""Silhouettes are aligned in pictures with a longer side of at most this many pixels."""
GRID = 56
"""Number of grid cells along a side of the carved cube."""
LOOSE, STRICT = (tuple(0.34 * 0.18 ** (k / 19) for k in range(*r)) for r in ((0, 10), (10, 20)))
"""Fraction of the views that may be wrong at a point of space, per round: a third to 15 %, then 14 to 6 %."""
NEAR = 0.85
"""Cameras whose silhouettes have a smaller mean IoU are centred first, and rotated only in the last rounds."""
LOST = 0.7
"""If the mean IoU is smaller even after centring, the loose rounds come first, since strict votes would carve
away too much. Otherwise they are skipped, since loose votes leave too much."""
STIFF, STIFF_ROUNDS = (0.002, 0.05, 0.002, 0.05), 7
"""Expected changes (see `camera_steps.EXPECTED`) in the loose rounds, mostly shifts in the picture, and the
number of strict rounds that use them as well."""
ROOM = 1.4
"""Half the side of the carved cube, in radii of the object."""


def align_silhouettes(capture: Capture) -> Cameras:
    """Move the cameras of a capture so that its silhouettes fit one object.

    Source: Hernandez et al. 2007, its aim. Differs: steps are those of `camera_steps`.

    Args:
        capture: Cameras and masks.

    Returns:
        The cameras, in the frame of the capture; the given ones if the silhouettes already agree with them.

    Raises:
        InputError: The capture has no masks.
    """
    capture.require_masks()
    frame = _rough_frame(capture)
    moved = replace(capture, cameras=cameras_in_frame(capture.cameras, frame), uncorrected=None)
    pictures = CameraPictures.of(moved, SIZE)
    cameras = pictures.start
    before = _agreement(pictures, cameras)
    rounds = [(votes, EXPECTED) for votes in STRICT]
    if before < NEAR:
        cameras = _with_middles(cameras, pictures)
        loose = LOOSE if _agreement(pictures, cameras) < LOST else ()
        rounds = [(votes, STIFF) for votes in (*loose, *STRICT[:STIFF_ROUNDS])] + rounds[STIFF_ROUNDS:]
    for votes, expected in counted(rounds, "cameras"):
        blob = _vote_hull(pictures, cameras, votes)
        if blob is None:
            return capture.cameras
        refined = refine_cameras(
            pictures, cameras, blob.vertices, blob.faces, focal=False, steps=2, expected=expected
        )
        cameras = cameras_in_frame(refined.cameras, unseen_part(pictures.start, refined.cameras))
    if _agreement(pictures, cameras) <= before:
        return capture.cameras
    full = settled(replace(moved.cameras, T_cam_world=cameras.T_cam_world.to(moved.cameras.K)))
    return cameras_in_frame(full, frame.inverse())


def _rough_frame(capture: Capture) -> Similarity:
    """The frame in which the object is approximately the unit ball, from centres and areas of its masks."""
    cameras = capture.cameras.to("cpu")
    inside = ((capture.require_masks() > 0.5) & capture.known).cpu()
    seen = torch.nonzero(inside.flatten(1).any(dim=1))[:, 0].tolist()
    middles, radii = [], []
    for view in seen:
        pixels = torch.nonzero(inside[view]).flip(1).double() + 0.5
        middle = pixels.mean(dim=0)
        middles.append(middle)
        radii.append(torch.linalg.vector_norm(pixels - middle, dim=1).quantile(0.98))
    cameras = cameras[seen]
    origins, directions = cameras.rays_through(torch.stack(middles)[:, None])
    across = torch.eye(3, dtype=torch.float64) - directions[:, 0, :, None] * directions[:, 0, None, :]
    matrix = across.sum(dim=0) + 1e-9 * torch.eye(3, dtype=torch.float64)
    center = torch.linalg.solve(matrix, torch.einsum("nij,nj->i", across, origins[:, 0]))
    depth = cameras.project(center[None])[:, 0, 2]
    depth = torch.ones_like(depth) if cameras.orthographic else depth
    radius = float((torch.stack(radii) * depth / cameras.K[:, 0, 0]).abs().median())
    return Similarity(1 / radius, -center / radius)


def _vote_hull(pictures: CameraPictures, cameras: Cameras, votes: float) -> Mesh | None:
    """The solid that remains of a cube if a point is carved when more than a fraction `votes` of the views show
    no object there."""
    half = torch.full((3,), ROOM, dtype=torch.float64)
    axis = torch.linspace(-ROOM, ROOM, GRID + 1, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    depth = torch.stack([_depth_inside(pictures, cameras, view, points) for view in range(len(cameras))])
    rank = int(votes * len(cameras)) + 1
    values = depth.kthvalue(rank, dim=0).values.clamp(-0.2, 0.2)
    if not bool((values > 0).any()):
        return None
    surface = isosurface(-values.view(GRID + 1, GRID + 1, GRID + 1), -half, half, close=True)
    return largest_piece(surface)


def _depth_inside(
    pictures: CameraPictures, cameras: Cameras, view: int, points: Float[Tensor, "P 3"]
) -> Float[Tensor, " P"]:
    """Signed distance of points to the silhouette of a view, in the unit of the frame, positive inside; large
    outside of the picture."""
    seen = cameras[[view]].project(points)[0]
    distance = pictures.outlines[view].distance
    height, width = distance.shape
    places = (2 * seen[:, :2] / seen.new_tensor([width, height]) - 1).float()[None, None]
    found = torch.nn.functional.grid_sample(
        distance[None, None], places, padding_mode="border", align_corners=False
    )[0, 0, 0]
    found = found + ((places[0, 0].abs() - 1).clamp(min=0) * max(width, height)).amax(dim=1)
    unit = 1.0 if cameras.orthographic else seen[:, 2].float()
    return found * unit / float(cameras.K[view, 0, 0])


def _agreement(pictures: CameraPictures, cameras: Cameras) -> float:
    """Mean IoU of the masks with the silhouettes of the solid that most views agree on; 0 if it is empty."""
    blob = _vote_hull(pictures, cameras, STRICT[-1])
    if blob is None:
        return 0.0
    scores = []
    for view, outline in enumerate(pictures.outlines):
        covered = rasterize(blob.vertices, blob.faces, cameras[[view]]).covered[0]
        counts = outline.trusted | (outline.distance < 0)
        scores.append(silhouette_iou(covered[None], (outline.distance[None] > 0).float(), counts[None]))
    return float(torch.cat(scores).mean())


def _with_middles(cameras: Cameras, pictures: CameraPictures) -> Cameras:
    """Cameras shifted so that each sees the origin of the frame at the centre of its mask."""
    T, middle = cameras.T_cam_world.clone(), torch.zeros(3, dtype=torch.float64)
    for view, outline in enumerate(pictures.outlines):
        pixels = torch.nonzero(outline.distance > 0).flip(1).double() + 0.5
        if len(pixels):
            seen = cameras[[view]].project(middle[None])[0, 0, :2]
            T[view, :2, 3] += shift_across(cameras, view, middle, pixels.mean(dim=0) - seen)
    return replace(cameras, T_cam_world=T)

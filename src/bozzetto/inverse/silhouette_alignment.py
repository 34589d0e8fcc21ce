"""Cameras whose silhouettes can be of one object, found before there is a surface.

Space is carved by vote, so that a few wrong views do no harm, cameras are moved towards the outlines of what is
left, and so on with stricter votes. The aim, silhouettes that agree, is that of Hernandez, Schmitt and Cipolla
2007 ("Silhouette coherence for camera calibration under circular motion"); steps are those of `camera_steps`.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ..cameras import Cameras, Capture
from ..cameras.hull import largest_piece
from ..errors import InputError
from ..geometry import isosurface
from ..shapes import Mesh, Similarity
from ..steps import counted
from .camera_motion import settled, unseen_part
from .camera_steps import CameraPictures, refine_cameras
from .data import cameras_in_frame

SIZE = 256
"""Silhouettes are aligned in pictures with a longer side of at most this many pixels."""
GRID = 56
"""Cells of the carved space along its side."""
VOTES = tuple(0.34 * 0.18 ** (number / 19) for number in range(20))
"""Share of the views that may be wrong about a place, round by round: from a third to 6 %."""
NEAR = 2.0
"""Outlines at most so many pixels apart need the stricter half of the rounds only."""
ROOM = 1.4
"""Half the side of the carved cube, in radii of the object."""
GAIN = 0.9
"""Aligned cameras are taken if outlines come nearer to each other than this share of their distance before."""


def align_silhouettes(capture: Capture) -> Cameras:
    """Move the cameras of a capture so that its silhouettes fit one object.

    Args:
        capture: Cameras and masks.

    Returns:
        The cameras, in the frame of the capture; the given ones if the silhouettes fit them as well.

    Raises:
        InputError: The capture has no masks.
    """
    capture.require_masks()
    frame = _rough_frame(capture)
    moved = replace(capture, cameras=cameras_in_frame(capture.cameras, frame), uncorrected=None)
    pictures = CameraPictures.of(moved, SIZE)
    cameras = pictures.start
    try:
        before = _misfit(pictures, cameras)
        for votes in counted(VOTES if before > NEAR else VOTES[len(VOTES) // 2 :], "cameras"):
            blob = _vote_hull(pictures, cameras, votes)
            refined = refine_cameras(
                pictures,
                cameras,
                blob.vertices,
                blob.faces,
                focal=False,
                steps=2,
                expected=(0.05, 0.05, 0.05),
            )
            cameras = cameras_in_frame(refined.cameras, unseen_part(pictures.start, refined.cameras))
        if _misfit(pictures, cameras) > GAIN * before:
            return capture.cameras
    except InputError:  # nothing is left of the object
        return capture.cameras
    full = settled(replace(moved.cameras, T_cam_world=cameras.T_cam_world.to(moved.cameras.K)))
    return cameras_in_frame(full, frame.inverse())


def _rough_frame(capture: Capture) -> Similarity:
    """The frame in which the object is about the unit ball, from the middles and areas of its masks."""
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


def _vote_hull(pictures: CameraPictures, cameras: Cameras, votes: float) -> Mesh:
    """What is left of a cube where more than this share of the views has to see past it for it to be carved."""
    half = torch.full((3,), ROOM, dtype=torch.float64)
    axis = torch.linspace(-ROOM, ROOM, GRID + 1, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    depth = torch.stack([_depth_inside(pictures, cameras, view, points) for view in range(len(cameras))])
    rank = int(votes * len(cameras)) + 1
    values = depth.kthvalue(rank, dim=0).values.clamp(-0.2, 0.2)
    if not bool((values > 0).any()):
        raise InputError("the silhouettes leave nothing")
    surface = isosurface(-values.view(GRID + 1, GRID + 1, GRID + 1), -half, half, close=True)
    return largest_piece(surface)


def _depth_inside(
    pictures: CameraPictures, cameras: Cameras, view: int, points: Float[Tensor, "P 3"]
) -> Float[Tensor, " P"]:
    """Depth of points inside the silhouette of a view, in the unit of the frame; large outside the picture."""
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


def _misfit(pictures: CameraPictures, cameras: Cameras) -> float:
    """Median distance, in pixels, of the outlines from those of what most views leave."""
    blob = _vote_hull(pictures, cameras, VOTES[-1])
    return refine_cameras(pictures, cameras, blob.vertices, blob.faces, focal=False, steps=0).outline

"""A simulated hand-held phone: photographs of the furnished room, with exactly known cameras.

Reconstructions from the photographs can be compared with the ground truth.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from PIL import Image
from scipy import ndimage
from torch import Tensor

from ...cameras import Cameras, look_at, save_transforms
from ...cameras.distortion import Lens
from ...cameras.formats import PosedViews, View, read_cameras
from ...cameras.mask_files import find_masks
from ...errors import InputError
from ...files import atomic_path
from ...geometry import SurfaceIndex
from ...images import linear_to_srgb, save_image
from ...metrics import align_surface
from ...rendering import rasterize
from ...shapes import Mesh, Similarity, load_mesh, sample_surface, save_mesh
from ...steps import counted
from ...values import value_type
from .furnished_room import FREE, TABLE, WINDOW, FurnishedRoom, furnished_room
from .room.scene import lens_picture

EQUIVALENT = 26
"""Focal length in EXIF, in millimetres on 35 mm film; the true one is 1 % longer."""
FOCAL = 1.01 * EQUIVALENT / math.hypot(36, 24)
"""True focal length as a fraction of the diagonal of the picture."""
LENS = Lens(radial=(-0.06, 0.025), tangential=(4e-4, -3e-4))
"""Lens distortion in the frame of the sensor."""
OFF_AXIS = (0.004, -0.003)
"""Offset of the principal point from the middle of the sensor, as a fraction of the diagonal."""
TRUTH = "truth/transforms.json"
UPRIGHT, LEFT, RIGHT = 1, 6, 8
"""EXIF orientations: as stored; to be rotated clockwise (the phone's left side was up); anticlockwise."""


@dataclass(frozen=True)
class PhonePhotos:
    """Photographs and their ground truth.

    Attributes:
        photos: JPEG files with EXIF, some of them stored sideways.
        views: Their cameras, for the pictures after their EXIF rotation, with lens distortion, in the world
            frame of the room, and with the paths of their masks.
        subject: The true mesh in that frame.
    """

    photos: tuple[Path, ...]
    views: tuple[View, ...]
    subject: Mesh

    @property
    def posed(self) -> PosedViews:
        """The true cameras in the form of loaded ones."""
        return PosedViews(self.views, self.photos[0].parent)

    @property
    def masks(self) -> tuple[Path, ...]:
        """Paths of the true masks: 8-bit PNG files of the coverage by the subject, upright."""
        return tuple(view.mask for view in self.views if view.mask is not None)


@value_type
class _Shot:
    """One exposure."""

    T_sensor_world: Float[Tensor, "4 4"]
    orientation: int
    stored_upright: bool


def phone_photos(
    folder: Path,
    count: int = 30,
    size: tuple[int, int] = (1024, 768),
    seed: int = 0,
    room: FurnishedRoom | None = None,
    samples: int = 2,
) -> PhonePhotos:
    """Render photographs of a phone around the subject to `photos/*.jpg`, and the ground truth to `truth/`.

    Three rounds at different heights, near and far, portrait and landscape. The phone has a wide lens with
    distortion and vignetting; it sets exposure and white balance for every picture, which is slightly blurred
    and noisy. Most portraits are stored sideways with an EXIF orientation; some are stored upright.

    Args:
        folder: Output folder.
        count: Number of pictures, at least 3.
        size: Width and height of the sensor in pixels, the width being the larger.
        seed: Seed of all random numbers.
        room: The scene; `furnished_room(seed)` if None.
        samples: Number of samples along each side of a pixel, which are averaged.

    Returns:
        The pictures, their true cameras and masks, and the subject.

    Raises:
        InputError: Fewer than 3 pictures, or of a size that is no landscape.
    """
    if count < 3 or not 16 <= size[1] <= size[0]:
        raise InputError(
            f"cannot take {count} photos of {size[0]} x {size[1]}; take 3 or more, wider than high"
        )
    room = room or furnished_room(seed)
    rng = np.random.default_rng(seed)
    K = _intrinsics(size)
    photos, views = [], []
    for i, shot in enumerate(counted(_walk(rng, room.subject, count), "photographs")):
        camera = Cameras(shot.T_sensor_world[None], K[None], *size)
        picture = lens_picture(room.scene, camera, LENS, torch.tensor(WINDOW), samples)
        image = _developed(rng, picture[..., :3].numpy())
        quarter = {LEFT: -1, RIGHT: 1}.get(shot.orientation, 0)  # turns of np.rot90 that set it upright
        name = f"IMG_{2001 + i}"
        photo, mask = folder / "photos" / f"{name}.jpg", folder / "truth" / "masks" / f"{name}.png"
        turned = np.rot90(image, quarter) if shot.stored_upright else image
        _save_jpeg(photo, turned, UPRIGHT if shot.stored_upright else shot.orientation)
        mask.parent.mkdir(parents=True, exist_ok=True)
        save_image(mask, torch.from_numpy(np.rot90(picture[..., 3].numpy(), quarter).copy()))
        photos.append(photo)
        views.append(_upright_view(photo, mask, camera, quarter))
    taken = PhonePhotos(tuple(photos), tuple(views), room.subject)
    save_mesh(room.subject, folder / "truth" / "subject.ply")
    save_transforms(taken.posed, folder / TRUTH, [f"../photos/{view.name}" for view in views])
    return taken


def load_phone_photos(folder: Path) -> PhonePhotos:
    """Load the output of `phone_photos` from a folder.

    Raises:
        InputError: Files are missing.
    """
    posed = read_cameras(folder / TRUTH)
    masks = find_masks(list(posed.views), folder / "truth" / "masks") or []
    views = tuple(replace(v, mask=m, upright=True) for v, m in zip(posed.views, masks, strict=True))
    return PhonePhotos(tuple(v.image for v in views), views, load_mesh(folder / "truth" / "subject.ply"))


def _intrinsics(size: tuple[int, int]) -> Float[Tensor, "3 3"]:
    width, height = size
    diagonal = math.hypot(width, height)
    f, x, y = (diagonal * share for share in (FOCAL, *OFF_AXIS))
    return torch.tensor([[f, 0, 0.5 * width + x], [0, f, 0.5 * height + y], [0, 0, 1]], dtype=torch.float64)


def _walk(rng: np.random.Generator, subject: Mesh, count: int) -> list[_Shot]:
    """Positions of the phone: rounds at the height of the subject, above it, and from eye level."""
    low, high = subject.bounds.double()
    middle, tall = (low + high) / 2, float(high[1] - low[1])
    shots = []
    for i in range(count):
        round_, place = i % 5, i // 5
        height = middle[1] + tall * (0.15, 0.75, 0.0, 1.3, 0.5)[round_] + rng.normal(0, 0.04)
        distance = min((1.35, 1.75, 2.6, 2.2, 1.5)[round_] * tall * rng.uniform(0.9, 1.12), FREE - 0.1)
        azimuth = 2 * math.pi * ((place + (0, 0.4, 0.2, 0.6, 0.8)[round_]) / math.ceil(count / 5))
        azimuth += rng.normal(0, 0.05)
        level = math.sqrt(max(distance**2 - float(height - middle[1]) ** 2, (0.5 * distance) ** 2))
        eye = [level * math.sin(azimuth), max(float(height), TABLE + 0.12), level * math.cos(azimuth)]
        aim = middle + torch.from_numpy(rng.normal(0, 0.03, 3))
        T_cam_world = look_at(torch.tensor([eye], dtype=torch.float64), aim, (0.0, 1.0, 0.0))[0]
        portrait = rng.random() < 0.6
        orientation = (LEFT if rng.random() < 0.8 else RIGHT) if portrait else UPRIGHT
        roll = rng.normal(0, 0.04) + {LEFT: -0.5 * math.pi, RIGHT: 0.5 * math.pi}.get(orientation, 0.0)
        shots.append(_Shot(_rolled(T_cam_world, roll), orientation, portrait and rng.random() < 0.2))
    return shots


def _rolled(T_cam_world: Float[Tensor, "4 4"], angle: float) -> Float[Tensor, "4 4"]:
    """The pose of a camera rotated about its axis: its picture's right is `angle` radians further clockwise."""
    c, s = math.cos(angle), math.sin(angle)
    T = torch.eye(4, dtype=torch.float64)
    T[:2, :2] = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return T @ T_cam_world


def _upright_view(photo: Path, mask: Path, camera: Cameras, quarter: int) -> View:
    """The camera of the sensor's picture after `quarter` anticlockwise quarter turns (-1, 0 or 1)."""
    K = camera.K[0].clone()
    width, height = camera.width, camera.height
    p1, p2 = tangential = LENS.tangential
    if quarter:
        x, y = float(K[0, 2]), float(K[1, 2])
        # Brown's tangential part is r^2 q + 2 x (q . x) with q = (p2, p1), which turns like a vector.
        if quarter > 0:  # (x, y) of the sensor becomes (y, width - x)
            K[0, 2], K[1, 2] = y, width - x
            tangential = (-p2, p1)
        else:  # (height - y, x)
            K[0, 2], K[1, 2] = height - y, x
            tangential = (p2, -p1)
    return View(
        name=photo.name,
        image=photo,
        T_cam_world=_rolled(camera.T_cam_world[0], -0.5 * math.pi * quarter),
        K=K,
        size=(height, width) if quarter else (width, height),
        lens=replace(LENS, tangential=tangential),
        mask=mask,
        upright=True,
    )


def _developed(rng: np.random.Generator, light: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Simulate the phone's processing of linear light (H, W, 3) to sRGB bytes."""
    height, width = light.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    from_middle = np.hypot(x - 0.5 * width, y - 0.5 * height) / (FOCAL * math.hypot(width, height))
    light = light * np.cos(np.arctan(from_middle))[..., None] ** 3
    light = _blurred(rng, light, math.sqrt(width / 1024))
    metering = np.exp(-((from_middle / 0.5) ** 2))
    seen = light.clip(1e-6, 1e-5 + 4 * np.sqrt(light).mean() ** 2)  # not led by the window
    level = float(np.average(seen.mean(axis=-1), weights=metering))
    tint = np.average(seen.reshape(-1, 3), axis=0, weights=metering.ravel())
    balance = (tint.mean() / tint) ** 0.5 * np.exp(rng.normal(0, 0.02, 3))
    exposed = light * (0.22 / level * math.exp(rng.normal(0, 0.12)) * balance).astype(np.float32)
    noise = np.sqrt(0.0002 * exposed.clip(0, None) + 2e-6) * rng.standard_normal(exposed.shape, np.float32)
    encoded = linear_to_srgb(torch.from_numpy((exposed + noise).clip(0, 1).astype(np.float32)))
    return (encoded.numpy() * 255 + 0.5).astype(np.uint8)


def _blurred(rng: np.random.Generator, light: npt.NDArray[Any], scale: float) -> npt.NDArray[Any]:
    """Apply a slight defocus and motion blur."""
    light = ndimage.gaussian_filter(light, (*[scale * rng.uniform(0.35, 0.7)] * 2, 0), truncate=3.0)
    length, angle = scale * rng.exponential(0.5), rng.uniform(0, math.pi)
    shift = 0.5 * min(length, 2.0 * scale) * np.array([math.sin(angle), math.cos(angle), 0])
    ends = [ndimage.shift(light, sign * shift, order=1, mode="nearest") for sign in (-1, 1)]
    return (light + ends[0] + ends[1]) / 3


def _save_jpeg(path: Path, pixels: npt.NDArray[Any], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Bozzetto", "Hand-held phone", orientation
    camera = exif.get_ifd(0x8769)
    camera[0x920A], camera[0xA405] = 4.25, EQUIVALENT  # focal length in mm, and on 35 mm film
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, "JPEG", quality=90, exif=exif)


DEEPER = 2e-3
"""Distance, in metres, behind the nearest surface up to which a point counts as visible."""
HALF = 0.42
"""Half the side of the table, in metres, which occludes the subject's underside."""


def photographed_faces(photos: PhonePhotos) -> Bool[Tensor, " F"]:
    """Faces of the subject whose middle is visible in two photos or more, with occlusion by subject and
    table."""
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
    """Distances in metres between a result and the photographed part of the true surface.

    Attributes:
        to_result: Distances from points of the true surface to the result.
        to_truth: Distances from points of the result to the true surface, if the nearest point is photographed.
        to_world: The similarity from the world frame of the result to the true one.
    """

    to_result: Float[Tensor, " P"]
    to_truth: Float[Tensor, " Q"]
    to_world: Similarity

    @property
    def mean(self) -> float:
        """Mean of both directions."""
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
        mesh: The reconstruction, in any world frame.
        photos: The photographs with their ground truth.
        photographed: From `photographed_faces`.
        start: Approximate similarity from that frame to the true one; None if they are the same.
        samples: Number of points on each surface.
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
    """IoU of the masks in a folder with the true ones, by name of the photo, upright or sideways."""
    made = find_masks(list(photos.views), folder) or []
    pairs = zip(photos.views, made, strict=False)
    return {
        view.name: _overlap(mask, view.mask)
        for view, mask in pairs
        if mask is not None and view.mask is not None
    }


def _overlap(made: Path, truth: Path) -> float:
    """IoU of two masks; if the first is sideways, the larger IoU of both quarter turns."""
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

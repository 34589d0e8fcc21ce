"""A corner of a room with a box in it, photographed around, by tracing rays: exact cameras, no renderer."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

BOX = np.array([0.5, 0.4, 0.6])  # half sides


@dataclass(frozen=True)
class Photographed:
    """Photographs and the truth about them."""

    files: list[Path]
    poses: np.ndarray  # world to camera
    focal: float


def texture(seed: int) -> np.ndarray:
    """Blobs of several sizes, grey levels from 0 to 1."""
    noise = np.random.default_rng(seed)
    layers = [gaussian_filter(noise.standard_normal((512, 512)), s, mode="wrap") * s for s in (3, 6, 12)]
    values = sum(layers)
    return (values - values.min()) / (values.max() - values.min())


def look_from(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """World to camera, OpenCV axes, +Z of the world is up."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = [right, np.cross(forward, right), forward]
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


def trace(pose: np.ndarray, focal: float, width: int, height: int, textures: list[np.ndarray]) -> np.ndarray:
    """Grey levels of the room: six sides of a box inside six walls far out."""
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([(u - width / 2) / focal, (v - height / 2) / focal, np.ones_like(u)], -1) @ pose[:3, :3]
    eye = -pose[:3, :3].T @ pose[:3, 3]
    best, grey = np.full(u.shape, np.inf), np.zeros(u.shape)
    for inside, half in ((False, BOX), (True, np.array([4.0, 5.0, 3.0]))):
        for axis in range(3):
            for side, sign in enumerate((-1, 1)):
                with np.errstate(divide="ignore", invalid="ignore"):
                    depth = (sign * half[axis] - eye[axis]) / rays[..., axis]
                hit = eye + depth[..., None] * rays
                others = [k for k in range(3) if k != axis]
                within = np.all([np.abs(hit[..., k]) <= half[k] for k in others], axis=0)
                facing = (rays[..., axis] * sign > 0) == inside
                shown = within & facing & (depth > 0) & (depth < best)
                places = [(hit[..., k][shown] * (30 if inside else 160)) % 512 for k in others]
                number = axis * 2 + side + (6 if inside else 0)
                grey[shown] = map_coordinates(textures[number], places, order=1, mode="grid-wrap")
                best[shown] = depth[shown]
    return grey


@pytest.fixture(scope="session")
def textures():
    return [texture(seed) for seed in range(12)]


@pytest.fixture(scope="session")
def room(tmp_path_factory, textures):
    """Eight photographs of 256 x 192 on an arc around the box."""
    folder = tmp_path_factory.mktemp("room")
    focal, poses, files = 224.0, [], []
    for number in range(8):
        angle = np.radians(11 * number)
        eye = np.array([2.2 * np.cos(angle), 2.2 * np.sin(angle), 0.8 + 0.04 * number])
        poses.append(look_from(eye, np.array([0.0, 0.0, -0.1])))
        grey = trace(poses[-1], focal, 256, 192, textures)
        files.append(folder / f"photo-{number}.png")
        Image.fromarray((grey * 255).round().astype(np.uint8)).save(files[-1])
    return Photographed(files, np.stack(poses), focal)

"""Normal maps as pictures: (n + 1) / 2 in red, green and blue, linear."""

import os
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...images import save_image
from ...images.io import load_data_image
from .gradients import check_convention


def save_normal_map(
    normals: Float[Tensor, "H W 3"], path: str | os.PathLike[str], convention: str = "gl", bits: int = 8
) -> None:
    """Write unit normals as a picture.

    Args:
        normals: Tangent space, y up.
        path: PNG for 16 bits.
        convention: `gl` writes green up (OpenGL, Blender), `dx` green down (DirectX).
        bits: 8 or 16 per channel.

    Raises:
        InputError: The convention is unknown, or the format or bits cannot be written.
    """
    save_image(path, (check_convention(normals, convention) + 1) / 2, bits)


def load_normal_map(path: str | os.PathLike[str], convention: str = "gl") -> Float[Tensor, "H W 3"]:
    """Unit normals, y up, of a picture with 8 or 16 bits per channel.

    Levels are taken to run from -1 to 1; the middle level of an odd range, as which some programs store zero,
    tilts by a quarter of a degree. Floats with negative ones among them are the vectors
    themselves. Pixels without a direction become (0, 0, 1).

    Raises:
        InputError: The file cannot be read, is grey, or the convention is unknown.
    """
    image = load_data_image(Path(path))
    if image.shape[-1] < 3:
        raise InputError(
            f"{path} is a grey picture; a normal map has red, green and blue (is it a height map?)"
        )
    vectors = image[..., :3]
    vectors = vectors if float(vectors.min()) < -0.05 else vectors * 2 - 1
    normals = check_convention(vectors, convention)
    length = normals.norm(dim=-1, keepdim=True)
    up = normals.new_tensor([0.0, 0.0, 1.0])
    return torch.where(length > 1e-3, normals / length.clamp(min=1e-3), up)

"""Videos of a tactile sensor: frames, and markers that are found and filled in.

The sensor's coating has one colour, and its lights are red, green and blue, so one frame is three photos
under a light each (Yuan, Dong and Adelson 2017, GelSight: high-resolution robot tactile sensors). Dots that
are printed on the gel to follow its motion hide the surface; they are found as dark spots and filled in from
around.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageSequence, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from ..images import load_image
from ..images.io import SUFFIXES


def read_frames(path: str | os.PathLike[str], every: int = 1) -> Iterator[Float[Tensor, "H W 3"]]:
    """Frames of a video: an animated GIF, WebP, PNG or TIFF, a folder of pictures, or what imageio opens.

    Args:
        path: The file or folder.
        every: Take every n-th frame.

    Raises:
        InputError: There is nothing to read, or MP4 and the like without a plugin of imageio that reads it.
    """
    path = Path(path)
    if every < 1:
        raise InputError(f"every n-th frame means n of at least 1, got {every}")
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise InputError(f"{path} holds no frames; files must end in {', '.join(SUFFIXES)}")
        for file in files[::every]:
            yield load_image(file)[..., :3]
        return
    if not path.is_file():
        raise InputError(f"there is no video {path}; check the path")
    try:
        with Image.open(path) as image:
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                if number % every == 0:
                    yield torch.from_numpy(np.array(frame.convert("RGB"), np.float32) / 255)
    except UnidentifiedImageError:
        yield from _film(path, every)


def _film(path: Path, every: int) -> Iterator[Float[Tensor, "H W 3"]]:
    import imageio.v3 as imageio

    try:
        # Opened here, because plugins that cannot read a file do not all close it.
        with path.open("rb") as file:
            for number, frame in enumerate(imageio.imiter(file, extension=path.suffix)):
                if number % every == 0:
                    yield torch.from_numpy(np.asarray(frame)[..., :3].astype(np.float32) / 255)
    except Exception as error:  # plugins raise errors of many kinds
        raise InputError(
            f"{path} cannot be read as a video ({error}); install imageio-ffmpeg, or give a folder of frames"
        ) from None


def find_markers(
    frame: Float[Tensor, "H W 3"], radius: float = 6.0, contrast: float = 0.15
) -> Bool[Tensor, "H W"]:
    """Pixels of dark dots: clearly below the brightness around in every colour, grown by a pixel or two.

    Args:
        frame: Values in [0, 1].
        radius: Of the largest dot, in pixels.
        contrast: How much darker a dot is, as a share of the brightness around.
    """
    colors = frame.movedim(-1, 0)[:, None]
    size = 2 * round(2 * radius) + 1
    around = _mean(colors, size)
    dark = (colors < (1 - contrast) * around).all(dim=0, keepdim=True).float()
    opened = -F.max_pool2d(-dark, 3, 1, 1)  # single pixels are noise
    return F.max_pool2d(opened, 5, 1, 2)[0, 0] > 0


def _mean(maps: Tensor, size: int) -> Tensor:
    half = min(size // 2, min(maps.shape[-2:]) - 1)
    around = F.pad(maps, (half,) * 4, mode="reflect")
    return F.avg_pool2d(F.avg_pool2d(around, (2 * half + 1, 1), 1), (1, 2 * half + 1), 1)


def filled(frame: Float[Tensor, "H W 3"], mask: Bool[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """The frame with the pixels of a mask replaced by the smoothest continuation of their surroundings.

    That is the harmonic one, each pixel the mean of its neighbours (Perez et al. 2003, Poisson image editing,
    without a guide).

    Source: Perez et al. 2003, without a guide.

    Raises:
        InputError: The mask covers everything.
    """
    if bool(mask.all()):
        raise InputError("nothing is left of a frame that is all markers; lower the radius or the contrast")
    if not bool(mask.any()):
        return frame
    height, width = mask.shape
    places = mask.nonzero()
    number = torch.full((height, width), -1)
    number[mask] = torch.arange(len(places))
    colors, diagonal = frame.double().cpu(), torch.zeros(len(places), dtype=torch.float64)
    known = torch.zeros(len(places), 3, dtype=torch.float64)
    rows, columns = [], []
    for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        y, x = places[:, 0] + down, places[:, 1] + right
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
        diagonal += inside
        known += torch.where((inside & ~mask[y, x])[:, None], colors[y, x], 0.0)
        linked = inside & mask[y, x]
        rows.append(linked.nonzero()[:, 0])
        columns.append(number[y, x][linked])
    row, column = torch.cat(rows).numpy(), torch.cat(columns).numpy()
    links = scipy.sparse.coo_array((np.full(len(row), -1.0), (row, column)), shape=(len(places),) * 2)
    matrix = (links + scipy.sparse.diags_array(diagonal.numpy())).tocsc()
    found = torch.from_numpy(scipy.sparse.linalg.splu(matrix).solve(known.numpy()))
    result = frame.clone()
    result[mask] = found.to(frame).clamp(0, 1)
    return result

"""What a camera file says about one view, before any picture is opened."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class View:
    """One line or frame of a camera file.

    Attributes:
        name: File name of the picture.
        image: Its path.
        T_cam_world: Pose, OpenCV camera axes.
        K: Intrinsics in pixels, or None if they follow from `fov` and the size of the picture.
        fov: Horizontal and vertical field of view in radians; the second may be None (square pixels).
        size: Width and height that the file claims, or None.
        distortion: Lens coefficients (`distortion.PARAMETERS`), or None.
        mask: Path of the mask, if the file names one.
    """

    name: str
    image: Path
    T_cam_world: Float[Tensor, "4 4"]
    K: Float[Tensor, "3 3"] | None = None
    fov: tuple[float, float | None] | None = None
    size: tuple[int, int] | None = None
    distortion: Float[Tensor, "6"] | None = None
    mask: Path | None = None


def unique_names(paths: list[Path], source: Path) -> list[str]:
    """File names of pictures, with as much of their folder as it takes to tell them apart.

    Raises:
        InputError: Two views use the same picture.
    """
    for path in paths:
        if paths.count(path) > 1:
            raise InputError(f"{source} gives two cameras for the image {path.name}; remove one of them")
    if len({p.name for p in paths}) == len(paths):
        return [p.name for p in paths]
    return [
        p.relative_to(source.parent).as_posix() if p.is_relative_to(source.parent) else str(p) for p in paths
    ]


def read_text(path: Path) -> str:
    """The text of a camera file.

    Raises:
        InputError: It is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the camera file {path}: {error}; check the path") from None

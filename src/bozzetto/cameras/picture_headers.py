"""Size and EXIF orientation of pictures, from their headers alone."""

from pathlib import Path

from PIL import Image

from ..images.io import load_image

ORIENTATION = 274  # EXIF tag
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that exchange width and height."""


def read_header(path: Path) -> tuple[int, tuple[int, int]]:
    """EXIF orientation, 1 to 8, and stored width and height.

    (1, (1, 1)) for what cannot be opened, which its reader refuses.
    """
    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            return (orientation if orientation in range(1, 9) else 1), image.size
    except Exception:  # the readers behind Pillow raise errors of many kinds
        return 1, (1, 1)


def stored_size(path: Path) -> tuple[int, int]:
    """Stored width and height; a picture whose header is not understood is read.

    Raises:
        InputError: It is no picture.
    """
    size = read_header(path)[1]
    if size != (1, 1):
        return size
    height, width = load_image(path, orient=False).shape[:2]
    return width, height

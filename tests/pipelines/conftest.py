import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def picture():
    """Writes a picture of noise and returns its path."""

    def make(path, size=(40, 32), mode="RGB", seed=0):
        rng = np.random.default_rng(seed)
        channels = {"RGB": 3, "RGBA": 4, "L": 1, "CMYK": 4}[mode]
        pixels = rng.integers(0, 256, (size[1], size[0], channels), np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.frombytes(mode, size, pixels.tobytes())
        image.save(path)
        return path

    return make

"""HEIC pictures: what was written comes back upright, and without the extra a sentence says what to install."""

import builtins

import numpy as np
import pytest
from PIL import Image

from bozzetto.errors import InputError
from bozzetto.images import load_image
from bozzetto.images.readers import heif_tags, is_heif


def picture():
    v, u = np.mgrid[:48, :80]
    return np.stack([3 * u, 5 * v, np.full_like(u, 90)], axis=-1).astype(np.uint8)


@pytest.fixture
def heic(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "photo.heic"
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the phone upright
    exif.get_ifd(0x8769)[0xA405] = 26
    made = heif.from_pillow(Image.fromarray(picture()))
    made.save(path, quality=95, exif=exif.tobytes())
    return path


def test_a_photo_is_read_upright_with_its_tags(heic):
    assert is_heif(heic.read_bytes()[:64])
    loaded = load_image(heic)
    assert loaded.shape == (80, 48, 3)
    turned = np.rot90(picture(), -1) / 255
    assert float(np.abs(loaded.numpy() - turned).mean()) < 0.04
    assert heif_tags(heic)[0xA405] == 26


def test_ten_bits_keep_their_range(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    values = np.linspace(0, 65535, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint16)
    heif.from_bytes(mode="RGB;16", size=(64, 64), data=values.tobytes()).save(tmp_path / "a.heic", quality=-1)
    loaded = load_image(tmp_path / "a.heic").numpy()
    assert float(np.abs(loaded - values / 65535).max()) < 0.02
    assert len(np.unique(loaded)) > 500


def test_without_the_extra_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(100))
    real = builtins.__import__

    def without(name, *more, **others):
        if name == "pillow_heif":
            raise ModuleNotFoundError("no", name=name)
        return real(name, *more, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'bozzetto\[heic\]'"):
        load_image(path)


def test_a_damaged_file_is_refused(heic, tmp_path):
    cut = tmp_path / "cut.heic"
    cut.write_bytes(heic.read_bytes()[:400])
    with pytest.raises(InputError, match="cut.heic"):
        load_image(cut)

"""Frames of videos: the sharp ones are taken, spread over the whole."""

import builtins

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from bozzetto.cameras.poses.photo_files import video_frames
from bozzetto.errors import InputError

SHARP = range(4, 90, 9)  # one frame of nine


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Ninety frames, nearly all blurred; the brightness of a corner tells which is which."""
    av = pytest.importorskip("av")
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    noise = np.random.default_rng(0).uniform(40, 215, (96, 128))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 128, 96, "yuv420p", 4_000_000
        for number in range(90):
            grey = noise if number in SHARP else gaussian_filter(noise, 2)
            grey = grey.copy()
            grey[:32, :32] = 2 * number + 20
            frame = av.VideoFrame.from_ndarray(
                np.repeat(grey[..., None], 3, -1).astype(np.uint8), format="rgb24"
            )
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_the_sharpest_frame_of_each_interval_is_taken(film, tmp_path):
    frames = video_frames(film, tmp_path, count=10)
    assert [path.name for path in frames] == [f"frame-{i:04d}.jpg" for i in range(1, 11)]
    numbers = [
        (float(np.asarray(Image.open(path).convert("L"))[8:24, 8:24].mean()) - 20) / 2 for path in frames
    ]
    assert np.abs(np.array(numbers) - np.array(SHARP)).max() < 2


def test_files_that_are_no_video_are_refused(film, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match="cannot read the video"):
        video_frames(tmp_path / "text.mp4", tmp_path / "out")
    with pytest.raises(InputError, match="there is no video"):
        video_frames(tmp_path / "none.mp4", tmp_path / "out")
    with pytest.raises(InputError, match="4 usable frames"):
        video_frames(film, tmp_path / "out", count=4)


def test_without_the_extra_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "film.mov").write_bytes(b"0" * 100)
    real = builtins.__import__

    def without(name, *more, **others):
        if name == "av":
            raise ModuleNotFoundError("no", name=name)
        return real(name, *more, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'bozzetto\[video\]'"):
        video_frames(tmp_path / "film.mov", tmp_path / "out")

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.errors import InputError
from bozzetto.geometry.heightfield import gradients_from_height
from bozzetto.heightmap import tactile_pairs
from bozzetto.photometric import calibrate_tactile
from bozzetto.photometric.tactile import filled, find_markers, read_frames

LIGHTS = torch.tensor([[0.5, 0.0], [-0.25, 0.43], [-0.25, -0.43]])


def frame_of(height):
    """Three lights around a gel, a colour each: brighter where it slopes towards them."""
    slopes = gradients_from_height(height.double())
    return (0.5 + 0.35 * torch.einsum("hwd,nd->hwn", slopes, LIGHTS.double())).clamp(0.05, 0.95).float()


def bump(x, y, side=64, size=0.02):
    v, u = torch.meshgrid(*(torch.linspace(-1, 1, side),) * 2, indexing="ij")
    return 4.0 * torch.exp(-((u - x) ** 2 + (v - y) ** 2) / size)


def dotted(frame, step=16):
    v, u = torch.meshgrid(*(torch.arange(s) for s in frame.shape[:2]), indexing="ij")
    dots = ((u % step - step // 2) ** 2 + (v % step - step // 2) ** 2) <= 6
    return torch.where(dots[..., None], 0.4 * frame, frame), dots


def test_markers_are_found_and_nothing_else():
    frame, dots = dotted(frame_of(bump(0.1, -0.2)))
    found = find_markers(frame, radius=3.0)
    assert found[dots].float().mean() > 0.95
    assert found.float().mean() < 4 * dots.float().mean()
    assert find_markers(frame_of(bump(0.1, -0.2)), radius=3.0).float().mean() < 0.02


def test_what_is_filled_in_goes_on_smoothly():
    plain = frame_of(bump(0.1, -0.2))
    frame, dots = dotted(plain)
    clean = filled(frame, find_markers(frame, radius=3.0))
    assert (clean - plain).abs()[dots].max() < 0.08
    assert (frame - plain).abs()[dots].max() > 0.2
    nothing = torch.zeros(64, 64, dtype=torch.bool)
    assert filled(frame, nothing) is frame
    with pytest.raises(InputError, match="all markers"):
        filled(frame, ~nothing)


def as_bytes(frame):
    return Image.fromarray((frame * 255).round().byte().numpy())


def test_a_video_becomes_pairs(tmp_path):
    known = bump(0.0, 0.0)
    calibration = calibrate_tactile(frame_of(known).movedim(-1, 0), 0.05 * known, 0.05)
    heights = [bump(x, 0.2) for x in (-0.4, 0.0, 0.4)]
    frames = [as_bytes(dotted(frame_of(height))[0]) for height in heights]
    path = tmp_path / "press.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    pairs = tactile_pairs(path, calibration, 0.05, every=2)
    assert len(pairs) == 2 and not pairs[0].tiles
    for pair, height in zip(pairs, (heights[0], heights[2]), strict=True):
        assert pair.color.shape == (64, 64, 3) and pair.height.dtype == np.uint16
        r = np.corrcoef(pair.height.ravel().astype(float), height.numpy().ravel())[0, 1]
        assert r > 0.95


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of plugins of imageio
def test_frames_of_folders_and_errors(tmp_path):
    for k in range(4):
        Image.new("RGB", (8, 8), (60 * k, 0, 0)).save(tmp_path / f"{k}.png")
    found = [float(frame[0, 0, 0]) for frame in read_frames(tmp_path, every=3)]
    assert found == pytest.approx([0, 180 / 255])
    with pytest.raises(InputError, match="no video"):
        list(read_frames(tmp_path / "none.mp4"))
    with pytest.raises(InputError, match="at least 1"):
        list(read_frames(tmp_path, every=0))
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match="folder of frames"):
        list(read_frames(tmp_path / "bad.mp4"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no frames"):
        list(read_frames(tmp_path / "empty"))


def test_a_calibration_of_other_lights_is_refused(tmp_path):
    known = bump(0.0, 0.0)
    calibration = calibrate_tactile(frame_of(known).movedim(-1, 0)[:2], known, 1.0)
    with pytest.raises(InputError, match="three lights"):
        tactile_pairs(tmp_path, calibration, 1.0)

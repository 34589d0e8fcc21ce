import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bozzetto import InputError
from bozzetto.shapes import box_frame, principal_frames


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 3), st.floats(1e-3, 1e3), st.floats(-100, 100), st.integers(0, 99))
def test_frames_centre_the_box_and_are_undone(dimensions, scale, shift, seed):
    cloud = (
        torch.randn(40, dimensions, generator=torch.Generator().manual_seed(seed)).double() * scale + shift
    )
    for frame in (box_frame(cloud), *principal_frames(cloud)):
        inside = frame.apply(cloud)
        low, high = inside.amin(dim=0), inside.amax(dim=0)
        torch.testing.assert_close(low, -high, atol=1e-6, rtol=0)
        assert float((high - low).max()) == pytest.approx(2)
        torch.testing.assert_close(frame.undo(inside), cloud)


@pytest.mark.parametrize("dimensions, choices", [(2, 2), (3, 4)])
def test_principal_frames_turn_with_the_cloud(dimensions, choices):
    generator = torch.Generator().manual_seed(0)
    cloud = torch.rand(200, dimensions, generator=generator, dtype=torch.float64) ** 3
    cloud *= torch.tensor([3.0, 2.0, 1.0])[:dimensions]
    turn = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator, dtype=torch.float64)).Q
    turn[0] *= torch.linalg.det(turn).sign()
    frames, turned = principal_frames(cloud), principal_frames(cloud @ turn.T + 5)
    assert len(frames) == choices
    for frame in frames:
        assert float(torch.linalg.det(frame.rotation)) == pytest.approx(1)
    torch.testing.assert_close(turned[0].apply(cloud @ turn.T + 5), frames[0].apply(cloud))
    spread = frames[0].apply(cloud).var(dim=0)
    assert (spread[:-1] >= spread[1:]).all()


@pytest.mark.parametrize(
    "cloud, sentence",
    [
        (torch.zeros(0, 3), "0 points"),
        (torch.zeros(1, 3), "1 points"),
        (torch.ones(9, 3), "all 9 points"),
        (torch.tensor([[0.0, 0.0], [1.0, torch.nan]]), "1 points with NaN"),
    ],
)
def test_clouds_without_frame_are_refused(cloud, sentence):
    for frame in (box_frame, principal_frames):
        with pytest.raises(InputError, match=f"scan.ply.*{sentence}|{sentence}.*scan.ply"):
            frame(cloud, "scan.ply")

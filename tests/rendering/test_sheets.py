import math

import pytest
import torch
from PIL import Image

from bozzetto import InputError
from bozzetto.images import load_image
from bozzetto.rendering.sheets import (
    comparison_sheet,
    contact_sheet,
    diverging,
    studio_light,
    turntable,
    turntable_views,
)
from bozzetto.shapes import Mesh, icosphere


def arrow() -> Mesh:
    """Four balls around the origin: red in front (+Z), green on the right (+X), grey behind and left."""
    grey, red, green = (0.5, 0.5, 0.5), (0.8, 0.0, 0.0), (0.0, 0.8, 0.0)
    places = [((0, 0, -0.8), grey), ((-0.8, 0, 0), grey), ((0, 0, 0.8), red), ((0.8, 0, 0), green)]
    ball = icosphere(2, 0.3)
    vertices = torch.cat([ball.vertices + torch.tensor(centre) for centre, _ in places])
    colors = torch.cat([torch.tensor(color).expand(len(ball.vertices), 3) for _, color in places])
    return Mesh(vertices, torch.cat([ball.faces + i * len(ball.vertices) for i in range(4)]), colors)


def middle_of(picture: torch.Tensor, channel: int) -> float:
    """Horizontal centre, from -1 to 1, of the pixels where one colour dominates."""
    others = [k for k in range(3) if k != channel]
    mask = picture[..., channel] > 2 * picture[..., others].amax(dim=-1) + 0.05
    x = torch.linspace(-1, 1, picture.shape[1]).expand_as(mask)
    return float(x[mask].mean())


def test_studio_light_keeps_white_below_one_and_shadows_above_zero():
    pictures = turntable_views(icosphere(4), frames=1, size=64)
    inside = pictures[0, 16:48, 16:48]
    assert 0.3 < float(inside.min()) and float(inside.max()) < 1.0
    assert inside[:8, :8].mean() > inside[-8:, -8:].mean() + 0.1  # from the upper left


def test_first_picture_shows_the_front_and_the_turn_goes_left_to_right():
    pictures = turntable_views(arrow(), frames=8, size=96, elevation=0.0)
    assert abs(middle_of(pictures[0], 0)) < 0.05
    assert middle_of(pictures[0], 1) > 0.3
    assert middle_of(pictures[1], 0) > 0.2  # the front moves towards +X
    other = turntable_views(arrow(), frames=1, size=96, up=(0, 0, 1), front=(0, -1, 0), elevation=0.4)
    assert middle_of(other[0], 1) > 0.3


def test_background_shows_in_the_corners():
    picture = turntable_views(icosphere(1), frames=1, size=32, background=(0.1, 0.2, 0.3))[0]
    torch.testing.assert_close(picture[0, 0], torch.tensor([0.1, 0.2, 0.3]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_turntable_is_an_animation(tmp_path, suffix):
    path = turntable(arrow(), tmp_path / f"turn{suffix}", frames=5, size=48, seconds=1.0)
    with Image.open(path) as image:
        assert image.size == (48, 48)
        assert image.n_frames == 5


def test_contact_sheet_places_pictures_in_reading_order():
    pictures = torch.stack([torch.full((4, 6, 3), i / 10) for i in range(5)])
    sheet = contact_sheet(pictures, columns=3, gap=2)
    assert sheet.shape == (10, 22, 3)
    assert sheet[0, 8, 0] == pytest.approx(0.1) and sheet[6, 0, 0] == pytest.approx(0.3)
    assert sheet[9, 21, 0] == 1.0
    assert contact_sheet(pictures).shape[0] > 4


def test_comparison_sheet_shows_signs(tmp_path):
    photos = torch.full((2, 40, 60, 3), 0.2)
    renders = photos.clone()
    renders[0, :, :30] = 0.5
    renders[1, :, :30] = 0.05
    sheet = comparison_sheet(photos, renders, tmp_path / "sheet.png", ["a", "b"])
    first, second = sheet[26 + 20, 125], sheet[26 + 46 + 20, 125]
    assert first[0] > first[2] + 0.3 and second[2] > second[0] + 0.3  # brighter is red, darker is blue
    torch.testing.assert_close(sheet[26 + 20, 160], torch.ones(3))
    torch.testing.assert_close(load_image(tmp_path / "sheet.png"), sheet, atol=1 / 500, rtol=0)


def test_diverging_colours_are_symmetric_in_sign_and_clipped():
    assert torch.equal(diverging(torch.tensor([0.0])), torch.ones(1, 3))
    assert torch.equal(diverging(torch.tensor([5.0])), diverging(torch.tensor([1.0])))
    strength = (1 - diverging(torch.linspace(0, 1, 9))).sum(dim=-1)
    assert (strength.diff() > 0).all()


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(InputError, match="turntable"):
        turntable(icosphere(0), tmp_path / "a.jpg")
    with pytest.raises(InputError, match="different directions"):
        studio_light((0, 1, 0), (0, 2, 0))
    with pytest.raises(InputError, match="match"):
        comparison_sheet(torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 5, 3), tmp_path / "a.png")
    with pytest.raises(InputError, match="one size"):
        contact_sheet([torch.zeros(4, 4, 3), torch.zeros(5, 4, 3)])
    with pytest.raises(InputError):
        turntable_views(Mesh(torch.full((3, 3), math.nan), torch.tensor([[0, 1, 2]])))

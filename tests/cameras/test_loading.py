import json

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto import InputError
from bozzetto.cameras import load_capture, save_middlebury, save_transforms
from bozzetto.errors import InputWarning
from bozzetto.images import linear_to_srgb, save_image


@pytest.fixture
def folder(tmp_path, sphere_capture):
    """A capture on disk, its masks in alpha."""
    capture = sphere_capture(6, size=(48, 40))
    (tmp_path / "images").mkdir()
    for name, image, mask in zip(capture.names, capture.images, capture.masks, strict=True):
        color = torch.tensor([0.7, 0.56, 0.42]).expand_as(image)
        save_image(tmp_path / "images" / name, torch.cat([linear_to_srgb(color), mask[..., None]], dim=-1))
    save_transforms(capture, tmp_path / "transforms.json", [f"images/{n}" for n in capture.names])
    return tmp_path


def edit(folder, change):
    path = folder / "transforms.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def opaque(folder, background=(0.0, 0.0, 0.0)):
    """Replace the pictures by photographs before a plain background; returns the masks."""
    masks = {}
    for path in sorted((folder / "images").iterdir()):
        picture = load_rgba(path)
        alpha = picture[..., 3:]
        save_image(path, picture[..., :3] * alpha + (1 - alpha) * torch.tensor(background))
        masks[path.name] = alpha
    return masks


def load_rgba(path):
    return torch.from_numpy(np.asarray(Image.open(path)).astype("float32") / 255)


def test_alpha_becomes_mask_and_colour_is_composited_over_black(folder, sphere_capture):
    written, capture = sphere_capture(6, size=(48, 40)), load_capture(folder)
    assert capture.names == written.names and capture.source.endswith("transforms.json")
    assert (capture.masks - written.masks).abs().max() < 0.003
    assert (capture.images - written.images).abs().max() < 0.01
    assert (capture.cameras.T_cam_world - written.cameras.T_cam_world).abs().max() < 1e-9
    assert bool(capture.known.all())


def test_the_file_itself_can_be_given(folder):
    assert len(load_capture(folder / "transforms.json", masks="alpha")) == 6
    assert load_capture(folder, masks="none").masks is None


def test_mask_files_win_over_the_background(folder):
    for name, mask in opaque(folder).items():
        save_image(folder / "masks" / name, (mask > 0.5).float())
    capture = load_capture(folder)
    assert set(capture.masks.unique().tolist()) == {0.0, 1.0}
    (folder / "masks").rename(folder / "elsewhere")
    again = load_capture(folder, masks=folder / "elsewhere")
    assert torch.equal(again.masks, capture.masks)


def test_masks_named_by_the_camera_file_are_used(folder):
    for name, mask in opaque(folder).items():
        save_image(folder / "silhouettes" / f"m{name}", mask)

    def name_masks(data):
        for frame in data["frames"]:
            frame["mask_path"] = f"silhouettes/m{frame['file_path'][7:]}"

    edit(folder, name_masks)
    assert 0 < float(load_capture(folder).masks.mean()) < 1


def test_a_plain_background_becomes_masks(folder, sphere_capture):
    opaque(folder, (0.9, 0.9, 0.9))
    found, written = load_capture(folder).masks, sphere_capture(6, size=(48, 40)).masks
    assert ((found > 0.5) != (written > 0.5)).float().mean() < 0.01


def test_middlebury_folder(folder, sphere_capture):
    capture = sphere_capture(6, size=(48, 40))
    (folder / "transforms.json").unlink()
    save_middlebury(capture.cameras, folder / "images" / "ball_par.txt", capture.names)
    loaded = load_capture(folder / "images")
    assert (loaded.cameras.K - capture.cameras.K).abs().max() < 1e-9
    assert loaded.masks is not None


def test_views_of_other_size_are_padded_with_unknown(folder):
    path = folder / "images" / "02.png"
    save_image(path, load_rgba(path)[:30, :40])
    edit(folder, lambda data: [data.pop("w"), data.pop("h")])
    capture = load_capture(folder)
    assert capture.known[2].sum() == 30 * 40 and not bool(capture.known[2, 30:].any())
    assert bool(capture.known[1].all())


def test_large_photographs_are_shrunk(folder):
    whole, small = load_capture(folder), load_capture(folder, max_size=24)
    assert small.images.shape == (6, 20, 24, 3)
    assert (small.masks - whole.resized(0.5).masks).abs().max() < 1e-5
    assert torch.allclose(small.cameras.K, whole.cameras.resized(24, 20).K)


def test_distortion_is_undone(folder):
    edit(folder, lambda data: data.update(k1=0.3, p1=0.01))
    capture = load_capture(folder)
    assert 0 < int((~capture.known).sum()) < capture.known.numel() / 2


def test_distortion_makes_opaque_pictures_no_transparent_ones(folder):
    for path in (folder / "images").iterdir():
        picture = Image.open(path)
        Image.composite(picture, Image.new("RGBA", picture.size, "black"), picture).convert("RGB").save(path)
    edit(folder, lambda data: data.update(k1=0.02, k2=-0.01, p1=0.001))
    capture = load_capture(folder)  # masks from the black background, not from alpha
    assert bool((capture.masks[capture.known] < 0.5).any())


def test_photographs_without_camera_are_noted(folder):
    edit(folder, lambda data: data["frames"].pop())
    with pytest.warns(InputWarning, match="1 pictures in .*images have no camera"):
        load_capture(folder)


def test_sideways_photographs_match_the_size_in_the_camera_file(folder):
    for path in (folder / "images").iterdir():
        exif = Image.Exif()
        exif[274] = 6
        Image.open(path).save(path, exif=exif)
    assert load_capture(folder).images.shape == (6, 40, 48, 3)


def remove_cameras(folder):
    (folder / "transforms.json").unlink()


def remove_image(folder):
    (folder / "images" / "03.png").unlink()


def truncate_image(folder):
    path = folder / "images" / "03.png"
    path.write_bytes(path.read_bytes()[:100])


def resize_image(folder):
    Image.new("RGBA", (20, 20)).save(folder / "images" / "03.png")


def blank_mask(folder):
    path = folder / "images" / "03.png"
    save_image(path, load_rgba(path) * torch.tensor([1.0, 1, 1, 0]))


def nan_pose(folder):
    edit(folder, lambda data: data["frames"][3]["transform_matrix"][0].__setitem__(3, float("nan")))


def scaled_pose(folder):
    edit(folder, lambda data: data["frames"][3]["transform_matrix"][0].__setitem__(0, 9.0))


def singular_intrinsics(folder):
    edit(folder, lambda data: data["frames"][3].__setitem__("fl_x", 0.0))


def one_mask_missing(folder):
    for name, mask in list(opaque(folder).items())[:3]:
        save_image(folder / "masks" / name, mask)


def mask_of_other_size(folder):
    for name, mask in opaque(folder).items():
        save_image(folder / "masks" / name, mask if name != "03.png" else mask[:9])


def mask_path_to_nowhere(folder):
    edit(folder, lambda data: data["frames"][3].__setitem__("mask_path", "masks/03.png"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_cameras, "no cameras in"),
        (remove_image, "no image .*03.png"),
        (truncate_image, "cannot read the image .*03.png"),
        (resize_image, "03.png is 20 x 20 but its camera is for 48 x 40"),
        (blank_mask, "mask of 03.png is all background"),
        (nan_pose, "transform_matrix of 03.png is nan"),
        (scaled_pose, "pose of 03.png is no rotation"),
        (singular_intrinsics, "focal lengths .* of 03.png are 0"),
        (one_mask_missing, "no mask for 03.png"),
        (mask_of_other_size, "mask .*03.png is 48 x 9"),
        (mask_path_to_nowhere, "no mask .*03.png"),
    ],
)
def test_damage_is_named_in_one_sentence(folder, damage, message):
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        load_capture(folder)
    assert "\n" not in str(caught.value)


def test_wrong_paths_are_refused(tmp_path):
    with pytest.raises(InputError, match="no capture"):
        load_capture(tmp_path / "nowhere")
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match="is one picture"):
        load_capture(tmp_path / "a.png")
    for name in ("a_par.txt", "b_par.txt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="2 camera files"):
        load_capture(tmp_path)


def test_unknown_mask_choice_is_refused(folder):
    with pytest.raises(InputError, match="no masks folder"):
        load_capture(folder, masks="magic")

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from bozzetto import InputError
from bozzetto.cameras import Cameras, look_at, visual_hull
from bozzetto.cameras.loading import load_views
from bozzetto.datasets.synthetic import phone
from bozzetto.datasets.synthetic.furnished_room import TABLE, FurnishedRoom
from bozzetto.datasets.synthetic.phone import mask_overlap, photographed_faces, surface_errors
from bozzetto.datasets.synthetic.room.panels import Finish, PartCollector
from bozzetto.datasets.synthetic.room.scene import ideal_pixels, joined_scene, lens_picture
from bozzetto.shapes import Mesh, icosphere

SIZE = (96, 72)


@pytest.fixture(scope="module")
def room() -> FurnishedRoom:
    """A bright blob on a dark floor, evenly lit."""
    pieces = PartCollector()
    ball = icosphere(3, 0.2)
    blob = Mesh(ball.vertices * torch.tensor([0.6, 1.2, 0.8]) + torch.tensor([0.05, 0.24, 0.0]), ball.faces)
    pieces.at(0, TABLE, 0).mesh(blob, Finish(grain=0.0))
    pieces.panel((-4, 0, 4), (8, 0, 0), (0, 0, -8), Finish(lambda *_: np.full((2, 2, 3), 0.3), 1.0))
    scene = joined_scene(pieces.all)
    light = torch.ones_like(scene.vertices)
    return FurnishedRoom(scene.lit(light), blob.with_vertices(pieces.all[0].vertices))


@pytest.fixture(scope="module")
def photos(room, tmp_path_factory) -> phone.PhonePhotos:
    return phone.phone_photos(tmp_path_factory.mktemp("phone"), 12, SIZE, 3, room)


def test_true_cameras_project_the_subject_onto_its_masks(photos):
    assert len(photos.views) == len(photos.photos) == len(photos.masks) == 12
    for view in photos.views:
        T, K = view.T_cam_world, view.K
        points = photos.subject.vertices.double() @ T[:3, :3].T + T[:3, 3]
        u, v = (view.lens.distort(points[:, :2] / points[:, 2:]) * K[0, 0] + K[:2, 2]).T
        mask = np.asarray(Image.open(view.mask))
        assert mask.shape[::-1] == view.size
        rows, columns = np.nonzero(mask >= 128)
        for seen, edge in ((columns, u), (rows, v)):
            assert float(edge.min()) == pytest.approx(seen.min(), abs=0.75)
            assert float(edge.max()) == pytest.approx(seen.max() + 1, abs=0.75)


def test_photos_are_stored_as_phones_store_them(photos):
    orientations = []
    for photo, view in zip(photos.photos, photos.views, strict=True):
        image = Image.open(photo)
        exif = image.getexif()
        assert exif.get_ifd(0x8769)[0xA405] == phone.EQUIVALENT and exif[0x0110]
        assert ImageOps.exif_transpose(image).size == view.size
        orientations.append((exif[0x0112], image.size == SIZE, view.size == SIZE))
    assert (6, True, False) in orientations and (1, True, True) in orientations
    assert all(o == 1 or sideways for o, sideways, _ in orientations)
    diagonal = math.hypot(*SIZE)
    assert photos.views[0].K[0, 0] / diagonal == pytest.approx(
        phone.EQUIVALENT / math.hypot(36, 24), rel=0.02
    )


def test_photos_show_what_their_masks_cover(photos):
    for photo, mask in zip(photos.photos, photos.masks, strict=True):
        grey = np.asarray(ImageOps.exif_transpose(Image.open(photo)).convert("L"), np.float32)
        inside = np.asarray(Image.open(mask)) > 250
        assert grey[inside].mean() > 1.5 * grey[np.asarray(Image.open(mask)) == 0].mean()


def test_exposure_changes_from_photo_to_photo(photos):
    brightness = [np.asarray(Image.open(p))[np.newaxis].mean(axis=(0, 1, 2)) for p in photos.photos]
    assert np.std([b.mean() for b in brightness]) > 2
    assert np.std([b[0] / b[2] for b in brightness]) > 0.005


def test_the_truth_is_read_back_as_it_was(photos):
    again = phone.load_phone_photos(photos.photos[0].parents[1])
    assert again.masks == photos.masks and [p.name for p in again.photos] == [p.name for p in photos.photos]
    for one, other in zip(again.views, photos.views, strict=True):
        torch.testing.assert_close(one.T_cam_world, other.T_cam_world, atol=1e-12, rtol=0)
        torch.testing.assert_close(one.K, other.K)
        points = 0.3 * torch.rand(20, 2, dtype=torch.float64)
        torch.testing.assert_close(one.lens.distort(points), other.lens.distort(points), atol=1e-12, rtol=0)
        assert one.size == other.size and one.image.samefile(other.image)
    torch.testing.assert_close(again.subject.vertices, photos.subject.vertices)


def test_the_truth_is_a_capture_in_which_all_fits(photos):
    capture = load_views(photos.posed)
    hull = visual_hull(capture.cameras, capture.require_masks(), capture.known, resolution=48)
    seen = photographed_faces(photos)
    assert 0.5 < float(seen.float().mean()) < 1
    errors = surface_errors(hull, photos, seen, samples=5000)
    assert errors.mean < 0.012  # of 0.48 m, in pixels of 10 mm
    perfect = surface_errors(photos.subject, photos, seen, samples=5000)
    assert perfect.mean < 1e-5


def test_masks_are_compared_with_the_true_ones_however_they_lie(photos, tmp_path):
    for i, mask in enumerate(photos.masks):
        with Image.open(mask) as image:
            lying = image.rotate(90, expand=True) if i % 2 else image
            lying.save(tmp_path / mask.name)
    overlap = mask_overlap(tmp_path, photos)
    assert len(overlap) == 12 and min(overlap.values()) == 1
    with Image.open(photos.masks[0]) as image:
        size = image.size
    Image.new("L", size, 255).save(tmp_path / photos.masks[0].name)
    assert mask_overlap(tmp_path, photos)[photos.views[0].name] < 0.6


def test_same_seed_same_photos(room, tmp_path):
    files = [
        phone.phone_photos(tmp_path / str(i), 3, SIZE, seed, room).photos[1].read_bytes()
        for i, seed in enumerate((5, 5, 6))
    ]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize(("count", "size"), [(2, SIZE), (5, (72, 96)), (5, (10, 8))])
def test_impossible_photos_are_refused(room, tmp_path, count, size):
    with pytest.raises(InputError, match="cannot take"):
        phone.phone_photos(tmp_path, count, size, 0, room)
    assert not list(tmp_path.iterdir())


def test_ideal_pixels_undo_distortion():
    K = torch.tensor([[900.0, 0, 500], [0, 900, 380], [0, 0, 1]], dtype=torch.float64)
    ideal = ideal_pixels(K, phone.LENS, (8, 16), (1000, 700))
    back = phone.LENS.distort(((ideal - K[:2, 2]) / 900).reshape(-1, 2)) * 900 + K[:2, 2]
    back = back.view(700, 1000, 2)
    x, y = torch.meshgrid(torch.arange(1000) + 8.5, torch.arange(700) + 16.5, indexing="xy")
    assert float((back - torch.stack([x, y], dim=-1)).abs().max()) < 1e-3
    assert float((ideal - torch.stack([x, y], dim=-1)).abs().max()) > 5


def test_pictures_do_not_depend_on_tiles(room, monkeypatch):
    from bozzetto.datasets.synthetic.room import scene as views

    K = torch.tensor([[[80.0, 0, 48], [0, 80, 36], [0, 0, 1]]], dtype=torch.float64)
    camera = Cameras(look_at((0.7, 1.2, 0.6), (0, 0.9, 0), (0, 1, 0)), K, *SIZE)
    whole = lens_picture(room.scene, camera, phone.LENS, torch.zeros(3))
    monkeypatch.setattr(views, "TILE", 50)
    tiled = lens_picture(room.scene, camera, phone.LENS, torch.zeros(3))
    assert float((whole - tiled).abs().mean()) < 1e-4
    assert float((whole[..., 3] - tiled[..., 3]).abs().max()) < 0.02
    assert float(whole[..., 3].max()) == 1.0 and float(whole[0, 0, 3]) == 0.0

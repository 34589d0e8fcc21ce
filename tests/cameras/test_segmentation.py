"""Masks without a plain background: what is known exactly is found again."""

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto import InputError
from bozzetto.cameras import Cameras, ScenePoints, examine, load_views, look_at
from bozzetto.cameras.distortion import Lens
from bozzetto.cameras.exif_orientation import as_stored
from bozzetto.cameras.formats.camera_files import PosedViews, View
from bozzetto.cameras.loading import masks_from_pictures
from bozzetto.cameras.masks import plain_background
from bozzetto.cameras.rigs import intrinsics_from_fov
from bozzetto.cameras.segmentation import network_masks, save_masks, segment
from bozzetto.cameras.segmentation.edges import minimum_cut, without_false_holes
from bozzetto.cameras.segmentation.files import undistorted
from bozzetto.cameras.segmentation.region import find_ground, nearest_to_rays, standing_on, starting_region
from bozzetto.cameras.segmentation.segment import _with_object
from bozzetto.cameras.segmentation.small_views import close_views, color_bins, color_log_odds, small_views
from bozzetto.cameras.segmentation.space import Ground, Region, region_samples
from bozzetto.cameras.segmentation.stereo import partners, plane_sweep
from bozzetto.images import linear_to_srgb, load_image, save_image
from bozzetto.rendering import rasterize
from bozzetto.shapes import torus


def before_a_room(capture, seed=0):
    """The object before another pattern of greenish stripes and spots in every view, without masks."""
    generator = torch.Generator().manual_seed(seed)
    count, height, width = capture.masks.shape
    small = torch.rand(count, 3, 6, 8, generator=generator) * torch.tensor([0.25, 0.6, 0.5])[:, None, None]
    room = torch.nn.functional.interpolate(small, (height, width), mode="bilinear").permute(0, 2, 3, 1)
    images = capture.images + (1 - capture.masks[..., None]) * room
    noise = 0.01 * torch.randn(images.shape, generator=generator)
    return replace(capture, images=(images + noise).clamp(0, 1), masks=None)


def overlaps(found, expected):
    a, b = (found.masks > 0.5) & found.known, (expected.masks > 0.5) & found.known
    return (a & b).sum(dim=(1, 2)) / (a | b).sum(dim=(1, 2))


def test_minimum_cut_is_the_global_optimum():
    rng = np.random.default_rng(3)
    evidence = rng.normal(size=(3, 4))
    colors = rng.random((3, 4, 3))
    free = np.ones((3, 4), dtype=bool)
    free[0, 0] = free[2, 3] = False
    fixed = np.zeros((3, 4), dtype=bool)
    fixed[0, 0] = True

    def energy(mask):
        total = float(-(evidence * mask)[free].sum())
        for (y, x), (v, u) in itertools.combinations(list(np.ndindex(3, 4)), 2):
            if max(abs(y - v), abs(x - u)) == 1 and mask[y, x] != mask[v, u]:
                weight = 1.0 if abs(y - v) + abs(x - u) == 1 else math.sqrt(0.5)
                edge = math.exp(-((colors[y, x] - colors[v, u]) ** 2).sum() / (2 * 0.3**2))
                total += weight * 0.6 * (0.05 + 0.95 * edge)
        return total

    candidates = []
    for values in itertools.product([False, True], repeat=10):
        mask = fixed.copy()
        mask[free] = values
        candidates.append(energy(mask))
    found = minimum_cut(evidence, colors, 0.6, 0.3, free, fixed)
    assert (found == fixed)[~free].all()
    assert energy(found) == pytest.approx(min(candidates), abs=0.05)  # capacities are rounded


def test_colours_of_inside_and_outside_are_told_apart():
    colors = torch.zeros(2, 16, 16, 3)
    colors[:, :, :8], colors[:, :, 8:] = torch.tensor([0.8, 0.2, 0.1]), torch.tensor([0.2, 0.5, 0.6])
    inside = torch.zeros(2, 16, 16)
    inside[:, 4:12, 2:8] = 1
    evidence = color_log_odds(color_bins(colors), inside, 1 - inside)
    assert evidence[:, :, :8].min() > 0.5 and evidence[:, :, 8:].max() < -1


def test_balls_look_like_balls(sphere_capture):
    capture = sphere_capture(3)
    depth = Region(torch.zeros(3, dtype=torch.float64), 1.0).depth(capture.cameras)
    assert ((depth > 0) == (capture.masks > 0.5)).float().mean() > 0.995
    assert float(depth.max()) == pytest.approx(1.0, abs=1e-3)


def test_samples_of_the_object_are_agreed_on_and_others_not(sphere_capture):
    capture = sphere_capture(12, center=(0.2, 0.1, 0.0), radius=0.6)
    space = region_samples(
        Region(torch.zeros(3, dtype=torch.float64), 1.2), capture.cameras, capture.known, 40
    )
    agreeing = space.agreeing((capture.masks > 0.5).float(), 6)
    assert agreeing[capture.masks > 0.9].min() > 0.99
    assert agreeing[capture.masks == 0].quantile(0.9) < 0.9
    ball = space.fitted((capture.masks > 0.5).float(), 6, 0.99)
    assert ball.center.tolist() == pytest.approx([0.2, 0.1, 0.0], abs=0.06)
    assert 0.6 < ball.radius < 1.0


def test_holes_are_filled_where_other_views_contradict_them(sphere_capture):
    capture = sphere_capture(40)
    space = region_samples(
        Region(torch.zeros(3, dtype=torch.float64), 1.3), capture.cameras, capture.known, 48
    )
    whole = capture.masks > 0.5
    holed = whole.clone()
    rows, columns = (int(middle) for middle in torch.nonzero(whole[3]).float().mean(dim=0))
    holed[3, rows - 9 : rows + 9, columns - 9 : columns + 9] = False
    assert holed[3].sum() == whole[3].sum() - 324
    assert torch.equal(without_false_holes(holed, space, 0.9, 20), whole)


def test_holes_that_are_seen_through_stay():
    angles = torch.arange(16) * 2.4
    down = torch.linspace(-1, 1, 16)
    centers = 4 * torch.stack(
        [(1 - down**2).sqrt() * angles.cos(), (1 - down**2).sqrt() * angles.sin(), down], -1
    )
    cameras = looking_at_the_origin(centers.double(), 0.8, (64, 64))
    mesh = torus(1.0, 0.35)
    masks = torch.stack(
        [rasterize(mesh.vertices, mesh.faces, cameras[[i]]).triangle[0] >= 0 for i in range(16)]
    )
    assert bool((~masks[[0, 1, 14, 15], 31:33, 31:33]).all())  # from above and below
    space = region_samples(
        Region(torch.zeros(3, dtype=torch.float64), 1.6), cameras, torch.ones_like(masks), 48
    )
    assert torch.equal(without_false_holes(masks, space, 0.9, 6), masks)


def test_rays_meet_in_their_point(sphere_capture):
    cameras = sphere_capture(5).cameras
    point = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    pixels = cameras.project(point[None])[:, 0, :2]
    assert torch.allclose(nearest_to_rays(cameras, torch.arange(5), pixels), point, atol=1e-4)


def test_pixels_and_points_move_the_ball(sphere_capture):
    capture = sphere_capture(6, center=(0.5, 0.0, 0.0), radius=0.4)
    point = torch.tensor([[0.5, 0.0, 0.0]], dtype=torch.float64)
    pixels = capture.cameras.project(point)[:, 0, :2]
    two = [(capture.names[i], float(pixels[i, 0]), float(pixels[i, 1])) for i in (0, 3)]
    assert starting_region(capture, two).center.tolist() == pytest.approx([0.5, 0, 0], abs=1e-4)
    offsets = torch.randn(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = ScenePoints(point + 0.1 * offsets, torch.ones(200, 6, dtype=torch.bool))
    capture = replace(capture, points=points)
    assert starting_region(capture).center.tolist() == pytest.approx([0.5, 0, 0], abs=0.05)
    assert starting_region(capture, two[:1]).center.tolist() == pytest.approx([0.5, 0, 0], abs=0.1)
    with pytest.raises(InputError, match="no photograph elsewhere.png"):
        starting_region(capture, [("elsewhere.png", 3, 3)])
    with pytest.raises(InputError, match="outside the picture of 72 x 64"):
        starting_region(capture, [(capture.names[0], 100, 3)])


def test_an_object_before_rooms_is_found(ball_capture):
    clean = ball_capture(8, size=(96, 72))
    found = segment(before_a_room(clean))
    scores = overlaps(found, clean)
    assert scores.mean() > 0.96 and scores.min() > 0.92
    soft = (clean.masks > 0.05) & (clean.masks < 0.95)
    assert (found.masks - clean.masks).abs()[soft].mean() < 0.2
    # Along soft edges only the light of the object is left.
    assert (found.foreground() - clean.images).abs()[soft].mean() < 0.05


def test_plain_backgrounds_are_told_from_rooms(ball_capture):
    clean = ball_capture(8, size=(96, 72))
    plain = replace(clean, images=clean.images + 0.3 * (1 - clean.masks[..., None]), masks=None)
    assert plain_background(plain) and not plain_background(before_a_room(clean))
    found = masks_from_pictures(plain)
    assert overlaps(found, clean).min() > 0.97
    assert found.background is not None  # that is how `auto_masks` tells what is behind


TWICE = torch.tensor([[2.0], [2.0], [1.0]])
"""Makes intrinsics those of pictures twice as large."""


@pytest.mark.parametrize(
    "mistake, sentence",
    [
        (lambda cameras: replace(cameras, K=cameras.K * TWICE), "multiplied by 0.5"),
        (lambda cameras: replace(cameras, T_cam_world=cameras.T_cam_world.inverse()), "are they inverted"),
        (lambda cameras: replace(cameras, T_cam_world=cameras.T_cam_world.roll(1, 0)), "1 (later|earlier)"),
    ],
)
def test_wrong_cameras_are_not_taken_for_wrong_masks(ball_capture, mistake, sentence):
    clean = ball_capture(8, size=(96, 72))
    plain = replace(clean, images=clean.images + 0.3 * (1 - clean.masks[..., None]), masks=None)
    found = masks_from_pictures(replace(plain, cameras=mistake(plain.cameras)))
    assert overlaps(found, clean).min() > 0.97
    assert re.search(sentence, examine(found).fatal or "")


def test_wrong_intrinsics_are_named_where_no_object_is_found(ball_capture):
    capture = ball_capture(8, size=(96, 72))
    doubled = replace(capture.cameras, K=capture.cameras.K * TWICE)
    nothing = torch.zeros(8, 72, 96, dtype=torch.bool)
    with pytest.raises(InputError, match="principal point is at 96, 72 of 96 x 72 pixels.*--around"):
        _with_object(replace(capture, cameras=doubled), nothing)
    with pytest.raises(InputError, match="in common; point at it"):
        _with_object(capture, nothing)


ORIGIN = torch.zeros(3, dtype=torch.float64)
UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def test_regions_end_at_their_ground():
    origins = torch.tensor([[0.0, 0, 5], [3, 0, 0.5], [3, 0, -0.5]], dtype=torch.float64)
    directions = torch.tensor([[0.0, 0, -1], [-1, 0, 0], [-1, 0, 0]], dtype=torch.float64)
    enter, leave = Region(ORIGIN, 1.0, Ground(UP, 0.0)).chord(origins, directions)
    assert leave[0].item() == pytest.approx(5.01) and enter[0].item() == pytest.approx(4.0)
    assert (leave - enter)[1].item() == pytest.approx(math.sqrt(3)) and leave[2] == enter[2]


def looking_at_the_origin(centers, fov=0.6, size=(8, 8)):
    K = intrinsics_from_fov(fov, *size).repeat(len(centers), 1, 1)
    return Cameras(look_at(centers), K, *size)


def speckled(points):
    """Grey levels of a solid texture: sines of several frequencies."""
    waves = torch.randn(24, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return (0.5 + 0.09 * (points @ (7 * waves.T) + torch.arange(24)).sin().sum(dim=-1)).clamp(0, 1).float()


def views_of_a_ball_on_a_floor(count=20, size=(96, 80), floor=-0.5):
    """Textured ball of radius .5 around the origin on a textured floor in a large textured sphere."""
    angles = np.arange(count) / count * 2 * math.pi
    centers = [(2 * math.cos(t), 2 * math.sin(t), 2.4) for t in angles]
    cameras = looking_at_the_origin(torch.tensor(centers, dtype=torch.float64), 0.6, size)
    origins, directions = cameras.rays()
    along = -(origins * directions).sum(-1)
    miss = (origins**2).sum(-1) - along**2
    ball = miss < 0.25
    far = along + (36 - miss).sqrt()
    down = (floor - origins[..., 2]) / directions[..., 2].clamp(max=-1e-6)
    distance = torch.where(ball, along - (0.25 - miss).clamp(min=0).sqrt(), torch.minimum(down, far))
    return cameras, speckled(origins + distance[..., None] * directions), ball


def test_places_tell_what_is_in_a_region_from_what_is_around_it():
    cameras, grey, ball = views_of_a_ball_on_a_floor()
    known = torch.ones_like(ball)
    wide = Region(ORIGIN, 0.9)
    stereo = plane_sweep(grey, known, cameras, wide)
    points = stereo.points(0.85, 0.5)
    ground = find_ground(points, cameras, wide)
    assert ground is not None
    assert float(ground.normal @ UP) > 0.999 and ground.height == pytest.approx(-0.5, abs=0.03)
    thing = standing_on(points, replace(wide, ground=ground))
    assert thing is not None and float((thing.center - ORIGIN)[:2].norm()) < 0.1 and thing.radius > 0.5
    evidence = stereo.preference(thing)
    inner = torch.nn.functional.avg_pool2d(ball[:, None].float(), 7, stride=1, padding=3)[:, 0]
    met = thing.depth(cameras) > 0
    assert evidence[inner == 1].mean() > 0.15 and (evidence[inner == 1] > 0).float().mean() > 0.9
    beside = (inner == 0) & met
    assert evidence[beside].mean() < -0.05 and (evidence[beside] > 0).float().mean() < 0.2
    assert (evidence[~met] == 0).all()


def test_a_plate_under_the_object_is_no_ground():
    generator = torch.Generator().manual_seed(5)
    flat = torch.rand(4000, 3, generator=generator, dtype=torch.float64) * 2 - 1
    flat[:, 2] = -0.4
    cameras = looking_at_the_origin(torch.tensor([[2.0, 0, 2], [0, 2, 2], [-2, 0, 2]], dtype=torch.float64))
    under = looking_at_the_origin(cameras.centers * torch.tensor([1.0, 1, -1]))
    region = Region(ORIGIN, 1.0)
    assert find_ground(flat, cameras, region) is not None
    assert find_ground(0.5 * flat, cameras, region) is None  # it does not go on
    assert find_ground(flat, under, region) is None
    both = torch.cat([flat, flat - torch.tensor([0, 0, 0.3])])
    found = find_ground(both, cameras, region)
    assert found is not None and found.height == pytest.approx(-0.7, abs=0.01)  # nothing is seen below that


def test_partners_are_near_but_not_too_near():
    angles = torch.deg2rad(torch.tensor([0.0, 1.0, 10.0, 20.0, 80.0, 100.0], dtype=torch.float64))
    centers = 3 * torch.stack([angles.cos(), angles.sin(), 0 * angles], dim=1)
    chosen = partners(looking_at_the_origin(centers), ORIGIN)
    assert chosen[0] == [2, 3] and chosen[1] == [2, 3] and chosen[4] == [5]


def test_parts_of_views_show_a_region_and_go_back_to_their_place(ball_capture):
    clean = ball_capture(6, size=(96, 72))
    region = Region(torch.tensor([0.1, 0.0, 0.0], dtype=torch.float64), 0.5)
    close = close_views(clean, region, 40)
    seen = close.cameras.project(region.center[None])[:, 0, :2]
    assert (seen - torch.tensor([close.cameras.width, close.cameras.height]) / 2).abs().max() < 1
    whole = small_views(clean, 96)
    parts = close.from_whole(clean.masks)
    again = close.to_whole(parts, 96, 72)
    inside = close.to_whole(torch.ones_like(parts), 96, 72) > 0.99
    assert inside.any() and not inside.all()
    assert (again - clean.masks)[inside].abs().mean() < 0.02 and (again[~inside] <= 1).all()
    rays = whole.cameras.rays()[1], close.cameras.rays()[1]
    middle = close.from_whole(rays[0][..., 0].float())
    assert (middle - rays[1][..., 0].float()).abs()[close.known].max() < 5e-3


def test_padding_is_no_picture(ball_capture):
    clean = ball_capture(6, size=(96, 72))
    padded = replace(
        clean,
        images=torch.nn.functional.pad(clean.images, (0, 0, 0, 60, 0, 50)),
        masks=torch.nn.functional.pad(clean.masks, (0, 60, 0, 50)),
        known=torch.nn.functional.pad(clean.known, (0, 60, 0, 50)),
        cameras=replace(clean.cameras, width=156, height=122),
    )
    first, second = starting_region(clean), starting_region(padded)
    assert torch.allclose(first.center, second.center) and first.radius == pytest.approx(second.radius)


def test_what_has_no_object_is_refused(ball_capture):
    clean = ball_capture(4, size=(32, 24))
    with pytest.raises(InputError, match="3 or more"):
        segment(before_a_room(clean).subset([0, 1]))
    with pytest.raises(InputError, match="no object is found"):
        segment(replace(clean, images=torch.full_like(clean.images, 0.5), masks=None))


def posed_photographs(folder, capture, lens=None, size=(128, 96)):
    """Photographs on disk, and what a camera file would say about them."""
    views = []
    for i, (name, image) in enumerate(zip(capture.names, capture.images, strict=True)):
        save_image(folder / name, linear_to_srgb(image.clamp(0, 1)))
        T, K = capture.cameras.T_cam_world[i], capture.cameras.K[i]
        views.append(View(name, folder / name, T, K=K, size=size, lens=lens, upright=False))
    return PosedViews(tuple(views), folder / "cameras.json")


@pytest.mark.parametrize("lens", [None, Lens(radial=(-0.2, 0.05), tangential=(0.004, -0.003))])
@pytest.mark.parametrize("max_size", [None, 100])
def test_saved_masks_fit_the_photographs_and_are_read_back(tmp_path, ball_capture, lens, max_size):
    clean = ball_capture(4, size=(128, 96))
    posed = posed_photographs(tmp_path, clean, lens)
    capture = load_views(posed, "none", max_size)
    size = (capture.cameras.height, capture.cameras.width)
    masks = torch.nn.functional.interpolate(clean.masks[:, None], size, mode="bilinear", antialias=True)[:, 0]
    capture = replace(capture, masks=masks * capture.known)
    paths = save_masks(capture, posed, tmp_path / "masks")
    assert [p.name for p in paths] == list(clean.names)
    assert load_image(paths[0]).shape[:2] == (96, 128)
    again = load_views(posed, tmp_path / "masks", max_size)
    assert overlaps(again, capture).min() > 0.99
    assert (again.masks - capture.masks)[capture.known].abs().max() < 0.45  # edges are resampled twice
    other = replace(posed, views=posed.views[1:])
    with pytest.raises(InputError, match="no photograph 00.png"):
        save_masks(capture, other, tmp_path / "more")


@pytest.mark.parametrize("camera_upright", [True, False])
@pytest.mark.parametrize("orientation", [3, 6])
def test_saved_masks_of_turned_photographs_are_read_back(tmp_path, ball_capture, orientation, camera_upright):
    clean = ball_capture(4, size=(128, 96))
    posed = posed_photographs(tmp_path, clean)
    views = []
    for view in posed.views:
        path = view.image.with_suffix(".jpg")
        with Image.open(view.image) as picture:
            exif = picture.getexif()
            exif[0x0112] = orientation
            stored = as_stored(torch.from_numpy(np.array(picture, np.float32)), orientation)
            chosen = stored.numpy().astype(np.uint8) if camera_upright else np.array(picture)
            Image.fromarray(chosen).save(path, exif=exif, quality=95)
        view.image.unlink()
        views.append(replace(view, image=path, name=path.name, upright=camera_upright))
    posed = replace(posed, views=tuple(views))
    capture = replace(load_views(posed, "none"), masks=clean.masks)
    save_masks(capture, posed, tmp_path / "masks")
    assert overlaps(load_views(posed, tmp_path / "masks"), clean).min() > 0.99


def test_undistorting_points_undoes_a_lens():
    lens = Lens(radial=(-0.2, 0.05), tangential=(0.004, -0.003))
    points = 0.8 * torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.4
    assert torch.allclose(undistorted(lens.distort(points), lens), points, atol=1e-8)
    assert torch.isinf(undistorted(torch.tensor([[9.0, 9.0]], dtype=torch.float64), lens)).all()


def tiny_network(path, scale=1.0, channels=3, flat=False):
    """A network that takes red minus green for the object, as logits if `scale` is large."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights = np.zeros((1, channels, 1, 1), dtype=np.float32)
    weights[0, :2, 0, 0] = scale, -scale
    nodes = [onnx.helper.make_node("Conv", ["picture", "weights"], ["odds"])]
    if flat:
        nodes.append(onnx.helper.make_node("GlobalAveragePool", ["odds"], ["map"]))
    elif scale < 10:
        nodes.append(onnx.helper.make_node("Sigmoid", ["odds"], ["map"]))
    else:
        nodes.append(onnx.helper.make_node("Identity", ["odds"], ["map"]))
    graph = onnx.helper.make_graph(
        nodes,
        "tiny",
        [onnx.helper.make_tensor_value_info("picture", 1, [1, channels, "h", "w"])],
        [onnx.helper.make_tensor_value_info("map", 1, [1, 1, None, None])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("scale", [5.0, 50.0])
def test_networks_find_masks(tmp_path, ball_capture, scale):
    clean = ball_capture(3, size=(96, 72))
    green = (1 - clean.masks[..., None]) * torch.tensor([0.05, 0.5, 0.1])
    found = network_masks(
        replace(clean, images=clean.images + green), tiny_network(tmp_path / "a.onnx", scale)
    )
    assert overlaps(found, clean).min() > 0.96


def test_networks_of_other_kinds_are_refused(tmp_path, ball_capture):
    clean = ball_capture(3, size=(32, 24))
    with pytest.raises(InputError, match="expected one picture as float of 1 x 3"):
        network_masks(clean, tiny_network(tmp_path / "four.onnx", channels=4))
    with pytest.raises(InputError, match="answers with 1 x 1 x 1 x 1 numbers; expected a map"):
        network_masks(clean, tiny_network(tmp_path / "flat.onnx", flat=True))
    with pytest.raises(InputError, match="there is no network"):
        network_masks(clean, tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InputError, match="cannot run"):
        network_masks(clean, tmp_path / "text.onnx")

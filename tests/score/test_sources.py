import numpy as np
import pytest
import torch
from skimage.measure import find_contours

from bozzetto import InputError
from bozzetto.errors import InputWarning
from bozzetto.score import cloud_table, contour_points, load_cloud, load_clouds
from bozzetto.score.sources import contour_segments
from bozzetto.shapes import PointCloud, icosphere, save_mesh, save_points


def test_a_folder_of_meshes_and_clouds(tmp_path):
    for index in range(5):
        mesh = icosphere(2, radius=1.0 + index)
        if index % 2:
            save_points(PointCloud(mesh.vertices), tmp_path / f"{index}.ply")
        else:
            save_mesh(mesh, tmp_path / f"{index}.obj")
    train, test = load_clouds(tmp_path, 100), load_clouds(tmp_path, 100, "test")
    assert train.names == ["0", "1", "2", "3"] and test.names == ["4"]
    assert [len(cloud) for cloud in train.points] == [100, 162, 100, 162]
    radius = test.points[0].norm(dim=1)
    assert 4.7 < float(radius.min()) and float(radius.max()) < 5.0001
    table = cloud_table(train.points, train.names, 128)
    assert table.points.shape == (4, 128, 3)
    torch.testing.assert_close(table.points[1].abs().amax(), torch.tensor(1.0), atol=1e-4, rtol=0)


def test_pc15k_has_splits_and_disjoint_points(tmp_path):
    cloud = np.random.default_rng(0).normal(size=(15000, 3)).astype(np.float32)
    for split in ("train", "val", "test"):
        (tmp_path / "02691156" / split).mkdir(parents=True)
        np.save(tmp_path / "02691156" / split / "abc.npy", cloud)
    train, test = load_clouds(tmp_path), load_clouds(tmp_path / "02691156", split="test")
    assert train.names == ["02691156/abc"] and train.points[0].shape == (10000, 3)
    np.testing.assert_array_equal(test.points[0], cloud[10000:])
    np.save(tmp_path / "02691156" / "train" / "bad.npy", cloud[:5])
    with pytest.raises(InputError, match="bad.npy.*15000"):
        load_clouds(tmp_path)


def test_arrays_of_the_sample_data(tmp_path):
    cells = np.zeros((3, 8, 8, 8), dtype=bool)
    cells[1, 2:4, 5, 0] = cells[2, 1, 1, 1] = True
    voxels = tmp_path / "voxels.npz"
    np.savez(
        voxels, bits=np.packbits(cells.reshape(3, -1), axis=1), shape=np.array(cells.shape, dtype=np.int32)
    )
    found = load_clouds(voxels, 400, "all")  # the empty first entry is left out
    assert found.names == ["1", "2"]
    low, high = found.points[0].amin(dim=0), found.points[0].amax(dim=0)
    torch.testing.assert_close(low, torch.tensor([2.0, 0, -6]), atol=0.05, rtol=0)
    torch.testing.assert_close(high, torch.tensor([4.0, 1, -5]), atol=0.05, rtol=0)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float32)
    np.savez(tmp_path / "outlines.npz", points=square, offsets=np.array([0, 4]), names=np.array(["square"]))
    outline = load_clouds(tmp_path / "outlines.npz", 400, "all")
    edge = torch.minimum(outline.points[0].amin(dim=1), (1 - outline.points[0]).amin(dim=1))
    assert outline.names == ["square"] and float(edge.abs().max()) < 1e-6
    mesh = icosphere(1)
    offsets = np.stack([np.zeros((3, 42)), np.full((3, 42), 50)]).astype(np.int16)
    content = {"mean": mesh.vertices.numpy(), "step": np.float64(0.01), "faces": mesh.faces.numpy()}
    np.savez(tmp_path / "morphs.npz", offsets=offsets, **content)
    morphs = load_clouds(tmp_path / "morphs.npz", 3000, "all")
    assert morphs.points[1].shape == (3000, 3)
    torch.testing.assert_close(morphs.points[1].mean(dim=0), torch.full((3,), 0.5), atol=0.05, rtol=0)
    images = np.zeros((2, 10, 10), dtype=np.uint8)
    images[:, 3:6, 3:6] = 255
    np.savez(tmp_path / "digits.npz", train_images=images, test_images=images[:1])
    assert load_clouds(tmp_path / "digits.npz", 50).points[1].shape == (50, 2)
    assert len(load_clouds(tmp_path / "digits.npz", 50, "test").points) == 1


def test_what_cannot_be_read_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_clouds(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no shapes"):
        load_clouds(tmp_path)
    np.save(tmp_path / "flat.npy", np.zeros((4, 5)))
    with pytest.raises(InputError, match=r"expected \(shapes, points, 2 or 3\)"):
        load_clouds(tmp_path / "flat.npy")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="none of the known"):
        load_clouds(tmp_path / "other.npz")
    (tmp_path / "broken.npz").write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot read"):
        load_clouds(tmp_path / "broken.npz")
    with pytest.raises(InputError, match="no shapes to learn"):
        cloud_table([], [])


def test_shapes_that_cannot_be_read_are_named_unless_they_are_most(tmp_path):
    for number in range(4):
        save_mesh(icosphere(1), tmp_path / f"{number}.ply")
    (tmp_path / "1.ply").write_bytes((tmp_path / "0.ply").read_bytes()[:-20])
    with pytest.warns(InputWarning, match="left out: .*1.ply.*damaged"):
        assert load_clouds(tmp_path, 50, "all").names == ["0", "2", "3"]
    for name in ("0", "2"):
        (tmp_path / f"{name}.ply").write_bytes((tmp_path / "1.ply").read_bytes())
    with pytest.raises(InputError, match="3 of 4 shapes cannot be used, more than half"):
        load_clouds(tmp_path, 50, "all")


def test_the_contour_of_a_disc_is_its_circle():
    axis = torch.arange(64.0) - 31.5
    distance = (axis[:, None] ** 2 + axis**2).sqrt()
    points = contour_points(
        (20.5 - distance).clamp(0, 1)[None], 2000, generator=torch.Generator().manual_seed(0)
    )
    assert points.shape == (1, 2000, 2)
    assert float((points.norm(dim=-1) - 1).abs().max()) < 0.01
    angle = torch.atan2(points[0, :, 1], points[0, :, 0])
    share = torch.histc(angle, 8, -torch.pi, torch.pi) / 2000
    torch.testing.assert_close(share, torch.full((8,), 0.125), atol=0.03, rtol=0)


def test_segments_are_those_of_scikit_image():
    picture = torch.rand(12, 12, generator=torch.Generator().manual_seed(3))
    ends, exists = contour_segments(picture[None])
    ours = ends[0][exists[0]]
    theirs = []
    for line in find_contours(np.pad(picture.numpy(), 1), 0.5):
        theirs.append(np.stack([line[:-1], line[1:]], axis=1))
    theirs = torch.from_numpy(np.concatenate(theirs)).float().flip(-1) * torch.tensor([1.0, -1.0])

    def normal(segments):
        middle = segments.mean(dim=1)
        return middle[torch.argsort(middle[:, 0] * 1000 + middle[:, 1])]

    kept = ours[(ours[:, 1] - ours[:, 0]).norm(dim=1) > 1e-6]
    theirs = theirs[(theirs[:, 1] - theirs[:, 0]).norm(dim=1) > 1e-6]
    torch.testing.assert_close(normal(kept), normal(theirs), atol=1e-4, rtol=0)


def test_rows_go_down_and_the_box_is_filled():
    picture = torch.zeros(1, 28, 28)
    picture[0, 4:8, 10:20] = 1  # a wide bar in the upper half
    points = contour_points(picture, 500, generator=torch.Generator().manual_seed(0))[0]
    assert float(points[:, 0].max()) > 0.98 and float(points[:, 0].min()) < -0.98
    assert float(points[:, 1].abs().max()) < 0.5
    picture[0, 20:26, 14] = 1  # and a dot below it
    points = contour_points(picture, 500, generator=torch.Generator().manual_seed(0))[0]
    assert float(points[points[:, 1] < 0, 0].abs().max()) < 0.2


def test_pictures_without_contour_are_refused_by_number():
    pictures = torch.ones(2, 8, 8)
    pictures[1] = 0
    with pytest.raises(InputError, match="picture 1"):
        contour_points(pictures)


def test_one_cloud_of_any_file(tmp_path):
    flat = np.random.default_rng(0).random((30, 2))
    np.save(tmp_path / "flat.npy", flat)
    np.testing.assert_array_equal(load_cloud(tmp_path / "flat.npy").numpy(), flat.astype(np.float32))
    np.save(tmp_path / "far.npy", flat + 5e6)
    assert load_cloud(tmp_path / "far.npy").dtype == torch.float64
    save_mesh(icosphere(1), tmp_path / "ball.ply")
    sampled = load_cloud(tmp_path / "ball.ply")
    assert sampled.shape == (8192, 3) and torch.equal(sampled, load_cloud(tmp_path / "ball.ply"))
    assert 0.8 < float(sampled.norm(dim=1).min()) < 0.95  # on the faces, not at the vertices
    save_points(PointCloud(icosphere(1).vertices), tmp_path / "points.ply")
    assert torch.equal(load_cloud(tmp_path / "points.ply"), icosphere(1).vertices)
    np.save(tmp_path / "set.npy", np.zeros((2, 5, 3)))
    with pytest.raises(InputError, match="expected .points, 2 or 3."):
        load_cloud(tmp_path / "set.npy")
    with pytest.raises(InputError, match="does not exist"):
        load_cloud(tmp_path / "nowhere.npy")

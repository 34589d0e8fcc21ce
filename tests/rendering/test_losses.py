import pytest
import torch

from bozzetto import InputError
from bozzetto.rendering import ImageLoss, Picture, compose, l1_loss, rasterize

from .scenes import DEVICES, bumpy, cameras

BACKGROUND = torch.tensor([0.1, 0.4])


def scene(device="cpu"):
    mesh, views = bumpy().to(device), cameras(3)
    generator = torch.Generator().manual_seed(0)
    fragments = rasterize(mesh.vertices, mesh.faces, views)
    colors = torch.rand(len(fragments), 2, generator=generator).to(device)
    targets = torch.rand(3, 40, 48, 2, generator=generator).to(device)
    weights = torch.rand(3, 40, 48, generator=generator).to(device)
    return fragments, colors, targets, weights


def dense(images, targets, weights, kind):
    difference = images - targets
    if kind == "l1":
        penalty = difference.abs()
    elif kind == "l2":
        penalty = difference.square()
    else:
        penalty = torch.nn.functional.huber_loss(images, targets, reduction="none", delta=0.1) / 0.1
    return (penalty if weights is None else penalty * weights[..., None]).mean()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["l1", "l2", "huber"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("views", [None, [2, 0]])
def test_equals_the_dense_loss_in_value_and_gradient(device, kind, weighted, views):
    fragments, colors, targets, weights = scene(device)
    weights = weights if weighted else None
    index = [0, 1, 2] if views is None else views
    if views is not None:
        fragments = rasterize(fragments.vertices, fragments.faces, fragments.cameras[views])
        colors = colors[: len(fragments)]
    loss = ImageLoss(targets, weights, BACKGROUND, kind)
    results = []
    for sparse in (True, False):
        values = colors.clone().requires_grad_()
        picture = compose(fragments, values, BACKGROUND)
        if sparse:
            result = loss(picture, None if views is None else torch.tensor(views))
        else:
            chosen = None if weights is None else weights[index]
            result = dense(picture.images(), targets[index], chosen, kind)
        (3 * result).backward()
        results.append((result.detach(), values.grad))
    for mine, expected in zip(*results, strict=True):
        torch.testing.assert_close(mine, expected, rtol=2e-4, atol=1e-9)


def test_a_picture_of_its_target_costs_nothing():
    fragments, colors, _, _ = scene()
    picture = compose(fragments, colors, BACKGROUND)
    assert abs(float(ImageLoss(picture.images(), background=BACKGROUND)(picture))) < 1e-8


def test_nothing_drawn_costs_what_the_background_costs():
    _, _, targets, weights = scene()
    empty = Picture(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), BACKGROUND, (3, 40, 48, 2))
    expected = l1_loss(BACKGROUND.expand(3, 40, 48, 2), targets, weights)
    torch.testing.assert_close(ImageLoss(targets, weights, BACKGROUND)(empty), expected)


def test_dense_l1_ignores_pixels_of_weight_zero():
    images, targets = torch.rand(2, 4, 5, 3), torch.rand(2, 4, 5, 3)
    weights = (torch.rand(2, 4, 5) > 0.5).float()
    expected = sum((images - targets).abs()[weights > 0].flatten().tolist()) / images.numel()
    torch.testing.assert_close(l1_loss(images, targets, weights), torch.tensor(expected))


def test_what_does_not_fit_is_refused():
    fragments, colors, targets, weights = scene()
    with pytest.raises(Exception, match="huber"):
        ImageLoss(targets, kind="L1")  # type: ignore[arg-type]
    with pytest.raises(Exception, match="weights"):
        ImageLoss(targets, weights[:, 1:])
    with pytest.raises(InputError, match="shape"):
        ImageLoss(targets[:2])(compose(fragments, colors))
    with pytest.raises(InputError, match="background"):
        ImageLoss(targets)(compose(fragments, colors, BACKGROUND))

import pytest
import torch

from bozzetto import InputError
from bozzetto.inverse import OPTIMIZERS, AdamUniform, Preconditioner, VectorAdam, make_optimizer
from bozzetto.shapes import icosphere


def test_adam_uniform_by_hand():
    p = torch.tensor([[1.0, 2.0]], requires_grad=True)
    optimizer = AdamUniform([p], lr=0.5, betas=(0.9, 0.99), eps=0.0)
    p.grad = torch.tensor([[3.0, -4.0]])
    optimizer.step()
    # First step: both moments are the gradient and its square after correction; the largest root is 4.
    torch.testing.assert_close(p.detach(), torch.tensor([[1 - 0.5 * 3 / 4, 2 + 0.5 * 4 / 4]]))
    p.grad = torch.tensor([[1.0, 2.0]])
    optimizer.step()
    first = torch.tensor([[0.9 * 0.3 + 0.1 * 1, 0.9 * -0.4 + 0.1 * 2]]) / (1 - 0.9**2)
    second = (0.99 * 0.16 + 0.01 * 4) / (1 - 0.99**2)
    expected = torch.tensor([[0.625, 2.5]]) - 0.5 * first / second**0.5
    torch.testing.assert_close(p.detach(), expected)


def test_adam_uniform_keeps_directions_of_the_first_gradient():
    p = torch.zeros(50, 3, requires_grad=True)
    p.grad = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    AdamUniform([p], lr=0.1).step()
    torch.testing.assert_close(p.detach(), -0.1 * p.grad / p.grad.abs().max())


def test_each_tensor_has_its_own_scale():
    a, b = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    a.grad, b.grad = torch.tensor([1.0, 2.0]), torch.tensor([1e-6, 0.0])
    AdamUniform([a, b], lr=1.0, eps=0.0).step()
    torch.testing.assert_close(a.detach(), torch.tensor([-0.5, -1.0]))
    torch.testing.assert_close(b.detach(), torch.tensor([-1.0, 0.0]))


def test_vector_adam_turns_with_the_axes():
    gradients = torch.randn(4, 10, 3, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1))).Q
    results = []
    for axes in (torch.eye(3), turn):
        p = torch.zeros(10, 3, requires_grad=True)
        optimizer = VectorAdam([p], lr=0.1)
        for gradient in gradients:
            p.grad = gradient @ axes
            optimizer.step()
        results.append(p.detach())
    torch.testing.assert_close(results[0] @ turn, results[1], atol=1e-6, rtol=1e-5)
    p = torch.zeros(1, 3, requires_grad=True)
    p.grad = torch.tensor([[3.0, 0.0, 4.0]])
    VectorAdam([p], lr=1.0).step()
    torch.testing.assert_close(p.detach(), torch.tensor([[-0.6, 0.0, -0.8]]))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("smoothness", [0.0, 5.0])
def test_every_optimizer_descends_on_x_and_on_u(name, smoothness):
    sphere = icosphere(2)
    preconditioner = Preconditioner.from_mesh(sphere.faces, len(sphere.vertices), smoothness)
    target = sphere.vertices * torch.tensor([1.2, 1.0, 0.8])
    u = preconditioner.to_latent(sphere.vertices).requires_grad_()
    optimizer = make_optimizer(name, [u], 0.1 if name in ("gradient_descent", "momentum") else 0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (preconditioner.from_latent(u) - target).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_saved_state_continues_the_same_way(name):
    def descend(p, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (p - 1).pow(4).sum().backward()
            optimizer.step()

    straight = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
    descend(straight, make_optimizer(name, [straight], 0.01), 8)
    p = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
    first = make_optimizer(name, [p], 0.01)
    descend(p, first, 4)
    second = make_optimizer(name, [p], 0.01)
    second.load_state_dict(first.state_dict())
    descend(p, second, 4)
    assert torch.equal(p, straight)


def test_parameters_without_gradient_stay():
    p = torch.ones(3, requires_grad=True)
    AdamUniform([p]).step()
    assert torch.equal(p.detach(), torch.ones(3))


def test_bad_settings_are_named():
    p = torch.ones(3, requires_grad=True)
    with pytest.raises(InputError, match="adam_uniform, vector_adam, got 'lbfgs'"):
        make_optimizer("lbfgs", [p], 0.1)
    with pytest.raises(InputError, match="-1"):
        AdamUniform([p], lr=-1.0)
    with pytest.raises(InputError, match="betas"):
        AdamUniform([p], betas=(1.0, 0.9))


def test_a_floor_slows_rows_with_weak_gradients():
    rows = torch.zeros(3, 3, requires_grad=True)
    optimizer = VectorAdam([rows], lr=1.0, floor=0.5)
    rows.grad = torch.tensor([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.001]])
    optimizer.step()
    floor = 0.5 * ((9 + 16 + 1e-6) / 3) ** 0.5
    expected = torch.diag(torch.tensor([-3 / (3 + floor), -4 / (4 + floor), -0.001 / (0.001 + floor)]))
    torch.testing.assert_close(rows.detach(), expected)
    with pytest.raises(InputError, match="floor"):
        VectorAdam([rows], floor=-1.0)


def test_only_vector_adam_has_a_floor():
    p = torch.zeros(4, 3, requires_grad=True)
    assert make_optimizer("vector_adam", [p], 0.1, floor=0.5).param_groups[0]["floor"] == 0.5
    with pytest.raises(InputError, match="floor"):
        make_optimizer("adam_uniform", [p], 0.1, floor=0.5)

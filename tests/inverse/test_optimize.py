"""Tests of inverse.optimize."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from bozzetto import InputError, Mesh
from bozzetto.geometry import intersecting_faces, is_manifold, is_watertight, largest_component
from bozzetto.inverse import (
    AppearanceConfig,
    ContinuousRemeshing,
    Light,
    ambient_light,
    capture_light,
    make_optimizer,
    optimize,
    synthetic_targets,
)
from bozzetto.inverse.optimize import optimizer_tensors, restore_optimizers
from bozzetto.metrics import surface_distance
from bozzetto.shapes import icosphere, join

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")),
]


def run(optimization, steps):
    return [optimization.step() for _ in range(steps)]


def distance(mesh, ball):
    return surface_distance(mesh.to("cpu"), ball, samples=4000).mean


@pytest.mark.parametrize("device", DEVICES)
def test_a_sphere_becomes_the_ball(begin, pictures, ball, device):
    light = Light(capture_light().to(device), len(pictures))
    optimization = begin(
        pictures.to(device), icosphere(3, 0.6).to(device), light, steps=60, smoothness=5.0, step_size=0.1
    )
    before = distance(optimization.mesh, ball)
    losses = run(optimization, 60)
    assert losses[-1] < 0.1 * losses[0]
    assert distance(optimization.mesh, ball) < 0.1 * before
    assert is_watertight(optimization.mesh.faces)


def test_the_answer_has_no_loss(begin, ball):
    assert begin(start=ball).step() < 1e-6


def test_small_steps_go_down_every_time(begin):
    losses = run(begin(steps=10, step_size=1e-3, final_step_size=1.0), 10)
    assert all(after < before for before, after in zip(losses, losses[1:], strict=False))


@pytest.mark.parametrize(
    "settings",
    [
        dict(optimizer="gradient_descent", step_size=100.0, smoothness=19.0),
        dict(optimizer="gradient_descent", step_size=5.0, smoothness=0.0),
        dict(optimizer="momentum", step_size=100.0, smoothness=19.0),
        dict(optimizer="adam", step_size=1e-2, smoothness=0.0),
        dict(
            optimizer="adam", step_size=1e-2, smoothness=0.0, regularizer="laplacian", regularizer_weight=0.1
        ),
        dict(loss="l2"),
        dict(views_per_step=4),
    ],
)
def test_every_rule_descends(begin, settings):
    optimization = begin(steps=25, **settings)
    losses = run(optimization, 25)
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])


def test_a_strong_penalty_smooths(begin, ball):
    rough = ball.with_vertices(ball.vertices + 0.02 * torch.randn(ball.vertices.shape))
    settings = dict(steps=20, optimizer="adam", smoothness=0.0, step_size=4e-3)
    plain = begin(start=rough, **settings)
    smooth = begin(start=rough, regularizer="bilaplacian", regularizer_weight=100.0, **settings)
    penalty_before = float(smooth.penalty(rough.vertices))
    run(plain, 20), run(smooth, 20)
    assert float(smooth.penalty(smooth.mesh.vertices)) < 0.3 * penalty_before
    assert float(smooth.penalty(smooth.mesh.vertices)) < 0.3 * float(smooth.penalty(plain.mesh.vertices))


def test_the_step_size_falls_linearly(begin):
    optimization = begin(steps=10, step_size=0.02, final_step_size=0.25)
    sizes = []
    for _ in range(10):
        optimization.step()
        sizes.append(optimization.optimizer.param_groups[0]["lr"])
    assert sizes == pytest.approx([0.02 - 0.0015 * step for step in range(10)])


def test_steps_and_seconds_end_it(begin, pictures):
    assert begin(steps=0).progress == 1
    assert begin(steps=10, seconds=0.0).progress == 1
    optimization = begin(steps=4)
    run(optimization, 3)
    assert optimization.progress == 0.75
    done = []
    config = replace(optimization.config, steps=10**6, seconds=0.2)
    optimize(
        pictures, icosphere(1, 0.6), capture_light(), config, on_step=lambda o, _: done.append(o.steps_done)
    )
    assert 0 < len(done) < 10**6 and done == list(range(1, len(done) + 1))


def test_remeshing_on_schedule(begin):
    optimization = begin(
        start=icosphere(1, 0.6), steps=20, remesh_at=(5, 10), remesh_decay=0.5, final_step_size=1
    )
    counts, sizes = [], []
    for _ in range(12):
        optimization.step()
        mesh = optimization.mesh
        assert is_watertight(mesh.faces) and is_manifold(mesh.faces, len(mesh.vertices))
        counts.append(len(mesh.vertices))
        sizes.append(optimization.optimizer.param_groups[0]["lr"] / optimization.config.step_size)
    assert counts[:5] == [42] * 5 and len(set(counts[5:10])) == 1
    assert counts[5] > 2.5 * 42 and counts[10] > 2.5 * counts[5]
    assert sizes == [1.0] * 5 + [0.5] * 5 + [0.25] * 2


def test_the_edge_length_asked_for(begin):
    optimization = begin(steps=5, remesh_at=(1,), remesh_edge=0.05)
    run(optimization, 2)
    corners = optimization.mesh.corners()
    mean = float((corners - corners.roll(1, dims=1)).norm(dim=2).mean())
    assert mean == pytest.approx(0.05, rel=0.15)


def test_edges_of_continuous_remeshing():
    remeshing = ContinuousRemeshing(last_edge=0.01, first_edge=0.16, decline=0.5)
    lengths = [remeshing.edge(progress) for progress in (0, 0.125, 0.25, 0.5, 0.7, 1)]
    assert lengths == pytest.approx([0.16, 0.08, 0.04, 0.01, 0.01, 0.01])
    assert replace(remeshing, decline=0.0).edge(0) == pytest.approx(0.01)


CONTINUOUS = dict(
    optimizer="vector_adam",
    step_size=0.7,
    final_step_size=0.1,
    floor=0.3,
    remeshing=ContinuousRemeshing(last_edge=0.1, first_edge=0.4, decline=0.5, every=4),
)


@pytest.mark.parametrize("device", DEVICES)
def test_continuous_remeshing(begin, pictures, ball, device):
    light = Light(capture_light().to(device), len(pictures))
    start = icosphere(1, 0.6).to(device)
    optimization = begin(pictures.to(device), start, light, steps=40, **CONTINUOUS)
    sizes, counts = [], []
    while optimization.progress < 1:
        loss = optimization.step()
        sizes.append(optimization.optimizer.param_groups[0]["lr"])
        counts.append(len(optimization.positions.latent))
        if optimization.steps_done % 4 == 0:
            assert len(intersecting_faces(optimization.mesh)) == 0
    mesh = optimization.mesh
    corners = mesh.corners()
    assert float((corners - corners.roll(1, dims=1)).norm(dim=2).mean()) == pytest.approx(0.1, rel=0.15)
    assert optimization.remeshings == 10 and len(set(counts)) > 5 and counts[-1] > 10 * counts[0]
    assert is_watertight(mesh.faces) and is_manifold(mesh.faces, len(mesh.vertices))
    assert sizes[0] == pytest.approx(0.7 * 0.4) and sizes[20] == pytest.approx(0.7 * 0.1)
    assert sizes[-1] == pytest.approx(0.7 * 0.1 * (1 - 0.9 * 19 / 20))
    assert loss < 0.01 and distance(mesh, ball) < 0.01


def test_continuous_remeshing_keeps_moments_per_area_and_colours(begin):
    start = icosphere(2, 0.6)
    start = replace(start, colors=0.5 + 0.5 * start.vertices)
    config = CONTINUOUS | {"remeshing": ContinuousRemeshing(0.1, 0.1, every=3)}
    optimization = begin(start=start, steps=20, appearance=AppearanceConfig(learn_albedo=True), **config)
    run(optimization, 3)  # a remeshing, and three steps
    look = optimization.look_optimizers
    before = [o.state[o.param_groups[0]["params"][0]] for o in (optimization.optimizer, look[0])]
    light = look[1].state[optimization.light.coefficients]["exp_avg"].clone()
    colors, count = optimization.mesh.colors.mean(dim=0), len(optimization.positions.latent)
    optimization._remesh_continuously(ContinuousRemeshing(0.05, 0.05))
    assert len(optimization.positions.latent) > 2 * count
    look = optimization.look_optimizers
    after = [o.state[o.param_groups[0]["params"][0]] for o in (optimization.optimizer, look[0])]
    for old, new in zip(before, after, strict=True):
        assert float(new["step"]) == float(old["step"]) == 3
        total = old["exp_avg"].abs().sum(dim=0)
        # Four times as many vertices, each with a quarter of the area: the same sum.
        torch.testing.assert_close(new["exp_avg"].abs().sum(dim=0), total, rtol=0.1, atol=0)
        root = old["exp_avg_sq"].sqrt().sum()
        torch.testing.assert_close(new["exp_avg_sq"].sqrt().sum(), root, rtol=0.1, atol=0)
    torch.testing.assert_close(optimization.mesh.colors.mean(dim=0), colors, rtol=0.02, atol=0)
    assert torch.equal(look[1].state[optimization.light.coefficients]["exp_avg"], light)


def test_what_no_picture_shows_contracts(begin, ball):
    # A ball inside of the one that the pictures show has no gradient from them.
    radius = {}
    for smoothing in (0.0, 0.1):
        remeshing = ContinuousRemeshing(0.1, 0.1, every=5, smoothing=smoothing)
        settings = CONTINUOUS | {"remeshing": remeshing, "floor": 0.0}
        optimization = begin(start=join([ball, icosphere(2, 0.3)]), steps=3, **settings)
        run(optimization, 3)
        radii = optimization.mesh.vertices.norm(dim=1)
        radius[smoothing] = float(radii[radii < 0.42].mean())
        assert distance(largest_component(optimization.mesh), ball) < 0.02
    assert radius[0.0] == pytest.approx(0.3, rel=0.03) and radius[0.1] < 0.25


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(remeshing=ContinuousRemeshing(0.0)), "edge lengths"),
        (dict(remeshing=ContinuousRemeshing(0.1, every=0)), "one step"),
        (dict(remeshing=ContinuousRemeshing(0.1, decline=2.0)), "decline"),
        (dict(remeshing=ContinuousRemeshing(0.1, smoothing=-1.0)), "smoothing"),
        (dict(remeshing=ContinuousRemeshing(0.1), remesh_at=(3,)), "leave out remesh_at"),
        (dict(remeshing=ContinuousRemeshing(0.1), check_crossings=5), "check_crossings"),
    ],
)
def test_continuous_remeshing_that_is_set_up_wrongly(begin, settings, message):
    with pytest.raises(InputError, match=message):
        begin(**settings)


def test_a_surface_that_vanishes_is_an_error(begin):
    remeshing = ContinuousRemeshing(0.1, 0.4, every=2, smoothing=100.0)
    optimization = begin(start=icosphere(2, 0.6), steps=60, **(CONTINUOUS | {"remeshing": remeshing}))
    with pytest.raises(InputError, match="vanished before step"):
        run(optimization, 60)


def test_epochs_see_every_view(begin):
    optimization = begin(steps=50, views_per_step=2, seed=3)
    chosen = []
    for _ in range(12):
        chosen.append(optimization._choose_views().tolist())
        optimization.steps_done += 1
    for epoch in range(4):
        assert sorted(sum(chosen[3 * epoch : 3 * epoch + 3], [])) == list(range(6))
    assert len({tuple(views) for views in chosen}) > 3  # the order changes between epochs
    for wanted in (0, 6, 100):
        assert begin(views_per_step=wanted)._choose_views().tolist() == list(range(6))


@pytest.mark.parametrize(
    "settings",
    [
        dict(),
        dict(views_per_step=4, remesh_at=(2, 7)),
        dict(optimizer="momentum", step_size=100.0),
        dict(
            optimizer="adam", smoothness=0.0, appearance=AppearanceConfig(), views_per_step=4, remesh_at=(2,)
        ),
        dict(appearance=AppearanceConfig(learn_light=False)),
        dict(smoothness=0.0, step_size=0.2, check_crossings=3),
        dict(optimizer="vector_adam", step_size=0.7, remeshing=ContinuousRemeshing(0.2, 0.4, 0.5, 3)),
        dict(appearance=AppearanceConfig(), step_size=0.7, remeshing=ContinuousRemeshing(0.2, 0.4, 0.5, 2)),
    ],
)
def test_a_restored_run_ends_bit_identically(begin, settings):
    whole, first = begin(steps=10, **settings), begin(steps=10, **settings)
    run(whole, 10), run(first, 5)
    second = begin(steps=10, **settings)
    second.restore(first.state())
    assert second.steps_done == 5 and second.progress == 0.5
    assert second.seconds_spent == pytest.approx(first.seconds_spent)
    run(second, 5)
    expected, state = whole.state(), second.state()
    assert expected.keys() == state.keys()
    for name in expected.keys() - {"seconds_spent"}:
        assert torch.equal(expected[name], state[name]), name


def test_faces_do_not_cross_where_that_is_checked(begin):
    settings = dict(steps=12, smoothness=0.0, step_size=0.05, optimizer="adam", final_step_size=0.5)
    free = begin(**settings)
    run(free, 12)
    assert len(intersecting_faces(free.mesh)) > 10
    for checked in (begin(**settings, check_crossings=3), begin(**settings, check_crossings=100)):
        losses = run(checked, 12)
        assert len(intersecting_faces(checked.mesh)) == 0
        assert losses[-1] < losses[0]


def test_faces_that_cross_at_the_start_hold_up_no_others(begin):
    ball = icosphere(3, 0.7)
    twice = join([ball, Mesh(0.9 * ball.vertices + 0.1, ball.faces)])
    assert len(intersecting_faces(twice)) > 0
    first, second = (begin(start=twice, steps=4, check_crossings=1) for _ in range(2))
    run(first, 2)
    assert not torch.equal(first.mesh.vertices, twice.vertices)
    second.restore(first.state())
    run(first, 2), run(second, 2)
    assert torch.equal(first.mesh.vertices, second.mesh.vertices)


def test_a_state_without_checks_is_continued_with_checks(begin):
    first, second = begin(steps=6), begin(steps=6, check_crossings=2)
    run(first, 1)
    second.restore(first.state())
    run(first, 5), run(second, 5)
    assert len(intersecting_faces(second.mesh)) == 0
    torch.testing.assert_close(second.mesh.vertices, first.mesh.vertices)


def test_colours_survive_a_restore(begin, ball):
    red = Mesh(ball.vertices, ball.faces, torch.tensor([0.8, 0.2, 0.1]).expand(len(ball.vertices), 3).clone())
    first, second = begin(start=red, steps=5), begin(start=red, steps=5)
    first.step()
    second.restore(first.state())
    assert torch.equal(second.mesh.colors, red.colors)
    assert first.step() == second.step()


def test_light_and_albedo_are_learned(begin, ball, pictures):
    colors = torch.stack(
        [0.3 + 0.2 * ball.vertices[:, 0], *[torch.full((len(ball.vertices),), 0.4)] * 2], dim=1
    )
    targets = synthetic_targets(Mesh(ball.vertices, ball.faces, colors), pictures.cameras, capture_light())
    appearance = AppearanceConfig(learn_exposure=False, light_step=0.05, albedo_step=0.05)
    optimization = begin(targets, ball, Light(ambient_light(), 6), appearance, steps=60, step_size=0.0)
    losses = run(optimization, 60)
    assert losses[-1] < 0.1 * losses[0]
    assert torch.allclose(optimization.mesh.vertices, ball.vertices, atol=1e-5)
    found = optimization.mesh.colors
    assert float(torch.corrcoef(torch.stack([found[:, 0] / found[:, 1], colors[:, 0]]))[0, 1]) > 0.9


def test_nan_in_a_picture_is_named_with_step_and_view(begin, pictures):
    images = pictures.images.clone()
    images[4, 20, 20, 1] = torch.nan
    optimization = begin(replace(pictures, images=images), steps=5, views_per_step=3)
    with pytest.raises(InputError, match=r"step [01]\b.* view 4\b"):
        run(optimization, 2)


def test_nan_in_the_mesh_is_named_with_the_step(begin):
    optimization = begin(steps=5)
    optimization.step()
    with torch.no_grad():
        optimization.positions.latent[3] = torch.nan
    with pytest.raises(InputError, match=r"step 1\b.*vertices"):
        optimization.step()


def test_weights_hide_pixels(begin, pictures):
    spoiled = pictures.images.clone()
    spoiled[:, :24] = 7.0
    weights = torch.ones(pictures.images.shape[:3])
    weights[:, :24] = 0
    one = begin(replace(pictures, images=spoiled, weights=weights), steps=5)
    other = begin(replace(pictures, weights=weights), steps=5)
    assert run(one, 3) == run(other, 3)
    assert torch.equal(one.mesh.vertices, other.mesh.vertices)


RULES = ["gradient_descent", "momentum", "adam", "adam_uniform", "vector_adam"]


def begin(rule):
    parameters = [torch.ones(4, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)]
    return parameters, [make_optimizer(rule, [p], 0.1) for p in parameters]


def advance(parameters, optimizers, steps):
    for step in steps:
        for parameter, optimizer in zip(parameters, optimizers, strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step))
            optimizer.step()


@pytest.mark.parametrize("rule", RULES)
def test_through_a_file_and_on(rule):
    parameters, optimizers = begin(rule)
    advance(parameters, optimizers, range(3))
    stored = load(save(optimizer_tensors(optimizers)))
    resumed, others = begin(rule)
    with torch.no_grad():
        for new, old in zip(resumed, parameters, strict=True):
            new.copy_(old)
    restore_optimizers(others, stored)
    advance(parameters, optimizers, range(3, 6))
    advance(resumed, others, range(3, 6))
    for new, old in zip(resumed, parameters, strict=True):
        assert torch.equal(new, old)


def test_names():
    parameters, optimizers = begin("adam_uniform")
    assert optimizer_tensors(optimizers) == {}
    advance(parameters, optimizers, range(1))
    names = {f"optimizer.{n}.0.{m}" for n in (0, 1) for m in ("step", "exp_avg", "exp_avg_sq")}
    assert set(optimizer_tensors(optimizers)) == names


def test_other_tensors_are_left_alone():
    parameters, optimizers = begin("adam")
    restore_optimizers(optimizers, {"latent": torch.zeros(3), "faces": torch.zeros(2)})
    assert optimizer_tensors(optimizers) == {}
    advance(parameters, optimizers, range(1))
    fresh, others = begin("adam")
    advance(fresh, others, range(1))
    assert all(torch.equal(new, old) for new, old in zip(parameters, fresh, strict=True))

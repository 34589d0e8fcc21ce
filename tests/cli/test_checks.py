"""Options that are out of range or do not apply are refused by a sentence, before anything is read."""

import dataclasses
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bozzetto.cli import main
from bozzetto.cli.autoencode import Autoencode
from bozzetto.cli.checks import OnlyFor, Within, options_of
from bozzetto.cli.complete import Complete
from bozzetto.cli.data import Data
from bozzetto.cli.demo import Demo
from bozzetto.cli.denoise import Denoise
from bozzetto.cli.doctor import Doctor
from bozzetto.cli.evaluate import Evaluate
from bozzetto.cli.heightmap import Heightmap
from bozzetto.cli.interpolate import Interpolate
from bozzetto.cli.prepare import Prepare
from bozzetto.cli.reconstruct import Reconstruct
from bozzetto.cli.sample import Sample
from bozzetto.cli.surface import Surface
from bozzetto.cli.train import Train
from bozzetto.errors import InputWarning

NOWHERE = Path("nowhere")
WORKS = {
    "reconstruct": Reconstruct(photos=NOWHERE),
    "heightmap": Heightmap(images=(NOWHERE,)),
    "complete": Complete(scan=NOWHERE),
    "interpolate": Interpolate(a="a", b="b"),
    "sample": Sample(),
    "autoencode": Autoencode(cloud=NOWHERE),
    "denoise": Denoise(cloud=NOWHERE),
    "surface": Surface(cloud=NOWHERE),
    "demo": Demo(),
    **{f"train {e}": Train(engine=e, data=NOWHERE) for e in ("sdf", "score", "heightmap")},
    "prepare sdf": Prepare(kind="sdf", data=NOWHERE),
    **{
        f"evaluate {what}": Evaluate(what=what, pred=NOWHERE, ref=NOWHERE)
        for what in ("heightmap", "surface", "points", "generation")
    },
    **{f"data {action}": Data(action=action) for action in ("list", "get")},
    "doctor": Doctor(),
}
DATA = {
    "train": ["nowhere"],
    "prepare": ["nowhere"],
    "evaluate": ["nowhere", "nowhere"],
    "interpolate": ["a", "b"],
}
UNNAMED = {"doctor", "sample", "demo", "data list", "data get"}


def command(work: str) -> list[str]:
    """The shortest command line of a work."""
    return [*work.split(), *([] if work in UNNAMED else DATA.get(work.split()[0], ["nowhere"]))]


def types_of(verb, name: str) -> tuple:
    """What the type of a field is made of: int, float, bool, choices, ..."""

    def parts(hint):
        inner = typing.get_args(hint)
        return (
            [hint]
            if typing.get_origin(hint) is typing.Literal or not inner
            else [p for i in inner for p in parts(i)]
        )

    return tuple(parts(typing.get_type_hints(type(verb))[name]))


def fields_of(verb):
    """Options with the name and type of their fields."""
    return [
        (field.name, option, types_of(verb, field.name))
        for field, option in zip(dataclasses.fields(verb), options_of(verb), strict=True)
    ]


NUMBERS = [
    (work, name)
    for work, verb in WORKS.items()
    for name, _, kinds in fields_of(verb)
    if {int, float} & set(kinds)
]
FOREIGN = [
    (work, name)
    for work, verb in WORKS.items()
    for name, option, _ in fields_of(verb)
    if any(verb.task not in mark.tasks for mark in option.annotations_of(OnlyFor))
]


@pytest.mark.parametrize("work, name", NUMBERS)
def test_every_number_has_bounds(work, name, capsys):
    """NaN, infinity, numbers below zero and absurd ones are refused, whatever the option."""
    verb = WORKS[work]
    option, kinds = next((o, k) for n, o, k in fields_of(verb) if n == name)
    assert len(list(option.annotations_of(Within))) == 1
    for value in ("nan", "inf", "-inf") if float in kinds else ("-10000000000000", "10000000000000", "-1"):
        words = [option.name, "0", "0", value] if name == "viewpoint" else [f"{option.name}={value}"]
        if words[-1] == "-inf":
            continue  # an option of its own to the parser of words
        assert main([*command(work), *words]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1 and option.name in output.err


def another(value, kinds):
    """What is not the default, and in range."""
    choices = next((typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is typing.Literal), ())
    if choices:
        return next(choice for choice in choices if choice != value)
    if bool in kinds:
        return not value
    return (value or 0) + 2 if {int, float} & set(kinds) else Path("other")


@pytest.mark.parametrize("work, name", FOREIGN)
def test_options_of_other_works_are_refused(work, name, capsys):
    verb = WORKS[work]
    option, kinds = next((o, k) for n, o, k in fields_of(verb) if n == name)
    value = another(option.value, kinds)
    assert main([*command(work), option.name, *([] if value is True else [str(value)])]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.startswith(f"bozzetto: {option.name} is for ")
    assert output.err.endswith("leave it out\n") and output.err.count("\n") == 1


def test_some_options_are_foreign():
    assert {("train sdf", "frame"), ("train score", "split"), ("evaluate points", "train")} <= set(FOREIGN)


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("train sdf DATA --preset imagenet", "train sdf has no --preset imagenet"),
        ("train score DATA --preset single", "train score has no --preset single"),
        ("train heightmap DATA --preset single", "train heightmap has no --preset single"),
        ("train heightmap procedural --ship-only", "--ship-only"),
        ("train heightmap procedural --held-out 3", "--held-out"),
        ("train heightmap DATA --synthetic 0 --store DIR", "--store"),
        ("complete SCAN --pose known --up z", "--up is for --pose solve"),
        ("complete SCAN --pose known --turns 4", "--turns is for --pose solve"),
        ("autoencode CLOUD --hypotheses 2 --start point", "--start"),
        ("autoencode CLOUD --hypotheses 2 --evaluations 5", "--evaluations"),
        ("autoencode CLOUD --hypotheses 2 --independent", "--independent"),
        ("heightmap PHOTO --lights FILE", "--lights needs --stereo"),
        ("heightmap PHOTO --faces 0 --wrap cylinder", "--wrap"),
        ("heightmap PHOTO --faces 1", "--faces must be 0 or lie in 2 to"),
        ("interpolate a b --prior cloud-bodies --path spherical", "--path is for priors over meshes"),
        ("interpolate a b --prior cloud-bodies --up z", "--up is for priors over meshes"),
        ("interpolate a b --prior cloud-bodies --resolution 64", "--resolution is for priors over meshes"),
        ("interpolate a b --up z", "--up is for meshes and scans"),
        ("sample --count 100000 --points 100000", "points"),
        ("doctor --masks alpha", "--masks is for a CAPTURE"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, sentence, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    output = capsys.readouterr()
    assert output.out == "" and sentence in output.err and output.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", WORKS.values(), ids=WORKS)
def test_what_is_not_given_is_not_refused(verb):
    verb.check()


def test_refusing_imports_nothing_heavy():
    script = (
        "import sys\nfrom bozzetto.cli import main\n"
        "codes = [main(words.split()) for words in ('train sdf x --preset imagenet', 'sample --count 0')]\n"
        "heavy = {'torch', 'warp', 'scipy'} & set(sys.modules)\n"
        "sys.exit(0 if codes == [2, 2] and not heavy else f'{codes} {heavy}')"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stderr=subprocess.DEVNULL)


@given(low=st.integers(-9, 9), size=st.integers(0, 9), value=st.floats(), above=st.booleans())
def test_bounds(low, size, value, above):
    bounds = Within(low, low + size, above)
    expected = low <= value <= low + size and not (above and value == low)
    assert bounds.holds(value) == expected
    assert Within(low, low + size, above, also=99).holds(99)


def test_weights_are_not_used_for_photometric_stereo():
    with pytest.warns(InputWarning, match="--weights is not used with --stereo"):
        Heightmap(images=(NOWHERE,), stereo=True, weights="heights").check()


@pytest.mark.parametrize("verb", ["denoise", "surface", "complete"])
def test_noise_larger_than_the_shape_is_refused(verb, tmp_path, capsys):
    points = np.random.default_rng(0).normal(size=(60, 3))
    np.savetxt(tmp_path / "ball.xyz", 3 * points / np.linalg.norm(points, axis=1, keepdims=True))
    words = [verb, str(tmp_path / "ball.xyz"), "--out", str(tmp_path / "out")]
    assert main([*words, "--noise", "1e6"]) == 2
    assert "--noise 1e+06 is as large as" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

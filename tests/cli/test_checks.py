"""Options that are out of range or do not apply are refused by a sentence, before anything is read."""

import importlib
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st

from bozzetto.cli import VERBS, main, parse
from bozzetto.cli.checks import Formerly, Within, options_of
from bozzetto.cli.heightmap import Heightmap
from bozzetto.errors import InputWarning

NOWHERE = Path("nowhere")
POSITIONAL = {
    "cite": ["sdf"],
    "interpolate": ["a", "b"],
    "prepare": ["sdf", "nowhere"],
    "data get": ["nowhere"],
    **{f"train {engine}": ["nowhere"] for engine in ("sdf", "score", "heightmap")},
    **{f"evaluate {what}": ["a", "b"] for what in ("surface", "points", "heightmap", "generation")},
    **{name: [] for name in ("doctor", "sample", "demo", "data list")},
}
"""Arguments of the verbs that take no single file."""


def command(name: str) -> list[str]:
    """The shortest command line of a verb."""
    return [*name.split(), *POSITIONAL.get(name, ["nowhere"])]


def takes(option, kind: type) -> bool:
    """Whether an option is a number or several of this type."""
    kinds = {option.kind, *typing.get_args(option.kind)}
    return kind in kinds | {inner for one in kinds for inner in typing.get_args(one)}


NUMBERS = [
    (name, option.name)
    for name, verb in VERBS.items()
    for option in options_of(verb)
    if takes(option, int) or takes(option, float)
]
FOREIGN = sorted(
    {
        (name, option.name)
        for name in VERBS
        for other, verb in VERBS.items()
        for option in options_of(verb)
        if name.split()[0] == other.split()[0]
        and tyro.conf.Positional not in option.annotations
        and option.name not in {one.name for one in options_of(VERBS[name])}
    }
)
FORMER = [
    (name, option.name, one.name)
    for name, verb in VERBS.items()
    for option in options_of(verb)
    for one in option.annotations
    if isinstance(one, Formerly)
]


def option_of(name: str, option: str):
    return next(one for one in options_of(VERBS[name]) if one.name == option)


@pytest.mark.parametrize("name, option", NUMBERS)
def test_every_number_has_bounds(name, option, capsys):
    """NaN, infinity, numbers below zero and absurd ones are refused, whatever the option."""
    found = option_of(name, option)
    assert sum(isinstance(one, Within) for one in found.annotations) == 1
    for value in (
        ("nan", "inf", "-inf") if takes(found, float) else ("-10000000000000", "10000000000000", "-1")
    ):
        words = [option, "0", "0", value] if option == "--viewpoint" else [f"{option}={value}"]
        if words[-1] == "-inf":
            continue  # an option of its own to the parser of words
        assert main([*command(name), *words]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == 1 and option in output.err


@pytest.mark.parametrize("name, option", FOREIGN)
def test_options_of_other_verbs_of_the_family_are_refused(name, option, capsys):
    for words in ([option], [option, "1"], [f"{option}=1"]):
        assert main([*command(name), *words]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.startswith(f"bozzetto: {option} is for ")
        assert output.err.endswith(f"not for {name}; leave it out\n") and output.err.count("\n") == 1


def test_some_options_are_foreign():
    expected = {("train sdf", "--frame"), ("train score", "--split"), ("evaluate points", "--train")}
    assert expected <= set(FOREIGN)


def test_former_names_of_options_are_still_taken():
    assert {("surface", "--boundary", "--ends"), ("complete", "--yaw-starts", "--turns")} <= set(FORMER)
    for name, option, former in FORMER:
        found = option_of(name, option)
        value = [] if found.is_flag else [found.choices[-1] if found.choices else "16"]
        verbs = [parse([*command(name), word, *value]) for word in (option, former)]
        assert verbs[0] == verbs[1] and found.is_given(verbs[1])
        assert former not in {other.name for other in options_of(VERBS[name])}


@pytest.mark.parametrize("engine", ["sdf", "score", "heightmap"])
def test_presets_are_those_of_the_engine(engine):
    presets = importlib.import_module(f"bozzetto.{engine}.config").PRESETS
    assert set(option_of(f"train {engine}", "--preset").choices) == set(presets)


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("denoise x --noize 3", "denoise has no option --noize; did you mean --noise?"),
        ("denoise x --zzz", "denoise has no option --zzz; see bozzetto denoise --help"),
        ("denoise x --noise abc", "--noise must be a number, got 'abc'"),
        ("denoise x --iterations 1.5", "--iterations must be a whole number, got '1.5'"),
        ("denoise x --device tpu", "denoise has no --device tpu; choose auto, cpu or cuda"),
        ("denoise", "denoise needs CLOUD; see bozzetto denoise --help"),
        ("evaluate points a", "evaluate points needs PRED and REF"),
        ("denoise x y", "Unrecognized options: y; see bozzetto denoise --help"),
        ("surfaec x", "bozzetto has no surfaec; did you mean surface?"),
        ("train x", "the word after bozzetto train is x; it must be one of sdf, score, heightmap"),
        ("train", "the word after bozzetto train is missing"),
        ("--quiet", "the word after bozzetto is missing"),
    ],
)
def test_wrong_words_are_a_sentence(words, sentence, capsys):
    assert main(words.split()) == 2
    output = capsys.readouterr()
    assert output.out == "" and sentence in output.err and output.err.count("\n") == 1


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("train sdf DATA --preset imagenet", "train sdf has no --preset imagenet"),
        ("train score DATA --preset single", "train score has no --preset single"),
        ("train heightmap DATA --preset single", "train heightmap has no --preset single"),
        ("train heightmap procedural --redistributable-only", "--redistributable-only"),
        ("train heightmap procedural --held-out 3", "--held-out"),
        ("train heightmap DATA --procedural-samples 0 --cache-dir DIR", "--cache-dir"),
        ("complete SCAN --pose known --up z", "--up is for --pose solve"),
        ("complete SCAN --pose known --yaw-starts 4", "--yaw-starts is for --pose solve"),
        ("autoencode CLOUD --hypotheses 2 --start point", "--start"),
        ("autoencode CLOUD --hypotheses 2 --evaluations 5", "--evaluations"),
        ("autoencode CLOUD --hypotheses 2 --iid", "--iid"),
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


@pytest.mark.parametrize("name", VERBS)
def test_what_is_not_given_is_not_refused(name):
    parse(command(name)).check()


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

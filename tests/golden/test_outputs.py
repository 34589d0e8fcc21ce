"""Shipped models give what they gave when they were shipped."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch

from bozzetto import weights
from bozzetto.heightmap.mobile_encoder import imagenet_is_installed

FOLDER = Path(__file__).parent
spec = importlib.util.spec_from_file_location("golden_outputs", FOLDER / "outputs.py")
assert spec and spec.loader
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)
STORED = json.loads(golden.STORED.read_text())
SHIPPED = sorted(path.stem for path in Path(weights.__file__).parent.glob("*.safetensors"))


def test_every_shipped_model_is_held():
    assert sorted(STORED) == sorted(golden.OUTPUTS) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_gives_what_it_gave(name):
    if name == "heights-imagenet" and not imagenet_is_installed():
        pytest.skip("needs bozzetto[imagenet]")
    found, stored = golden.output(name), torch.tensor(STORED[name])
    assert found.shape == stored.shape
    # Other processors round in another order; a network that was trained anew differs in the first digit.
    torch.testing.assert_close(found, stored, rtol=0, atol=2e-3 * float(stored.abs().max()))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_names_the_command_that_makes_the_weights(name):
    card = (Path(weights.__file__).parent / f"{name}.md").read_text()
    command = re.search(r"\| command \| `python -m (benchmarks[\w.]+)[^`]*` \|", card)
    assert command, f"{name}.md names no command"
    assert (FOLDER.parents[1] / f"{command[1].replace('.', '/')}.py").is_file()

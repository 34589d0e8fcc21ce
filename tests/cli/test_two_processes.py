"""Trainings in two processes under `torchrun`, one after the other in the same two, which start slowly."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.cli import main
from bozzetto.datasets.synthetic.materials import make_sample
from bozzetto.sdf import load_prior
from bozzetto.shapes import box, icosphere, save_mesh, torus

SCRIPT = """
import json, sys
from bozzetto.__main__ import main
for words in json.load(open(sys.argv[1])):
    sys.argv[1:] = words
    if main() != 0:
        sys.exit(1)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A prior of meshes, a model of clouds and a network for heights; and what was said meanwhile."""
    folder = tmp_path_factory.mktemp("two")
    for name, mesh in (("ball", icosphere(2)), ("box", box((1.0, 0.6, 0.8))), ("ring", torus(0.7, 0.3))):
        save_mesh(mesh, folder / "meshes" / f"{name}.ply")
    prepared = ["--samples", "2000", "--out", str(folder / "prepared"), "--quiet"]
    assert main(["prepare", "sdf", str(folder / "meshes"), *prepared]) == 0
    angle = torch.rand(5, 300, generator=torch.Generator().manual_seed(0)) * 2 * torch.pi
    np.save(folder / "rings.npy", torch.stack([angle.cos(), 0.5 * angle.sin()], dim=2).numpy())
    for number, name in enumerate(("bark", "gravel", "wall")):
        sample = make_sample(0, number, 48)
        (folder / "photos" / name).mkdir(parents=True)
        Image.fromarray(sample.color).save(folder / "photos" / name / "color.png")
        Image.fromarray(sample.height).save(folder / "photos" / name / "height.png")
    commands = (
        ("sdf", "prepared", "--epochs", "4"),
        ("score", "rings.npy", "--epochs", "6"),
        ("heightmap", "photos", "--procedural-samples", "0", "--steps", "2"),
    )
    words = [
        ["train", engine, str(folder / data), *more, "--out", str(folder / engine)]
        for engine, data, *more in commands
    ]
    (folder / "words.json").write_text(json.dumps(words))
    (folder / "script.py").write_text(SCRIPT)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, folder / "script.py", folder / "words.json"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def figures(folder, engine):
    return json.loads((folder / engine / "report.json").read_text())["figures"]


def test_two_processes_train_one_prior(trained):
    folder, said = trained
    assert said.count("Prior:") == 1
    # Both processes take all shapes in a step, so that four passes are two steps.
    assert len(load_prior(folder / "sdf" / "prior.safetensors").codes) == 3
    assert figures(folder, "sdf")["steps"] == 2


def test_two_processes_train_one_model(trained):
    folder, said = trained
    assert said.count("Model:") == 1
    assert figures(folder, "score")["steps"] == 3  # both processes take all four shapes in a step


def test_two_processes_train_one_network(trained):
    folder, said = trained
    assert said.count("Network:") == 1
    assert figures(folder, "heightmap")["steps"] == 2
    assert (folder / "heightmap" / "heights.safetensors").is_file()

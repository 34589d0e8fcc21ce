import random

import numpy as np
import pytest
import torch

from bozzetto.errors import InputError
from bozzetto.runs import environment, resolve_device, seed_everything


def test_seed_repeats_every_generator():
    def draw() -> list[float]:
        seed_everything(5)
        return [random.random(), np.random.rand(), float(torch.rand(()))]

    assert draw() == draw()


def test_device():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            resolve_device("cuda")


def test_environment_names_versions():
    versions = environment()["versions"]
    assert versions["torch"] == torch.__version__  # with the device it was built for, as in 2.6.0+cpu
    assert versions["numpy"] == np.__version__

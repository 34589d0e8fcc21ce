"""Switches run-time shape checking on for every module of the library except Warp kernels.

Warp compiles the source of a kernel and reads its annotations, so a kernel cannot be wrapped. Kernels live in
files named `*kernels.py`, which this leaves out. With BOZZETTO_TYPE_CHECKS=0 nothing is checked.
"""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several processes would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import jaxtyping
import numpy as np
import pytest
from beartype import BeartypeConf, beartype
from PIL import Image

import bozzetto

ROOT = Path(bozzetto.__file__).parent


def _checked_modules() -> list[str]:
    paths = [p.relative_to(ROOT.parent) for p in ROOT.rglob("*.py")]
    checked = [p for p in paths if p.stem != "__init__" and not p.stem.endswith("kernels")]
    return [".".join(p.with_suffix("").parts) for p in checked]


# An int is good where a float is asked for (PEP 484). The hook takes a name, hence a module.
_checker = sys.modules["bozzetto_type_checker"] = ModuleType("bozzetto_type_checker")
_beartyped = beartype(conf=BeartypeConf(is_pep484_tower=True))
_nested: dict[object, Callable[..., object]] = {}


def _check(signature: Callable[..., object]) -> Callable[..., object]:
    """Makes an empty function with the signature of a checked one check its arguments.

    Functions inside functions are made anew, thousands of times in a run of the tests. What checks them depends
    on nothing but their signature, so it is made once: this saves a fifth of the time.
    """
    if "<locals>" not in signature.__qualname__ or signature.__defaults__ or signature.__kwdefaults__:
        return _beartyped(signature)
    key = (signature.__module__, signature.__qualname__, *signature.__annotations__.items())
    if key not in _nested:
        _nested[key] = _beartyped(signature)
    return _nested[key]


_checker.check = _check
if os.environ.get("BOZZETTO_TYPE_CHECKS") != "0":
    jaxtyping.install_import_hook(_checked_modules(), "bozzetto_type_checker.check")


@pytest.fixture
def coarse_completion(monkeypatch) -> None:
    """Grids on which completed surfaces are settled and cut that are coarse enough for simple shapes."""
    from bozzetto.sdf import completed_surface, solver

    monkeypatch.setattr(solver, "SETTLING_RESOLUTION", 48)
    monkeypatch.setattr(completed_surface, "cut", partial(completed_surface.cut, side=48))


@pytest.fixture(scope="session")
def picture():
    """Writes a picture of noise and returns its path."""

    def make(path, size=(40, 32), mode="RGB", seed=0):
        rng = np.random.default_rng(seed)
        channels = {"RGB": 3, "RGBA": 4, "L": 1, "CMYK": 4}[mode]
        pixels = rng.integers(0, 256, (size[1], size[0], channels), np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.frombytes(mode, size, pixels.tobytes())
        image.save(path)
        return path

    return make

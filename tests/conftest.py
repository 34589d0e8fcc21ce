"""Switches run-time shape checking on for every module of the library except Warp kernels.

Warp compiles the source of a kernel and reads its annotations, so a kernel cannot be wrapped. Kernels live in
files named `*kernels.py`, which this leaves out.
"""

import sys
from pathlib import Path
from types import ModuleType

import jaxtyping
from beartype import BeartypeConf, beartype

import bozzetto

ROOT = Path(bozzetto.__file__).parent


def _checked_modules() -> list[str]:
    paths = [p.relative_to(ROOT.parent) for p in ROOT.rglob("*.py")]
    checked = [p for p in paths if p.stem != "__init__" and not p.stem.endswith("kernels")]
    return [".".join(p.with_suffix("").parts) for p in checked]


# An int is good where a float is asked for (PEP 484). The hook takes a name, hence a module.
_checker = sys.modules["bozzetto_type_checker"] = ModuleType("bozzetto_type_checker")
_checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
jaxtyping.install_import_hook(_checked_modules(), "bozzetto_type_checker.check")

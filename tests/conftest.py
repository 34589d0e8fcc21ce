"""Switches run-time shape checking on for every module of the library except Warp kernels.

Warp compiles the source of a kernel and reads its annotations, so a kernel cannot be wrapped. Kernels live in
files named `*kernels.py`, which this leaves out.
"""

from pathlib import Path

import jaxtyping

import bozzetto

ROOT = Path(bozzetto.__file__).parent


def _checked_modules() -> list[str]:
    paths = [p.relative_to(ROOT.parent) for p in ROOT.rglob("*.py")]
    checked = [p for p in paths if p.stem != "__init__" and not p.stem.endswith("kernels")]
    return [".".join(p.with_suffix("").parts) for p in checked]


jaxtyping.install_import_hook(_checked_modules(), "beartype.beartype")

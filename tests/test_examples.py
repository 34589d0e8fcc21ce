"""The numbered examples run as they are."""

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))


PRINTED = {
    "01_load_measure_save": r"watertight: True, Euler number: 0\n",
    "02_render_a_picture": r"^3\d% of the picture is covered; wrote torus\.png\n",
    "03_fit_a_mesh": r"^sphere: mean distance 0\.05\d+\nfitted: mean distance 0\.00[01]\d\n",
    "04_heights_from_photos_under_lights": r"height: (0\.999\d|1\.0000)\n.* albedo: 0\.00\d\d\n",
    "05_keep_a_shape_as_a_code": r"^64 numbers found in \d+ iterations\nmean distance: 0\.00[0-3]\d\n",
    "06_clean_a_cloud_and_invent_some": r"^noise: 0\.0(19|2[01]) .*\n.*: 0\.00\d\d\ninvented: \(2, 1000, 3\)\n",
}
"""What the output of each holds."""


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script)])
    runpy.run_path(str(script), run_name="__main__")
    assert re.search(PRINTED[script.stem], capsys.readouterr().out)

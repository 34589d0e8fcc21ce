"""The paper map is that of the docstrings, and names what a reader of the papers looks for."""

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

import bozzetto
from bozzetto.citations import ENGINES, REFERENCES, cited_by

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("make_paper_map", ROOT / "docs" / "make_paper_map.py")
assert spec and spec.loader
paper_map = sys.modules["make_paper_map"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(paper_map)
FOUND = paper_map.entries(Path(bozzetto.__file__).parent)  # the tests of a wheel have no sources beside them
PARTS = {(entry.label, f"{entry.file}: {entry.name}"): entry.part for entry in FOUND}

LARGE_STEPS, ANTIALIASING = "Nicolet et al. 2021", "Laine et al. 2020"
DEEPSDF, SHAPEGF, HEIGHTS = "Park et al. 2019", "Cai et al. 2020", "Height study 2025"
EDM = "Karras et al. 2022"
REQUIRED = [
    (LARGE_STEPS, "equations 8 and 9", "inverse/model.py: Preconditioner"),
    (LARGE_STEPS, "equation 9", "inverse/model.py: Preconditioner.from_latent"),
    (LARGE_STEPS, "as released: the matrix", "inverse/model.py: smoothness_from_alpha"),
    (LARGE_STEPS, "section 4.3", "inverse/optimizers.py: AdamUniform"),
    (LARGE_STEPS, "section 4", "inverse/optimize.py: Optimization"),
    (LARGE_STEPS, "figures 1, 3 and 5", "inverse/optimize.py: Optimization._remesh"),
    (LARGE_STEPS, "the combinatorial Laplacian", "geometry/laplacian.py: laplacian"),
    (LARGE_STEPS, "the baselines", "inverse/losses.py: SmoothnessPenalty"),
    (LARGE_STEPS, "the shading", "rendering/lighting.py: shade"),
    (LARGE_STEPS, "the L1 and L2 losses", "rendering/losses.py: ImageLoss"),
    (ANTIALIASING, "section 3.6", "rendering/antialiasing.py: compose"),
    (ANTIALIASING, "section 3.6", "rendering/reference.py: antialias"),
    (DEEPSDF, "equation 4", "sdf/losses.py: clamped_l1"),
    (DEEPSDF, "equation 9", "sdf/losses.py: code_penalty"),
    (DEEPSDF, "equation 9", "sdf/train.py: Training.loss"),
    (DEEPSDF, "section 4.2, equation 10", "sdf/fit_code.py: fit_code"),
    (DEEPSDF, "equation 10", "sdf/fit_code.py: published_fit_loss"),
    (DEEPSDF, "section 4, as released", "sdf/model.py: ConcatenatingDecoder"),
    (DEEPSDF, "section 5", "sdf/prepare_shape.py: prepare_shape"),
    (DEEPSDF, "section 6.3", "sdf/complete.py: complete"),
    (DEEPSDF, "the measures", "metrics/surface.py: SurfaceScores"),
    (SHAPEGF, "section 3.1", "score/data.py: log_density"),
    (SHAPEGF, "equation 4", "score/losses.py: denoising_score_matching"),
    (SHAPEGF, "lambda(sigma) of equation 4", "score/model.py: ResidualModel.weight"),
    (SHAPEGF, "algorithm 1", "score/solvers.py: annealed_langevin"),
    (SHAPEGF, "section 4.1", "score/raycast.py: cast_rays"),
    (SHAPEGF, "section 4.3", "score/latent.py: fit_latent_gan"),
    (SHAPEGF, "as released", "score/model.py: ResidualModel"),
    (HEIGHTS, "its loss", "heightmap/losses.py: published_loss"),
    (HEIGHTS, "its network", "heightmap/model.py: PublishedNetwork"),
    (HEIGHTS, "its co-occurrence measure", "metrics/heightmap.py: glcm_features"),
    (HEIGHTS, "its edge measure", "metrics/heightmap.py: canny_8bit"),
    ("Zhang et al. 2018", "LPIPS", "heightmap/losses.py: PerceptualDistance"),
    (EDM, "table 1", "score/model.py: GridModel.denoise"),
    (EDM, "table 1", "score/model.py: GridModel.weight"),
    (EDM, "equation 5", "score/solvers.py: noise_levels"),
    (EDM, "equation 1", "score/solvers.py: draw_points"),
    ("Lu et al. 2022", "algorithm 2", "score/solvers.py: draw_points"),
    ("Ling et al. 2022", "the update rule", "inverse/optimizers.py: VectorAdam"),
    ("Kazhdan and Hoppe 2013", "equation 4", "geometry/poisson.py: screened_poisson"),
    ("Botsch and Kobbelt 2004", "section 4", "geometry/remesh.py: remesh"),
    ("Garland and Heckbert 1997", "the quadric error", "geometry/simplify.py: simplify"),
    ("Pinkall and Polthier 1993", "the Dirichlet energy", "geometry/laplacian.py: cotangent_laplacian"),
    ("Bertsekas 1992", "the auction", "metrics/earth_mover.py: earth_mover"),
]


def test_the_page_is_that_of_the_docstrings():
    page = paper_map.PAGE.read_text(encoding="utf-8")
    assert page == paper_map.page(FOUND, REFERENCES), "run `python docs/make_paper_map.py`"


@pytest.mark.parametrize("label, part, place", REQUIRED, ids=lambda text: text)
def test_what_a_reader_looks_for_is_there(label, part, place):
    assert PARTS[label, place].startswith(part)


def test_every_publication_is_used():
    assert {reference.label for reference in REFERENCES} == {entry.label for entry in FOUND}


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_files_of_an_engine_name_is_cited_for_it(engine):
    named = {entry.label for entry in FOUND if entry.file.startswith(f"{engine}/")}
    assert named
    assert named <= {reference.label for reference in cited_by(engine)}


def test_the_gradient_of_outlines_is_written_where_the_map_sends_to():
    from bozzetto.rendering import compose

    assert "dd/da = s (1 - t) n" in (compose.__doc__ or "") and "rendering/reference.py" in (
        compose.__doc__ or ""
    )


def test_a_tag_has_up_to_three_parts():
    text = """Distances. More.

    Source: Park et al. 2019, equation 4. Differs: it is
    longer.

    Source: Moller 1997."""
    assert paper_map.tags(inspect.cleandoc(text), "here") == [
        ("Park et al. 2019", "equation 4", "Distances", "it is longer."),
        ("Moller 1997", "", "Distances", ""),
    ]


def test_what_only_begins_like_a_tag_is_refused():
    with pytest.raises(ValueError, match="here: not"):
        paper_map.tags("Distances.\n\nSource: the paper, equation 4.", "here")


def test_an_unknown_publication_is_refused():
    with pytest.raises(ValueError, match="not in bozzetto.citations: Nobody 1900"):
        paper_map.page([paper_map.Entry("Nobody 1900", "", "", "a.py", "f", "")], REFERENCES)

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bozzetto import InputError
from bozzetto.shapes import Mesh, icosphere
from bozzetto.viewer import Gallery, packed_mesh, unpacked_mesh

VOID = {"meta", "img", "link", "br", "input", "hr"}


class Outline(HTMLParser):
    """Collects elements and texts, and fails on tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]


def example() -> Gallery:
    sphere = icosphere(2)
    colored = Mesh(sphere.vertices, sphere.faces, sphere.vertices.abs())
    gallery = Gallery("Spheres & <friends>", "A subtitle")
    gallery.text("First.\n\nSecond <b>.", heading="Section")
    gallery.picture(torch.rand(8, 6, 3), "noise").mesh(colored, "a ball", up=(0, 0, 1), link="pair")
    return gallery.table({"distance": 0.123456, "watertight": True, "faces": 12345})


def test_page_is_well_formed_and_complete():
    outline = Outline(example().html())
    assert len(outline.all("h1")) == len(outline.all("main")) == 1
    assert len(outline.all("figure")) == 3
    texts = [text for _, text in outline.texts]
    assert "Spheres & <friends>" in texts and "Second <b>." in texts  # escaped, so they arrive as text
    assert outline.all("img")[0]["alt"] == "noise"
    assert [t for tag, t in outline.texts if tag == "td"] == ["0.1235", "yes", "12,345"]


def test_page_refers_to_nothing_outside_itself():
    page = example().html()
    assert not re.search(r"https?:|//[a-z]+\.|@import|fetch\(|XMLHttpRequest|import\(", page)
    outline = Outline(page)
    for _, attrs in outline.elements:
        assert not attrs.get("src") or attrs["src"].startswith("data:")
        assert "href" not in attrs
    assert "{{" not in page


def test_embedded_mesh_is_the_mesh():
    outline = Outline(example().html())
    about = json.loads(next(attrs["data-mesh"] for attrs in outline.all("div") if "data-mesh" in attrs))
    data = next(text for tag, text in outline.texts if tag == "script" and "'" not in text)
    mesh, sphere = unpacked_mesh({**about, "data": data}), icosphere(2)
    assert torch.equal(mesh.faces, sphere.faces)
    torch.testing.assert_close(mesh.vertices, sphere.vertices, atol=2e-5, rtol=0)
    assert mesh.colors is not None
    assert about["up"] == [0, 0, 1] and about["link"] == "pair"


def test_pictures_arrive_pixel_by_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    page = Gallery("x").picture(pixels / 255, "array").picture(tmp_path / "a.png", "file", wide=True).html()
    images = Outline(page).all("img")
    assert len(images) == 2
    for image in images:
        data = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    grey = Gallery("x").picture(np.ones((2, 2, 1))).html()
    assert len(Outline(grey).all("img")) == 1


def test_tables_with_columns_show_what_is_missing():
    page = Gallery("x").table({"mean": {"ours": 1.0, "hull": 2.0}, "max": {"ours": 3.0}}, "note").html()
    outline = Outline(page)
    assert [t for tag, t in outline.texts if tag == "th"] == ["ours", "hull", "mean", "max"]
    assert [t for tag, t in outline.texts if tag == "td"] == ["1", "2", "3", "–"]


def test_content_that_looks_like_the_template_stays_content():
    outline = Outline(Gallery("{{body}}").text("{{script}} </script>").html())
    assert "{{body}}" in [t for tag, t in outline.texts if tag == "h1"]
    assert "{{script}} </script>" in [t for tag, t in outline.texts if tag == "p"]


def test_saving_to_a_folder_or_a_file(tmp_path):
    assert Gallery("x").save(tmp_path / "deep" / "page").name == "index.html"
    path = Gallery("x").save(tmp_path / "page.html")
    assert path == tmp_path / "page.html" and "<title>x</title>" in path.read_text()


def test_bad_input_is_refused(tmp_path):
    gallery = Gallery("x")
    with pytest.raises(InputError, match="shape"):
        gallery.picture(np.zeros((4, 4)))
    with pytest.raises(InputError, match="cannot read"):
        gallery.picture(tmp_path / "missing.png")
    with pytest.raises(InputError, match="cannot show"):
        gallery.picture(tmp_path / "a.exr")
    with pytest.raises(InputError):
        gallery.mesh(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 7]])))
    with pytest.raises(InputError, match="up direction"):
        gallery.mesh(icosphere(0), up=(0, 0, 1), front=(0, 0, 2))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        gallery.save(tmp_path / "file" / "index.html")


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 400), st.integers(1, 600), st.integers(0, 10**6), st.booleans())
def test_unpacking_gives_the_mesh_back_within_rounding(vertices, faces, seed, colored):
    generator = torch.Generator().manual_seed(seed)
    mesh = Mesh(
        torch.randn(vertices, 3, generator=generator) * torch.tensor([10.0, 1.0, 0.1]) + 5,
        torch.randint(vertices, (faces, 3), generator=generator),
        torch.rand(vertices, 3, generator=generator) if colored else None,
    )
    packed = json.loads(json.dumps(packed_mesh(mesh)))
    again = unpacked_mesh(packed)
    assert torch.equal(again.faces, mesh.faces)
    extent = float((mesh.vertices.amax(dim=0) - mesh.vertices.amin(dim=0)).max())
    assert (again.vertices - mesh.vertices).abs().max() <= 0.51 * extent / 65535 + 1e-5
    assert (again.colors is not None) == colored
    if colored:
        assert (again.colors - mesh.colors).abs().max() < 0.006  # half a step of 8-bit sRGB at white


def test_packed_meshes_are_small():
    mesh = icosphere(5)
    raw = mesh.vertices.nbytes + mesh.faces.nbytes // 2
    assert len(packed_mesh(mesh)["data"]) < raw / 2


def test_a_flat_mesh_and_a_point_like_mesh_survive():
    flat = Mesh(torch.tensor([[0.0, 0, 1], [1, 0, 1], [0, 1, 1]]), torch.tensor([[0, 1, 2]]))
    torch.testing.assert_close(unpacked_mesh(packed_mesh(flat)).vertices, flat.vertices, atol=1e-5, rtol=0)
    tiny = flat.with_vertices(flat.vertices * 0)
    assert unpacked_mesh(packed_mesh(tiny)).vertices.abs().max() == 0


def test_bad_arrays_are_refused():
    mesh = icosphere(1)
    with pytest.raises(InputError):
        packed_mesh(mesh.with_vertices(mesh.vertices * float("nan")))
    with pytest.raises(InputError, match="damaged"):
        unpacked_mesh({**packed_mesh(mesh), "data": "AAAA"})

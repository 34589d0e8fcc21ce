import numpy as np
import pytest

from bozzetto import InputError
from bozzetto.cameras import load_capture
from bozzetto.cameras.formats import read_cameras
from bozzetto.errors import InputWarning


def document(scene, chunk="", camera="", calibration="", kind="frame", world=None):
    """Cameras in a chunk that stands turned, moved and scaled in the world."""
    A, b, s = world or (np.eye(3), np.zeros(3), 1.0)
    width, height = scene.size
    k = "".join(f"<k{i + 1}>{value!r}</k{i + 1}>" for i, value in enumerate(scene.k))
    lines = []
    for i, name in enumerate(scene.names):
        T = np.eye(4)
        T[:3, :3] = A.T @ scene.R[i].T
        T[:3, 3] = A.T @ (scene.C[i] - b) / s
        numbers = " ".join(repr(float(v)) for v in T.flatten())
        label = name.removesuffix(".png")
        lines.append(
            f'<camera id="{i}" sensor_id="0" component_id="0" label="{label}" {camera}>'
            f"<transform>{numbers}</transform></camera>"
        )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<document version="2.0.0"><chunk label="Chunk 1" enabled="true">
 <sensors><sensor id="0" label="phone" type="{kind}"><resolution width="{width}" height="{height}"/>
  <calibration type="{kind}" class="initial"><f>1</f></calibration>
  <calibration type="{kind}" class="adjusted"><resolution width="{width}" height="{height}"/>
   <f>{scene.f[1]!r}</f><cx>{scene.c[0] - width / 2!r}</cx><cy>{scene.c[1] - height / 2!r}</cy>
   <b1>{scene.f[0] - scene.f[1]!r}</b1><b2>{scene.skew!r}</b2>{k}<p1>{scene.p[1]!r}</p1><p2>{scene.p[0]!r}</p2>
   {calibration}</calibration></sensor></sensors>
 <cameras>{lines[0]}<group id="0" type="folder">{"".join(lines[1:])}</group>
  <camera id="9" sensor_id="0" label="lost"/></cameras>{chunk}
</chunk></document>"""


def similarity():
    A = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    b, s = np.array([1.0, 2, 3]), 2.5
    numbers = " ".join(repr(float(v)) for v in A.flatten())
    inner = f"<rotation>{numbers}</rotation><translation>1 2 3</translation><scale>2.5</scale>"
    return (A, b, s), f"<transform>{inner}</transform>"


def write(tmp_path, scene, text):
    scene.pictures(tmp_path / "images")
    (tmp_path / "cameras.xml").write_text(text)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*cameras are switched off or not aligned")
@pytest.mark.parametrize("kind", ["frame", "fisheye"])
def test_points_land_where_metashape_puts_them(tmp_path, scene, agrees, kind):
    made = scene(
        f=(72.0, 70.0), skew=0.4, k=(0.1, -0.05, 0.02, 0.01), p=(0.003, -0.002), fisheye=kind != "frame"
    )
    agrees(read_cameras(write(tmp_path, made, document(made, kind=kind))), made)


@pytest.mark.filterwarnings("ignore:.*cameras are switched off or not aligned")
@pytest.mark.parametrize("place", ["chunk", "component"])
def test_the_transform_of_the_chunk_leads_to_the_world(tmp_path, scene, agrees, place):
    made = scene()
    world, transform = similarity()
    if place == "component":
        transform = f'<components><component id="0">{transform}</component></components>'
    agrees(read_cameras(write(tmp_path, made, document(made, chunk=transform, world=world))), made)


def test_cameras_that_were_not_aligned_are_named(tmp_path, scene):
    made = scene()
    with pytest.warns(InputWarning, match="1 cameras are switched off or not aligned and left out: lost"):
        read_cameras(write(tmp_path, made, document(made)) / "cameras.xml")


@pytest.mark.filterwarnings("ignore:.*cameras are switched off or not aligned")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("<f>70.0</f>", "<f>nan</f>"), "sensor 0, f is 'nan'"),
        (lambda text: text.replace('type="frame"', 'type="spherical"'), "type spherical"),
        (lambda text: text.replace("calibration", "nothing"), "sensor 0 has no calibration"),
        (lambda text: text.replace("<transform>", "<transform>1 "), "transform of 000.png .* 16 numbers"),
        (lambda text: text.replace("transform>", "moved>"), "no aligned camera"),
        (lambda text: text.replace("chunk", "piece"), "no chunk with cameras"),
        (lambda text: text[:-30], "no XML file"),
        (lambda text: text.replace("<document", "<!DOCTYPE a [<!ENTITY b 'c'>]><document"), "document type"),
        (lambda text: text.replace("<chunk", "<a>" * 99 + "<chunk"), "nested too deeply"),
        (lambda text: text.replace("000", "other"), "no image .*other"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(tmp_path, scene, change, message):
    made = scene()
    write(tmp_path, made, change(document(made)))
    with pytest.raises(InputError, match=message) as caught:
        load_capture(tmp_path / "cameras.xml", masks="none")
    assert "\n" not in str(caught.value)

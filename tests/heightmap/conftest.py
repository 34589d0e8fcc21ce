import numpy as np
import pytest
import torch
from PIL import Image

from bozzetto.datasets.synthetic.materials import make_sample
from bozzetto.heightmap import NetworkConfig, Predictor
from bozzetto.heightmap.model import build_network

TINY = NetworkConfig(widths=(8, 8, 16, 16), blocks=(0, 1, 1, 1))


@pytest.fixture(scope="session")
def tiny():
    return TINY


@pytest.fixture
def predictor(tiny):
    """A small network with random weights that are large enough to tell photos apart."""
    torch.manual_seed(0)
    network = build_network(tiny)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.startswith(("low", "fine", "sign")) and value.ndim > 1:
                value.normal_(std=0.5)
    return Predictor(network, tiny, {"made": "for tests"})


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory):
    """Two scanned materials and a painted one, with a manifest."""
    root = tmp_path_factory.mktemp("textures")
    rows = ["slug,class,tileable,ship_ok,author,licence"]
    for number, (slug, kind, ship) in enumerate(
        (("bark", "A", "yes"), ("gravel", "A", "tests only"), ("wall", "B", "yes"))
    ):
        sample = make_sample(0, number, 64)
        folder = root / kind / slug
        folder.mkdir(parents=True)
        Image.fromarray(sample.color).save(folder / "color.jpg", quality=95)
        Image.fromarray((sample.height // 257).astype(np.uint8)).save(folder / "height.png")
        rows.append(f"{slug},{kind},{'no' if slug == 'gravel' else 'yes'},{ship},Somebody,CC0-1.0")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root
